/** Colour ramp of the layer with the share of cells at each colour. */

import type { AutoScale } from "../layers/scale.ts";
import { type Layer, ramp } from "../layers/table.ts";
import { css, LUT_SIZE, type Palette } from "../view/palette.ts";
import { context, fitCanvas, THEME } from "./theme.ts";

const BARS = 40;

export class LegendPainter {
  private readonly canvas: HTMLCanvasElement;
  private readonly ctx: CanvasRenderingContext2D;

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.ctx = context(canvas, false);
  }

  paint(layer: Layer, scale: AutoScale, palette: Palette, ratio: number): void {
    const { ctx, canvas } = this;
    fitCanvas(canvas, ratio);
    const { width, height } = canvas;
    const rampTop = Math.round(height * 0.55);
    ctx.fillStyle = THEME.background;
    ctx.fillRect(0, 0, width, height);
    const tint = Math.round(5 * ratio);
    const half = (width - 2 * tint) / 2;
    for (let x = 0; x < half; x++) {
      const index = Math.round((x / half) * (LUT_SIZE - 1));
      ctx.fillStyle = css(palette.positive[index]!);
      ctx.fillRect(width / 2 + x, rampTop, 1, height - rampTop);
      ctx.fillStyle = css(palette.negative[index]!);
      ctx.fillRect(width / 2 - x - 1, rampTop, 1, height - rampTop);
    }
    ctx.fillStyle = css(palette.overNegative);
    ctx.fillRect(0, rampTop, tint, height - rampTop);
    ctx.fillStyle = css(palette.overPositive);
    ctx.fillRect(width - tint, rampTop, tint, height - rampTop);
    const bars = scale.histogram(BARS, (size) => ramp(layer, size, scale.cut, scale.floor));
    const highest = Math.max(...bars.slice(0, BARS), 1e-9);
    ctx.fillStyle = "rgb(150 170 200 / 0.55)";
    bars.slice(0, BARS).forEach((bar, i) => {
      const h = Math.sqrt(bar / highest) * (rampTop - 2);
      const w = half / BARS;
      ctx.fillRect(width / 2 + i * w, rampTop - h, w - 0.5, h);
      ctx.fillRect(width / 2 - (i + 1) * w, rampTop - h, w - 0.5, h);
    });
  }
}
