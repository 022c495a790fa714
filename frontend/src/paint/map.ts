/** The heatmap canvas: no-data pattern, raster, price grid, then overlays. */

import { multiples, priceStep } from "../view/price-axis.ts";
import { drawBands } from "./bands.ts";
import { drawLines, drawSeams, drawSpans, drawStaleVeil } from "./overlays.ts";
import { type RasterStats, rasterise } from "./raster.ts";
import type { Scene } from "./scene.ts";
import { context, THEME } from "./theme.ts";

/** CSS pixels between two price labels at least. */
export const PRICE_GAP = 34;

export class MapPainter {
  private readonly canvas: HTMLCanvasElement;
  private readonly ctx: CanvasRenderingContext2D;
  private readonly back = document.createElement("canvas");
  private readonly backCtx = context(this.back);
  private image: ImageData | null = null;
  private pixels: Uint32Array = new Uint32Array(0);
  private readonly dots: CanvasPattern;

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.ctx = context(canvas, false);
    this.dots = dotted(this.ctx);
  }

  paint(scene: Scene): RasterStats {
    const { ctx } = this;
    const { view, session } = scene;
    const { width, height } = this.canvas;
    const history = view.historyWidth;
    let stats: RasterStats = { over: 0, cells: 0 };
    this.dots.setTransform(new DOMMatrix([1, 0, 0, 1, view.originX % DOT_GAP, view.originY % DOT_GAP]));
    ctx.fillStyle = this.dots;
    ctx.fillRect(0, 0, width, height);
    if (session.ring && history > 0) {
      this.fit(history, height);
      this.pixels.fill(0);
      const { layer, scale, palette, newest } = scene;
      stats = rasterise(this.pixels, history, height, session.ring, view, layer, scale, palette, newest);
      this.backCtx.putImageData(this.image!, 0, 0);
      ctx.drawImage(this.back, 0, 0);
    }
    ctx.fillStyle = THEME.zone;
    ctx.fillRect(history, 0, width - history, height);
    this.priceGrid(scene);
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, 0, history, height);
    ctx.clip();
    drawSpans(ctx, scene);
    drawLines(ctx, scene);
    ctx.restore();
    drawBands(ctx, scene);
    drawSeams(ctx, scene);
    if (scene.stale) drawStaleVeil(ctx, scene);
    ctx.fillStyle = THEME.now;
    ctx.fillRect(history, 0, Math.max(1, Math.round(scene.ratio)), height);
    return stats;
  }

  private fit(width: number, height: number): void {
    if (this.image?.width === width && this.image.height === height) return;
    this.back.width = width;
    this.back.height = height;
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  private priceGrid(scene: Scene): void {
    const { session, view, ratio } = scene;
    if (!session.config) return;
    const { px, per } = view.price;
    const step = priceStep((PRICE_GAP * ratio * per) / px, session.config.tickSize);
    this.ctx.fillStyle = THEME.grid;
    const low = view.tickAt(view.size.height);
    for (const tick of multiples(low, view.tickAt(0) + per, step)) {
      this.ctx.fillRect(0, Math.round(view.yOf(tick)), view.size.width, 1);
    }
  }
}

const DOT_GAP = 6;

function dotted(ctx: CanvasRenderingContext2D): CanvasPattern {
  const tile = document.createElement("canvas");
  tile.width = tile.height = DOT_GAP;
  const t = context(tile);
  t.fillStyle = THEME.noData;
  t.fillRect(0, 0, DOT_GAP, DOT_GAP);
  t.fillStyle = THEME.noDataDot;
  t.fillRect(0, 0, 2, 2);
  const pattern = ctx.createPattern(tile, "repeat");
  if (!pattern) throw new Error("this browser gives no canvas pattern");
  return pattern;
}
