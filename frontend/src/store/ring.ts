/**
 * The last W bins, a column each. A column's rows are relative to its own spot tick, so a moving spot shifts nothing,
 * and its place is `bin_seq mod W`, so a gap in the stream is a gap in the picture.
 */

import { LAYER_NAMES, type LayerName } from "../layers/table.ts";
import type { BinHeader, Grid } from "../wire/types.ts";

export const Kind = {
  Empty: 0,
  Bin: 1,
  Gap: 2,
  Reject: 3,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export class Ring {
  readonly width: number;
  readonly radius: number;
  readonly rows: number;
  readonly layers: Readonly<Record<LayerName, Float32Array>>;
  readonly states: Int8Array; // five-state code per cell
  readonly kind: Uint8Array;
  readonly seq: Float64Array; // which bin a slot holds
  readonly spotTick: Float64Array; // NaN without a spot
  readonly bidTick: Float64Array;
  readonly askTick: Float64Array;
  readonly valid: Uint8Array; // book_valid
  readonly score: Float64Array; // runtime model
  readonly ready: Uint8Array;
  readonly modelIndex: Uint16Array;
  /** Newest and oldest columns, of any kind; last < first when empty. */
  last = -1;
  first = 0;

  constructor(width: number, radius: number) {
    this.width = width;
    this.radius = radius;
    this.rows = 2 * radius + 1;
    const cells = width * this.rows;
    this.layers = Object.fromEntries(LAYER_NAMES.map((name) => [name, new Float32Array(cells)])) as Record<
      LayerName,
      Float32Array
    >;
    this.states = new Int8Array(cells);
    this.kind = new Uint8Array(width);
    this.seq = new Float64Array(width).fill(-1);
    this.spotTick = new Float64Array(width).fill(Number.NaN);
    this.bidTick = new Float64Array(width).fill(Number.NaN);
    this.askTick = new Float64Array(width).fill(Number.NaN);
    this.valid = new Uint8Array(width);
    this.score = new Float64Array(width);
    this.ready = new Uint8Array(width);
    this.modelIndex = new Uint16Array(width);
  }

  get count(): number {
    return this.last < this.first ? 0 : this.last - this.first + 1;
  }

  clear(): void {
    this.kind.fill(Kind.Empty);
    this.seq.fill(-1);
    this.first = 0;
    this.last = -1;
  }

  /** Slot of a bin that is held, or -1. */
  slot(seq: number): number {
    if (seq < 0) return -1;
    const slot = seq % this.width;
    return this.seq[slot] === seq ? slot : -1;
  }

  /** Stores one bin. `missing` columns before it become a gap. */
  store(header: BinHeader, grid: Grid, modelIndex: number, missing: number): number {
    this.markGap(header.seq, missing);
    const slot = this.take(header.seq, Kind.Bin);
    const at = slot * this.rows;
    const { layers, rows } = this;
    layers.score.set(grid.get("spectrum_score") as Float64Array, at);
    copyOrZero(layers.pressure, grid.get("pressure_variant") as Float64Array | undefined, at, rows);
    copyOrZero(layers.vacuum, grid.get("vacuum_variant") as Float64Array | undefined, at, rows);
    const bid = grid.get("bid_depth") as Float64Array;
    const ask = grid.get("ask_depth") as Float64Array;
    const add = grid.get("v_add") as Float64Array;
    const pull = grid.get("v_pull") as Float64Array;
    const fill = grid.get("v_fill") as Float64Array;
    layers.bid.set(bid, at);
    layers.ask.set(ask, at);
    layers.add.set(add, at);
    layers.pull.set(pull, at);
    layers.fill.set(fill, at);
    for (let i = 0; i < rows; i++) {
      layers.depth[at + i] = bid[i]! >= ask[i]! ? bid[i]! : -ask[i]!;
      layers.flow[at + i] = add[i]! - pull[i]! - fill[i]!;
    }
    const states = grid.get("perm_state5_code");
    if (states instanceof Int8Array) this.states.set(states, at);
    else this.states.fill(0, at, at + rows);
    this.spotTick[slot] = header.spotTick ?? Number.NaN;
    this.bidTick[slot] = header.bidTick ?? Number.NaN;
    this.askTick[slot] = header.askTick ?? Number.NaN;
    this.valid[slot] = header.bookValid ? 1 : 0;
    this.score[slot] = header.model.score;
    this.ready[slot] = header.model.ready ? 1 : 0;
    this.modelIndex[slot] = modelIndex;
    return slot;
  }

  /** A column that came broken: its place is kept, its numbers are not. */
  storeReject(seq: number, missing: number): void {
    this.markGap(seq, missing);
    this.take(seq, Kind.Reject);
  }

  private markGap(before: number, missing: number): void {
    for (let seq = Math.max(before - missing, before - this.width + 1, 0); seq < before; seq++) {
      this.take(seq, Kind.Gap);
    }
  }

  private take(seq: number, kind: Kind): number {
    const slot = seq % this.width;
    this.seq[slot] = seq;
    this.kind[slot] = kind;
    if (kind !== Kind.Bin) {
      this.spotTick[slot] = Number.NaN;
      this.bidTick[slot] = Number.NaN;
      this.askTick[slot] = Number.NaN;
      this.valid[slot] = 0;
      this.ready[slot] = 0;
    }
    if (this.last < this.first) this.first = seq;
    this.last = seq;
    this.first = Math.max(this.first, seq - this.width + 1);
    return slot;
  }
}

function copyOrZero(target: Float32Array, source: Float64Array | undefined, at: number, rows: number): void {
  if (source) target.set(source, at);
  else target.fill(0, at, at + rows);
}
