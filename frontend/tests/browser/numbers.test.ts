/** Observations 9 and 12: the numbers of a cell, and the bands. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Chromium, DIST, painted, pixels, place, untilBins, untilEnd } from "../support/browser.ts";
import { columns, encode, header, SPOT } from "../support/frames.ts";
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

async function open(params: Record<string, string> = {}): Promise<{ page: Page; peer: Peer }> {
  const page = await chromium.open(server.pageUrl(params));
  return { page, peer: await server.peer() };
}

/** A grid with another full-precision number in every cell. */
function rich(seq: number): ReturnType<typeof columns> {
  const grid = columns();
  let n = seq + 1;
  for (const [name, values] of grid) {
    if (!(values instanceof Float64Array)) continue;
    for (let i = 0; i < values.length; i++) {
      n = (n * 16_807) % 2_147_483_647;
      values[i] = name === "spectrum_score" ? n / 2_147_483_647 - 0.5 : n / 1e6;
    }
  }
  return grid;
}

describe("observation 9", () => {
  test("hover, Alt and arrows, and the table of T report the numbers that were sent", async () => {
    const { page, peer } = await open();
    peer.config();
    const grids = Array.from({ length: 60 }, (_, seq) => rich(seq));
    grids.forEach((grid, seq) => {
      peer.text(header(seq));
      peer.binary(encode(grid));
    });
    await untilBins(page, 60);
    const sent = (seq: number, k: number, name: string): number => Number(grids[seq]!.get(name)![k + 50]);

    // Hover: four significant digits in the tooltip.
    const box = (await page.locator("#map").boundingBox())!;
    const at = await place(page, 40, SPOT + 9);
    await page.mouse.move(box.x + at.x, box.y + at.y);
    const tooltip = page.locator("#tooltip");
    await tooltip.waitFor({ state: "visible" });
    const words = (await tooltip.textContent())!;
    expect(words).toContain("21602.25");
    expect(words).toContain("k +9");
    for (const name of ["bid_depth", "v_add", "pressure_variant"]) {
      expect(words).toContain(String(Number(sent(40, 9, name).toPrecision(4))));
    }

    // Click pins; Alt and arrows move the pin; the panel has every digit.
    await page.locator("#tab-cell").click();
    await page.mouse.click(box.x + at.x, box.y + at.y);
    await page.locator("#map").focus();
    await page.keyboard.press("Alt+ArrowRight");
    await page.keyboard.press("Alt+ArrowDown");
    await painted(page);
    for (const name of ["bid_depth", "j_fill", "spectrum_score", "v_rest_depth"]) {
      const cell = page.locator(`#cell-table td[data-column=${name}]`);
      expect(Number(await cell.textContent())).toBe(sent(41, 8, name));
    }
    const spoken = (await page.locator("#announce").textContent())!;
    expect(spoken).toContain("price 21602.00");

    // T: a real table of the pinned bin, ±10 ticks.
    await page.keyboard.press("t");
    const cells = page.locator("#bin-table td[data-k]");
    expect(await cells.count()).toBe(21 * 8);
    const shown = await cells.evaluateAll((all) =>
      all.map(
        (td) =>
          [
            td.getAttribute("data-column")!,
            Number(td.getAttribute("data-k")),
            Number(td.textContent),
          ] as const,
      ),
    );
    for (const [name, k, value] of shown) expect(value).toBe(sent(41, k, name));
    await page.close();
  });
});

/** Rows of a pixel column that bear the band's violet at full strength. */
async function violet(page: Page, x: number): Promise<number[]> {
  const { height } = (await page.locator("#heat").boundingBox())!;
  const data = await pixels(page, x, 0, 1, Math.floor(height));
  const rows: number[] = [];
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] === 198 && data[i + 1] === 165 && data[i + 2] === 255) rows.push(i / 4);
  }
  return rows;
}

interface Band {
  horizon: number;
  centre: number;
  half: number;
  calibrated: boolean;
}

