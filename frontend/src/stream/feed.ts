/** How the live feed is, out of a heartbeat's `state.feed`. */

import type { Feed } from "./state.ts";

/** `nowMs`: arrival of the frame. Null where the server says nothing of a feed. */
export function feedOf(frame: Readonly<Record<string, unknown>>, nowMs: number): Feed | null {
  const feed = object(object(frame.state)?.feed);
  if (feed === null || typeof feed.state !== "string") return null;
  return {
    state: feed.state,
    ageS: numberOf(feed.age_s),
    toldMs: nowMs,
    lagS: numberOf(feed.lag_s),
    why: textOf(feed.alarm) || textOf(feed.warning),
  };
}

function object(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
