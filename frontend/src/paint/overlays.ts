/** What lies over the cells: gaps, refused bins, veils, best bid and ask, mid, model seams. */

import { Kind, type Ring } from "../store/ring.ts";
import type { Scene } from "./scene.ts";
import { font, THEME } from "./theme.ts";

interface Span {
  readonly from: number;
  readonly to: number; // exclusive
  readonly kind: "gap" | "reject" | "invalid";
}

/** Runs of columns that are not plain bins, within the view. */
export function spansOf(ring: Ring, first: number, last: number): Span[] {
  const spans: Span[] = [];
  let open: { from: number; kind: Span["kind"] } | null = null;
  for (let seq = Math.max(first, ring.first); seq <= Math.min(last, ring.last) + 1; seq++) {
    const kind = seq > Math.min(last, ring.last) ? null : kindOf(ring, seq);
    if (open && kind !== open.kind) {
      spans.push({ from: open.from, to: seq, kind: open.kind });
      open = null;
    }
    if (!open && kind) open = { from: seq, kind };
  }
  return spans;
}

function kindOf(ring: Ring, seq: number): Span["kind"] | null {
  const slot = ring.slot(seq);
  if (slot < 0) return null;
  if (ring.kind[slot] === Kind.Gap) return "gap";
  if (ring.kind[slot] === Kind.Reject) return "reject";
  return ring.valid[slot] ? null : "invalid";
}

/** Hatched gaps with their length, refused bins, and a veil where the book was not valid. */
export function drawSpans(ctx: CanvasRenderingContext2D, scene: Scene): void {
  const { session, view, ratio } = scene;
  const { ring, config } = session;
  if (!ring || !config) return;
  const { height } = view.size;
  for (const span of spansOf(ring, view.seqAt(0), Math.min(view.seqAt(view.historyWidth), scene.newest))) {
    const x0 = view.xOf(span.from);
    const x1 = Math.max(view.xOf(span.to - 1) + view.time.px, x0 + 1);
    if (span.kind === "invalid") {
      ctx.fillStyle = THEME.veil;
      ctx.fillRect(x0, 0, x1 - x0, height);
      continue;
    }
    hatch(ctx, x0, x1, height, span.kind === "gap" ? THEME.hatch : THEME.reject, ratio);
    if (span.kind === "gap") {
      const text = `${(((span.to - span.from) * config.cellWidthMs) / 1000).toFixed(1)} s`;
      const middle = (Math.max(0, x0) + Math.min(view.historyWidth, x1)) / 2;
      pill(ctx, scene, text, middle, height - 30 * ratio, THEME.text, "rgb(11 15 21 / 0.9)");
    }
  }
}

function hatch(
  ctx: CanvasRenderingContext2D,
  x0: number,
  x1: number,
  height: number,
  colour: string,
  ratio: number,
): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x0, 0, x1 - x0, height);
  ctx.clip();
  ctx.fillStyle = THEME.background;
  ctx.fillRect(x0, 0, x1 - x0, height);
  ctx.strokeStyle = colour;
  ctx.lineWidth = ratio;
  ctx.beginPath();
  const step = 8 * ratio;
  for (let y = -(x1 - x0); y < height + step; y += step) {
    ctx.moveTo(x0, y + (x1 - x0));
    ctx.lineTo(x1, y);
  }
  ctx.stroke();
  ctx.restore();
}

