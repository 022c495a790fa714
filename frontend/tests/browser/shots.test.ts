/** Pictures of the page with simulated data, and the proof that nothing on them overlaps. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Chromium, DIST, painted, untilBins, untilState } from "../support/browser.ts";
import type { Fields } from "../support/frames.ts";
import { type Frame, recordFrames } from "../support/recording.ts";
import { type Peer, ScriptedServer } from "../support/scripted-server.ts";

const SHOTS = new URL("./shots/", import.meta.url).pathname;
const BINS = 900;
const SPARE = 300; // bins that trickle in while a picture of the running page is taken

let chromium: Chromium;
let server: ScriptedServer;
let frames: Frame[];

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  frames = recordFrames(BINS + SPARE, "09:02");
  chromium = await Chromium.start();
  server = await ScriptedServer.start(DIST);
}, 120_000);

afterAll(async () => {
  await chromium.stop();
  await server.stop();
  expect(chromium.errors).toEqual([]);
});

const configFrame = (): Fields => JSON.parse(frames[0] as string) as Fields;

/** Bins `from` to `to` (not included) of the recording. */
function play(peer: Peer, from: number, to: number): void {
  for (const frame of frames.slice(1 + 2 * from, 1 + 2 * to)) {
    if (typeof frame === "string") peer.text(frame);
    else peer.binary(frame);
  }
}

async function open(
  params: Record<string, string> = {},
  size = { width: 1440, height: 900 },
): Promise<{ page: Page; peer: Peer }> {
  const page = await chromium.open(server.pageUrl(params));
  await page.setViewportSize(size);
  return { page, peer: await server.peer() };
}

async function shoot(page: Page, name: string): Promise<void> {
  await painted(page);
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

interface Box {
  text: string;
  x: number;
  y: number;
  w: number;
  h: number;
}

function overlapping(boxes: Box[]): string[] {
  const found: string[] = [];
  for (const [i, a] of boxes.entries()) {
    for (const b of boxes.slice(i + 1)) {
      const w = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x);
      const h = Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y);
      if (w > 1 && h > 1) found.push(`${a.text} | ${b.text}`);
    }
  }
  return found;
}

/** No label on a canvas covers another, no element of the bars runs into the next or out of the page. */
async function expectTidy(page: Page): Promise<void> {
  const canvases = await page.evaluate(() => window.__spymaster!.labels());
  for (const [axis, labels] of Object.entries(canvases))
    expect([axis, overlapping(labels)]).toEqual([axis, []]);
  const rows = await page.evaluate(() => {
    const boxesOf = (selector: string): Box[] =>
      [...document.querySelectorAll<HTMLElement>(selector)]
        .filter((e) => e.offsetParent !== null && e.getClientRects().length > 0)
        .map((e) => {
          const { x, y, width, height } = e.getBoundingClientRect();
          return {
            text: `${e.tagName}.${e.id || e.className} ${e.textContent?.slice(0, 24) ?? ""}`,
            x,
            y,
            w: width,
            h: height,
          };
        });
    const cut = [
      ...document.querySelectorAll<HTMLElement>(
        ".quotes dd, .quotes dt, .bottom button, .readings span, .panel th, .panel td",
      ),
    ]
      .filter((e) => e.offsetParent !== null && e.scrollWidth > e.clientWidth + 1)
      .map((e) => e.textContent ?? "");
    return {
      top: boxesOf(".instrument, .quotes > div, .chip, #help-button"),
      bottom: boxesOf(".layers button, .legend > *, .readings span"),
      map: boxesOf("#map-title, .notice, #banner:not([hidden]), #to-live:not([hidden])"),
      origin: boxesOf("#map")[0]!,
      cut,
      width: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    };
  });
  expect(overlapping(rows.top)).toEqual([]);
  expect(overlapping(rows.bottom)).toEqual([]);
  // What is written on the map's canvas, and what lies over it.
  const { x, y } = rows.origin;
  const written = canvases.map!.map((label) => ({ ...label, x: label.x + x, y: label.y + y }));
  expect(overlapping([...rows.map, ...written])).toEqual([]);
  expect(rows.cut).toEqual([]);
  expect(rows.width).toBeLessThanOrEqual(0);
  const inside = [...rows.top, ...rows.bottom].filter(
    (box) => box.x + box.w > (page.viewportSize()?.width ?? 0) + 0.5,
  );
  expect(inside).toEqual([]);
}

