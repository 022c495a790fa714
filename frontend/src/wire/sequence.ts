/** Frames of one connection in their order: header, then its grid, `bin_seq` up by one. */

import { GridChecker } from "./grid.ts";
import { checkHeader } from "./header.ts";
import { type Bin, type BinHeader, fail, type RuntimeConfig, type Violation } from "./types.ts";

/** A bin that was refused. `seq` is where its column would have stood; `fatal` when nothing after it can be read. */
export interface Reject {
  readonly kind: "reject";
  readonly why: Violation;
  readonly seq: number | null;
  readonly missing: number;
  readonly fatal: boolean;
}

export interface Accepted {
  readonly kind: "bin";
  readonly bin: Bin;
  /** Bins that never came between the one before and this one. */
  readonly missing: number;
  readonly newEpoch: boolean;
}

export type Verdict = Accepted | Reject;

/** Judges each frame; a bad one is reported and skipped, with the frame that belongs to it. */
export class FrameSequence {
  private config: RuntimeConfig;
  private grid: GridChecker;
  private pending: BinHeader | "skip" | null = null; // skip: the grid of a refused header is due
  private last: number | null;
  private epochMayTurn = false;

  /** `last`: newest bin already held, when a broken stream goes on. */
  constructor(config: RuntimeConfig, last: number | null = null) {
    this.config = config;
    this.grid = new GridChecker(config);
    this.last = last;
  }

  /** A config in mid-stream. The grid's schema stays known when it did not change. */
  reconfigure(config: RuntimeConfig): void {
    const same =
      config.schemaFields.join() === this.config.schemaFields.join() && config.rows === this.config.rows;
    this.config = config;
    if (!same) this.grid = new GridChecker(config);
  }

  /** After a seek that the server acknowledged, `bin_seq` may jump anywhere once. */
  expectNewEpoch(): void {
    this.epochMayTurn = true;
  }

  /** A `grid_update` text; returns what went wrong, empty while its grid is awaited. */
  header(raw: Readonly<Record<string, unknown>>): Reject[] {
    const rejects: Reject[] = [];
    if (this.pending !== null && this.pending !== "skip") {
      const why = fail("frame order", "the grid that belongs to the header", "a second header").why;
      rejects.push(this.refuse(why, this.pending.seq));
    }
    const checked = checkHeader(raw, this.config);
    if (!checked.ok) {
      this.pending = "skip";
      // Only the next number in line is believed from a header that is broken elsewhere.
      const next = this.last !== null && raw.bin_seq === this.last + 1 ? this.last + 1 : null;
      rejects.push(this.refuse(checked.why, next));
      return rejects;
    }
    const { seq } = checked.value;
    if (this.last !== null && seq <= this.last && !this.epochMayTurn) {
      this.pending = "skip";
      rejects.push(this.refuse(fail("bin_seq", `above ${this.last}`, seq).why, null));
      return rejects;
    }
    this.pending = checked.value;
    return rejects;
  }

  /** A binary frame; null when it belonged to a header that was refused already. */
  binary(bytes: Uint8Array): Verdict | null {
    const header = this.pending;
    this.pending = null;
    if (header === "skip") return null;
    if (header === null) {
      return this.refuse(
        fail("frame order", "a header before each grid", "a grid without a header").why,
        null,
      );
    }
    const grid = this.grid.check(bytes, header);
    if (!grid.ok) return this.refuse(grid.why, header.seq, this.grid.schemaBroken);
    const newEpoch = this.turnsEpoch(header.seq);
    const missing = newEpoch ? 0 : this.missingBefore(header.seq);
    this.last = header.seq;
    this.epochMayTurn = false;
    return { kind: "bin", bin: { header, grid: grid.value, bytes }, missing, newEpoch };
  }

  private refuse(why: Violation, claimed: number | null, fatal = false): Reject {
    // Only a good bin opens an epoch: before it the number stands for another time than what is kept.
    const seq = claimed === null || this.turnsEpoch(claimed) ? null : claimed;
    const missing = seq === null ? 0 : this.missingBefore(seq);
    if (seq !== null) this.last = seq;
    return { kind: "reject", why, seq, missing, fatal };
  }

  private turnsEpoch(seq: number): boolean {
    return this.epochMayTurn && this.last !== null && seq !== this.last + 1;
  }

  private missingBefore(seq: number): number {
    return this.last === null ? 0 : Math.max(0, seq - this.last - 1);
  }
}

/** Too many rejects in a short time mean a contract failure, not a bad bin. */
export class RejectBudget {
  private times: number[] = [];
  private readonly limit: number;
  private readonly windowMs: number;

  constructor(limit = 5, windowMs = 10_000) {
    this.limit = limit;
    this.windowMs = windowMs;
  }

  /** Notes one reject; true when the budget is spent. */
  spend(nowMs: number): boolean {
    this.times.push(nowMs);
    this.times = this.times.filter((t) => nowMs - t <= this.windowMs);
    return this.times.length > this.limit;
  }
}
