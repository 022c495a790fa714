/** A session of the page with frames played into it. */

import { expect } from "vitest";
import { Session } from "../../src/store/session.ts";
import { type Fields, grid, header, runtimeConfig } from "./frames.ts";

export const ZEROS = grid(); // encoded once: most tests are not about its numbers
export const BROKEN = grid({ v_add: { 0: Number.NaN } });

export const model = (fields: Fields): Fields => ({
  runtime_model: {
    name: "perm_derivative",
    enabled: true,
    version: null,
    parameters: { zscore_min_periods: 60, zscore_window_bins: 240, tanh_scale: 3 },
    ...fields,
  },
});

/** A session with its config, and the clock that it reads. */
export function open(overrides: Fields = {}, columns = 512): { session: Session; clock: { ms: number } } {
  const clock = { ms: 1000 };
  const session = new Session(columns, () => clock.ms);
  session.connectionOpened();
  expect(session.runtimeConfig(runtimeConfig(overrides))).toBeNull();
  return { session, clock };
}

export function bin(
  session: Session,
  seq: number,
  options: Parameters<typeof header>[1] = {},
  bytes = grid(),
): void {
  expect(session.header(header(seq, options))).toBeNull();
  expect(session.binary(bytes)).toBeNull();
}

/** Bins `from` to `to`, both included. */
export function bins(
  session: Session,
  from: number,
  to: number,
  options: Parameters<typeof header>[1] = {},
): void {
  for (let seq = from; seq <= to; seq++) bin(session, seq, options);
}

export const texts = (session: Session): string[] =>
  session.events.list.map((event) => `${event.kind}: ${event.text}`);