/** Share of the history's pixels that differ from their left neighbour: noise is near 1, an empty map near 0. */
async function structure(page: Page): Promise<{ bright: number; colours: number }> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>("#heat")!;
    const { data } = canvas
      .getContext("2d")!
      .getImageData(0, 60, Math.floor(canvas.width * 0.8), canvas.height - 120);
    const seen = new Set<number>();
    let bright = 0;
    for (let i = 0; i < data.length; i += 4) {
      seen.add((data[i]! << 16) | (data[i + 1]! << 8) | data[i + 2]!);
      if (Math.max(data[i]!, data[i + 1]!, data[i + 2]!) > 60) bright++;
    }
    return { bright: bright / (data.length / 4), colours: seen.size };
  });
}

describe("pictures", () => {
  test("live, in every layer: readable, nothing overlaps, structure on the map", async () => {
    const { page, peer } = await open();
    peer.text(configFrame());
    play(peer, 0, BINS);
    const stop = peer.trickle(BINS, (seq) => play(peer, seq, seq + 1));
    await untilBins(page, BINS);
    await shoot(page, "live");
    stop();
    await expectTidy(page);
    const depth = await structure(page);
    expect(depth.bright).toBeGreaterThan(0.3);
    expect(depth.colours).toBeGreaterThan(100);
    for (const layer of ["flow", "score"]) {
      await page.locator(`[data-layer=${layer}]`).click();
      await painted(page);
      await shoot(page, layer);
      await expectTidy(page);
      expect((await structure(page)).bright).toBeGreaterThan(0.1);
    }
    await page.close();
  });

  test.each([
    [1024, 640],
    [1280, 720],
    [1920, 1080],
  ])("at %i × %i nothing overlaps either", async (width, height) => {
    const { page, peer } = await open({}, { width, height });
    peer.text(configFrame());
    play(peer, 0, 400);
    await untilBins(page, 400);
    await shoot(page, `size-${width}`);
    await expectTidy(page);
    await page.close();
  });

  test("promotion seam, with its notice", async () => {
    const { page, peer } = await open();
    const config = configFrame();
    peer.text(config);
    play(peer, 0, 760);
    const before = config.runtime_model as Fields;
    const parameters = { ...(before.parameters as Fields), zscore_window_bins: 300, d2_weight: 0.5 };
    const runtime_model = { ...before, name: "ads", version: 4, source: "champion", parameters };
    peer.text({ ...config, runtime_model, reason: "model_change", effective_bin_seq: 760 });
    play(peer, 760, BINS);
    const stop = peer.trickle(BINS, (seq) => play(peer, seq, seq + 1));
    await untilBins(page, BINS);
    await shoot(page, "seam");
    stop();
    await expectTidy(page);
    await page.close();
  });

  test("stale, reconnecting and error", async () => {
    const { page, peer } = await open();
    peer.text(configFrame());
    play(peer, 0, 600);
    await untilState(page, "STALE");
    await shoot(page, "stale");
    await expectTidy(page);
    server.refuse = 503;
    peer.close(1013, "31 clients are connected and that is the limit; try later");
    await page.waitForFunction(() => window.__spymaster!.counters().tries! >= 2);
    await shoot(page, "reconnecting");
    await expectTidy(page);
    server.refuse = 0;
    const again = await server.peer();
    again.text(configFrame());
    again.text({
      type: "error",
      code: "server_fault",
      message: "the server failed: ValueError; see its log",
    });
    again.close(1011);
    await untilState(page, "ERROR");
    await shoot(page, "error");
    await expectTidy(page);
    await page.close();
  });

  test("a gap, a pinned cell and the tooltip", async () => {
    const { page, peer } = await open();
    peer.text(configFrame());
    play(peer, 0, 500);
    play(peer, 560, 700);
    await untilBins(page, 640);
    await page.locator("#tab-cell").click();
    const box = (await page.locator("#map").boundingBox())!;
    await page.mouse.click(box.x + 300, box.y + 240);
    await page.mouse.move(box.x + 420, box.y + 300);
    await shoot(page, "cell");
    await expectTidy(page);
    await page.close();
  });

  test("the form that asks which session", async () => {
    const page = await chromium.open(`${server.origin}/?dt=yesterday`);
    await page.setViewportSize({ width: 1440, height: 900 });
    await untilState(page, "SETUP");
    await shoot(page, "setup");
    expect(await page.locator("#setup").textContent()).toContain("yesterday is not a date");
    await page.close();
  });
});
