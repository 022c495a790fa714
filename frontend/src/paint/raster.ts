/** The heatmap as pixels: ring and view in, 32-bit colours out. No canvas here, so it runs in a plain test. */

import { type Layer, ramp } from "../layers/table.ts";
import { Kind, type Ring } from "../store/ring.ts";
import { LUT_SIZE, type Palette } from "../view/palette.ts";
import type { View } from "../view/view.ts";

export interface RasterStats {
  /** Cells on screen beyond the cut-off. */
  over: number;
  /** Cells on screen with a value. */
  cells: number;
}

/** Palette index by share of the cut-off in 4096 steps: no logarithm per cell. Made anew when a cut-off moves. */
const RAMP_STEPS = 4096;
const ramps = new Map<Layer, { key: string; table: Uint8Array }>();

function rampTable(layer: Layer, cut: number, floor: number): Uint8Array {
  const key = `${cut}/${floor}`;
  const known = ramps.get(layer);
  if (known?.key === key) return known.table;
  const table = Uint8Array.from({ length: RAMP_STEPS + 1 }, (_, i) =>
    Math.floor(ramp(layer, (i / RAMP_STEPS) * cut, cut, floor) * (LUT_SIZE - 1)),
  );
  ramps.set(layer, { key, table });
  return table;
}

/** Transparent: what is behind the raster (the no-data pattern) shows. */
const NOTHING = 0;

/**
 * Paints history columns into `pixels` (row-major, `width` x `height` device pixels).
 *
 * Where several bins or ticks fall on one pixel the one of greatest magnitude is drawn, so that a single large order does
 * not vanish on zooming out. `newest` bounds what is drawn, for a frozen view.
 */
export function rasterise(
  pixels: Uint32Array,
  width: number,
  height: number,
  ring: Ring,
  view: View,
  layer: Layer,
  scale: { readonly cut: number; readonly floor: number },
  colours: Palette,
  newest: number,
): RasterStats {
  const values = ring.layers[layer.source];
  const { rows, radius } = ring;
  const { px: cellW, per: bins } = view.time;
  const { px: cellH, per: ticks } = view.price;
  const { originX, originY } = view;
  const { cut, floor } = scale;
  const places = rampTable(layer, cut, floor);
  const steps = (places.length - 1) / cut;
  const stats: RasterStats = { over: 0, cells: 0 };
  const firstGroup = Math.floor((0 - originX) / cellW);
  const lastGroup = Math.floor((width - 1 - originX) / cellW);

  // Slots of each visible column group once, not once per row.
  const groups = lastGroup - firstGroup + 1;
  const slots = new Int32Array(groups * bins).fill(-1);
  const spots = new Float64Array(groups * bins);
  for (let i = 0; i < slots.length; i++) {
    const seq = firstGroup * bins + i;
    if (seq > newest) break;
    const slot = ring.slot(seq);
    if (slot < 0 || ring.kind[slot] !== Kind.Bin || Number.isNaN(ring.spotTick[slot]!)) continue;
    slots[i] = slot * rows;
    spots[i] = ring.spotTick[slot]!;
  }

  let y = 0;
  while (y < height) {
    const group = Math.ceil((originY - y) / cellH) - 1; // price group under this pixel row
    const top = originY - (group + 1) * cellH;
    const yEnd = Math.min(top + cellH, height);
    const lowTick = group * ticks;
    const row = y * width;
    for (let g = 0; g < groups; g++) {
      let best = 0;
      let seen = false;
      for (let b = 0; b < bins; b++) {
        const i = g * bins + b;
        const at = slots[i]!;
        if (at < 0) continue;
        const k = lowTick - spots[i]! + radius;
        for (let t = 0; t < ticks; t++) {
          const r = k + t;
          if (r < 0 || r >= rows) continue;
          const value = values[at + r]!;
          seen = true;
          if (Math.abs(value) > Math.abs(best)) best = value;
        }
      }
      let colour: number = NOTHING;
      if (seen) {
        stats.cells++;
        const size = Math.abs(best);
        if (size > cut) {
          stats.over++;
          colour = best > 0 ? colours.overPositive : colours.overNegative;
        } else {
          const index = places[(size * steps) | 0]!;
          colour = best >= 0 ? colours.positive[index]! : colours.negative[index]!;
        }
      }
      const x0 = Math.max(0, originX + (firstGroup + g) * cellW);
      const x1 = Math.min(width, originX + (firstGroup + g + 1) * cellW);
      for (let x = x0; x < x1; x++) pixels[row + x] = colour;
    }
    for (let copy = y + 1; copy < yEnd; copy++) pixels.copyWithin(copy * width, row, row + width);
    y = yEnd;
  }
  return stats;
}
