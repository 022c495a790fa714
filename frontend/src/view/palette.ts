/** Colours of the map as tables of 32-bit pixels. Ramps are mixed in OKLab, so that equal steps look equal. */

import type { Ramp } from "../layers/table.ts";
import type { PaletteId } from "../stream/query.ts";

type Rgb = readonly [number, number, number];

/** 0xAABBGGRR, as ImageData lays it out on a little-endian machine. */
export type Pixel = number;

export const LUT_SIZE = 256;

export interface Palette {
  readonly negative: Uint32Array; // index 0 is the neutral of zero
  readonly positive: Uint32Array;
  readonly zero: Pixel;
  readonly overNegative: Pixel; // beyond the cut-off
  readonly overPositive: Pixel;
}

const NEUTRAL = "#171d27";

/** From neutral outward; lightness rises on both sides. */
const STOPS: Readonly<Record<PaletteId, Readonly<Record<Ramp, { negative: string[]; positive: string[] }>>>> =
  {
    default: {
      diverging: {
        negative: [NEUTRAL, "#1b3f73", "#2b78c4", "#6db7f2", "#bfe3ff"],
        positive: [NEUTRAL, "#5c3d12", "#b3741a", "#f0ad3d", "#ffe0a3"],
      },
      sides: {
        negative: [NEUTRAL, "#4a2a16", "#96481a", "#e5792f", "#ffc79b"], // ask: orange
        positive: [NEUTRAL, "#123a4f", "#17698f", "#2fa9d8", "#b4e9fb"], // bid: blue
      },
    },
    thermal: {
      diverging: {
        negative: ["#000000", "#0a2a8c", "#1470ff", "#58c8ff", "#e0f7ff"],
        positive: ["#000000", "#7a0a0a", "#e8401a", "#ffae1f", "#fff3c4"],
      },
      sides: {
        negative: ["#000000", "#7a0a0a", "#e8401a", "#ffae1f", "#fff3c4"],
        positive: ["#000000", "#0a2a8c", "#1470ff", "#58c8ff", "#e0f7ff"],
      },
    },
    grey: {
      diverging: {
        negative: ["#1c1c1c", "#2c3a46", "#4a6478", "#7f9bb0", "#c3d3df"],
        positive: ["#1c1c1c", "#4a4038", "#7c6d5e", "#b5a694", "#ece3d8"],
      },
      sides: {
        negative: ["#1c1c1c", "#4a4038", "#7c6d5e", "#b5a694", "#ece3d8"],
        positive: ["#1c1c1c", "#2c3a46", "#4a6478", "#7f9bb0", "#c3d3df"],
      },
    },
  };

/** Reserved tints for cells beyond a cut-off; no ramp reaches them. */
export const OVER_NEGATIVE = "#f3d7ff";
export const OVER_POSITIVE = "#fbffd0";

export function palette(id: PaletteId, ramp: Ramp): Palette {
  const stops = STOPS[id][ramp];
  const negative = table(stops.negative);
  const positive = table(stops.positive);
  return {
    negative,
    positive,
    zero: positive[0]!,
    overNegative: pixel(parse(OVER_NEGATIVE)),
    overPositive: pixel(parse(OVER_POSITIVE)),
  };
}

/** CSS colour of a pixel, for legends. */
export function css(value: Pixel): string {
  return `rgb(${value & 255} ${(value >> 8) & 255} ${(value >> 16) & 255})`;
}

/** OKLab lightness, 0..1. */
export function lightness(value: Pixel): number {
  return toLab([value & 255, (value >> 8) & 255, (value >> 16) & 255])[0];
}

function table(stops: readonly string[]): Uint32Array {
  const labs = stops.map((stop) => toLab(parse(stop)));
  const out = new Uint32Array(LUT_SIZE);
  for (let i = 0; i < LUT_SIZE; i++) {
    const place = (i / (LUT_SIZE - 1)) * (labs.length - 1);
    const low = Math.min(Math.floor(place), labs.length - 2);
    const f = place - low;
    const [a, b] = [labs[low]!, labs[low + 1]!];
    out[i] = pixel(toRgb([a[0] + (b[0] - a[0]) * f, a[1] + (b[1] - a[1]) * f, a[2] + (b[2] - a[2]) * f]));
  }
  return out;
}

function pixel([r, g, b]: Rgb): Pixel {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function parse(hex: string): Rgb {
  const n = Number.parseInt(hex.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

// OKLab, after Björn Ottosson.
function toLab([r, g, b]: Rgb): Rgb {
  const linear = (c: number): number => {
    const v = c / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  const [R, G, B] = [linear(r), linear(g), linear(b)];
  const l = Math.cbrt(0.4122214708 * R + 0.5363325363 * G + 0.0514459929 * B);
  const m = Math.cbrt(0.2119034982 * R + 0.6806995451 * G + 0.1073969566 * B);
  const s = Math.cbrt(0.0883024619 * R + 0.2817188376 * G + 0.6299787005 * B);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function toRgb([L, a, b]: Rgb): Rgb {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const gamma = (v: number): number => {
    const c = v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055;
    return Math.round(255 * Math.min(1, Math.max(0, c)));
  };
  return [
    gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    gamma(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}
