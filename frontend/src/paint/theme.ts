/** Colours and type of everything that is not a heatmap cell. */

export const THEME = {
  background: "#0b0f15",
  noData: "#07090d",
  noDataDot: "#1d2531",
  grid: "rgb(150 170 200 / 0.10)",
  text: "#c9d4e3",
  dim: "#8595aa",
  mid: "#ffffff",
  halo: "rgb(4 7 11 / 0.75)",
  bid: "#4cc2ff",
  ask: "#ff9a4d",
  band: "#c6a5ff",
  seam: "#e6edf7",
  hatch: "#5d6b7f",
  reject: "#ff6b81",
  veil: "rgb(120 130 145 / 0.45)",
  zone: "#0e141d",
  now: "rgb(230 237 247 / 0.55)",
  tagText: "#06101a",
  zero: "rgb(150 170 200 / 0.25)",
} as const;

export const FONT_FAMILY = '"Inter", system-ui, "Segoe UI", "DejaVu Sans", sans-serif';

/** A canvas font of `px` CSS pixels at this pixel ratio. */
export function font(px: number, ratio: number, weight = 400): string {
  return `${weight} ${px * ratio}px ${FONT_FAMILY}`;
}

/** Sizes a canvas to its box in device pixels; true when that changed (and so emptied) it. */
export function fitCanvas(canvas: HTMLCanvasElement, ratio: number): boolean {
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}

export function context(canvas: HTMLCanvasElement, alpha = true): CanvasRenderingContext2D {
  const ctx = canvas.getContext("2d", { alpha });
  if (!ctx) throw new Error("this browser gives no 2D canvas");
  return ctx;
}