describe("observation 12", () => {
  test("bands stand where section 6 puts them, none before ready, past ones never change", async () => {
    const { page, peer } = await open();
    peer.config();
    const score = (seq: number): number => 0.6 * Math.sin(seq / 7);
    const spots: number[] = [];
    let walk = 11;
    for (let seq = 0; seq < 200; seq++) {
      walk = (walk * 48_271) % 2_147_483_647;
      spots.push((spots[seq - 1] ?? SPOT) + (walk % 5) - 2);
      peer.bin(seq, { spot: spots[seq]!, score: score(seq), ready: seq >= 60 });
    }
    await untilBins(page, 200);
    const bands = (seq: number): Promise<Band[]> =>
      page.evaluate((s) => window.__spymaster!.bands(s), seq) as Promise<Band[]>;
    expect(await bands(59)).toEqual([]);

    // Section 6 computed a second time, straight from its words.
    const sd = (values: number[]): number => {
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    };
    const expected = (seq: number, h: number): Omit<Band, "horizon"> => {
      const moves = (until: number): number[] => {
        const out: number[] = [];
        for (let t = h; t <= until; t++) out.push(spots[t]! - spots[t - h]!);
        return out;
      };
      const centreOf = (s: number): number => spots[s]! + score(s) * 2 * sd(moves(s));
      const errors: number[] = [];
      for (let s = 60; s + h <= seq; s++) errors.push(Math.abs(spots[s + h]! - centreOf(s)));
      errors.sort((a, b) => a - b);
      const place80 = 0.8 * (errors.length - 1);
      const low = Math.floor(place80);
      const p80 = errors[low]! + ((errors[low + 1] ?? errors[low]!) - errors[low]!) * (place80 - low);
      const calibrated = errors.length >= 50;
      return { centre: centreOf(seq), half: calibrated ? p80 : 1.28 * sd(moves(seq)), calibrated };
    };
    for (const seq of [60, 85, 199]) {
      for (const band of await bands(seq)) {
        const want = expected(seq, band.horizon);
        expect(band.centre).toBeCloseTo(want.centre, 9);
        expect(band.half).toBeCloseTo(want.half, 9);
        expect(band.calibrated).toBe(want.calibrated);
      }
    }

    // What was said stays said.
    const before = await bands(120);
    for (let seq = 200; seq < 260; seq++) peer.bin(seq, { spot: spots[199]! + 20, score: -1 });
    await untilBins(page, 260);
    expect(await bands(120)).toEqual(before);

    // Pixels of the newest bands: whisker from edge to edge, dot at the centre.
    peer.end(260);
    await untilEnd(page);
    const newest = await bands(259);
    expect(newest.map((b) => b.horizon)).toEqual([1, 2, 3, 4]);
    for (const band of newest) {
      const { x } = await page.evaluate((h) => window.__spymaster!.zone(h), band.horizon);
      const rows = await violet(page, x);
      const top = (await place(page, 0, band.centre + band.half)).y;
      const bottom = (await place(page, 0, band.centre - band.half)).y;
      expect(Math.abs(rows[0]! - top)).toBeLessThanOrEqual(1.5);
      expect(Math.abs(rows.at(-1)! - bottom)).toBeLessThanOrEqual(1.5);
      const middle = (await place(page, 0, band.centre)).y;
      // The dot is wider than the whisker: beside it only the centre is violet.
      const beside = (await violet(page, x - 2)).filter((y) => Math.abs(y - middle) < 4);
      expect(Math.abs(beside.reduce((a, b) => a + b, 0) / beside.length - middle)).toBeLessThanOrEqual(1.5);
    }
    await page.close();
  });

  test("while the model warms up the zone says so", async () => {
    const { page, peer } = await open();
    peer.config();
    for (let seq = 0; seq < 30; seq++) peer.bin(seq, { ready: false, spot: SPOT + (seq % 2) });
    await untilBins(page, 30);
    const words = (await page.evaluate(() => window.__spymaster!.labels())).map!.map((l) => l.text);
    expect(words).toContain("warming");
    expect(words).toContain("30/60");
    await page.close();
  });
});
