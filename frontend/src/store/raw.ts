/** Whole frames of the newest bins, as they came, for exact numbers under the cursor. */

import { decodeArrow } from "../wire/arrow.ts";
import type { Bin, BinHeader, Column } from "../wire/types.ts";

export const RAW_BINS = 600;

export interface RawBin {
  readonly header: BinHeader;
  readonly bytes: Uint8Array;
}

export class RawStore {
  private readonly bins = new Array<RawBin | undefined>(RAW_BINS);
  private decodedSeq = -1;
  private decoded: ReadonlyMap<string, Column> = new Map();

  store(bin: Bin): void {
    this.bins[bin.header.seq % RAW_BINS] = { header: bin.header, bytes: bin.bytes };
  }

  clear(): void {
    this.bins.fill(undefined);
    this.decodedSeq = -1;
  }

  header(seq: number): BinHeader | null {
    const bin = seq < 0 ? undefined : this.bins[seq % RAW_BINS];
    return bin?.header.seq === seq ? bin.header : null;
  }

  /** Every column of a bin, in wire order; null when the frame is no longer kept. */
  columns(seq: number): ReadonlyMap<string, Column> | null {
    const bin = seq < 0 ? undefined : this.bins[seq % RAW_BINS];
    if (bin?.header.seq !== seq) return null;
    if (this.decodedSeq !== seq) {
      this.decoded = new Map(decodeArrow(bin.bytes).columns.map((c) => [c.name, c.values]));
      this.decodedSeq = seq;
    }
    return this.decoded;
  }
}
