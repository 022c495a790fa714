/** The page against the real server: `python -m serve` on a simulated day, and a real promotion in mid-stream. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Chromium, counters, place, untilBins, untilState } from "../support/browser.ts";
import { python, REPO } from "../support/recording.ts";

const HELPER = new URL("../support/real_server.py", import.meta.url).pathname;

let lake: string;
let server: ChildProcess;
let origin: string;
let chromium: Chromium;
let said = "";

function helper(...args: string[]): void {
  execFileSync(python(), [HELPER, args[0]!, lake, ...args.slice(1)], { cwd: REPO, stdio: "pipe" });
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (typeof address !== "object" || address === null) throw new Error("no free port");
  return address.port;
}

/** Starts the server and waits until it says where it is. */
async function startServer(): Promise<void> {
  const port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  server = spawn(python(), ["-m", "serve", "--lake", lake, "--port", String(port)], {
    cwd: REPO,
    env: { ...process.env, RAY_USAGE_STATS_ENABLED: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  await new Promise<void>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      said += chunk.toString();
      if (/^serving\s+http/m.test(said)) resolve();
    };
    server.stdout!.on("data", listen);
    server.stderr!.on("data", listen);
    server.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${said.slice(-2000)}`)));
  });
}

beforeAll(async () => {
  lake = mkdtempSync(join(tmpdir(), "page-lake-"));
  helper("simulate", "300");
  chromium = await Chromium.start();
  await startServer();
}, 150_000);

afterAll(async () => {
  await chromium.stop();
  server.removeAllListeners("exit");
  if (server.exitCode === null) {
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGINT");
    await ended;
  }
  rmSync(lake, { recursive: true, force: true });
  expect(chromium.errors).toEqual([]);
}, 60_000);

test("the page at / plays a simulated day, takes a promotion without a break, and stays within its budgets", async () => {
  // The form is filled from what the server says about itself: one click opens the stream.
  const page = await chromium.open(`${origin}/`);
  await untilState(page, "SETUP");
  await page.waitForFunction(() => document.querySelector<HTMLInputElement>("#setup-symbol")?.value !== "");
  await page.locator("#setup-start_time").fill("09:01");
  await page.locator("#setup button[type=submit]").click();
  await untilBins(page, 1);

  await page.goto(`${page.url()}&speed=10`);
  await untilState(page, "REPLAY");
  await untilBins(page, 300);
  helper("promote", "1");
  const notice = page.locator(".notice");
  await notice.waitFor({ timeout: 20_000 });
  expect(await notice.textContent()).toContain("perm_derivative → perm_derivative v1");
  expect(await notice.textContent()).toContain("d2_weight: 0 → 0.5");
  const { bins } = await counters(page);
  await untilBins(page, bins! + 100);
  expect(await page.locator("#model-version").textContent()).toBe("version 1, not proven");
  expect(await page.locator("#model-ready").textContent()).toBe("ready");
  const seam = (await page.evaluate(() => window.__spymaster!.seams())).at(-1)!;
  expect(await page.evaluate((seq) => window.__spymaster!.bands(seq).length, seam.seq)).toBe(4); // ready at once
  expect((await place(page, seam.seq, 0)).x).toBeGreaterThan(0);
  const { rejects, gapBins, droppedByServer, unknownMessages } = await counters(page);
  expect({ rejects, unknownMessages }).toEqual({ rejects: 0, unknownMessages: 0 });
  // A loaded machine may be too slow for ten times real time; then the server skips bins and says how many.
  expect(gapBins).toBe(droppedByServer);
  await page.close();
});

test("as fast as it goes to the end of the day: no reject, memory flat, times measured", async () => {
  const query = "product_type=future_mbo&symbol=MNQH6&dt=2026-02-06&start_time=09:01&speed=0&cols=512";
  const page = await chromium.open(`${origin}/?${query}`);
  await page.waitForFunction(() => window.__spymaster!.counters().bins! >= 900, null, { timeout: 60_000 });
  const early = await page.evaluate(() => window.__spymaster!.memory());
  await untilState(page, "ENDED");
  const late = await page.evaluate(() => window.__spymaster!.memory());
  const { bins, rejects, gaps, kept } = await counters(page);
  expect({ rejects, gaps, kept }).toEqual({ rejects: 0, gaps: 0, kept: 512 });
  expect(bins).toBeGreaterThan(2300);
  expect(late.ringBytes).toBe(early.ringBytes);
  const timing = await page.evaluate(() => window.__spymaster!.timing());
  console.log(`page at speed 0: ${bins} bins, ${JSON.stringify({ ...timing, heapBytes: late.heapBytes })}`);
  expect(timing.decodeP50).toBeLessThan(2); // a loaded two-core machine; the budget of 0.3 ms is for an idle one
  await page.close();
});
