/** Observation 15: another model takes over in mid-stream. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Chromium,
  counters,
  DIST,
  fingerprint,
  pixels,
  place,
  untilBins,
  untilEnd,
  untilState,
} from "../support/browser.ts";
import { columns, encode, header, runtimeConfig, SPOT } from "../support/frames.ts";
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

const CHAMPION = {
  name: "ads",
  enabled: true,
  version: 3,
  parameters: { zscore_min_periods: 75, zscore_window_bins: 300, tanh_scale: 3 },
};

function send(peer: Peer, seq: number): void {
  const grid = columns();
  const score = grid.get("spectrum_score")!;
  for (let i = 0; i < score.length; i++) score[i] = Math.sin(i / 5 + seq / 9);
  peer.text(
    header(seq, {
      score: 0.4,
      spot: SPOT + (seq % 4),
      fields: { runtime_model_name: seq < 100 ? "perm_derivative" : "ads" },
    }),
  );
  peer.binary(encode(grid));
}

async function open(): Promise<{ page: Page; peer: Peer }> {
  const page = await chromium.open(server.pageUrl({ layer: "score" }));
  return { page, peer: await server.peer() };
}

describe("observation 15", () => {
  test("history pixels stay, a seam with both names at the stated bin, changed parameters, old bands kept", async () => {
    const { page, peer } = await open();
    peer.config();
    for (let seq = 0; seq < 98; seq++) send(peer, seq);
    await untilBins(page, 98);
    await page.locator("#legend-lock").click();
    const old = await page.evaluate(() => window.__spymaster!.bands(90));
    const record = await page.evaluate(() => window.__spymaster!.track(0));

    peer.text(runtimeConfig({ runtime_model: CHAMPION, reason: "model_change", effective_bin_seq: 100 }));
    for (let seq = 98; seq < 140; seq++) send(peer, seq);
    const stop = peer.trickle(140, (seq) => send(peer, seq));
    await untilBins(page, 141);
    await untilState(page, "LIVE"); // no warm-up, no break
    const total = stop();
    peer.end(total);
    await untilEnd(page);
    expect((await counters(page)).kept).toBe(total);

    // The seam: a light line at bin 100, on map and strip, and nowhere else.
    const seam = await place(page, 100, SPOT);
    const column = await pixels(page, Math.round(seam.x), 0, 1, 300);
    let light = 0;
    for (let i = 0; i < column.length; i += 4) if (column[i]! > 200 && column[i + 1]! > 200) light++;
    expect(light).toBeGreaterThan(40);
    const words = (await page.evaluate(() => window.__spymaster!.labels())).map!.map((l) => l.text);
    expect(words).toContain("perm_derivative → ads v3");

    // The notice stays until closed and names what changed.
    const notice = page.locator(".notice");
    expect(await notice.textContent()).toContain("Model changed: perm_derivative → ads v3");
    expect(await notice.locator("li").allTextContents()).toEqual([
      "zscore_min_periods: 60 → 75",
      "zscore_window_bins: 240 → 300",
    ]);
    expect(await page.locator("#notices").getAttribute("aria-live")).toBe("polite");
    await notice.getByRole("button", { name: "Close notice" }).click();
    await notice.waitFor({ state: "detached" });
    await page.locator("#tab-events").click();
    expect(await page.locator("#events li[data-kind=model]").textContent()).toContain(
      "zscore_min_periods: 60 → 75",
    );

    // Old bands stay as made, and the old record stays readable beside the new one.
    expect(await page.evaluate(() => window.__spymaster!.bands(90))).toEqual(old);
    const kept = (await page.evaluate(() => window.__spymaster!.track(0))) as { matured: number }[];
    expect(kept[0]!.matured).toBeGreaterThanOrEqual((record as { matured: number }[])[0]!.matured);
    await page.locator("#tab-model").click();
    expect(await page.locator("#track caption").allTextContents()).toEqual(["ads v3", "perm_derivative"]);
    const [fresh] = (await page.evaluate(() => window.__spymaster!.track(1))) as { matured: number }[];
    const first = await page.locator("#track table").first().textContent();
    expect(first).toContain(fresh!.matured < 50 ? `${fresh!.matured} of 50` : "%");
    const made = (await page.evaluate(() => window.__spymaster!.bands(139))) as { model: number }[];
    expect(made.map((band) => band.model)).toEqual([1, 1, 1, 1]);
    await page.close();
  });

  test("history pixels are the same before and after the promotion", async () => {
    const { page, peer } = await open();
    peer.config();
    for (let seq = 0; seq < 100; seq++) send(peer, seq);
    await untilBins(page, 100);
    await page.locator("#legend-lock").click();
    await page.locator("#map").focus();
    // Away from live the picture stands still, so the same pixels are compared.
    for (const key of ["ArrowLeft", "p", "p", "p"]) await page.keyboard.press(key);
    await page.locator("#to-live").waitFor({ state: "visible" });
    const from = await place(page, 5, SPOT);
    const to = await place(page, 75, SPOT);
    const area = [Math.round(from.x), 60, Math.round(to.x - from.x), 300] as const;
    const before = await fingerprint(page, ...area);
    peer.text(runtimeConfig({ runtime_model: CHAMPION, reason: "model_change", effective_bin_seq: 100 }));
    for (let seq = 100; seq < 130; seq++) send(peer, seq);
    await untilBins(page, 130);
    await page.locator(".notice button").click();
    expect(await fingerprint(page, ...area)).toEqual(before);
    await page.close();
  });

  test("another grid cannot share a history: the ring starts anew and says so", async () => {
    const { page, peer } = await open();
    peer.config();
    for (let seq = 0; seq < 50; seq++) send(peer, seq);
    await untilBins(page, 50);
    peer.text(runtimeConfig({ tau_velocity: 9, config_version: "0000000000ab" }));
    for (let seq = 50; seq < 53; seq++) send(peer, seq);
    await untilBins(page, 53);
    expect((await counters(page)).kept).toBe(3);
    expect(await page.locator(".notice").textContent()).toContain("Grid changed");
    expect(await page.locator(".notice").textContent()).toContain("tau_velocity");
    await page.close();
  });

  test("an invalid config stops with the field's name and keeps the history", async () => {
    const { page, peer } = await open();
    peer.config();
    for (let seq = 0; seq < 20; seq++) send(peer, seq);
    await untilBins(page, 20);
    peer.text(runtimeConfig({ grid_rows: 99 }));
    await untilState(page, "ERROR");
    expect(await page.locator("#error-message").textContent()).toContain("grid_rows");
    expect((await counters(page)).kept).toBe(20);
    await page.close();
  });
});
