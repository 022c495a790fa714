/** Rolling statistics in bounded memory. */

/** The last `capacity` numbers kept sorted; any quantile at once. */
export class SortedWindow {
  private readonly order: Float64Array; // arrival order, ring
  private readonly sorted: Float64Array;
  private readonly capacity: number;
  private next = 0;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.order = new Float64Array(capacity);
    this.sorted = new Float64Array(capacity);
  }

  push(value: number): void {
    if (this.count === this.capacity) {
      const gone = this.lowerBound(this.order[this.next]!);
      this.sorted.copyWithin(gone, gone + 1, this.count);
      this.count--;
    }
    const at = this.lowerBound(value);
    this.sorted.copyWithin(at + 1, at, this.count);
    this.sorted[at] = value;
    this.order[this.next] = value;
    this.next = (this.next + 1) % this.capacity;
    this.count++;
  }

  /** Quantile by linear interpolation between the two nearest ranks; NaN when empty. */
  quantile(q: number): number {
    if (this.count === 0) return Number.NaN;
    const place = (this.count - 1) * q;
    const low = Math.floor(place);
    const a = this.sorted[low]!;
    const b = this.sorted[Math.min(low + 1, this.count - 1)]!;
    return a + (b - a) * (place - low);
  }

  private lowerBound(value: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.sorted[mid]! < value) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}

/** Population standard deviation of the last `capacity` whole numbers; sums of integers, so nothing drifts. */
export class IntegerSd {
  private readonly values: Float64Array;
  private next = 0;
  private sum = 0;
  private squares = 0;
  count = 0;

  constructor(capacity: number) {
    this.values = new Float64Array(capacity);
  }

  push(value: number): void {
    const capacity = this.values.length;
    if (this.count === capacity) {
      const gone = this.values[this.next]!;
      this.sum -= gone;
      this.squares -= gone * gone;
    } else this.count++;
    this.values[this.next] = value;
    this.next = (this.next + 1) % capacity;
    this.sum += value;
    this.squares += value * value;
  }

  /** NaN with fewer than two values. */
  get sd(): number {
    if (this.count < 2) return Number.NaN;
    const mean = this.sum / this.count;
    return Math.sqrt(Math.max(0, this.squares / this.count - mean * mean));
  }
}

/** Wilson score interval of k successes in n trials at 95 %. */
export function wilson(k: number, n: number): readonly [number, number] {
  if (n === 0) return [0, 1];
  const z = 1.959963984540054;
  const p = k / n;
  const d = 1 + (z * z) / n;
  const centre = (p + (z * z) / (2 * n)) / d;
  const half = (z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n))) / d;
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
