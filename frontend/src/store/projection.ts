/**
 * Projection bands from the model's score, and how well they did.
 *
 * For horizon h bins: centre = spot + score * reach(h), reach(h) = 2 sd of h-bin spot moves over 3000 bins; half-width =
 * 80th percentile of |realised - centre| over the model's last 600 matured projections of that horizon, before there are
 * 50 of them 1.28 sd of h-bin moves ("uncalibrated"). A band is made when its bin arrives and never changes.
 */

import { IntegerSd, SortedWindow, wilson } from "./window.ts";

export const REACH_BINS = 3000;
export const CALIBRATION = 600;
export const MIN_MATURED = 50;
const COVERAGE = 0.8;
const UNCALIBRATED_SD = 1.28;
const NO_OPINION = 0.05;
const TRACKS_KEPT = 100;

export interface Band {
  readonly seq: number; // bin it was made in
  readonly horizon: number; // bins
  readonly centre: number; // ticks
  readonly half: number; // ticks
  readonly calibrated: boolean;
  readonly model: number;
  readonly score: number;
  readonly spot: number; // ticks
}

/** One row of the track record. */
export interface TrackRow {
  readonly horizon: number;
  readonly matured: number;
  readonly judged: number; // with an opinion and a move
  readonly hits: number;
  readonly hitRate: number;
  readonly interval: readonly [number, number];
  readonly leftOut: number; // no move, or |score| < 0.05
  readonly covered: number;
  readonly coverage: number;
  readonly meanError: number; // ticks, realised - centre
  readonly shown: boolean; // 50 matured or more
}

class Track {
  readonly errors = new SortedWindow(CALIBRATION);
  matured = 0;
  judged = 0;
  hits = 0;
  leftOut = 0;
  covered = 0;
  errorSum = 0;

  mature(band: Band, realised: number): void {
    const error = realised - band.centre;
    const move = realised - band.spot;
    this.errors.push(Math.abs(error));
    this.matured++;
    this.errorSum += error;
    if (Math.abs(error) <= band.half) this.covered++;
    if (move === 0 || Math.abs(band.score) < NO_OPINION) this.leftOut++;
    else {
      this.judged++;
      if (Math.sign(move) === Math.sign(band.score)) this.hits++;
    }
  }

  row(horizon: number): TrackRow {
    return {
      horizon,
      matured: this.matured,
      judged: this.judged,
      hits: this.hits,
      hitRate: this.judged ? this.hits / this.judged : Number.NaN,
      interval: wilson(this.hits, this.judged),
      leftOut: this.leftOut,
      covered: this.covered,
      coverage: this.matured ? this.covered / this.matured : Number.NaN,
      meanError: this.matured ? this.errorSum / this.matured : Number.NaN,
      shown: this.matured >= MIN_MATURED,
    };
  }
}

const UNTRIED = new Track();

export class Projection {
  private horizons: readonly number[];
  private readonly width: number;
  private readonly moves = new Map<number, IntegerSd>();
  private readonly tracks = new Map<string, Track>();
  private readonly bands: (readonly Band[] | undefined)[];
  private readonly spots: Float64Array; // by slot
  private readonly spotSeq: Float64Array;

  /** `width`: how many bins' bands are kept. */
  constructor(horizons: readonly number[], width: number) {
    this.horizons = horizons;
    this.width = Math.max(width, Math.max(...horizons) + 1);
    this.bands = new Array<readonly Band[] | undefined>(this.width);
    this.spots = new Float64Array(this.width);
    this.spotSeq = new Float64Array(this.width).fill(-1);
  }

  /** Other horizons from the next bin on; what was said stays. */
  setHorizons(horizons: readonly number[]): void {
    this.horizons = horizons;
  }

  /**
   * One bin: matures what was said about it, then speaks about the bins to come.
   *
   * @param spot ticks; null without a sound book: nothing matures here and no band is made.
   * @param score null while the model is not ready.
   */
  push(seq: number, spot: number | null, score: number | null, model: number): readonly Band[] {
    const slot = seq % this.width;
    if (spot !== null) {
      for (const h of this.horizons) {
        const then = this.spotAt(seq - h);
        if (then === null) continue;
        const band = this.at(seq - h).find((b) => b.horizon === h);
        this.movesOf(h).push(spot - then);
        if (band) this.track(band.model, h).mature(band, spot);
      }
    }
    this.spotSeq[slot] = spot === null ? -1 : seq;
    this.spots[slot] = spot ?? 0;
    const made = spot === null || score === null ? [] : this.speak(seq, spot, score, model);
    this.bands[slot] = made;
    return made;
  }

  /** Bands made in bin `seq`, if it is still held. */
  at(seq: number): readonly Band[] {
    if (seq < 0) return [];
    const bands = this.bands[seq % this.width];
    return bands?.[0]?.seq === seq ? bands : [];
  }

  record(model: number): readonly TrackRow[] {
    return this.horizons.map((h) => (this.tracks.get(`${model}/${h}`) ?? UNTRIED).row(h));
  }

  private speak(seq: number, spot: number, score: number, model: number): Band[] {
    const made: Band[] = [];
    for (const horizon of this.horizons) {
      const sd = this.movesOf(horizon).sd;
      if (Number.isNaN(sd)) continue;
      const errors = this.track(model, horizon).errors;
      const calibrated = errors.count >= MIN_MATURED;
      const half = calibrated ? errors.quantile(COVERAGE) : UNCALIBRATED_SD * sd;
      made.push({ seq, horizon, centre: spot + score * 2 * sd, half, calibrated, model, score, spot });
    }
    return made;
  }

  private movesOf(horizon: number): IntegerSd {
    let moves = this.moves.get(horizon);
    if (!moves) {
      moves = new IntegerSd(REACH_BINS);
      this.moves.set(horizon, moves);
    }
    return moves;
  }

  private track(model: number, horizon: number): Track {
    const key = `${model}/${horizon}`;
    let track = this.tracks.get(key);
    if (!track) {
      track = new Track();
      this.tracks.set(key, track);
      // A page that lives through many promotions keeps the records of the latest models only.
      const oldest = this.tracks.keys().next().value;
      if (this.tracks.size > TRACKS_KEPT && oldest !== undefined) this.tracks.delete(oldest);
    }
    return track;
  }

  private spotAt(seq: number): number | null {
    if (seq < 0) return null;
    const slot = seq % this.width;
    return this.spotSeq[slot] === seq ? this.spots[slot]! : null;
  }
}
