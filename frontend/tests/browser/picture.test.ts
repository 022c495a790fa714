/** Observations 2 to 5: what stands where on the map. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  brightness,
  Chromium,
  counters,
  DIST,
  painted,
  pixel,
  pixels,
  place,
  untilBins,
  untilEnd,
} from "../support/browser.ts";
import { grid, header, SPOT } from "../support/frames.ts";
import { type Peer, ScriptedServer } from "../support/scripted-server.ts";

let chromium: Chromium;
let server: ScriptedServer;

beforeAll(async () => {
  chromium = await Chromium.start();
  server = await ScriptedServer.start(DIST);
});

afterAll(async () => {
  await chromium.stop();
  await server.stop();
  expect(chromium.errors).toEqual([]);
});

async function open(params: Record<string, string>): Promise<{ page: Page; peer: Peer }> {
  const page = await chromium.open(server.pageUrl(params));
  const peer = await server.peer();
  return { page, peer };
}

/** Brightest pixel of a rectangle of the map, CSS px. */
async function brightest(
  page: Page,
  x0: number,
  y0: number,
  w: number,
  h: number,
): Promise<{ x: number; y: number }> {
  const data = await pixels(page, x0, y0, w, h);
  let best = { x: -1, y: -1, value: -1 };
  for (let i = 0; i < data.length; i += 4) {
    const value = brightness([data[i]!, data[i + 1]!, data[i + 2]!]);
    if (value > best.value) best = { x: x0 + ((i / 4) % w), y: y0 + Math.floor(i / 4 / w), value };
  }
  return best;
}

describe("observation 2", () => {
  test("a single hot cell at k=+7 of bin 12 is the brightest pixel, where it belongs", async () => {
    const { page, peer } = await open({ layer: "score" });
    peer.config();
    for (let seq = 0; seq < 150; seq++) peer.bin(seq, {}, seq === 12 ? { spectrum_score: { 7: 1 } } : {});
    peer.end(150);
    await untilEnd(page);
    const at = await place(page, 12, SPOT + 7);
    // Best bid, ask and mid are drawn over k = -1..0: look above them.
    const edge = await place(page, 12, SPOT + 3);
    const left = Math.max(0, (await place(page, 0, SPOT)).x);
    const { historyWidth } = await page.evaluate(() => window.__spymaster!.view());
    const found = await brightest(page, left, 40, historyWidth - left, Math.floor(edge.y) - 40);
    expect(found.x).toBeGreaterThanOrEqual(at.x - 1);
    expect(found.x).toBeLessThanOrEqual(at.x + at.w + 1);
    expect(Math.abs(found.y - at.y)).toBeLessThanOrEqual(at.h / 2 + 1);
    expect(await pixel(page, at.x, at.y + 1)).toEqual([255, 224, 163]); // the pressure end of the ramp
    await page.close();
  });
});

describe("observation 3", () => {
  test("after a jump of +300 ticks earlier columns keep their prices and none is lost", async () => {
    const { page, peer } = await open({ layer: "score" });
    peer.config();
    for (let seq = 0; seq < 20; seq++) peer.bin(seq, {}, seq === 10 ? { spectrum_score: { 7: 1 } } : {});
    await untilBins(page, 20);
    for (let seq = 20; seq < 160; seq++) {
      peer.bin(seq, { spot: SPOT + 300 }, seq === 30 ? { spectrum_score: { 5: 1 } } : {});
    }
    peer.end(160);
    await untilEnd(page);
    expect((await counters(page)).kept).toBe(160);
    const later = await place(page, 30, SPOT + 305);
    expect(await pixel(page, later.x, later.y + 1)).toEqual([255, 224, 163]);
    // Back down by the keyboard, which leaves time alone.
    await page.locator("#map").focus();
    for (let i = 0; i < 60; i++) {
      const earlier = await place(page, 10, SPOT + 7);
      if (earlier.y < 400) break;
      await page.keyboard.press("ArrowDown");
      await painted(page);
    }
    const earlier = await place(page, 10, SPOT + 7);
    expect(await pixel(page, earlier.x, earlier.y + 1)).toEqual([255, 224, 163]);
    await page.close();
  });

  test("panned away during the jump, the picture is the same after the return", async () => {
    const { page, peer } = await open({ layer: "score" });
    peer.config();
    for (let seq = 0; seq < 300; seq++) peer.bin(seq, {}, seq === 150 ? { spectrum_score: { 7: 1 } } : {});
    await untilBins(page, 300);
    await page.locator("#map").focus();
    for (let i = 0; i < 6; i++) await page.keyboard.press("ArrowLeft");
    await page.locator("#to-live").waitFor({ state: "visible" });
    for (let seq = 300; seq < 340; seq++) {
      peer.bin(seq, { spot: SPOT + 300 }, seq === 320 ? { spectrum_score: { 9: -1 } } : {});
    }
    peer.end(340);
    await untilEnd(page);
    const away = await place(page, 150, SPOT + 7);
    expect(await pixel(page, away.x, away.y + 1)).toEqual([255, 224, 163]);
    await page.keyboard.press("f");
    await painted(page);
    expect((await counters(page)).kept).toBe(340);
    const missed = await place(page, 320, SPOT + 309);
    expect(await pixel(page, missed.x, missed.y + 1)).toEqual([191, 227, 255]); // the vacuum end of the ramp
    await page.locator("#to-live").waitFor({ state: "hidden" });
    await page.close();
  });
});

