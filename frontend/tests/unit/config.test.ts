/** The `runtime_config`: every field read, every promise between fields held, and each refusal in its words. */

import { describe, expect, test } from "vitest";
import { checkConfig, isTimeZone } from "../../src/wire/config.ts";
import { type Fields, GRID_NAMES, runtimeConfig } from "../support/frames.ts";

function read(overrides: Fields = {}): ReturnType<typeof checkConfig> {
  return checkConfig(runtimeConfig(overrides));
}

function value(overrides: Fields = {}) {
  const checked = read(overrides);
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

function refusal(overrides: Fields): string {
  const checked = read(overrides);
  if (checked.ok) throw new Error("accepted");
  return `${checked.why.field}: ${checked.why.expected}, not ${checked.why.got}`;
}

const model = (fields: Fields): Fields => ({ runtime_model: { name: "ads", enabled: true, ...fields } });

describe("a good config", () => {
  test("is read field by field", () => {
    const raw = runtimeConfig({
      reason: "model_change",
      effective_bin_seq: 0,
      session: { start_ns: "1770387900000000001", end_ns: "-5", n_bins: 0 },
      capabilities: { control: true, step: 1, backfill: false },
      runtime_model: {
        name: "ads",
        enabled: false,
        version: 3,
        standing: "forced",
        because: "a test",
        record: "no live evidence yet",
        parameters: { a: 1 },
      },
    });
    const checked = checkConfig(raw);
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    expect(checked.value).toEqual({
      productType: "future_mbo",
      symbol: "MNQH6",
      configVersion: "91df2e6b7d97",
      tickSize: 0.25,
      tickInt: 250_000_000n,
      priceScale: 1e-9,
      priceDecimals: 2,
      qtyUnit: "contracts",
      radius: 50,
      rows: 101,
      schemaVersion: 2,
      cellWidthMs: 100,
      cellWidthNs: 100_000_000n,
      horizons: [1, 2, 3, 4],
      model: {
        name: "ads",
        enabled: false,
        version: "3",
        standing: "forced",
        because: "a test",
        record: "no live evidence yet",
        parameters: { a: 1 },
      },
      mode: "live",
      schemaFields: GRID_NAMES,
      timeZone: "America/New_York",
      session: { startNs: 1_770_387_900_000_000_001n, endNs: -5n, nBins: 0 },
      capabilities: { control: true, step: false, backfill: false }, // only true is true
      reason: "model_change",
      effectiveBinSeq: 0,
      raw,
    });
  });

  test("may leave out what is optional", () => {
    const bare = {
      session_tz: undefined,
      session: undefined,
      capabilities: undefined,
      reason: null,
      effective_bin_seq: null,
    };
    expect(value({ ...bare, ...model({}) })).toMatchObject({
      timeZone: null,
      session: { startNs: null, endNs: null, nBins: null },
      capabilities: {},
      reason: null,
      effectiveBinSeq: null,
      model: {
        name: "ads",
        enabled: true,
        version: "",
        standing: "",
        because: "",
        record: "",
        parameters: {},
      },
    });
    expect(value({ session: {} }).session).toEqual({ startNs: null, endNs: null, nBins: null });
    expect(value(model({ version: null })).model.version).toBe("");
    expect(value(model({ version: "2.1" })).model.version).toBe("2.1");
  });

  test.each([
    ["the smallest and the largest grid", { grid_radius_ticks: 1, grid_rows: 3 }],
    ["the largest grid", { grid_radius_ticks: 2000, grid_rows: 4001 }],
    ["no decimals", { price_decimals: 0 }],
    ["nine decimals", { price_decimals: 9 }],
    ["a tick of one unit", { tick_size: 1e-9 }],
    ["a tick that no float holds exactly", { tick_size: 0.1 }],
    ["a bin of one nanosecond", { cell_width_ms: 1e-6, projection_horizons_ms: [1e-6, 2e-6, 3e-6, 4e-6] }],
    [
      "a horizon off by what is still forgiven", // 1e-6 ms
      { cell_width_ms: 1e-6, projection_horizons_bins: [1], projection_horizons_ms: [2e-6] },
    ],
    ["horizons a rounding off", { projection_horizons_ms: [100 + 1e-7, 200, 300, 400 - 1e-7] }],
  ])("passes with %s", (_, overrides) => {
    expect(read(overrides).ok).toBe(true);
  });

  test("horizons are counted in numbers, not in letters, whatever their order", () => {
    const overrides = { projection_horizons_bins: [10, 9, 100], projection_horizons_ms: [1000, 900, 10_000] };
    expect(value(overrides).horizons).toEqual([9, 10, 100]);
  });
});

describe("a config that breaks a promise is refused", () => {
  const columns = (names: readonly string[]): Fields => ({ grid_schema_fields: names });
  test.each([
    ["product_type", { product_type: "" }, 'product_type: a non-empty string, not ""'],
    ["config_version", { config_version: 5 }, "config_version: a non-empty string, not 5"],
    ["tick_size 0", { tick_size: 0 }, "tick_size: a number > 0, not 0"],
    ["price_scale", { price_scale: -1 }, "price_scale: a number > 0, not -1"],
    ["a tick below one unit", { tick_size: 4e-10 }, "tick_size: a multiple of price_scale = 1e-9, not 4e-10"],
    [
      "a tick that vanishes",
      { tick_size: 5e-324, price_scale: 10 },
      "tick_size: a multiple of price_scale = 10, not 5e-324",
    ],
    ["a tick of 1.5 units", { tick_size: 1.5e-9 }, "tick_size: a multiple of price_scale = 1e-9, not 1.5e-9"],
    ["a tick beyond count", { tick_size: 1e300 }, "tick_size: a multiple of price_scale = 1e-9, not 1e+300"],
    ["decimals below", { price_decimals: -1 }, "price_decimals: an integer from 0 to 9, not -1"],
    ["decimals above", { price_decimals: 10 }, "price_decimals: an integer from 0 to 9, not 10"],
    ["qty_unit", { qty_unit: null }, "qty_unit: a non-empty string, not null"],
    ["radius 0", { grid_radius_ticks: 0 }, "grid_radius_ticks: an integer from 1 to 2000, not 0"],
    ["radius 2001", { grid_radius_ticks: 2001 }, "grid_radius_ticks: an integer from 1 to 2000, not 2001"],
    ["rows below three", { grid_rows: 2 }, "grid_rows: an integer >= 3, not 2"],
    ["rows one less", { grid_rows: 100 }, "grid_rows: 2 * grid_radius_ticks + 1 = 101, not 100"],
    ["rows one more", { grid_rows: 102 }, "grid_rows: 2 * grid_radius_ticks + 1 = 101, not 102"],
    ["cell width 0", { cell_width_ms: 0 }, "cell_width_ms: a number > 0, not 0"],
    [
      "half a nanosecond",
      { cell_width_ms: 1.5e-6 },
      "cell_width_ms: a whole number of nanoseconds, not 0.0000015",
    ],
    ["too little", { cell_width_ms: 4e-7 }, "cell_width_ms: a whole number of nanoseconds, not 4e-7"],
    ["too long", { cell_width_ms: 1e308 }, "cell_width_ms: a whole number of nanoseconds, not 1e+308"],
    [
      "a horizon of no bins",
      { projection_horizons_bins: [0], projection_horizons_ms: [0] },
      "projection_horizons_bins: a list of integers >= 1, not [0]",
    ],
    [
      "a horizon twice",
      { projection_horizons_bins: [2, 2], projection_horizons_ms: [200, 200] },
      "projection_horizons_bins: each horizon once, not [2,2]",
    ],
    [
      "horizons as text",
      { projection_horizons_ms: ["100"] },
      'projection_horizons_ms: a list of numbers, not ["100"]',
    ],
    [
      "fewer horizons in ms",
      { projection_horizons_ms: [100, 200, 300] },
      "projection_horizons_ms: bins * cell_width_ms = [100, 200, 300, 400], not [100,200,300]",
    ],
    [
      "more horizons in ms",
      { projection_horizons_ms: [100, 200, 300, 400, 500] },
      "projection_horizons_ms: bins * cell_width_ms = [100, 200, 300, 400], not [100,200,300,400,500]",
    ],
    [
      "one horizon in ms less",
      { projection_horizons_ms: [100, 200, 299.99, 400] },
      "projection_horizons_ms: bins * cell_width_ms = [100, 200, 300, 400], not [100,200,299.99,400]",
    ],
    ["mode", { mode: 1 }, "mode: a non-empty string, not 1"],
    ["another format", { stream_format: "sparse" }, 'stream_format: "dense_grid", not "sparse"'],
    ["no format", { stream_format: "" }, 'stream_format: a non-empty string, not ""'],
    ["session_tz", { session_tz: 5 }, "session_tz: a non-empty string, not 5"],
    ["zone", { session_tz: "Mars/Olympus" }, 'session_tz: an IANA time zone, not "Mars/Olympus"'],
    ["reason", { reason: 5 }, "reason: a non-empty string, not 5"],
    ["effective bin", { effective_bin_seq: -1 }, "effective_bin_seq: an integer >= 0, not -1"],
    ["no columns", columns([]), "grid_schema_fields: a list of strings, not []"],
    ["session", { session: 5 }, "session: an object, not 5"],
    [
      "session.start_ns",
      { session: { start_ns: 5 } },
      "session.start_ns: a 64-bit integer as a decimal string, not 5",
    ],
    [
      "session.end_ns",
      { session: { end_ns: 5 } },
      "session.end_ns: a 64-bit integer as a decimal string, not 5",
    ],
    ["session.n_bins", { session: { n_bins: -1 } }, "session.n_bins: an integer >= 0, not -1"],
    ["capabilities", { capabilities: [] }, "capabilities: an object, not []"],
    ["model", { runtime_model: null }, "runtime_model: an object, not null"],
    ["model name", model({ name: "" }), 'runtime_model.name: a non-empty string, not ""'],
    ["model enabled", model({ enabled: 1 }), "runtime_model.enabled: true or false, not 1"],
    ["model parameters", model({ parameters: 1 }), "runtime_model.parameters: an object, not 1"],
    ["model version", model({ version: [1] }), "runtime_model.version: a string or a number, not [1]"],
  ])("%s", (_, overrides, message) => {
    expect(refusal(overrides)).toBe(message);
  });

  test("a column twice, which would be read as the later of the two", () => {
    expect(refusal(columns(["k", ...GRID_NAMES]))).toMatch(/^grid_schema_fields: each column once, not /);
  });

  test.each(["k", "spectrum_score", "bid_depth", "ask_depth", "v_add", "v_pull", "v_fill", "last_event_id"])(
    "without the column %s",
    (name) => {
      expect(refusal(columns(GRID_NAMES.filter((n) => n !== name)))).toMatch(
        new RegExp(`^grid_schema_fields: the column ${name}, not `),
      );
    },
  );

  test("any other column may be missing", () => {
    const needed = [
      "k",
      "spectrum_score",
      "bid_depth",
      "ask_depth",
      "v_add",
      "v_pull",
      "v_fill",
      "last_event_id",
      "traded_buy",
      "traded_sell",
    ];
    expect(read(columns(needed)).ok).toBe(true);
  });

  test("the first broken field of the frame is named, before those of what it holds", () => {
    expect(refusal({ symbol: 1, ...model({ name: 1 }), session: { n_bins: -1 } })).toMatch(/^symbol/);
    expect(refusal({ ...model({ name: 1 }), session: { n_bins: -1 } })).toMatch(/^runtime_model.name/);
  });
});

test("a time zone is one that the browser knows", () => {
  expect(["UTC", "Asia/Kathmandu", "Mars/Olympus", ""].map(isTimeZone)).toEqual([true, true, false, false]);
});

describe("what is wrong is named", () => {
  const cases: readonly (readonly [string, Fields, string])[] = [
    ["rows and radius disagree", { grid_rows: 99 }, "grid_rows"],
    ["horizons in ms disagree", { projection_horizons_ms: [100, 200, 300, 500] }, "projection_horizons_ms"],
    ["a number as text", { tick_size: "0.25" }, "tick_size"],
    ["no symbol", { symbol: undefined }, "symbol"],
    ["another format", { stream_format: "sparse" }, "stream_format"],
    ["no model name", { runtime_model: { enabled: true } }, "runtime_model.name"],
    ["an unknown zone", { session_tz: "Mars/Olympus" }, "session_tz"],
    [
      "a horizon twice",
      { projection_horizons_bins: [1, 1], projection_horizons_ms: [100, 100] },
      "projection_horizons_bins",
    ],
    ["a column missing that is drawn", { grid_schema_fields: ["k", "spectrum_score"] }, "grid_schema_fields"],
  ];
  test.each(cases)("%s is named", (_, overrides, field) => {
    const checked = read(overrides);
    if (checked.ok) throw new Error("accepted");
    expect(checked.why.field).toBe(field);
  });

  test("a good one gives the tick in price units and sorted horizons", () => {
    const overrides = { projection_horizons_bins: [4, 1], projection_horizons_ms: [400, 100] };
    expect(value(overrides)).toMatchObject({ tickInt: 250_000_000n, rows: 101, horizons: [1, 4] });
  });
});

describe("schema version", () => {
  const without = (...names: string[]): Fields => ({
    grid_schema_fields: GRID_NAMES.filter((name) => !names.includes(name)),
  });

  test("1 is what says nothing; it may be said, and needs no traded volume", () => {
    expect(value({ schema_version: undefined, ...without("traded_buy", "traded_sell") }).schemaVersion).toBe(
      1,
    );
    expect(value({ schema_version: 1, ...without("traded_buy", "traded_sell") }).schemaVersion).toBe(1);
  });

  test.each(["traded_buy", "traded_sell"])("2 without the column %s contradicts itself", (name) => {
    expect(refusal({ schema_version: 2, ...without(name) })).toMatch(
      new RegExp(`^grid_schema_fields: the column ${name}, not `),
    );
  });

  test.each([0, 3, 1.5, "2"])("%s is none that the page knows", (version) => {
    expect(refusal({ schema_version: version })).toBe(
      `schema_version: an integer from 1 to 2, not ${JSON.stringify(version)}`,
    );
  });
});
