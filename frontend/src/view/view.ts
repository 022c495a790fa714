/**
 * Where a bin and a price stand on the map, in device pixels.
 *
 * Zoom goes in steps that put a whole number of pixels on a bin or a whole number of bins on a pixel, and groups are anchored
 * at absolute numbers, so scrolling never makes cells shimmer.
 */

/** A zoom step: `px` pixels hold `per` units; one of the two is 1. */
export interface Step {
  readonly px: number;
  readonly per: number;
}

const TIME_STEPS: readonly Step[] = [
  ...[16, 8, 6, 4, 3, 2].map((per) => ({ px: 1, per })),
  ...[1, 2, 3, 4, 6, 8, 12, 16, 24, 32].map((px) => ({ px, per: 1 })),
];
const PRICE_STEPS: readonly Step[] = [
  ...[8, 6, 4, 3, 2].map((per) => ({ px: 1, per })),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 40].map((px) => ({ px, per: 1 })),
];

export interface Size {
  readonly width: number; // device px of the whole map: history and zone
  readonly height: number;
  readonly zone: number; // device px of the projection zone, at the right
}

export type VerticalMode = "keep" | "edge" | "centre";

export interface ViewState {
  readonly timeIndex: number;
  readonly priceIndex: number;
  readonly right: number;
  readonly centre: number;
  readonly follow: boolean;
}

export class View {
  size: Size = { width: 1, height: 1, zone: 0 };
  follow = true;
  vertical: VerticalMode = "edge";
  /** Bin coordinate at the right edge of the history: the newest bin plus one while following. */
  right = 0;
  /** Tick in the middle of the map. */
  centre = 0;
  private timeIndex = TIME_STEPS.findIndex((s) => s.px === 2);
  private priceIndex = PRICE_STEPS.findIndex((s) => s.px === 6);

  get time(): Step {
    return TIME_STEPS[this.timeIndex]!;
  }

  get price(): Step {
    return PRICE_STEPS[this.priceIndex]!;
  }

  get historyWidth(): number {
    return this.size.width - this.size.zone;
  }

  /** Bins that fit into the history. */
  get visibleBins(): number {
    return (this.historyWidth / this.time.px) * this.time.per;
  }

  get visibleTicks(): number {
    return (this.size.height / this.price.px) * this.price.per;
  }

  /** Pixel of global column 0: every column's left edge is this plus a whole number of `time.px`. */
  get originX(): number {
    const { px, per } = this.time;
    // Following, the newest (perhaps not yet full) group ends at the edge.
    const right = this.follow ? Math.ceil(this.right / per) * px : Math.round((this.right / per) * px);
    return this.historyWidth - right;
  }

  /** Pixel of the bottom edge of price group 0. */
  get originY(): number {
    const { px, per } = this.price;
    return Math.round(this.size.height / 2) + Math.round(((this.centre + 0.5) / per) * px);
  }

  /** Left edge of a bin's column. */
  xOf(seq: number): number {
    const { px, per } = this.time;
    return this.originX + Math.floor(seq / per) * px;
  }

  /** Any time in bins to x, without snapping to groups. */
  xAt(bin: number): number {
    return this.originX + (bin / this.time.per) * this.time.px;
  }

  /** Middle of a tick's row. */
  yOf(tick: number): number {
    const { px, per } = this.price;
    return this.originY - ((tick + 0.5) / per) * px;
  }

  /** Upper edge of the row that holds a tick. */
  rowTop(tick: number): number {
    const { px, per } = this.price;
    return this.originY - (Math.floor(tick / per) + 1) * px;
  }

  /** First bin of the group under a pixel. */
  seqAt(x: number): number {
    const { px, per } = this.time;
    return Math.floor((x - this.originX) / px) * per;
  }

  /** Lowest tick of the group under a pixel. */
  tickAt(y: number): number {
    const { px, per } = this.price;
    return (Math.ceil((this.originY - y) / px) - 1) * per;
  }