describe("observation 4", () => {
  test("beyond W columns the oldest leave, time stays true, and a one-bin spike survives 8 columns per pixel", async () => {
    const { page, peer } = await open({ layer: "score", cols: "512" });
    peer.config();
    const plain = grid();
    const spike = grid({ spectrum_score: { 6: 1 } });
    const total = 700;
    for (let seq = 0; seq < total; seq++) {
      peer.text(header(seq));
      peer.binary(seq === 601 ? spike : plain);
    }
    peer.end(total);
    await untilEnd(page);
    expect((await counters(page)).kept).toBe(512);
    expect((await page.evaluate(() => window.__spymaster!.view())).first).toBe(total - 512);
    // The left end of the kept columns has data, the column before it does not.
    const oldest = await place(page, total - 512, SPOT + 20);
    if (oldest.x >= 2) {
      const zero = await pixel(page, oldest.x, oldest.y + 1);
      expect(await pixel(page, oldest.x - 2, oldest.y + 1)).not.toEqual(zero);
    }
    // A label's place is the bin that label speaks of.
    const labels = (await page.evaluate(() => window.__spymaster!.labels())).time!;
    const label = labels.find((l) => /^\d\d:\d\d:\d\d$/.test(l.text))!;
    const [h, m, s] = label.text.split(":").map(Number);
    const seconds = h! * 3600 + m! * 60 + s! - (9 * 3600 + 25 * 60);
    const bin = await place(page, seconds * 10, SPOT);
    expect(Math.abs(label.x + label.w / 2 - bin.x)).toBeLessThanOrEqual(1);
    // Zoom out to 8 columns per pixel.
    await page.locator("#map").focus();
    const columnsPerPixel = (): Promise<number> =>
      page.evaluate(() => window.__spymaster!.view().binsPerPixel);
    for (let i = 0; i < 12 && (await columnsPerPixel()) < 8; i++) {
      await page.keyboard.press("[");
      await painted(page);
    }
    expect(await columnsPerPixel()).toBe(8);
    const shrunk = await place(page, 601, SPOT + 6);
    expect(shrunk.w).toBe(1);
    expect(await pixel(page, shrunk.x, shrunk.y + 1)).toEqual([255, 224, 163]);
    await page.close();
  });
});

describe("observation 5", () => {
  test("a gap of 32 bins is hatched, labelled 3.2 s and counted once", async () => {
    const { page, peer } = await open({ layer: "score" });
    peer.config();
    for (let seq = 0; seq < 100; seq++) peer.bin(seq);
    peer.bin(132, { fields: { dropped_bins: 32 } });
    for (let seq = 133; seq < 160; seq++) peer.bin(seq);
    peer.end(128);
    await untilEnd(page);
    const { gaps, gapBins, droppedByServer } = await counters(page);
    expect({ gaps, gapBins, droppedByServer }).toEqual({ gaps: 1, gapBins: 32, droppedByServer: 32 });
    const labels = (await page.evaluate(() => window.__spymaster!.labels())).map!;
    expect(labels.map((l) => l.text)).toContain("3.2 s");
    const from = await place(page, 100, SPOT);
    const to = await place(page, 132, SPOT);
    expect(to.x - from.x).toBe(32 * from.w);
    // Hatched: within the span two colours alternate along a row, right up to its edges; outside it is plain.
    const inside = await pixels(page, from.x, 100, to.x - from.x, 1);
    const colours = new Set<string>();
    for (let i = 0; i < inside.length; i += 4) colours.add(inside.slice(i, i + 3).join());
    expect(colours.size).toBeGreaterThan(1);
    const before = await pixel(page, from.x - 1, 103);
    expect(await pixel(page, to.x + 1, 103)).toEqual(before);
    expect(colours.has(before.join())).toBe(false);
    await page.close();
  });

  test("zero, no data and beyond the cut-off differ in pixels", async () => {
    const { page, peer } = await open({ layer: "score" });
    peer.config();
    for (let seq = 0; seq < 80; seq++) peer.bin(seq, {}, { spectrum_score: { 10: 0.2, 11: -0.2 } });
    await untilBins(page, 80);
    await page.locator("#legend-lock").click(); // holds the cut-off at what is usual so far
    for (let seq = 80; seq < 100; seq++) peer.bin(seq, {}, { spectrum_score: { 10: 0.9, 11: -0.9 } });
    peer.end(100);
    await untilEnd(page);
    const at = async (tick: number): Promise<readonly number[]> => {
      const spot = await place(page, 90, SPOT + tick);
      return pixel(page, spot.x, spot.y + 1);
    };
    const over = await at(10);
    const under = await at(11);
    const zero = await at(12);
    const column = await place(page, 90, SPOT);
    const left = await place(page, 0, SPOT);
    const none = await pixels(page, left.x - 30, column.y + 2, 12, 12);
    const dots = new Set<string>();
    for (let i = 0; i < none.length; i += 4) dots.add(none.slice(i, i + 3).join());
    expect(dots.size).toBe(2); // dark, with dots
    expect(new Set([over.join(), under.join(), zero.join(), ...dots]).size).toBe(5);
    expect((await counters(page)).over).toBeGreaterThanOrEqual(20);
    expect(await page.locator("#legend-over").textContent()).toMatch(/^\d+ over$/);
    await page.close();
  });
});
