/** Score strip under the map: the backend's model score on the map's own columns, scale and seams. */

import { Kind } from "../store/ring.ts";
import { LabelBoard } from "../view/price-axis.ts";
import type { Scene } from "./scene.ts";
import { context, font, THEME } from "./theme.ts";

const UP = "rgb(240 173 61 / 0.9)";
const DOWN = "rgb(109 183 242 / 0.9)";
const WARMING = "rgb(150 170 200 / 0.4)";
const MARGIN = 10; // CSS px above +1 and below -1

export class ScoreStrip {
  private readonly canvas: HTMLCanvasElement;
  private readonly ctx: CanvasRenderingContext2D;
  readonly labels = new LabelBoard();

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.ctx = context(canvas, false);
  }

  /** Middle of the strip's line for a score, device px. */
  yOf(score: number, ratio: number): number {
    const { height } = this.canvas;
    return height / 2 - score * (height / 2 - MARGIN * ratio);
  }

  paint(scene: Scene): void {
    const { ctx, canvas } = this;
    const { view, ratio } = scene;
    ctx.fillStyle = THEME.background;
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    this.scale(scene);
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, 0, view.historyWidth, canvas.height);
    ctx.clip();
    this.columns(scene);
    ctx.restore();
    ctx.fillStyle = THEME.now;
    ctx.fillRect(view.historyWidth, 0, Math.max(1, Math.round(ratio)), canvas.height);
    this.seams(scene);
  }

  /** Of several bins on a pixel the one of greatest magnitude is drawn, as on the map. */
  private columns(scene: Scene): void {
    const { ctx } = this;
    const { session, view, ratio, newest } = scene;
    const { ring } = session;
    if (!ring) return;
    const { px, per } = view.time;
    const zero = Math.round(this.yOf(0, ratio));
    const firstGroup = Math.floor(Math.max(view.seqAt(0), ring.first) / per);
    const lastGroup = Math.floor(Math.min(view.seqAt(view.historyWidth), newest) / per);
    for (let group = firstGroup; group <= lastGroup; group++) {
      let score = Number.NaN;
      let ready = false;
      for (let seq = group * per; seq < (group + 1) * per && seq <= newest; seq++) {
        const slot = ring.slot(seq);
        if (slot < 0 || ring.kind[slot] !== Kind.Bin) continue;
        const value = ring.score[slot]!;
        if (Number.isNaN(score) || Math.abs(value) > Math.abs(score)) score = value;
        ready ||= ring.ready[slot] === 1;
      }
      if (Number.isNaN(score)) continue;
      const x = view.xOf(group * per);
      const y = Math.round(this.yOf(score, ratio));
      ctx.fillStyle = !ready ? WARMING : score >= 0 ? UP : DOWN;
      ctx.fillRect(x, Math.min(y, zero), px, Math.abs(y - zero));
    }
  }

  private scale(scene: Scene): void {
    const { ctx, canvas, labels } = this;
    const { view, ratio } = scene;
    labels.clear();
    ctx.font = font(11, ratio);
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    for (const [score, text] of [
      [1, "+1  up"],
      [0, "0"],
      [-1, "−1  down"],
    ] as const) {
      const y = Math.round(this.yOf(score, ratio));
      ctx.fillStyle = score === 0 ? THEME.zero : THEME.grid;
      ctx.fillRect(0, y, view.size.width, 1);
      ctx.fillStyle = THEME.dim;
      const x = view.size.width + 11 * ratio;
      labels.claim(text, { x, y: y - 6 * ratio, w: canvas.width - x, h: 12 * ratio });
      ctx.fillText(text, x, y);
    }
  }

  private seams(scene: Scene): void {
    const { ctx, canvas } = this;
    const { view, session, ratio } = scene;
    ctx.strokeStyle = THEME.seam;
    ctx.lineWidth = 1.5 * ratio;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    for (const seam of session.seams) {
      const x = Math.round(view.xOf(seam.seq));
      if (seam.seq > scene.newest || x < 0 || x > view.historyWidth) continue;
      ctx.beginPath();
      ctx.moveTo(x, 0);
      ctx.lineTo(x, canvas.height);
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }
}
