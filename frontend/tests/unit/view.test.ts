import { describe, expect, test } from "vitest";
import { multiples, overlaps, priceStep, stackTags } from "../../src/view/price-axis.ts";
import { timeTicks, ZoneClock } from "../../src/view/time-axis.ts";
import { View } from "../../src/view/view.ts";

function view(): View {
  const v = new View();
  v.size = { width: 1000, height: 600, zone: 150 };
  v.fitPrice(100);
  v.fitTime(2);
  v.goLive(499, 86_400);
  return v;
}

describe("view", () => {
  test("the newest bin ends at the edge of the history, spot stands in the middle", () => {
    const v = view();
    expect(v.xOf(499) + v.time.px).toBe(850);
    expect(Math.abs(v.yOf(86_400) - 300)).toBeLessThanOrEqual(v.price.px / 2 + 1);
  });

  test("pixels and cells agree in both directions at every zoom", () => {
    const v = view();
    for (let step = 0; step < 16; step++) {
      for (const seq of [3, 200, 487]) {
        const group = Math.floor(seq / v.time.per) * v.time.per;
        expect(v.seqAt(v.xOf(seq) + 0.5)).toBe(group);
      }
      for (const tick of [86_350, 86_400, 86_461]) {
        const group = Math.floor(tick / v.price.per) * v.price.per;
        expect(v.tickAt(v.rowTop(tick) + 0.5)).toBe(group);
      }
      v.zoomTime(step < 8 ? -1 : 1, 400, 499);
      v.zoomPrice(step < 8 ? -1 : 1);
    }
  });

  test("zoom keeps the price under the cursor", () => {
    const v = view();
    const before = v.tickAt(120);
    v.zoomPrice(1, 120);
    v.zoomPrice(1, 120);
    expect(Math.abs(v.tickAt(120) - before)).toBeLessThanOrEqual(1);
  });

  test("panning back leaves follow mode and cannot pass the newest bin", () => {
    const v = view();
    v.pan(100, 0, 499);
    expect([v.follow, v.right]).toEqual([false, 450]);
    v.advance(520, 86_400);
    expect(v.right).toBe(450);
    v.pan(-9999, 0, 520);
    expect([v.follow, v.right]).toEqual([true, 521]);
  });

  test("spot near the edge of the view is re-centred, elsewhere the view keeps still", () => {
    const v = view();
    v.advance(500, 86_420);
    expect(v.centre).toBe(86_400);
    v.advance(501, 86_400 + Math.ceil(0.45 * v.visibleTicks));
    expect(v.centre).toBe(86_400 + Math.ceil(0.45 * v.visibleTicks));
    v.vertical = "keep";
    v.advance(502, 90_000);
    expect(v.centre).not.toBe(90_000);
    v.vertical = "centre";
    v.advance(503, 90_001);
    expect(v.centre).toBe(90_001);
  });

  test("scrolling by one bin moves groups by whole pixels or not at all", () => {
    const v = view();
    v.fitTime(0.25); // four bins on a pixel
    expect(v.time).toEqual({ px: 1, per: 4 });
    const before = v.xOf(100);
    const moves = new Set<number>();
    for (let newest = 500; newest < 520; newest++) {
      v.advance(newest, 86_400);
      moves.add((v.xOf(100) - before) % 1);
    }
    expect([...moves].every((m) => Math.abs(m) === 0)).toBe(true);
  });

  test("a box becomes the view, undo restores the one before", () => {
    const v = view();
    const saved = v.snapshot();
    const low = v.tickAt(400);
    v.zoomBox(300, 200, 500, 400, 499);
    expect(v.follow).toBe(false);
    expect(v.visibleBins).toBeLessThan(850 / 2);
    expect(v.yOf(low)).toBeLessThan(600);
    v.restore(saved);
    expect(v.snapshot()).toEqual(saved);
  });
});

describe("price axis", () => {
  test("steps are round in dollars for quarter ticks, in ticks otherwise", () => {
    expect([1, 2, 3, 5, 9, 30].map((n) => priceStep(n, 0.25))).toEqual([1, 2, 4, 8, 20, 40]);
    expect([1, 3, 7, 30].map((n) => priceStep(n, 1))).toEqual([1, 5, 10, 50]);
    expect(multiples(7, 21, 5)).toEqual([10, 15, 20]);
  });

  test("tags never cover one another and stay in the range", () => {
    const wishes = [{ y: 100 }, { y: 101 }, { y: 99 }, { y: 3 }, { y: 598 }, { y: 597 }];
    const places = stackTags(wishes, 17, 0, 600);
    const boxes = places.map((y) => ({ x: 0, y: y - 8.5, w: 10, h: 17 }));
    for (const [i, a] of boxes.entries()) {
      expect(a.y).toBeGreaterThanOrEqual(0);
      expect(a.y + a.h).toBeLessThanOrEqual(600);
      for (const b of boxes.slice(i + 1)) expect(overlaps(a, { ...b, h: b.h - 0.001 })).toBe(false);
    }
    expect([places[2]!, places[0]!, places[1]!]).toEqual([...places.slice(0, 3)].sort((a, b) => a - b));
  });

  test("a tag with room stands where it wants to", () => {
    expect(stackTags([{ y: 50 }, { y: 300 }], 17, 0, 600)).toEqual([50, 300]);
  });
});

describe("time axis", () => {
  const clock = new ZoneClock("America/New_York");

  test("labels are round local times", () => {
    const from = Date.UTC(2026, 1, 6, 14, 25, 3);
    const ticks = timeTicks(from, from + 60_000, 9000, clock);
    expect(ticks.map((t) => t.label).slice(0, 3)).toEqual(["09:25:10", "09:25:20", "09:25:30"]);
    expect(new Date(ticks[0]!.ms).toISOString()).toBe("2026-02-06T14:25:10.000Z");
  });

  test("the date appears where the local day changes", () => {
    const from = Date.UTC(2026, 1, 7, 4, 50, 0); // 23:50 in New York
    const labels = timeTicks(from, from + 20 * 60_000, 5 * 60_000, clock).map((t) => t.label);
    expect(labels).toEqual(["23:50", "23:55", "02-07 00:00", "00:05", "00:10"]);
  });

  test("the hour that daylight saving skips is not on the axis", () => {
    const from = Date.UTC(2026, 2, 8, 5, 30, 0); // 00:30 EST, clocks jump at 02:00
    const ticks = timeTicks(from, from + 4 * 3_600_000, 3_600_000, clock);
    expect(ticks.map((t) => t.label)).toEqual(["01:00", "03:00", "04:00", "05:00"]);
    expect(clock.abbreviation(from)).toBe("EST");
    expect(clock.abbreviation(from + 3 * 3_600_000)).toBe("EDT");
  });

  test("ten-minute labels are round in a zone that is 5 h 45 min ahead", () => {
    const from = Date.UTC(2026, 1, 6, 0, 0, 0);
    const ticks = timeTicks(from, from + 30 * 60_000, 9 * 60_000, new ZoneClock("Asia/Kathmandu"));
    expect(ticks.map((t) => t.label)).toEqual(["05:50", "06:00", "06:10"]);
  });

  test("tenths of a second are cut, not rounded", () => {
    expect(clock.time(Date.UTC(2026, 1, 6, 14, 25, 59, 999), 1)).toBe("09:25:59.9");
  });
});
