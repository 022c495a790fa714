import { describe, expect, test } from "vitest";
import { AutoScale } from "../../src/layers/scale.ts";
import { layerOf, ramp } from "../../src/layers/table.ts";
import { rasterise } from "../../src/paint/raster.ts";
import { Ring } from "../../src/store/ring.ts";
import { PALETTES } from "../../src/stream/query.ts";
import { css, LUT_SIZE, lightness, palette } from "../../src/view/palette.ts";
import { View } from "../../src/view/view.ts";

describe("palettes", () => {
  test.each(PALETTES)(
    "%s grows lighter outward on both sides, and the tints beyond are lighter still",
    (id) => {
      for (const kind of ["diverging", "sides"] as const) {
        const p = palette(id, kind);
        expect(p.negative[0]).toBe(p.positive[0]);
        for (const side of [p.negative, p.positive]) {
          for (let i = 1; i < LUT_SIZE; i++) {
            expect(lightness(side[i]!)).toBeGreaterThanOrEqual(lightness(side[i - 1]!) - 0.004); // 8-bit rounding
          }
          expect(lightness(side[LUT_SIZE - 1]!) - lightness(side[0]!)).toBeGreaterThan(0.5);
        }
        expect([...p.positive, ...p.negative]).not.toContain(p.overPositive);
        expect([...p.positive, ...p.negative]).not.toContain(p.overNegative);
      }
    },
  );

  test("a stop is met exactly", () => {
    expect(css(palette("default", "diverging").positive[LUT_SIZE - 1]!)).toBe("rgb(255 224 163)");
  });
});

describe("colour scale", () => {
  const bin = (value: number): Float32Array => new Float32Array(100).fill(value);

  test("settles on what is usual and does not follow a flicker", () => {
    const scale = new AutoScale(1);
    for (let i = 0; i < 300; i++) scale.push(bin(10), 0, 100);
    const settled = scale.cut;
    expect(settled).toBeGreaterThanOrEqual(10);
    expect(settled).toBeLessThan(12);
    scale.push(bin(1000), 0, 100);
    scale.push(bin(10), 0, 100);
    expect(scale.cut).toBe(settled);
    for (let i = 0; i < 100; i++) scale.push(bin(1000), 0, 100);
    expect(scale.cut).toBeGreaterThan(900);
  });

  test("locked it stands still, zeros do not count, and the ceiling holds", () => {
    const scale = new AutoScale(1, 1);
    scale.push(bin(0), 0, 100);
    expect(scale.cut).toBe(1);
    scale.push(bin(500), 0, 100);
    expect(scale.cut).toBe(1);
    const locked = new AutoScale(3);
    locked.locked = true;
    for (let i = 0; i < 50; i++) locked.push(bin(40), 0, 100);
    expect(locked.cut).toBe(3);
  });

  test("a depth between the cut-offs spreads over the ramp in logarithms, whatever its level", () => {
    const depth = layerOf("depth");
    for (const factor of [1, 30]) {
      const places = [1, 2, 4, 8].map((size) => ramp(depth, size * factor, 8 * factor, factor));
      expect(places.map((place) => Number(place.toFixed(6)))).toEqual([0.1, 0.273205, 0.589898, 1]);
    }
    expect(ramp(depth, 0, 8, 1)).toBe(0);
    expect(ramp(depth, 0.5, 8, 1)).toBe(0.1);
    expect(ramp(depth, 5, 5, 5)).toBe(1);
  });

  test("the histogram counts what lies beyond the cut-off apart", () => {
    const scale = new AutoScale(5);
    scale.locked = true;
    scale.push(Float32Array.from([1, 1, 4, 9]), 0, 4);
    const bars = scale.histogram(10, (size) => size / 5);
    expect(bars.reduce((a, b) => a + b)).toBeCloseTo(4, 6);
    expect(bars[10]).toBeCloseTo(1, 6);
  });
});

describe("raster", () => {
  const layer = layerOf("score");
  const colours = palette("default", "diverging");

  function ringOf(bins: number, hot: number, k: number): Ring {
    const ring = new Ring(4096, 50);
    for (let seq = 0; seq < bins; seq++) {
      ring.seq[seq] = seq;
      ring.kind[seq] = 1;
      ring.spotTick[seq] = 1000;
      if (seq === hot) ring.layers.score[seq * ring.rows + 50 + k] = -0.9;
    }
    ring.last = bins - 1;
    return ring;
  }

  function paint(view: View, ring: Ring, newest = ring.last): Uint32Array {
    const pixels = new Uint32Array(850 * 600);
    rasterise(pixels, 850, 600, ring, view, layer, { cut: 1, floor: 1 }, colours, newest);
    return pixels;
  }

  function view(pixelsPerBin: number, ticks: number): View {
    const v = new View();
    v.size = { width: 1000, height: 600, zone: 150 };
    v.fitPrice(ticks);
    v.fitTime(pixelsPerBin);
    return v;
  }

  test("one hot cell is one rectangle at the view's place for it", () => {
    const ring = ringOf(200, 120, 7);
    const v = view(4, 100);
    v.goLive(199, 1000);
    const pixels = paint(v, ring);
    const found = new Set<string>();
    pixels.forEach((colour, i) => {
      if (colour !== 0 && colour !== colours.zero) found.add(`${i % 850},${Math.floor(i / 850)}`);
    });
    const [x, y] = [v.xOf(120), v.rowTop(1007)];
    const want = new Set<string>();
    for (let dx = 0; dx < v.time.px; dx++)
      for (let dy = 0; dy < v.price.px; dy++) want.add(`${x + dx},${y + dy}`);
    expect(found).toEqual(want);
  });

  test("eight bins and two ticks to a pixel still show it, with its sign", () => {
    const ring = ringOf(4000, 1234, -9);
    const v = view(1 / 8, 1200);
    v.goLive(3999, 1000);
    expect([v.time.per, v.price.per]).toEqual([8, 2]);
    const colour = paint(v, ring)[v.rowTop(991) * 850 + v.xOf(1234)]!;
    expect([...colours.negative]).toContain(colour);
    expect(lightness(colour)).toBeGreaterThan(0.7);
  });

  test("outside the grid, before the first bin and after a frozen moment nothing is painted", () => {
    const ring = ringOf(50, 10, 0);
    const v = view(4, 100);
    v.goLive(49, 1000);
    const pixels = paint(v, ring, 40);
    expect(pixels[300 * 850 + v.xOf(45)]).toBe(0);
    expect(pixels[300 * 850 + v.xOf(0) - 3]).toBe(0);
    expect(pixels[300 * 850 + v.xOf(30)]).toBe(colours.zero);
    v.centre = 1100;
    expect(paint(v, ring)[300 * 850 + v.xOf(30)]).toBe(0);
  });
});
