/** `model_trades` of a header: what became of the model's trades in the bin. */

import { FieldReader } from "./fields.ts";
import type { ModelTrade, RuntimeConfig } from "./types.ts";

const NAME = "model_trades";
const OUTCOMES: readonly string[] = ["tp", "sl", "timeout", "cut", "close", "roll", "gap"];

/** Reads the trades of bin `seq`; where nothing happened the name is missing. What is broken is noted in `read`. */
export function readTrades(read: FieldReader, seq: number, config: RuntimeConfig): readonly ModelTrade[] {
  if (!read.has(NAME)) return [];
  return read.objects(NAME).map((raw, i) => {
    const inner = new FieldReader(raw, `${NAME}[${i}].`);
    const trade = readTrade(inner, raw.outcome === null, seq, config);
    if (inner.violation) read.violation ??= inner.violation;
    return trade;
  });
}

function readTrade(read: FieldReader, isOpen: boolean, seq: number, config: RuntimeConfig): ModelTrade {
  const ticks = (name: string): number => Number(read.int64(name)) / Number(config.tickInt);
  const side = read.text("side");
  const price = ticks("price_int");
  const takeProfit = ticks("take_profit_price_int");
  const stop = ticks("stop_price_int");
  const firedBin = read.integer("fired_bin", 0);
  const entryBin = read.integer("entry_bin", firedBin, seq);
  const outcome = isOpen ? null : read.text("outcome");
  if (side !== "buy" && side !== "sell") read.reject("side", "buy or sell", side);
  if (outcome !== null && !OUTCOMES.includes(outcome)) read.reject("outcome", OUTCOMES.join(", "), outcome);
  const up = side === "sell" ? -1 : 1;
  if (!(up * takeProfit > up * price && up * price > up * stop)) {
    read.reject("price_int", "between stop and take profit", `${stop}, ${price}, ${takeProfit} ticks`);
  }
  if (isOpen && read.has("pnl_ticks")) read.reject("pnl_ticks", "null while the trade is open", "a number");
  return {
    id: read.text("id"),
    side: side as ModelTrade["side"],
    price,
    takeProfit,
    stop,
    firedBin,
    entryBin,
    exitBin: isOpen ? null : read.integer("exit_bin", entryBin, seq),
    outcome,
    pnlTicks: isOpen ? null : read.number("pnl_ticks"),
  };
}
