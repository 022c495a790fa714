/** The page's own query: what it takes, what it refuses, and the stream's address made of it. */

import { LAYERS, type LayerId } from "../layers/table.ts";
import { isTimeZone } from "../wire/config.ts";

export const PALETTES = ["default", "thermal", "grey"] as const;
export type PaletteId = (typeof PALETTES)[number];

const PASSED_ON = new Set(["model", "token"]);

export interface PageQuery {
  readonly productType: string;
  readonly symbol: string;
  /** Null leaves the day to the server, which takes its latest. */
  readonly dt: string | null;
  readonly startTime: string | null;
  readonly speed: number | null;
  readonly horizons: string | null;
  readonly layer: LayerId;
  readonly palette: PaletteId;
  readonly cols: number;
  readonly timeZone: string | null;
  readonly ws: string | null;
  /** Parameters handed on as they are: perm_*, model and token. */
  readonly passedOn: readonly (readonly [string, string])[];
}

export interface Problem {
  readonly name: string;
  readonly given: string | null;
  readonly allowed: string;
}

export type ParsedQuery =
  | { readonly ok: true; readonly query: PageQuery }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads the page's query string. Required: product_type and symbol. Every bad value is listed with what is allowed. */
export function parseQuery(search: string): ParsedQuery {
  const params = new URLSearchParams(search);
  const problems: Problem[] = [];
  const take = (name: string, allowed: string, test: (value: string) => boolean): string | null => {
    const value = params.get(name);
    if (value === null || value === "") return null;
    if (!test(value)) problems.push({ name, given: value, allowed });
    return value;
  };
  const require = (name: string, allowed: string, test: (value: string) => boolean): string => {
    const value = take(name, allowed, test);
    if (value === null) problems.push({ name, given: null, allowed });
    return value ?? "";
  };
  const word = (value: string): boolean => /^[\w.:-]{1,64}$/.test(value);
  const productType = require("product_type", "a product type such as future_mbo", word);
  const symbol = require("symbol", "a contract such as MNQH6", word);
  const dt = take("dt", "a date, YYYY-MM-DD", isDate);
  const startTime = take("start_time", "HH:MM or HH:MM:SS, New York time", isClock);
  const speed = take("speed", "a number from 0 (as fast as it goes) to 1000", (v) => isNumber(v, 0, 1000));
  const horizons = take("projection_horizons_bins", "bins, such as 1,2,3,4", isHorizons);
  const layer = take("layer", LAYERS.join(", "), (v) => (LAYERS as readonly string[]).includes(v));
  const palette = take("palette", PALETTES.join(", "), (v) => (PALETTES as readonly string[]).includes(v));
  const cols = take(
    "cols",
    "a whole number from 512 to 8192",
    (v) => /^\d+$/.test(v) && isNumber(v, 512, 8192),
  );
  const timeZone = take("tz", "an IANA time zone such as America/New_York", isTimeZone);
  take("renderer", "canvas", (v) => v === "canvas");
  take("projection_source", "backend", (v) => v === "backend");
  const ws = take("ws", "a ws:// or wss:// address", (v) => /^wss?:\/\/[^\s]+$/.test(v));
  take("model", "instrument, champion or a version such as 3", (v) =>
    /^(instrument|champion|[1-9]\d*)$/.test(v),
  );
  if (problems.length > 0) return { ok: false, problems };
  const passedOn = [...params].filter(([name]) => name.startsWith("perm_") || PASSED_ON.has(name));
  return {
    ok: true,
    query: {
      productType,
      symbol,
      dt,
      startTime,
      speed: speed === null ? null : Number(speed),
      horizons,
      layer: (layer as LayerId | null) ?? "depth",
      palette: (palette as PaletteId | null) ?? "default",
      cols: cols === null ? 4096 : Number(cols),
      timeZone,
      ws,
      passedOn,
    },
  };
}

/** Address of the stream; `resumeFrom` is the next bin wanted after a break. */
export function streamUrl(query: PageQuery, pageUrl: string, resumeFrom: number | null): string {
  const url = query.ws === null ? new URL("/v1/vacuum-pressure/stream", pageUrl) : new URL(query.ws);
  if (query.ws === null) url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const set = (name: string, value: string | number | null): void => {
    if (value !== null) url.searchParams.set(name, String(value));
  };
  set("product_type", query.productType);
  set("symbol", query.symbol);
  set("dt", query.dt);
  set("start_time", query.startTime);
  set("speed", query.speed);
  set("projection_horizons_bins", query.horizons);
  for (const [name, value] of query.passedOn) set(name, value);
  set("resume_from", resumeFrom);
  return url.toString();
}

/** The same address without the token, for screens and reports. */
export function withoutToken(address: string): string {
  const url = new URL(address);
  url.searchParams.delete("token");
  return url.toString();
}

function isDate(value: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(value)) return false;
  const time = Date.parse(`${value}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(value);
}

function isClock(value: string): boolean {
  const match = /^(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(value);
  return match !== null && Number(match[1]) < 24 && Number(match[2]) < 60 && Number(match[3] ?? 0) < 60;
}

function isNumber(value: string, min: number, max: number): boolean {
  const number = Number(value);
  return value.trim() !== "" && number >= min && number <= max;
}

function isHorizons(value: string): boolean {
  const parts = value.split(",");
  return parts.every((part) => /^[1-9]\d{0,4}$/.test(part)) && new Set(parts).size === parts.length;
}