  /** Chooses the largest price step at which `ticks` fit. */
  fitPrice(ticks: number): void {
    const fits = PRICE_STEPS.map((s, i) => ({ i, ticks: (this.size.height / s.px) * s.per })).filter(
      (s) => s.ticks >= ticks,
    );
    this.priceIndex = fits.at(-1)?.i ?? 0;
  }

  /** A default time step for this pixel ratio. */
  fitTime(pixelsPerBin: number): void {
    const at = TIME_STEPS.findIndex((s) => s.px / s.per >= pixelsPerBin);
    this.timeIndex = at < 0 ? TIME_STEPS.length - 1 : at;
  }

  /** One step in (+1) or out (-1) in price, the price under `y` stays where it is. */
  zoomPrice(direction: number, y: number = this.size.height / 2): void {
    const tick = this.tickExact(y);
    this.priceIndex = clamp(this.priceIndex + direction, 0, PRICE_STEPS.length - 1);
    this.centre += tick - this.tickExact(y);
  }

  /** One step in or out in time, the moment under `x` stays, or the newest bin while following. */
  zoomTime(direction: number, x: number, newest: number): void {
    const bin = (x - this.originX) / (this.time.px / this.time.per);
    this.timeIndex = clamp(this.timeIndex + direction, 0, TIME_STEPS.length - 1);
    if (this.follow) return;
    const after = (x - this.originX) / (this.time.px / this.time.per);
    this.right = Math.min(this.right + bin - after, newest + 1);
  }

  /** Shows a box, given by its corners in device pixels, as large as the steps allow. */
  zoomBox(x0: number, y0: number, x1: number, y1: number, newest: number): void {
    const bins = (Math.abs(x1 - x0) / this.time.px) * this.time.per;
    const ticks = (Math.abs(y1 - y0) / this.price.px) * this.price.per;
    const rightBin = (Math.max(x0, x1) - this.originX) / (this.time.px / this.time.per);
    const middle = (this.tickExact(y0) + this.tickExact(y1)) / 2 - 0.5;
    this.fitPrice(ticks);
    const fits = TIME_STEPS.filter((s) => (this.historyWidth / s.px) * s.per >= bins);
    this.timeIndex = Math.max(0, fits.length - 1);
    this.centre = middle;
    this.right = clamp(rightBin, 1, newest + 1);
    this.follow = this.right >= newest + 1;
  }

  /** Where the view stands, for undo. */
  snapshot(): ViewState {
    const { timeIndex, priceIndex, right, centre, follow } = this;
    return { timeIndex, priceIndex, right, centre, follow };
  }

  restore(state: ViewState): void {
    Object.assign(this, state);
  }

  /** Moves the picture by device pixels; going back in time leaves follow mode, the newest bin is the limit. */
  pan(dx: number, dy: number, newest: number): void {
    if (dx !== 0) {
      const target = this.right - (dx / this.time.px) * this.time.per;
      this.right = clamp(target, 1, newest + 1);
      this.follow = this.right >= newest + 1;
    }
    this.centre += (dy / this.price.px) * this.price.per;
  }

  goLive(newest: number, spot: number | null): void {
    this.follow = true;
    this.right = newest + 1;
    if (spot !== null) this.centre = spot;
  }

  /** A new newest bin while following: keeps time at the edge and, by mode, spot in sight. */
  advance(newest: number, spot: number | null): void {
    if (!this.follow) return;
    this.right = newest + 1;
    if (spot === null || this.vertical === "keep") return;
    if (this.vertical === "centre") this.centre = spot;
    else {
      // Within 10 % of the view from an edge: put spot back in the middle.
      const margin = 0.4 * this.visibleTicks;
      if (Math.abs(spot - this.centre) > margin) this.centre = spot;
    }
  }

  /** x of a horizon in the projection zone, which has a scale of its own. */
  zoneX(horizon: number, longest: number): number {
    return this.historyWidth + (this.size.zone * horizon) / (longest * ZONE_ROOM);
  }

  private tickExact(y: number): number {
    const { px, per } = this.price;
    return ((this.originY - y) / px) * per;
  }
}

/** The zone reaches a fifth beyond the longest horizon. */
export const ZONE_ROOM = 1.2;

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
