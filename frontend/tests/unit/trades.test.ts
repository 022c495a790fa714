/** The model's trades in a header: read field by field, and refused where they contradict themselves. */

import { describe, expect, test } from "vitest";
import { checkConfig } from "../../src/wire/config.ts";
import { checkHeader } from "../../src/wire/header.ts";
import { type Fields, header, runtimeConfig } from "../support/frames.ts";

/** Eighths of dollars in 1e-9 dollars, as text: half ticks. */
const half = (ticks: number): string => String(BigInt(ticks) * 125_000_000n);

const OPENED: Fields = {
  id: "3-20",
  side: "buy",
  price_int: half(200),
  take_profit_price_int: half(216),
  stop_price_int: half(193),
  fired_bin: 20,
  entry_bin: 21,
  entry_ns: "1770387902200000000",
  outcome: null,
  pnl_ticks: null,
};
const CLOSED: Fields = {
  ...OPENED,
  outcome: "tp",
  pnl_ticks: 7.38,
  exit_bin: 25,
  exit_ns: "1770387902600000000",
  gross_ticks: 8,
  met_gap: false,
};

/** The header of bin 25. */
function check(...trades: unknown[]) {
  const config = checkConfig(runtimeConfig());
  if (!config.ok) throw new Error(JSON.stringify(config.why));
  return checkHeader(header(25, { fields: { model_trades: trades } }), config.value);
}

function refusal(...trades: unknown[]): string {
  const checked = check(...trades);
  if (checked.ok) throw new Error("accepted");
  return `${checked.why.field}: ${checked.why.expected}, not ${checked.why.got}`;
}

describe("trades of a bin", () => {
  test("are read field by field, in their order", () => {
    const checked = check(CLOSED, { ...OPENED, id: "3-24", fired_bin: 24, entry_bin: 25 });
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    const closed = {
      id: "3-20",
      side: "buy",
      price: 100,
      takeProfit: 108,
      stop: 96.5,
      firedBin: 20,
      entryBin: 21,
      exitBin: 25,
      outcome: "tp",
      pnlTicks: 7.38,
    };
    const opened = { id: "3-24", firedBin: 24, entryBin: 25, exitBin: null, outcome: null, pnlTicks: null };
    expect(checked.value.trades).toEqual([closed, { ...closed, ...opened }]);
  });

  test("of a sale the barriers lie the other way, and prices may be 0 and below", () => {
    const sold = { side: "sell", price_int: "0", take_profit_price_int: half(-6), stop_price_int: half(8) };
    const checked = check({ ...OPENED, ...sold });
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    expect(checked.value.trades).toMatchObject([{ side: "sell", price: 0, takeProfit: -3, stop: 4 }]);
  });

  test("may be entered and left in the bin that fired", () => {
    expect(check({ ...CLOSED, fired_bin: 25, entry_bin: 25, exit_bin: 25 }).ok).toBe(true);
  });

  test.each(["tp", "sl", "timeout", "cut", "close", "roll", "gap"])("may end by %s", (outcome) => {
    expect(check({ ...CLOSED, outcome }).ok).toBe(true);
  });

  test("may be told by no name, null or an empty list where there are none", () => {
    for (const given of [undefined, null, []]) {
      const config = checkConfig(runtimeConfig());
      if (!config.ok) throw new Error(JSON.stringify(config.why));
      const checked = checkHeader(header(25, { fields: { model_trades: given } }), config.value);
      expect(checked).toMatchObject({ ok: true, value: { trades: [] } });
    }
  });
});

describe("a trade that contradicts itself is refused", () => {
  test.each([
    ["no object", 5, "model_trades: a list of objects, not [5]"],
    ["without an id", { ...OPENED, id: "" }, 'model_trades[0].id: a non-empty string, not ""'],
    ["of no side", { ...OPENED, side: "hold" }, 'model_trades[0].side: buy or sell, not "hold"'],
    [
      "with a price as a number",
      { ...OPENED, price_int: 5 },
      "model_trades[0].price_int: a 64-bit integer as a decimal string, not 5",
    ],
    [
      "bought with its profit at the price",
      { ...OPENED, take_profit_price_int: half(200) },
      'model_trades[0].price_int: between stop and take profit, not "96.5, 100, 100 ticks"',
    ],
    [
      "bought with its stop at the price",
      { ...OPENED, stop_price_int: half(200) },
      'model_trades[0].price_int: between stop and take profit, not "100, 100, 108 ticks"',
    ],
    [
      "sold with the barriers of a purchase",
      { ...OPENED, side: "sell" },
      'model_trades[0].price_int: between stop and take profit, not "96.5, 100, 108 ticks"',
    ],
    [
      "entered before it fired",
      { ...OPENED, entry_bin: 19 },
      "model_trades[0].entry_bin: an integer from 20 to 25, not 19",
    ],
    [
      "entered after this bin",
      { ...OPENED, entry_bin: 26 },
      "model_trades[0].entry_bin: an integer from 20 to 25, not 26",
    ],
    [
      "left before it was entered",
      { ...CLOSED, exit_bin: 20 },
      "model_trades[0].exit_bin: an integer from 21 to 25, not 20",
    ],
    [
      "left after this bin",
      { ...CLOSED, exit_bin: 26 },
      "model_trades[0].exit_bin: an integer from 21 to 25, not 26",
    ],
    [
      "ended by nobody knows what",
      { ...CLOSED, outcome: "luck" },
      'model_trades[0].outcome: tp, sl, timeout, cut, close, roll, gap, not "luck"',
    ],
    [
      "without a word of its outcome",
      { ...OPENED, outcome: undefined },
      "model_trades[0].outcome: a non-empty string, not nothing",
    ],
    [
      "ended without a profit or a loss",
      { ...CLOSED, pnl_ticks: null },
      "model_trades[0].pnl_ticks: a finite number, not null",
    ],
    [
      "open with a profit",
      { ...OPENED, pnl_ticks: 0 },
      'model_trades[0].pnl_ticks: null while the trade is open, not "a number"',
    ],
  ] as const)("%s", (_, trade, message) => {
    expect(refusal(trade)).toBe(message);
  });

  test("whichever of them it is", () => {
    expect(refusal(OPENED, { ...OPENED, side: "hold" })).toBe(
      'model_trades[1].side: buy or sell, not "hold"',
    );
  });

  test("and what is no list", () => {
    const config = checkConfig(runtimeConfig());
    if (!config.ok) throw new Error(JSON.stringify(config.why));
    const checked = checkHeader(header(25, { fields: { model_trades: OPENED } }), config.value);
    expect(checked).toMatchObject({
      ok: false,
      why: { field: "model_trades", expected: "a list of objects" },
    });
  });
});
