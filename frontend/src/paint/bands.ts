/** Projection bands: now in the zone on the right, past ones at the time they spoke about. */

import type { Band } from "../store/projection.ts";
import type { Scene } from "./scene.ts";
import { font, THEME } from "./theme.ts";

export function drawBands(ctx: CanvasRenderingContext2D, scene: Scene): void {
  const { session, view, bands } = scene;
  const { projection, config } = session;
  if (!projection || !config || bands === "off") return;
  const longest = config.horizons.at(-1) ?? 1;
  if (bands !== "now") {
    const horizons = bands === "one" ? [longest] : config.horizons;
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, 0, view.historyWidth, view.size.height);
    ctx.clip();
    for (const horizon of horizons) drawPast(ctx, scene, horizon);
    ctx.restore();
  }
  const now = projection.at(scene.newest);
  if (now.length > 0) drawNow(ctx, scene, now, longest);
  else drawWhyNot(ctx, scene);
}

function drawNow(ctx: CanvasRenderingContext2D, scene: Scene, bands: readonly Band[], longest: number): void {
  const { view, ratio } = scene;
  const nowX = view.historyWidth;
  const spotY = view.yOf(bands[0]!.spot);
  ctx.save();
  ctx.beginPath();
  ctx.rect(nowX, 0, view.size.zone, view.size.height);
  ctx.clip();
  const points = bands.map((band) => ({
    band,
    x: Math.round(view.zoneX(band.horizon, longest)),
    centre: view.yOf(band.centre),
    top: view.yOf(band.centre + band.half),
    bottom: view.yOf(band.centre - band.half),
  }));
  ctx.fillStyle = "rgb(198 165 255 / 0.16)";
  ctx.beginPath();
  ctx.moveTo(nowX, spotY);
  for (const p of points) ctx.lineTo(p.x, p.top);
  for (const p of [...points].reverse()) ctx.lineTo(p.x, p.bottom);
  ctx.closePath();
  ctx.fill();
  ctx.strokeStyle = THEME.band;
  ctx.lineWidth = 1.5 * ratio;
  ctx.beginPath();
  ctx.moveTo(nowX, spotY);
  for (const p of points) ctx.lineTo(p.x, p.centre);
  ctx.stroke();
  ctx.fillStyle = THEME.band;
  for (const p of points) {
    // Whiskers: solid once calibrated, dotted before.
    const w = Math.max(2, Math.round(2 * ratio));
    const [top, bottom] = [Math.round(p.top), Math.round(p.bottom)];
    const dash = Math.round(3 * ratio);
    for (let y = top; y < bottom; y += p.band.calibrated ? bottom - top || 1 : 2 * dash) {
      ctx.fillRect(p.x - w / 2, y, w, Math.min(bottom - y, p.band.calibrated ? bottom - top : dash));
    }
    const cap = Math.round(9 * ratio);
    ctx.fillRect(p.x - cap / 2, top - 1, cap, 2);
    ctx.fillRect(p.x - cap / 2, bottom - 1, cap, 2);
    ctx.beginPath();
    ctx.arc(p.x, p.centre, 3 * ratio, 0, 2 * Math.PI);
    ctx.fill();
    edgeArrow(ctx, scene, p.x, p.top, p.bottom);
  }
  ctx.restore();
  const calibrated = bands.every((band) => band.calibrated);
  note(ctx, scene, ["projection", calibrated ? "80 % band" : "uncalibrated"], THEME.band);
}

/** A band that leaves the view says so with an arrow at the edge. */
function edgeArrow(
  ctx: CanvasRenderingContext2D,
  scene: Scene,
  x: number,
  top: number,
  bottom: number,
): void {
  const size = 6 * scene.ratio;
  const { height } = scene.view.size;
  const arrow = (tip: number, base: number): void => {
    ctx.beginPath();
    ctx.moveTo(x, tip);
    ctx.lineTo(x - size, base);
    ctx.lineTo(x + size, base);
    ctx.fill();
  };
  if (top < 0) arrow(1, 1 + size);
  if (bottom > height) arrow(height - 1, height - 1 - size);
}

function drawPast(ctx: CanvasRenderingContext2D, scene: Scene, horizon: number): void {
  const { session, view, ratio } = scene;
  const { ring, projection } = session;
  if (!ring || !projection) return;
  const first = Math.max(view.seqAt(0), ring.first);
  const last = Math.min(view.seqAt(view.historyWidth) + view.time.per, scene.newest);
  const upper = new Path2D();
  const lower = new Path2D();
  ctx.fillStyle = "rgb(198 165 255 / 0.13)";
  let pen = false;
  for (let seq = first; seq <= last; seq += view.time.per) {
    const band = projection.at(seq - horizon).find((b) => b.horizon === horizon);
    if (!band) {
      pen = false;
      continue;
    }
    const x = view.xOf(seq);
    const top = view.yOf(band.centre + band.half);
    const bottom = view.yOf(band.centre - band.half);
    ctx.fillRect(x, top, view.time.px, bottom - top);
    for (const [path, y] of [
      [upper, top],
      [lower, bottom],
    ] as const) {
      if (pen) path.lineTo(x, y);
      else path.moveTo(x, y);
      path.lineTo(x + view.time.px, y);
    }
    pen = true;
  }
  ctx.strokeStyle = "rgb(198 165 255 / 0.55)";
  ctx.lineWidth = ratio;
  ctx.stroke(upper);
  ctx.stroke(lower);
}

function drawWhyNot(ctx: CanvasRenderingContext2D, scene: Scene): void {
  const { session } = scene;
  const { newest, config } = session;
  if (!newest || !config) return;
  if (!config.model.enabled) return note(ctx, scene, ["projection", "model off"], THEME.dim);
  if (!newest.bookValid) return note(ctx, scene, ["projection", "book invalid"], THEME.dim);
  if (newest.model.ready) return;
  const needed = session.warmupNeeded;
  const count = needed === null ? `${newest.model.sampleCount}` : `${newest.model.sampleCount}/${needed}`;
  note(ctx, scene, ["projection", "warming", count], THEME.band);
}

function note(ctx: CanvasRenderingContext2D, scene: Scene, lines: readonly string[], colour: string): void {
  const { view, ratio } = scene;
  ctx.font = font(11, ratio, 500);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = colour;
  const x = view.historyWidth + view.size.zone / 2;
  lines.forEach((line, i) => {
    const y = (14 + 16 * i) * ratio;
    const w = ctx.measureText(line).width;
    if (scene.labels.claim(line, { x: x - w / 2, y: y - 7 * ratio, w, h: 14 * ratio }))
      ctx.fillText(line, x, y);
  });
}
