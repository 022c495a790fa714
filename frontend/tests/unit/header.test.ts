/** The `grid_update` header: every field in its place, each bound with the value on it. */

import { describe, expect, test } from "vitest";
import { checkConfig } from "../../src/wire/config.ts";
import { checkHeader } from "../../src/wire/header.ts";
import type { RuntimeConfig } from "../../src/wire/types.ts";
import { type Fields, header, NO_PRICE, runtimeConfig } from "../support/frames.ts";

function configOf(overrides: Fields = {}): RuntimeConfig {
  const checked = checkConfig(runtimeConfig(overrides));
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

function value(fields: Fields) {
  const checked = checkHeader(header(3, { fields }), configOf());
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

function refusal(fields: Fields): string {
  const checked = checkHeader(header(3, { fields }), configOf());
  if (checked.ok) throw new Error("accepted");
  return `${checked.why.field}: ${checked.why.expected}, not ${checked.why.got}`;
}

/** Quarter dollars in 1e-9 dollars, as text. */
const price = (ticks: number): string => String(BigInt(ticks) * 250_000_000n);

describe("a good header", () => {
  test("is read field by field", () => {
    const given = {
      bin_seq: 3,
      bin_start_ns: "1770387900300000000",
      bin_end_ns: "1770387900400000000",
      event_id: 40,
      bin_event_count: 11,
      spot_ref_price_int: price(100),
      best_bid_price_int: price(98),
      best_ask_price_int: price(101),
      mid_price: 24.875,
      book_valid: true,
      best_bid_size: 5,
      best_ask_size: 6,
      trade_count: 7,
      buy_volume: 8,
      sell_volume: 9,
      unsided_volume: 14,
      traded_buy_outside: 15,
      traded_sell_outside: 16,
      quality: 10,
      dropped_bins: 12,
      runtime_model_name: "ads",
      runtime_model_score: 0.25,
      runtime_model_ready: false,
      runtime_model_sample_count: 13,
      runtime_model_base: 14,
      runtime_model_d1: 1.5,
      runtime_model_d2: 2.5,
      runtime_model_d3: 3.5,
      runtime_model_z1: -1.5,
      runtime_model_z2: -2.5,
      runtime_model_z3: -3.5,
      runtime_model_bull_intensity: 0.1,
      runtime_model_bear_intensity: 0.2,
      runtime_model_mixed_intensity: 0.7,
      runtime_model_dominant_state5_code: -2,
    };
    expect(value(given)).toEqual({
      seq: 3,
      startNs: 1_770_387_900_300_000_000n,
      endNs: 1_770_387_900_400_000_000n,
      eventId: 40,
      eventCount: 11,
      spotTick: 100,
      bidTick: 98,
      askTick: 101,
      midPrice: 24.875,
      bookValid: true,
      bidSize: 5,
      askSize: 6,
      tradeCount: 7,
      buyVolume: 8,
      sellVolume: 9,
      unsidedVolume: 14,
      buyOutside: 15,
      sellOutside: 16,
      trades: [],
      quality: 10,
      droppedBins: 12,
      model: {
        name: "ads",
        score: 0.25,
        ready: false,
        sampleCount: 13,
        base: 14,
        d: [1.5, 2.5, 3.5],
        z: [-1.5, -2.5, -3.5],
        bull: 0.1,
        bear: 0.2,
        mixed: 0.7,
        dominant: -2,
      },
    });
  });

  test("may leave out what is optional: sizes and volumes are unknown then, quality and drops are 0", () => {
    const names = ["best_bid_size", "best_ask_size", "trade_count", "buy_volume", "sell_volume"];
    const missing = Object.fromEntries(
      [...names, "quality", "dropped_bins", "runtime_model_name"].map((name) => [name, undefined]),
    );
    expect(value(missing)).toMatchObject({
      bidSize: null,
      askSize: null,
      tradeCount: null,
      buyVolume: null,
      sellVolume: null,
      quality: 0,
      droppedBins: 0,
      model: { name: "perm_derivative" }, // the config's
    });
  });

  test("of the first schema does not know what traded where, of the second it must", () => {
    const names = ["unsided_volume", "traded_buy_outside", "traded_sell_outside"];
    const missing = Object.fromEntries(names.map((name) => [name, undefined]));
    const checked = checkHeader(header(3, { fields: missing }), configOf({ schema_version: 1 }));
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    expect(checked.value).toMatchObject({
      unsidedVolume: null,
      buyOutside: null,
      sellOutside: null,
      trades: [],
    });
    for (const name of names) {
      expect(refusal({ [name]: undefined })).toBe(`${name}: an integer >= 0, not nothing`);
    }
  });

  test("a price that is not there has a mark of its own", () => {
    const none = { spot_ref_price_int: NO_PRICE, best_bid_price_int: NO_PRICE, best_ask_price_int: NO_PRICE };
    expect(value(none)).toMatchObject({ spotTick: null, bidTick: null, askTick: null });
    expect(value({ best_bid_price_int: NO_PRICE })).toMatchObject({ bidTick: null, bookValid: true });
    expect(value({ best_ask_price_int: NO_PRICE })).toMatchObject({ askTick: null, bookValid: true });
  });

  test("a price below zero is one: calendar spreads trade there", () => {
    const book = {
      spot_ref_price_int: price(-4),
      best_bid_price_int: price(-5),
      best_ask_price_int: price(-4),
    };
    expect(value(book)).toMatchObject({ spotTick: -4, bidTick: -5, askTick: -4 });
  });
});

describe("bid and ask of a book that says it is valid", () => {
  const book = (bid: number, ask: number, valid = true): Fields => ({
    best_bid_price_int: price(bid),
    best_ask_price_int: price(ask),
    book_valid: valid,
  });

  test("one tick apart is the least", () => {
    expect(value(book(86_399, 86_400))).toMatchObject({ bidTick: 86_399, askTick: 86_400, bookValid: true });
  });

  test.each([
    ["locked", 86_400, 86_400],
    ["crossed by a tick", 86_401, 86_400],
  ])("%s is refused", (_, bid, ask) => {
    expect(refusal(book(bid, ask))).toBe(
      `best_bid_price_int: below best_ask_price_int while book_valid, not "${bid} >= ${ask} ticks"`,
    );
  });

  test("locked or crossed passes while it does not say so", () => {
    expect(value(book(86_400, 86_400, false))).toMatchObject({ bidTick: 86_400, askTick: 86_400 });
    expect(value(book(86_401, 86_400, false))).toMatchObject({ bidTick: 86_401, askTick: 86_400 });
  });
});

describe("a header that breaks a promise is refused", () => {
  const whole = (name: string): readonly [string, Fields, string] => [
    `${name} below 0`,
    { [name]: -1 },
    `${name}: an integer >= 0, not -1`,
  ];
  const finite = (name: string): readonly [string, Fields, string] => [
    `${name} as text`,
    { [name]: "1" },
    `${name}: a finite number, not "1"`,
  ];
  test.each([
    whole("bin_seq"),
    whole("event_id"),
    whole("bin_event_count"),
    whole("best_bid_size"),
    whole("best_ask_size"),
    whole("trade_count"),
    whole("buy_volume"),
    whole("sell_volume"),
    whole("unsided_volume"),
    whole("traded_buy_outside"),
    whole("traded_sell_outside"),
    whole("quality"),
    whole("dropped_bins"),
    whole("runtime_model_sample_count"),
    finite("mid_price"),
    ...["score", "base", "d1", "d2", "d3", "z1", "z2", "z3"].map((name) => finite(`runtime_model_${name}`)),
    ...["bull", "bear", "mixed"].map((name) => finite(`runtime_model_${name}_intensity`)),
    [
      "the dominant state as a fraction",
      { runtime_model_dominant_state5_code: 0.5 },
      "runtime_model_dominant_state5_code: an integer, not 0.5",
    ],
    ["an empty model name", { runtime_model_name: "" }, 'runtime_model_name: a non-empty string, not ""'],
    ["readiness as a number", { runtime_model_ready: 1 }, "runtime_model_ready: true or false, not 1"],
    ["a start as a number", { bin_start_ns: 5 }, "bin_start_ns: a 64-bit integer as a decimal string, not 5"],
    [
      "an end a nanosecond late",
      { bin_end_ns: "1770387900400000001" },
      'bin_end_ns - bin_start_ns: one cell width = 100000000 ns, not "100000001"',
    ],
    [
      "an end a nanosecond early",
      { bin_end_ns: "1770387900399999999" },
      'bin_end_ns - bin_start_ns: one cell width = 100000000 ns, not "99999999"',
    ],
    [
      "a spot one unit off the tick",
      { spot_ref_price_int: "21600000000001" },
      'spot_ref_price_int: a whole tick of 250000000, not "21600000000001"',
    ],
    [
      "a bid half a tick off",
      { best_bid_price_int: "21599625000000" },
      'best_bid_price_int: a whole tick of 250000000, not "21599625000000"',
    ],
    [
      "an ask half a tick off",
      { best_ask_price_int: "21600125000000" },
      'best_ask_price_int: a whole tick of 250000000, not "21600125000000"',
    ],
  ] as readonly (readonly [string, Fields, string])[])("%s", (_, fields, message) => {
    expect(refusal(fields)).toBe(message);
  });

  test("a bin's width is the config's", () => {
    const wide = configOf({ cell_width_ms: 0.5, projection_horizons_ms: [0.5, 1, 1.5, 2] });
    const fields = { bin_start_ns: "1000000000", bin_end_ns: "1000500000" };
    expect(checkHeader(header(0, { fields }), wide).ok).toBe(true);
    expect(checkHeader(header(0), wide).ok).toBe(false);
  });
});
