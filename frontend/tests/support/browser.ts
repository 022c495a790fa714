/** Chromium and what the tests read from the page. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";

export const DIST = new URL("../../dist/", import.meta.url).pathname;
export const SIZE = { width: 1400, height: 800 };

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--force-device-scale-factor=1",
];

export class Chromium {
  private readonly context: BrowserContext;
  private readonly profile: string;
  /** Exceptions and console errors of every page. */
  readonly errors: string[] = [];

  private constructor(context: BrowserContext, profile: string) {
    this.context = context;
    this.profile = profile;
  }

  static async start(): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), "page-test-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      headless: true,
      args: FLAGS,
      viewport: SIZE,
    });
    return new Chromium(context, profile);
  }

  async open(url: string): Promise<Page> {
    const page = await this.context.newPage();
    page.on("pageerror", (error) => this.errors.push(error.message));
    await page.goto(url);
    return page;
  }

  async stop(): Promise<void> {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}

export async function state(page: Page): Promise<string> {
  return (await page.locator("#chip-state").textContent()) ?? "";
}

/** Waits until the chip shows a state. */
export async function untilState(page: Page, wanted: string): Promise<void> {
  await page.locator("#chip-state", { hasText: new RegExp(`^${wanted}$`) }).waitFor();
}

export async function counters(page: Page): Promise<Record<string, number>> {
  return page.evaluate(() => window.__spymaster!.counters());
}

/** Waits until so many bins were stored and drawn. */
export async function untilBins(page: Page, bins: number): Promise<void> {
  await page.waitForFunction((n) => window.__spymaster!.counters().bins! >= n, bins);
  await painted(page);
}

/** Waits for the end of the data, stored and drawn. */
export async function untilEnd(page: Page): Promise<void> {
  await untilState(page, "ENDED");
  await painted(page);
}

/** Waits for two animation frames: whatever was asked for is on the canvas. */
export async function painted(page: Page): Promise<void> {
  await page.evaluate(
    () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(null)))),
  );
}

export interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export async function place(page: Page, seq: number, tick: number): Promise<Place> {
  return page.evaluate(([s, t]) => window.__spymaster!.place(s!, t!), [seq, tick]);
}

export type Rgb = readonly [number, number, number];

/** Colour of the map at CSS px. */
export async function pixel(page: Page, x: number, y: number): Promise<Rgb> {
  return page.evaluate(
    ([px, py]) => {
      const canvas = document.querySelector<HTMLCanvasElement>("#heat")!;
      const data = canvas.getContext("2d")!.getImageData(Math.floor(px!), Math.floor(py!), 1, 1).data;
      return [data[0]!, data[1]!, data[2]!] as const;
    },
    [x, y],
  );
}

/** A rectangle of the map as RGBA bytes. */
export async function pixels(page: Page, x: number, y: number, w: number, h: number): Promise<number[]> {
  return page.evaluate(
    ([px, py, pw, ph]) => {
      const canvas = document.querySelector<HTMLCanvasElement>("#heat")!;
      return [...canvas.getContext("2d")!.getImageData(px!, py!, pw!, ph!).data];
    },
    [x, y, w, h],
  );
}

/** A rectangle of the map as SHA-256, where only sameness matters. */
export async function fingerprint(page: Page, x: number, y: number, w: number, h: number): Promise<string> {
  return page.evaluate(
    async ([px, py, pw, ph]) => {
      const canvas = document.querySelector<HTMLCanvasElement>("#heat")!;
      const { data } = canvas.getContext("2d")!.getImageData(px!, py!, pw!, ph!);
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
      return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    },
    [x, y, w, h],
  );
}

/** Relative luminance-like brightness of a colour. */
export function brightness([r, g, b]: Rgb): number {
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
