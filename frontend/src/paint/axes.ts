/** Price axis with tags, time axis in the session's zone. */

import { LabelBoard, multiples, priceStep, priceText, stackTags } from "../view/price-axis.ts";
import { timeTicks } from "../view/time-axis.ts";
import { PRICE_GAP } from "./map.ts";
import type { Scene } from "./scene.ts";
import { context, font, THEME } from "./theme.ts";

export interface PriceTag {
  readonly tick: number;
  readonly text: string;
  readonly ground: string;
  readonly y: number;
}

const TAG_HEIGHT = 17; // CSS px

export class PriceAxis {
  private readonly canvas: HTMLCanvasElement;
  private readonly ctx: CanvasRenderingContext2D;
  readonly labels = new LabelBoard();

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.ctx = context(canvas, false);
  }

  paint(scene: Scene, cursorTick: number | null): void {
    const { ctx, canvas } = this;
    const { session, view, ratio } = scene;
    this.labels.clear();
    ctx.fillStyle = THEME.background;
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    const { config } = session;
    if (!config || session.newest === null) return;
    const tags = this.tags(scene, cursorTick);
    const places = stackTags(tags, TAG_HEIGHT * ratio, 0, view.size.height);
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.font = font(11, ratio, 600);
    tags.forEach((tag, i) => {
      const y = places[i]!;
      const h = TAG_HEIGHT * ratio;
      ctx.fillStyle = tag.ground;
      ctx.beginPath();
      ctx.moveTo(0, Math.max(0, Math.min(view.size.height, tag.y)));
      ctx.lineTo(7 * ratio, y - h / 2);
      ctx.lineTo(7 * ratio, y + h / 2);
      ctx.fill();
      ctx.fillRect(7 * ratio, y - h / 2, canvas.width, h - ratio);
      ctx.fillStyle = THEME.tagText;
      ctx.fillText(tag.text, 11 * ratio, y);
      this.labels.claim(tag.text, { x: 7 * ratio, y: y - h / 2, w: canvas.width, h: h - ratio });
    });
    ctx.font = font(11, ratio);
    const { px, per } = view.price;
    const step = priceStep((PRICE_GAP * ratio * per) / px, config.tickSize);
    const low = view.tickAt(view.size.height);
    for (const tick of multiples(low, view.tickAt(0) + per, step)) {
      const y = view.yOf(tick);
      const text = priceText(tick, config.tickSize, config.priceDecimals);
      const h = 13 * ratio;
      if (y < h / 2 || y > view.size.height - h / 2) continue;
      if (!this.labels.claim(text, { x: 0, y: y - h / 2, w: canvas.width, h })) continue;
      ctx.fillStyle = THEME.grid;
      ctx.fillRect(0, Math.round(y), 5 * ratio, 1);
      ctx.fillStyle = THEME.dim;
      ctx.fillText(text, 11 * ratio, y);
    }
  }

  private tags(scene: Scene, cursorTick: number | null): PriceTag[] {
    const { session, view } = scene;
    const config = session.config!;
    const slot = session.ring!.slot(scene.newest);
    if (slot < 0) return [];
    const ring = session.ring!;
    const tags: PriceTag[] = [];
    const put = (tick: number, ground: string, extra = ""): void => {
      if (Number.isNaN(tick)) return;
      const text = priceText(tick, config.tickSize, config.priceDecimals) + extra;
      tags.push({ tick, text, ground, y: view.yOf(tick) });
    };
    put(ring.askTick[slot]!, THEME.ask);
    put(ring.spotTick[slot]!, THEME.mid);
    put(ring.bidTick[slot]!, THEME.bid);
    const spot = ring.spotTick[slot]!;
    if (cursorTick !== null) {
      const away = cursorTick - spot;
      put(cursorTick, THEME.text, Number.isNaN(away) ? "" : ` ${away < 0 ? "−" : "+"}${Math.abs(away)}`);
    }
    return tags;
  }
}

export class TimeAxis {
  private readonly canvas: HTMLCanvasElement;
  private readonly ctx: CanvasRenderingContext2D;
  readonly labels = new LabelBoard();

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.ctx = context(canvas, false);
  }

  paint(scene: Scene, cursorBin: number | null): void {
    const { ctx, canvas, labels } = this;
    const { session, view, ratio, clock } = scene;
    labels.clear();
    ctx.fillStyle = THEME.background;
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    const { config } = session;
    if (!config || session.newest === null) return;
    ctx.textBaseline = "middle";
    ctx.textAlign = "center";
    const y = canvas.height / 2 + ratio;
    const put = (text: string, x: number, ground?: string): boolean => {
      const w = ctx.measureText(text).width + 10 * ratio;
      const left = Math.max(0, Math.min(x - w / 2, view.size.width - w));
      if (!ground && (x - w / 2 < 0 || x + w / 2 > view.size.width)) return false;
      if (!labels.claim(text, { x: left, y: 0, w, h: canvas.height })) return false;
      if (ground) {
        ctx.fillStyle = ground;
        ctx.fillRect(left, 0, w, canvas.height);
      }
      ctx.fillStyle = ground ? THEME.tagText : THEME.dim;
      ctx.fillText(text, left + w / 2, y);
      return true;
    };
    ctx.font = font(11, ratio, 600);
    if (cursorBin !== null) {
      put(clock.time(session.msOf(cursorBin), 3), view.xAt(cursorBin) + view.time.px / 2, THEME.text);
    }
    this.zone(scene, put);
    ctx.font = font(11, ratio);
    const msPerPx = (config.cellWidthMs * view.time.per) / view.time.px;
    const fromMs = session.originMs + (0 - view.originX) * msPerPx;
    const toMs = session.originMs + (view.historyWidth - view.originX) * msPerPx;
    for (const tick of timeTicks(fromMs, toMs, 84 * ratio * msPerPx, clock)) {
      const x = view.xAt(session.binAt(tick.ms));
      if (put(tick.label, x)) {
        ctx.fillStyle = THEME.dim;
        ctx.fillRect(Math.round(x), 0, 1, 4 * ratio);
      }
    }
  }

  /** The zone has a scale of its own: seconds after now. */
  private zone(scene: Scene, put: (text: string, x: number) => boolean): void {
    const { session, view, ratio } = scene;
    const config = session.config!;
    if (view.size.zone <= 0) return;
    this.ctx.font = font(10, ratio);
    const longest = config.horizons.at(-1)!;
    const text = (h: number): string => `+${Number(((h * config.cellWidthMs) / 1000).toPrecision(3))}s`;
    put(text(longest), view.zoneX(longest, longest));
    for (const horizon of config.horizons.slice(0, -1)) put(text(horizon), view.zoneX(horizon, longest));
  }
}
