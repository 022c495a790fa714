import { describe, expect, test } from "vitest";
import { Kind, Ring } from "../../src/store/ring.ts";
import { checkConfig } from "../../src/wire/config.ts";
import { checkHeader } from "../../src/wire/header.ts";
import type { BinHeader, Grid } from "../../src/wire/types.ts";
import { columns, type HeaderOptions, header, runtimeConfig, SPOT } from "../support/frames.ts";

const config = checkConfig(runtimeConfig());

function head(seq: number, options: HeaderOptions = {}): BinHeader {
  if (!config.ok) throw new Error("config");
  const checked = checkHeader(header(seq, options), config.value);
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

const cells = (given: Parameters<typeof columns>[0] = {}): Grid => columns(given) as Grid;

describe("ring", () => {
  test("a column stays at its own price when spot moves by 300 ticks", () => {
    const ring = new Ring(512, 50);
    ring.store(head(0), cells({ spectrum_score: { 7: 1 } }), 0, 0);
    ring.store(head(1, { spot: SPOT + 300 }), cells(), 0, 0);
    const slot = ring.slot(0);
    expect(ring.spotTick[slot]).toBe(SPOT);
    expect(ring.layers.score[slot * ring.rows + 57]).toBe(1);
  });

  test("the oldest leave when W is full", () => {
    const ring = new Ring(512, 50);
    for (let seq = 0; seq < 700; seq++) ring.store(head(seq), cells(), 0, 0);
    expect([ring.first, ring.last, ring.count]).toEqual([188, 699, 512]);
    expect(ring.slot(187)).toBe(-1);
    expect(ring.slot(188)).toBeGreaterThanOrEqual(0);
    expect(ring.slot(700)).toBe(-1);
  });

  test("a gap keeps its place in time", () => {
    const ring = new Ring(512, 50);
    ring.store(head(10), cells(), 0, 0);
    ring.store(head(43), cells(), 0, 32);
    expect(ring.count).toBe(34);
    expect(ring.kind[ring.slot(11)]).toBe(Kind.Gap);
    expect(ring.kind[ring.slot(42)]).toBe(Kind.Gap);
    expect(ring.kind[ring.slot(43)]).toBe(Kind.Bin);
  });

  test("a gap longer than the ring leaves no stale column behind", () => {
    const ring = new Ring(512, 50);
    for (let seq = 0; seq < 512; seq++) ring.store(head(seq), cells({ spectrum_score: { 1: 1 } }), 0, 0);
    ring.store(head(5000), cells(), 0, 4488);
    expect(ring.first).toBe(4489);
    for (let seq = 4489; seq < 5000; seq++) expect(ring.kind[ring.slot(seq)]).toBe(Kind.Gap);
  });

  test("depth bears its side in its sign, flow is add minus pull minus fill", () => {
    const ring = new Ring(512, 50);
    const given = {
      bid_depth: { [-2]: 9 },
      ask_depth: { 2: 4 },
      v_add: { 5: 7 },
      v_pull: { 5: 2 },
      v_fill: { 5: 1 },
    };
    const at = ring.store(head(0), cells(given), 0, 0) * ring.rows;
    expect(ring.layers.depth[at + 48]).toBe(9);
    expect(ring.layers.depth[at + 52]).toBe(-4);
    expect(ring.layers.flow[at + 55]).toBe(4);
  });

  test("a refused bin holds its place without numbers", () => {
    const ring = new Ring(512, 50);
    ring.store(head(0), cells(), 0, 0);
    ring.storeReject(1, 0);
    expect(ring.kind[ring.slot(1)]).toBe(Kind.Reject);
    expect(ring.spotTick[ring.slot(1)]).toBeNaN();
  });
});
