/**
 * Cut-offs of a layer's colours: the rolling 1st and 99th percentile of what it held, slow and with hysteresis, so that
 * colours do not flicker; or locked.
 */

const BUCKETS = 240;
const LOW = -6; // decades
const HIGH = 6;
const PER_DECADE = BUCKETS / (HIGH - LOW);
const FADE = 0.9985; // per bin: a memory of about a minute at 100 ms
const UPPER = 0.99;
const LOWER = 0.01;
const HYSTERESIS = 1.25;
const HOLD_BINS = 20;
const YOUNG_BINS = 60;

export class AutoScale {
  private readonly weights = new Float64Array(BUCKETS);
  private unit = 1; // weight of one cell of the newest bin; grows instead of fading every bucket
  private bins = 0;
  private sinceChange = 0;
  locked = false;
  /** Magnitude at which the ramp ends. */
  cut: number;
  /** Magnitude below which nothing is told apart, where the layer's curve starts from one. */
  floor: number;
  private readonly ceiling: number;

  /** `initial` holds until something was seen; the cut-off never passes `ceiling`. */
  constructor(initial: number, ceiling = Number.POSITIVE_INFINITY) {
    this.cut = initial;
    this.floor = initial;
    this.ceiling = ceiling;
  }

  /** One bin's cells. Zero cells say nothing about a scale and are left out. */
  push(values: Float32Array, from: number, to: number): void {
    this.unit /= FADE;
    if (this.unit > 1e100) {
      for (let i = 0; i < BUCKETS; i++) this.weights[i]! /= this.unit;
      this.unit = 1;
    }
    for (let i = from; i < to; i++) {
      const size = Math.abs(values[i]!);
      if (size > 0) this.weights[bucket(size)]! += this.unit;
    }
    this.bins++;
    this.sinceChange++;
    if (this.locked) return;
    const cut = Math.min(this.quantile(UPPER), this.ceiling);
    if (!(cut > 0)) return;
    const floor = Math.min(this.quantile(LOWER), cut);
    const moved = Math.max(ratio(cut, this.cut), ratio(floor, this.floor));
    if (this.bins <= YOUNG_BINS || (moved > HYSTERESIS && this.sinceChange >= HOLD_BINS)) {
      this.cut = cut;
      this.floor = floor;
      this.sinceChange = 0;
    }
  }

  /** Shares of cells by magnitude, `n` bars from 0 to the cut-off by `place`, the last for what lies beyond. */
  histogram(n: number, place: (size: number) => number): number[] {
    const bars = new Array<number>(n + 1).fill(0);
    for (let i = 0; i < BUCKETS; i++) {
      const size = 10 ** ((i + 0.5) / PER_DECADE + LOW);
      const at = size > this.cut ? n : Math.min(n - 1, Math.floor(place(size) * n));
      bars[at]! += this.weights[i]! / this.unit;
    }
    return bars;
  }

  private quantile(q: number): number {
    let total = 0;
    for (const weight of this.weights) total += weight;
    if (total === 0) return Number.NaN;
    let left = total * (1 - q);
    for (let i = BUCKETS - 1; i >= 0; i--) {
      left -= this.weights[i]!;
      if (left < 0) return 10 ** ((i + 1) / PER_DECADE + LOW); // upper edge: nothing of this bucket is beyond
    }
    return Number.NaN;
  }
}

function ratio(a: number, b: number): number {
  return Math.max(a / b, b / a);
}

function bucket(size: number): number {
  const at = Math.floor((Math.log10(size) - LOW) * PER_DECADE);
  return at < 0 ? 0 : at >= BUCKETS ? BUCKETS - 1 : at;
}