/** Mid with a halo, bid solid, ask dashed, the spread faintly filled. */
export function drawLines(ctx: CanvasRenderingContext2D, scene: Scene): void {
  const { session, view, ratio } = scene;
  const { ring } = session;
  if (!ring) return;
  const first = Math.max(view.seqAt(0), ring.first);
  const last = Math.min(view.seqAt(view.historyWidth) + view.time.per, scene.newest);
  const mid = (slot: number): number => {
    const both = (ring.bidTick[slot]! + ring.askTick[slot]!) / 2;
    return Number.isNaN(both) ? ring.spotTick[slot]! : both;
  };
  const trace = (tick: (slot: number) => number): Path2D => {
    const path = new Path2D();
    let pen = false;
    for (let seq = first; seq <= last; seq++) {
      const slot = ring.slot(seq);
      const value = slot >= 0 && ring.valid[slot] ? tick(slot) : Number.NaN;
      if (Number.isNaN(value)) {
        pen = false;
        continue;
      }
      const x = view.xOf(seq);
      const y = view.yOf(value);
      if (pen) path.lineTo(x, y);
      else path.moveTo(x, y);
      path.lineTo(x + view.time.px, y);
      pen = true;
    }
    return path;
  };
  const bid = trace((slot) => ring.bidTick[slot]!);
  const ask = trace((slot) => ring.askTick[slot]!);
  const middle = trace(mid);
  ctx.lineJoin = "round";
  ctx.setLineDash([]);
  ctx.strokeStyle = THEME.halo;
  ctx.lineWidth = 3.5 * ratio;
  for (const path of [bid, ask, middle]) ctx.stroke(path);
  ctx.lineWidth = 1.5 * ratio;
  ctx.strokeStyle = THEME.bid;
  ctx.stroke(bid);
  ctx.strokeStyle = THEME.ask;
  ctx.setLineDash([5 * ratio, 2.5 * ratio]);
  ctx.stroke(ask);
  ctx.setLineDash([]);
  ctx.strokeStyle = THEME.mid;
  ctx.lineWidth = 1.25 * ratio;
  ctx.stroke(middle);
}

/** A line where another model took over, with both names. */
export function drawSeams(ctx: CanvasRenderingContext2D, scene: Scene): void {
  const { session, view, ratio } = scene;
  for (const seam of session.seams) {
    if (seam.seq > scene.newest) continue;
    const x = view.xOf(seam.seq);
    if (x < 0 || x > view.historyWidth) continue;
    ctx.strokeStyle = THEME.seam;
    ctx.lineWidth = 1.5 * ratio;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(Math.round(x), 0);
    ctx.lineTo(Math.round(x), view.size.height);
    ctx.stroke();
    ctx.setLineDash([]);
    const text = `${seam.before} → ${seam.after}`;
    pill(ctx, scene, text, x, view.size.height - 54 * ratio, THEME.tagText, THEME.seam);
  }
}

/** Grey at the NOW edge: what stands there is no longer now. */
export function drawStaleVeil(ctx: CanvasRenderingContext2D, scene: Scene): void {
  const { view } = scene;
  const width = Math.min(view.historyWidth, 140 * scene.ratio);
  const edge = view.historyWidth;
  const fade = ctx.createLinearGradient(edge - width, 0, edge, 0);
  fade.addColorStop(0, "rgb(120 130 145 / 0)");
  fade.addColorStop(1, "rgb(120 130 145 / 0.6)");
  ctx.fillStyle = fade;
  ctx.fillRect(edge - width, 0, width, view.size.height);
  ctx.fillStyle = "rgb(120 130 145 / 0.35)";
  ctx.fillRect(edge, 0, view.size.width - edge, view.size.height);
}

/** A short text on a rounded ground, kept inside the map; left out where another label stands. */
export function pill(
  ctx: CanvasRenderingContext2D,
  scene: Scene,
  text: string,
  centre: number,
  y: number,
  colour: string,
  ground: string,
): void {
  const { ratio, view } = scene;
  ctx.font = font(11, ratio, 600);
  const w = Math.ceil(ctx.measureText(text).width) + 12 * ratio;
  const h = 18 * ratio;
  const x = Math.round(Math.max(2, Math.min(centre - w / 2, view.size.width - w - 2)));
  const top = Math.round(y - h / 2);
  if (!scene.labels.claim(text, { x, y: top, w, h })) return;
  ctx.fillStyle = ground;
  ctx.beginPath();
  ctx.roundRect(x, top, w, h, 4 * ratio);
  ctx.fill();
  ctx.fillStyle = colour;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.fillText(text, x + 6 * ratio, top + h / 2 + 0.5 * ratio);
}
