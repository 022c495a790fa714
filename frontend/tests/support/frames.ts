/** Frames as the server sends them, written by apache-arrow: another library than the page reads them with. */

import { makeVector, Table, tableToIPC } from "apache-arrow";
import schema from "../../src/wire/schema.json" with { type: "json" };

export const RADIUS = 50;
export const TICK_INT = 250_000_000n;
export const CELL_MS = 100;
export const SPOT = 86_400; // ticks: 21600.00
/** 2026-02-06 09:25:00 New York. */
export const START_NS = 1_770_387_900_000_000_000n;
export const GRID_NAMES = Object.keys(schema.grid);

export type Fields = Record<string, unknown>;

export function runtimeConfig(overrides: Fields = {}): Fields {
  const radius = (overrides.grid_radius_ticks as number | undefined) ?? RADIUS;
  return {
    type: "runtime_config",
    product_type: "future_mbo",
    symbol: "MNQH6",
    symbol_root: "MNQ",
    price_scale: 1e-9,
    tick_size: 0.25,
    grid_radius_ticks: radius,
    cell_width_ms: CELL_MS,
    n_absolute_ticks: 8192,
    contract_multiplier: 2,
    qty_unit: "contracts",
    price_decimals: 2,
    projection_horizons_bins: [1, 2, 3, 4],
    projection_horizons_ms: [100, 200, 300, 400],
    perm_zscore_min_periods: 60,
    config_version: "91df2e6b7d97",
    runtime_model: {
      name: "perm_derivative",
      enabled: true,
      version: null,
      parameters: { zscore_min_periods: 60, zscore_window_bins: 240, tanh_scale: 3 },
    },
    projection_model: { use_cubic: false, cubic_scale: 0.16, damping_lambda: 0 },
    mode: "live",
    deployment_stage: "test",
    stream_format: "dense_grid",
    schema_version: 2,
    grid_schema_fields: GRID_NAMES,
    grid_rows: 2 * radius + 1,
    session_tz: "America/New_York",
    session: {},
    capabilities: { control: false, step: false, backfill: false },
    ...overrides,
  };
}

/** What the wire writes for a price that is not there: 0 and below are prices. */
export const NO_PRICE = String(2n ** 63n - 1n);

export interface HeaderOptions {
  readonly spot?: number; // ticks
  readonly score?: number;
  readonly ready?: boolean;
  readonly samples?: number;
  readonly valid?: boolean;
  readonly fields?: Fields;
}

export function header(seq: number, options: HeaderOptions = {}): Fields {
  const { spot = SPOT, score = 0, ready = true, samples = seq + 1, valid = true, fields = {} } = options;
  const start = START_NS + BigInt(seq) * BigInt(CELL_MS) * 1_000_000n;
  const end = start + BigInt(CELL_MS) * 1_000_000n;
  const price = (tick: number): string => String(BigInt(tick) * TICK_INT);
  return {
    type: "grid_update",
    bin_seq: seq,
    bin_start_ns: String(start),
    bin_end_ns: String(end),
    ts_ns: String(end),
    bin_event_count: 10,
    event_id: 10 * (seq + 1),
    mid_price: (spot - 0.5) * 0.25,
    best_bid_price_int: price(spot - 1),
    best_ask_price_int: price(spot),
    spot_ref_price_int: price(spot),
    book_valid: valid,
    best_bid_size: 3,
    best_ask_size: 4,
    trade_count: 0,
    buy_volume: 0,
    sell_volume: 0,
    unsided_volume: 0,
    traded_buy_outside: 0,
    traded_sell_outside: 0,
    quality: 0,
    runtime_model_name: "perm_derivative",
    runtime_model_score: score,
    runtime_model_ready: ready,
    runtime_model_sample_count: samples,
    runtime_model_base: 0,
    runtime_model_d1: 0,
    runtime_model_d2: 0,
    runtime_model_d3: 0,
    runtime_model_z1: 0,
    runtime_model_z2: 0,
    runtime_model_z3: 0,
    runtime_model_bull_intensity: 0,
    runtime_model_bear_intensity: 0,
    runtime_model_mixed_intensity: 1,
    runtime_model_dominant_state5_code: 0,
    dropped_bins: 0,
    ...fields,
  };
}

type Numbers = Float64Array | Int32Array | Int8Array | BigInt64Array;

/** Columns of one grid, all zero but k and what is given as column -> k -> value. */
export function columns(
  cells: Readonly<Record<string, Readonly<Record<number, number>>>> = {},
  radius: number = RADIUS,
): Map<string, Numbers> {
  const rows = 2 * radius + 1;
  const out = new Map<string, Numbers>();
  for (const [name, code] of Object.entries(schema.grid)) {
    const values =
      code === "f8"
        ? new Float64Array(rows)
        : code === "i4"
          ? new Int32Array(rows)
          : code === "i8"
            ? new BigInt64Array(rows)
            : new Int8Array(rows);
    if (name === "k") for (let i = 0; i < rows; i++) values[i] = i - radius;
    for (const [k, value] of Object.entries(cells[name] ?? {})) {
      if (values instanceof BigInt64Array) values[Number(k) + radius] = BigInt(value);
      else values[Number(k) + radius] = value;
    }
    out.set(name, values);
  }
  return out;
}

/** One Arrow IPC stream with one record batch. */
export function encode(grid: ReadonlyMap<string, Numbers>): Uint8Array {
  const vectors = [...grid].map(([name, values]) => [name, makeVector(values as Float64Array)] as const);
  return tableToIPC(new Table(Object.fromEntries(vectors)), "stream");
}

export function grid(
  cells: Readonly<Record<string, Readonly<Record<number, number>>>> = {},
  radius = RADIUS,
): Uint8Array {
  return encode(columns(cells, radius));
}
