/** The `grid_update` header of one bin. */

import { FieldReader } from "./fields.ts";
import type schema from "./schema.json";
import { readTrades } from "./trades.ts";
import type { BinHeader, Checked, ModelOutput, RuntimeConfig } from "./types.ts";

const UNDEF_PRICE = 2n ** 63n - 1n;

/** Checks one header against the config it belongs to; sequence is checked by the caller, who knows the last one. */
export function checkHeader(
  raw: Readonly<Record<string, unknown>>,
  config: RuntimeConfig,
): Checked<BinHeader> {
  const read = new FieldReader(raw);
  const seq = read.integer("bin_seq", 0);
  const startNs = read.int64("bin_start_ns");
  const endNs = read.int64("bin_end_ns");
  if (endNs - startNs !== config.cellWidthNs) {
    read.reject(
      "bin_end_ns - bin_start_ns",
      `one cell width = ${config.cellWidthNs} ns`,
      String(endNs - startNs),
    );
  }
  const spotTick = readTick(read, "spot_ref_price_int", config);
  const bidTick = readTick(read, "best_bid_price_int", config);
  const askTick = readTick(read, "best_ask_price_int", config);
  const bookValid = read.flag("book_valid");
  if (bookValid && bidTick !== null && askTick !== null && bidTick >= askTick) {
    read.reject(
      "best_bid_price_int",
      "below best_ask_price_int while book_valid",
      `${bidTick} >= ${askTick} ticks`,
    );
  }
  const optional = (name: string): number | null => (read.has(name) ? read.integer(name, 0) : null);
  const since2 = (name: string): number | null =>
    config.schemaVersion >= 2 ? read.integer(name, 0) : optional(name);
  const header = {
    seq,
    startNs,
    endNs,
    eventId: read.integer("event_id", 0),
    eventCount: read.integer("bin_event_count", 0),
    spotTick,
    bidTick,
    askTick,
    midPrice: read.has("mid_price") ? read.number("mid_price") : null,
    bookValid,
    bidSize: optional("best_bid_size"),
    askSize: optional("best_ask_size"),
    tradeCount: optional("trade_count"),
    buyVolume: optional("buy_volume"),
    sellVolume: optional("sell_volume"),
    unsidedVolume: since2("unsided_volume"),
    buyOutside: since2("traded_buy_outside"),
    sellOutside: since2("traded_sell_outside"),
    trades: readTrades(read, seq, config),
    quality: optional("quality") ?? 0,
    droppedBins: optional("dropped_bins") ?? 0,
    model: readModel(read, config),
  };
  return read.finish(() => header);
}

/** A price in whole ticks; null where the feed had none, for which the wire has a mark: 0 and below are prices. */
function readTick(read: FieldReader, name: string, config: RuntimeConfig): number | null {
  const price = read.int64(name);
  if (price === UNDEF_PRICE) return null;
  if (price % config.tickInt !== 0n) read.reject(name, `a whole tick of ${config.tickInt}`, String(price));
  return Number(price / config.tickInt);
}

function readModel(read: FieldReader, config: RuntimeConfig): ModelOutput {
  const number = (name: keyof typeof schema.model): number => read.number(name);
  return {
    name: read.has("runtime_model_name") ? read.text("runtime_model_name") : config.model.name,
    score: number("runtime_model_score"),
    ready: read.flag("runtime_model_ready"),
    sampleCount: read.integer("runtime_model_sample_count", 0),
    base: number("runtime_model_base"),
    d: [number("runtime_model_d1"), number("runtime_model_d2"), number("runtime_model_d3")],
    z: [number("runtime_model_z1"), number("runtime_model_z2"), number("runtime_model_z3")],
    bull: number("runtime_model_bull_intensity"),
    bear: number("runtime_model_bear_intensity"),
    mixed: number("runtime_model_mixed_intensity"),
    dominant: read.integer("runtime_model_dominant_state5_code"),
  };
}
