import { describe, expect, test } from "vitest";
import { Kind, Ring } from "../../src/store/ring.ts";
import { checkConfig } from "../../src/wire/config.ts";
import { checkHeader } from "../../src/wire/header.ts";
import type { BinHeader, Grid } from "../../src/wire/types.ts";
import { columns, type HeaderOptions, header, runtimeConfig, SPOT } from "../support/frames.ts";

function head(seq: number, options: HeaderOptions = {}): BinHeader {
  const config = checkConfig(runtimeConfig());
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

  test("an empty ring holds nothing, before any bin and after a clearing", () => {
    const ring = new Ring(512, 50);
    expect([ring.count, ring.first, ring.last, ring.slot(0), ring.slot(-1)]).toEqual([0, 0, -1, -1, -1]);
    expect([ring.kind[0], ring.spotTick[0], ring.bidTick[0], ring.askTick[0]]).toEqual([
      Kind.Empty,
      Number.NaN,
      Number.NaN,
      Number.NaN,
    ]);
    ring.store(head(7), cells(), 0, 0);
    expect([ring.count, ring.first, ring.last]).toEqual([1, 7, 7]);
    ring.clear();
    expect([ring.count, ring.first, ring.last, ring.slot(7), ring.kind[7]]).toEqual([
      0,
      0,
      -1,
      -1,
      Kind.Empty,
    ]);
    ring.store(head(3), cells(), 0, 0);
    expect([ring.count, ring.first, ring.last]).toEqual([1, 3, 3]);
  });

  test("bin 0 is a column", () => {
    const ring = new Ring(512, 50);
    ring.store(head(0), cells(), 0, 0);
    expect([ring.count, ring.first, ring.last, ring.slot(0)]).toEqual([1, 0, 0, 0]);
  });

  test("the first column leaves when one more than W came, not before", () => {
    const ring = new Ring(4, 50);
    for (let seq = 0; seq < 4; seq++) ring.store(head(seq), cells(), 0, 0);
    expect([ring.first, ring.count]).toEqual([0, 4]);
    ring.store(head(4), cells(), 0, 0);
    expect([ring.first, ring.count, ring.slot(0), ring.slot(4)]).toEqual([1, 4, -1, 0]);
  });

  test("a gap before the first bin begins the history, and never before bin 0", () => {
    const ring = new Ring(8, 50);
    ring.store(head(3), cells(), 0, 5);
    expect([ring.first, ring.last, ring.count]).toEqual([0, 3, 4]);
    expect([0, 1, 2].map((seq) => ring.kind[ring.slot(seq)])).toEqual([Kind.Gap, Kind.Gap, Kind.Gap]);
  });

  test("every number of a header and its grid stands in the bin's own column", () => {
    const ring = new Ring(4, 50);
    const names = [
      "spectrum_score",
      "pressure_variant",
      "vacuum_variant",
      "bid_depth",
      "ask_depth",
      "v_add",
      "v_pull",
      "v_fill",
    ];
    const given = Object.fromEntries(names.map((name, i) => [name, { [-50]: i + 1, 50: -(i + 1) }]));
    const options = { spot: 70, score: 0.25, ready: true, valid: true };
    const slot = ring.store(
      head(6, options),
      cells({ ...given, perm_state5_code: { [-50]: 2, 50: -1 } }),
      9,
      0,
    );
    expect(slot).toBe(2);
    const at = (layer: Float32Array | Int8Array): number[] => [layer[202]!, layer[302]!]; // 2 * 101, and its last row
    const { layers } = ring;
    expect(
      [
        layers.score,
        layers.pressure,
        layers.vacuum,
        layers.bid,
        layers.ask,
        layers.add,
        layers.pull,
        layers.fill,
      ].map(at),
    ).toEqual([
      [1, -1],
      [2, -2],
      [3, -3],
      [4, -4],
      [5, -5],
      [6, -6],
      [7, -7],
      [8, -8],
    ]);
    expect(at(layers.depth)).toEqual([-5, -4]); // the larger of bid and ask, asks negative
    expect(at(layers.flow)).toEqual([6 - 7 - 8, -6 + 7 + 8]);
    expect(at(ring.states)).toEqual([2, -1]);
    expect([layers.score[201], layers.score[303], layers.flow[201], layers.flow[303]]).toEqual([0, 0, 0, 0]);
    expect([ring.spotTick[2], ring.bidTick[2], ring.askTick[2]]).toEqual([70, 69, 70]);
    expect([ring.valid[2], ring.score[2], ring.ready[2], ring.modelIndex[2]]).toEqual([1, 0.25, 1, 9]);
    const unsure = ring.store(head(7, { valid: false, ready: false }), cells(), 0, 0);
    expect([ring.valid[unsure], ring.ready[unsure]]).toEqual([0, 0]);
  });

  test("equal depth of both sides is shown as bid", () => {
    const ring = new Ring(4, 50);
    ring.store(head(0), cells({ bid_depth: { 0: 3 }, ask_depth: { 0: 3 } }), 0, 0);
    expect(ring.layers.depth[50]).toBe(3);
  });

  test("what a grid does not bear is zero, not what stood in the slot before", () => {
    const ring = new Ring(2, 50);
    const full = columns({
      pressure_variant: { 50: 4 },
      vacuum_variant: { [-50]: 5 },
      perm_state5_code: { 50: 2, [-50]: 2 },
    });
    ring.store(head(0), full as Grid, 0, 0);
    ring.store(head(1), full as Grid, 0, 0);
    const bare = columns();
    for (const name of ["pressure_variant", "vacuum_variant", "perm_state5_code"]) bare.delete(name);
    ring.store(head(2), bare as Grid, 0, 0);
    const { layers, states } = ring;
    expect([layers.pressure[100], layers.vacuum[0], states[100], states[0]]).toEqual([0, 0, 0, 0]);
    expect([layers.pressure[201], layers.vacuum[101], states[201], states[101]]).toEqual([4, 5, 2, 2]); // bin 1
  });

  test("a bin without prices has none, and a gap or a reject in a used slot takes its numbers away", () => {
    const ring = new Ring(2, 50);
    const none = { spot_ref_price_int: "0", best_bid_price_int: "0", best_ask_price_int: "0" };
    const empty = ring.store(head(0, { fields: none }), cells(), 0, 0);
    expect([ring.spotTick[empty], ring.bidTick[empty], ring.askTick[empty]]).toEqual([NaN, NaN, NaN]);
    ring.store(head(1), cells(), 0, 0);
    ring.store(head(2), cells(), 0, 0);
    ring.storeReject(4, 1); // bin 3 a gap in the slot of 1, bin 4 in that of 2
    for (const seq of [3, 4]) {
      const slot = ring.slot(seq);
      expect([ring.kind[slot], ring.spotTick[slot], ring.bidTick[slot], ring.askTick[slot]]).toEqual([
        seq === 3 ? Kind.Gap : Kind.Reject,
        NaN,
        NaN,
        NaN,
      ]);
      expect([ring.valid[slot], ring.ready[slot]]).toEqual([0, 0]);
    }
  });
});
