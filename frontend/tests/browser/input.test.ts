/** Observations 10 and 11: mouse, keys and the frozen view. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Chromium,
  counters,
  DIST,
  fingerprint,
  painted,
  place,
  untilBins,
  untilState,
} from "../support/browser.ts";
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

function send(peer: Peer, from: number, to: number): void {
  for (let seq = from; seq < to; seq++) {
    const grid = columns();
    const bid = grid.get("bid_depth")!;
    for (let i = 0; i < 50; i++) bid[i] = 1 + (((seq >> 3) + i) % 9);
    peer.text(header(seq));
    peer.binary(encode(grid));
  }
}

async function open(bins: number): Promise<{ page: Page; peer: Peer; box: { x: number; y: number } }> {
  const page = await chromium.open(server.pageUrl());
  const peer = await server.peer();
  peer.config();
  send(peer, 0, bins);
  await untilBins(page, bins);
  const box = (await page.locator("#map").boundingBox())!;
  return { page, peer, box };
}

const view = (page: Page): Promise<{ follow: boolean; right: number; centre: number }> =>
  page.evaluate(() => window.__spymaster!.view());

describe("observation 10", () => {
  test("the wheel zooms price at the cursor, with Shift time, with Control both", async () => {
    const { page, box } = await open(400);
    const tick = SPOT + 12;
    const before = await place(page, 300, tick);
    await page.mouse.move(box.x + before.x, box.y + before.y);
    await page.mouse.wheel(0, -120);
    await painted(page);
    const zoomed = await place(page, 300, tick);
    expect(zoomed.h).toBeGreaterThan(before.h);
    expect(zoomed.w).toBe(before.w);
    expect(Math.abs(zoomed.y - before.y)).toBeLessThanOrEqual(zoomed.h);
    await page.keyboard.down("Shift");
    await page.mouse.wheel(0, -60);
    await page.keyboard.up("Shift");
    await painted(page);
    const wider = await place(page, 300, tick);
    expect(wider.w).toBeGreaterThan(zoomed.w);
    expect(wider.h).toBe(zoomed.h);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, 60);
    await page.keyboard.up("Control");
    await painted(page);
    const both = await place(page, 300, tick);
    expect(both.w).toBeLessThan(wider.w);
    expect(both.h).toBeLessThan(wider.h);
    await page.close();
  });

  test("drag pans both ways and leaves follow, double-click returns to live", async () => {
    const { page, box } = await open(400);
    const before = await place(page, 300, SPOT);
    await page.mouse.move(box.x + 400, box.y + 200);
    await page.mouse.down();
    await page.mouse.move(box.x + 480, box.y + 260, { steps: 8 });
    await page.mouse.up();
    await painted(page);
    const after = await place(page, 300, SPOT);
    expect([after.x - before.x, after.y - before.y]).toEqual([80, 60]);
    expect((await view(page)).follow).toBe(false);
    await page.mouse.dblclick(box.x + 400, box.y + 200);
    await painted(page);
    expect(await view(page)).toMatchObject({ follow: true, right: 400, centre: SPOT });
    await page.close();
  });

  test("dragging an axis scales it, Alt-drag zooms into a box, Backspace undoes it", async () => {
    const { page, box } = await open(400);
    const before = await place(page, 300, SPOT);
    const axis = (await page.locator("#prices").boundingBox())!;
    await page.mouse.move(axis.x + 40, axis.y + 300);
    await page.mouse.down();
    await page.mouse.move(axis.x + 40, axis.y + 240, { steps: 6 });
    await page.mouse.up();
    await painted(page);
    expect((await place(page, 300, SPOT)).h).toBeGreaterThan(before.h);
    await page.keyboard.press("0");
    await painted(page);
    await page.keyboard.down("Alt");
    await page.mouse.move(box.x + 300, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + 500, box.y + 220, { steps: 6 });
    await page.mouse.up();
    await page.keyboard.up("Alt");
    await painted(page);
    const boxed = await place(page, 300, SPOT);
    expect(boxed.w).toBeGreaterThan(before.w);
    expect(boxed.h).toBeGreaterThan(before.h);
    await page.keyboard.press("Backspace");
    await painted(page);
    expect(await place(page, 300, SPOT)).toEqual(before);
    await page.close();
  });

  test("L walks the layers, P the bands, and no key acts inside a field", async () => {
    const { page } = await open(100);
    const chosen = page.locator("#layers [aria-checked=true]");
    expect(await chosen.getAttribute("data-layer")).toBe("depth");
    await page.keyboard.press("l");
    expect(await chosen.getAttribute("data-layer")).toBe("flow");
    await page.keyboard.press("Shift+L");
    expect(await chosen.getAttribute("data-layer")).toBe("depth");
    await page.keyboard.press("p");
    expect(await page.locator("#announce").textContent()).toBe("projection bands one");
    await page.evaluate(() => {
      const field = document.createElement("input");
      field.id = "somewhere";
      document.body.append(field);
      field.focus();
    });
    await page.keyboard.type("l p 0");
    expect(await page.locator("#somewhere").inputValue()).toBe("l p 0");
    expect(await chosen.getAttribute("data-layer")).toBe("depth");
    expect(await page.locator("#announce").textContent()).toBe("projection bands one");
    await page.close();
  });
});

describe("observation 11", () => {
  test("Space freezes: pixels constant while the counter rises; F returns and shows all", async () => {
    const { page, peer } = await open(200);
    let next = 200;
    const ticker = setInterval(() => {
      send(peer, next, next + 1);
      next++;
    }, 100);
    await page.locator("#map").focus();
    await page.keyboard.press("Space");
    await untilState(page, "FROZEN");
    const area = [0, 60, 800, 300] as const;
    const before = await fingerprint(page, ...area);
    const behind = async (): Promise<number> =>
      Number.parseInt((await page.locator("#to-live").textContent())!.slice(2), 10);
    const first = await behind();
    await page.waitForFunction(
      (n) => Number.parseInt(document.querySelector("#to-live")!.textContent!.slice(2), 10) >= n + 10,
      first,
    );
    expect(await page.locator("#chip-detail").textContent()).toMatch(/^view frozen · \d+ bins behind$/);
    expect(await fingerprint(page, ...area)).toEqual(before);
    clearInterval(ticker);
    await untilBins(page, next);
    await page.keyboard.press("f");
    await painted(page);
    expect((await counters(page)).kept).toBe(next);
    expect(await view(page)).toMatchObject({ follow: true, right: next });
    expect(await fingerprint(page, ...area)).not.toEqual(before);
    await page.close();
  });
});
