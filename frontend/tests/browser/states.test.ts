/** Observations 1, 7 and 8: the state walk, errors and reconnects, stale and invalid. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  Chromium,
  counters,
  DIST,
  painted,
  pixel,
  place,
  state,
  untilBins,
  untilEnd,
  untilState,
} from "../support/browser.ts";
import { SPOT } from "../support/frames.ts";
import { ScriptedServer } from "../support/scripted-server.ts";

let chromium: Chromium;
let server: ScriptedServer;

beforeAll(async () => {
  chromium = await Chromium.start();
});

afterAll(async () => {
  await chromium.stop();
  expect(chromium.errors).toEqual([]);
});

beforeEach(async () => {
  server = await ScriptedServer.start(DIST);
});

afterEach(async () => {
  await server.stop();
});

describe("observation 1", () => {
  test("CONNECTING, WARMING UP, LIVE, ENDED, each with its text", async () => {
    const page = await chromium.open(server.pageUrl());
    const peer = await server.peer();
    await untilState(page, "CONNECTING");
    const detail = page.locator("#chip-detail");
    expect(await detail.textContent()).toMatch(/^127\.0\.0\.1:\d+ · \d+ s$/);
    peer.config();
    for (let seq = 0; seq < 12; seq++) peer.bin(seq, { ready: false });
    const stopWarming = peer.trickle(12, (seq) => peer.bin(seq, { ready: false, samples: 12 }));
    await untilState(page, "WARMING UP");
    await page.locator("#chip-detail", { hasText: /^model warming 12\/60 · 4\.8 s left$/ }).waitFor();
    expect(await page.locator("#model-ready").textContent()).toBe("warming 12/60");
    const warm = stopWarming();
    const stop = peer.trickle(warm);
    await untilState(page, "LIVE");
    expect(await page.locator("#age").textContent()).toMatch(/^\d+\.\d s$/);
    const total = stop();
    peer.end(total);
    await untilState(page, "ENDED");
    expect(await detail.textContent()).toBe(`session ended · ${total} bins`);
    // The map stays explorable.
    await page.locator("#map").focus();
    const before = (await place(page, 30, SPOT)).x;
    await page.keyboard.press("ArrowLeft");
    await painted(page);
    expect((await place(page, 30, SPOT)).x).toBeGreaterThan(before);
    await page.close();
  });

  test("a missing or bad query value is asked for by name", async () => {
    const page = await chromium.open(
      `${server.origin}/vacuum-pressure.html?product_type=future_mbo&dt=2026-13-40`,
    );
    await untilState(page, "SETUP");
    expect(await page.locator("#setup-dt").getAttribute("aria-invalid")).toBe("true");
    expect(await page.locator("#setup").textContent()).toContain("2026-13-40 is not a date");
    await page.locator("#setup-symbol").fill("MNQH6");
    await page.locator("#setup-dt").fill("2026-02-06");
    await page.locator("#setup button[type=submit]").click();
    const peer = await server.peer();
    expect(Object.fromEntries(peer.query)).toMatchObject({ symbol: "MNQH6", dt: "2026-02-06" });
    await page.close();
  });
});

describe("observation 7", () => {
  test("error text is shown literally, 1008 stays down, Retry works at once", async () => {
    const page = await chromium.open(server.pageUrl());
    const peer = await server.peer();
    const words = 'no such day <img src=x onerror="document.title=1"> given';
    peer.text({ type: "error", code: "bad_request", message: words });
    peer.close(1008, "bad request");
    await untilState(page, "ERROR");
    expect(await page.locator("#error-message").textContent()).toBe(words);
    expect(await page.locator("#overlay img").count()).toBe(0);
    expect(await page.locator(".card").textContent()).toContain("code 1008 · bad_request");
    // Two ticks of the page later it still has not tried again.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1500)));
    expect(server.times.length).toBe(1);
    expect(await state(page)).toBe("ERROR");
    const clicked = performance.now();
    await page.locator("#error-retry").click();
    const again = await server.peer();
    expect(performance.now() - clicked).toBeLessThan(1500);
    again.config();
    const stop = again.trickle(0);
    await untilState(page, "LIVE");
    stop();
    expect(await page.locator("#overlay").isVisible()).toBe(false);
    await page.close();
  });

  test("1013 and an abnormal close reconnect with growing delays, resume_from the next bin, and keep the ring", async () => {
    const page = await chromium.open(server.pageUrl());
    let peer = await server.peer();
    expect(peer.query.has("resume_from")).toBe(false);
    peer.config();
    for (let seq = 0; seq < 50; seq++) peer.bin(seq, {}, seq === 20 ? { bid_depth: { [-9]: 80 } } : {});
    await untilBins(page, 50);
    server.refuse = 503;
    peer.close(1013, "busy");
    await untilState(page, "RECONNECTING");
    await page.locator("#events li", { hasText: "busy; try 1 in" }).waitFor({ state: "attached" });
    expect(await page.locator("#banner-text").textContent()).toMatch(/^try \d/);
    await page.waitForFunction(() => window.__spymaster!.counters().tries! >= 4, null, { timeout: 15_000 });
    const gaps = server.times.slice(1).map((time, i) => time - server.times[i]!);
    const [, second, third] = gaps.slice(-3);
    expect(third! / second!).toBeGreaterThan(1.2); // doubling, each ±20 %
    server.refuse = 0;
    await page.locator("#banner-retry").click();
    peer = await server.peer();
    expect(peer.query.get("resume_from")).toBe("50");
    peer.config();
    for (let seq = 58; seq < 70; seq++) peer.bin(seq);
    await untilBins(page, 62);
    const { kept, gaps: gapCount, gapBins } = await counters(page);
    expect({ kept, gapCount, gapBins }).toEqual({ kept: 70, gapCount: 1, gapBins: 8 });
    expect((await page.evaluate(() => window.__spymaster!.labels())).map!.map((l) => l.text)).toContain(
      "0.8 s",
    );
    const held = await place(page, 20, SPOT - 9);
    const empty = await place(page, 22, SPOT - 9);
    expect(await pixel(page, held.x, held.y + 1)).not.toEqual(await pixel(page, empty.x, empty.y + 1));
    // An abnormal end is the same to the page.
    peer.destroy();
    await untilState(page, "RECONNECTING");
    peer = await server.peer();
    expect(peer.query.get("resume_from")).toBe("70");
    await page.close();
  });
});

describe("observation 8", () => {
  test("no bin for 1.2 s is STALE with a rising age, the next bin is LIVE", async () => {
    const page = await chromium.open(server.pageUrl());
    const peer = await server.peer();
    peer.config();
    const stop = peer.trickle(0);
    await untilState(page, "LIVE");
    const next = stop();
    await untilState(page, "STALE");
    const age = async (): Promise<number> =>
      Number((await page.locator("#age").textContent())!.replace(" s", ""));
    const first = await age();
    expect(first).toBeGreaterThanOrEqual(1);
    await page.waitForFunction(
      (before) => Number(document.querySelector("#age")!.textContent!.replace(" s", "")) > before,
      first,
    );
    expect(await page.locator("#chip-detail").textContent()).toMatch(/^no bin for \d+\.\d s$/);
    const { framesPainted } = await counters(page);
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1000)));
    expect((await counters(page)).framesPainted).toBe(framesPainted); // silence costs no frame
    const stopAgain = peer.trickle(next);
    await untilState(page, "LIVE");
    stopAgain();
    await page.close();
  });

  test("a bin whose book is not valid is veiled and speaks of no band", async () => {
    const page = await chromium.open(server.pageUrl({ layer: "score" }));
    const peer = await server.peer();
    peer.config();
    for (let seq = 0; seq < 70; seq++) peer.bin(seq, { score: 0.5, spot: SPOT + (seq % 3) });
    await untilBins(page, 70);
    expect(await page.evaluate(() => window.__spymaster!.bands(69).length)).toBe(4);
    const stop = peer.trickle(70, (seq) => peer.bin(seq, { score: 0.5, valid: false }));
    await untilState(page, "BOOK INVALID");
    await untilBins(page, 80);
    const total = stop();
    peer.end(total);
    await untilEnd(page);
    expect((await counters(page)).kept).toBe(total); // stored, though veiled
    expect(await page.evaluate(() => window.__spymaster!.bands(79).length)).toBe(0);
    const sound = await place(page, 60, SPOT + 20);
    const veiled = await place(page, 75, SPOT + 20);
    const [a, b] = [await pixel(page, sound.x, sound.y + 1), await pixel(page, veiled.x, veiled.y + 1)];
    expect(b[0]).toBeGreaterThan(a[0] + 20); // a grey veil over the same zero
    await page.close();
  });
});
