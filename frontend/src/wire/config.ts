/** The `runtime_config` frame: what must be in it and what must agree with what. */

import { FieldReader } from "./fields.ts";
import schema from "./schema.json";
import type { Checked, RuntimeConfig, RuntimeModelInfo } from "./types.ts";

const NS_PER_MS = 1_000_000;
const NEEDED = [
  "k",
  "spectrum_score",
  "bid_depth",
  "ask_depth",
  "v_add",
  "v_pull",
  "v_fill",
  "last_event_id",
];
const NEEDED_SINCE_2 = ["traded_buy", "traded_sell"];

/** Checks one `runtime_config`; the first broken field is named. */
export function checkConfig(raw: Readonly<Record<string, unknown>>): Checked<RuntimeConfig> {
  const read = new FieldReader(raw);
  const productType = read.text("product_type");
  const symbol = read.text("symbol");
  const configVersion = read.text("config_version");
  const tickSize = read.positive("tick_size");
  const priceScale = read.positive("price_scale");
  const priceDecimals = read.integer("price_decimals", 0, 9);
  const qtyUnit = read.text("qty_unit");
  const radius = read.integer("grid_radius_ticks", 1, 2000);
  const rows = read.integer("grid_rows", 3);
  const cellWidthMs = read.positive("cell_width_ms");
  const horizons = read.integers("projection_horizons_bins", 1);
  const horizonsMs = read.numbers("projection_horizons_ms");
  const mode = read.text("mode");
  const format = read.text("stream_format");
  const schemaVersion = read.has("schema_version")
    ? read.integer("schema_version", 1, schema.schema_version)
    : 1;
  const schemaFields = read.texts("grid_schema_fields");
  const model = readModel(read);
  const timeZone = read.has("session_tz") ? read.text("session_tz") : null;
  const reason = read.has("reason") ? read.text("reason") : null;
  const effectiveBinSeq = read.has("effective_bin_seq") ? read.integer("effective_bin_seq", 0) : null;
  const session = readSession(read);
  const capabilities = readCapabilities(read);
  const tickInt = wholes(tickSize / priceScale);
  const cellWidthNs = wholes(cellWidthMs * NS_PER_MS);

  if (tickInt === null) read.reject("tick_size", `a multiple of price_scale = ${priceScale}`, tickSize);
  if (cellWidthNs === null) read.reject("cell_width_ms", "a whole number of nanoseconds", cellWidthMs);
  if (format !== schema.stream_format) read.reject("stream_format", `"${schema.stream_format}"`, format);
  if (rows !== 2 * radius + 1)
    read.reject("grid_rows", `2 * grid_radius_ticks + 1 = ${2 * radius + 1}`, rows);
  const expectedMs = horizons.map((h) => h * cellWidthMs);
  if (
    expectedMs.length !== horizonsMs.length ||
    expectedMs.some((ms, i) => Math.abs(ms - horizonsMs[i]!) > 1e-6)
  ) {
    read.reject("projection_horizons_ms", `bins * cell_width_ms = [${expectedMs.join(", ")}]`, horizonsMs);
  }
  if (new Set(schemaFields).size !== schemaFields.length) {
    read.reject("grid_schema_fields", "each column once", schemaFields);
  }
  if (new Set(horizons).size !== horizons.length) {
    read.reject("projection_horizons_bins", "each horizon once", horizons);
  }
  if (timeZone !== null && !isTimeZone(timeZone)) read.reject("session_tz", "an IANA time zone", timeZone);
  for (const name of schemaVersion >= 2 ? [...NEEDED, ...NEEDED_SINCE_2] : NEEDED) {
    if (!schemaFields.includes(name)) read.reject("grid_schema_fields", `the column ${name}`, schemaFields);
  }
  return read.finish(() => ({
    productType,
    symbol,
    configVersion,
    tickSize,
    tickInt: BigInt(tickInt!),
    priceScale,
    priceDecimals,
    qtyUnit,
    radius,
    rows,
    cellWidthMs,
    cellWidthNs: BigInt(cellWidthNs!),
    horizons: [...horizons].sort((a, b) => a - b),
    model,
    mode,
    schemaVersion,
    schemaFields,
    timeZone,
    session,
    capabilities,
    reason,
    effectiveBinSeq,
    raw,
  }));
}

/** A whole number above zero, up to the rounding of the floats that it was made from; null where it is none. */
function wholes(value: number): number | null {
  const whole = Math.round(value);
  return Number.isSafeInteger(whole) && whole > 0 && Math.abs(value - whole) <= 1e-9 * whole ? whole : null;
}

function readModel(read: FieldReader): RuntimeModelInfo {
  const info = read.object("runtime_model");
  const inner = new FieldReader(info, "runtime_model.");
  const name = inner.text("name");
  const enabled = inner.flag("enabled");
  const parameters = inner.has("parameters") ? inner.object("parameters") : {};
  const standing = inner.has("standing") ? inner.text("standing") : "";
  const because = inner.has("because") ? inner.text("because") : "";
  const record = inner.has("record") ? inner.text("record") : "";
  const version = info.version;
  const plain = version === undefined || version === null || ["string", "number"].includes(typeof version);
  if (!plain) inner.reject("version", "a string or a number", version);
  if (inner.violation) read.violation ??= inner.violation;
  return {
    name,
    enabled,
    parameters,
    standing,
    because,
    record,
    version: version === undefined || version === null ? "" : String(version),
  };
}

function readSession(read: FieldReader): RuntimeConfig["session"] {
  if (!read.has("session")) return { startNs: null, endNs: null, nBins: null };
  const inner = new FieldReader(read.object("session"), "session.");
  const session = {
    startNs: inner.has("start_ns") ? inner.int64("start_ns") : null,
    endNs: inner.has("end_ns") ? inner.int64("end_ns") : null,
    nBins: inner.has("n_bins") ? inner.integer("n_bins", 0) : null,
  };
  if (inner.violation) read.violation ??= inner.violation;
  return session;
}

function readCapabilities(read: FieldReader): Record<string, boolean> {
  if (!read.has("capabilities")) return {};
  const entries = Object.entries(read.object("capabilities"));
  return Object.fromEntries(entries.map(([name, value]) => [name, value === true]));
}

/** Whether the browser knows this IANA zone. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
