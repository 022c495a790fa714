/** Waiting times between tries: 0.5 s doubling to 15 s, each ±20 % so that many pages do not return at once. */
export class Backoff {
  private readonly random: () => number;
  tries = 0;

  constructor(random: () => number = Math.random) {
    this.random = random;
  }

  /** Milliseconds until the next try. */
  next(): number {
    const base = Math.min(500 * 2 ** this.tries, 15_000);
    this.tries++;
    return base * (0.8 + 0.4 * this.random());
  }

  reset(): void {
    this.tries = 0;
  }
}
