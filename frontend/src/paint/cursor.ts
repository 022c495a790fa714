/** Crosshair and pinned cell, on a canvas of their own so that the map is not repainted for a moving mouse. */

import type { CellAddress } from "../store/cell.ts";
import type { Scene } from "./scene.ts";
import { context, THEME } from "./theme.ts";

export class CursorPainter {
  private readonly canvas: HTMLCanvasElement;
  private readonly ctx: CanvasRenderingContext2D;

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.ctx = context(canvas);
  }

  paint(scene: Scene, hover: CellAddress | null, pinned: CellAddress | null, crosshair: boolean): void {
    const { ctx, canvas } = this;
    const { view, ratio } = scene;
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    if (hover && crosshair) {
      const x = Math.round(view.xOf(hover.seq) + view.time.px / 2);
      const y = Math.round(view.yOf(hover.tick));
      ctx.fillStyle = "rgb(230 237 247 / 0.55)";
      if (x < view.historyWidth) ctx.fillRect(x, 0, 1, canvas.height);
      ctx.fillRect(0, y, canvas.width, 1);
    }
    if (pinned) {
      const x = view.xOf(pinned.seq);
      const y = view.rowTop(pinned.tick);
      const w = Math.max(view.time.px, 4 * ratio);
      const h = Math.max(view.price.px, 4 * ratio);
      ctx.strokeStyle = THEME.background;
      ctx.lineWidth = 4 * ratio;
      ctx.strokeRect(x - ratio, y - ratio, w + 2 * ratio, h + 2 * ratio);
      ctx.strokeStyle = THEME.mid;
      ctx.lineWidth = 1.5 * ratio;
      ctx.strokeRect(x - ratio, y - ratio, w + 2 * ratio, h + 2 * ratio);
    }
  }
}
