import { describe, expect, test } from "vitest";
import { Projection } from "../../src/store/projection.ts";
import { IntegerSd, SortedWindow, wilson } from "../../src/store/window.ts";

/** A small generator, so that the series are the same in every run. */
function* numbers(seed: number): Generator<number, never> {
  let n = seed;
  for (;;) {
    n = (n * 48_271) % 2_147_483_647;
    yield n / 2_147_483_647;
  }
}

describe("rolling windows", () => {
  test("quantiles equal those of a sorted copy, ties included", () => {
    const random = numbers(5);
    const window = new SortedWindow(60);
    const all: number[] = [];
    for (let i = 0; i < 500; i++) {
      const value = Math.floor(random.next().value * 12);
      all.push(value);
      window.push(value);
      const sorted = all.slice(-60).sort((a, b) => a - b);
      const place = 0.8 * (sorted.length - 1);
      const low = Math.floor(place);
      const want = sorted[low]! + ((sorted[low + 1] ?? sorted[low]!) - sorted[low]!) * (place - low);
      expect(window.quantile(0.8)).toBeCloseTo(want, 12);
    }
  });

  test("the deviation of the last values, without drift", () => {
    const random = numbers(9);
    const sd = new IntegerSd(100);
    const all: number[] = [];
    for (let i = 0; i < 5000; i++) {
      const value = Math.floor(random.next().value * 41) - 20;
      all.push(value);
      sd.push(value);
    }
    const last = all.slice(-100);
    const mean = last.reduce((a, b) => a + b) / 100;
    expect(sd.sd).toBeCloseTo(Math.sqrt(last.reduce((a, b) => a + (b - mean) ** 2, 0) / 100), 12);
  });

  test("Wilson's interval of 8 in 10 is the textbook one", () => {
    const [low, high] = wilson(8, 10);
    expect(low).toBeCloseTo(0.4902, 4);
    expect(high).toBeCloseTo(0.9433, 4);
    expect(wilson(0, 0)).toEqual([0, 1]);
  });
});

describe("projection", () => {
  test("no band before the model is ready, none without a spot", () => {
    const p = new Projection([1], 512);
    for (let seq = 0; seq < 10; seq++) expect(p.push(seq, 100 + (seq % 2), null, 0)).toEqual([]);
    expect(p.push(10, 100, 0.5, 0)).toHaveLength(1);
    expect(p.push(11, null, 0.5, 0)).toEqual([]);
  });

  test("centre is spot + score times twice the deviation of moves, half-width 1.28 deviations at first", () => {
    const p = new Projection([2], 512);
    const spots = [100, 103, 99, 104, 100, 101, 108];
    for (const [seq, spot] of spots.slice(0, -1).entries()) p.push(seq, spot, null, 0);
    const [band] = p.push(6, 108, -0.5, 0);
    const moves = [99 - 100, 104 - 103, 100 - 99, 101 - 104, 108 - 100];
    const mean = moves.reduce((a, b) => a + b) / 5;
    const sd = Math.sqrt(moves.reduce((a, b) => a + (b - mean) ** 2, 0) / 5);
    expect(band!.centre).toBeCloseTo(108 - 0.5 * 2 * sd, 12);
    expect(band!.half).toBeCloseTo(1.28 * sd, 12);
    expect(band!.calibrated).toBe(false);
  });

  test("a gap matures nothing", () => {
    const p = new Projection([1], 512);
    p.push(0, 100, null, 0);
    p.push(1, 101, null, 0);
    p.push(2, 103, 0.9, 0);
    p.push(9, 120, 0.9, 0);
    expect(p.record(0)[0]!.matured).toBe(0);
  });

  test("the track record equals a table kept by hand, and hides below 50", () => {
    const p = new Projection([1], 512);
    const random = numbers(3);
    let spot = 1000;
    const byHand = { matured: 0, judged: 0, hits: 0, leftOut: 0, covered: 0, error: 0 };
    let said: { spot: number; score: number; centre: number; half: number } | null = null;
    for (let seq = 0; seq < 120; seq++) {
      spot += Math.floor(random.next().value * 5) - 2;
      if (said) {
        const move = spot - said.spot;
        const error = spot - said.centre;
        byHand.matured++;
        byHand.error += error;
        if (Math.abs(error) <= said.half) byHand.covered++;
        if (move === 0 || Math.abs(said.score) < 0.05) byHand.leftOut++;
        else {
          byHand.judged++;
          if (move > 0 === said.score > 0) byHand.hits++;
        }
      }
      const score = Math.round((random.next().value * 2 - 1) * 20) / 20;
      const [band] = p.push(seq, spot, seq < 10 ? null : score, 0);
      said = band ? { spot, score, centre: band.centre, half: band.half } : null;
      expect(p.record(0)[0]!.shown).toBe(byHand.matured >= 50);
    }
    const row = p.record(0)[0]!;
    expect(row).toMatchObject({
      matured: byHand.matured,
      judged: byHand.judged,
      hits: byHand.hits,
      leftOut: byHand.leftOut,
      covered: byHand.covered,
    });
    expect(row.meanError).toBeCloseTo(byHand.error / byHand.matured, 12);
  });

  test("each model has a record of its own and bands stay with the model that made them", () => {
    const p = new Projection([1], 512);
    for (let seq = 0; seq < 60; seq++) p.push(seq, 100 + (seq % 3), 0.5, 0);
    const old = p.at(59);
    for (let seq = 60; seq < 70; seq++) p.push(seq, 100 + (seq % 3), 0.5, 1);
    expect(p.at(59)).toEqual(old);
    // The first band needs two moves; the last one of the old model matured under the new one.
    expect(p.record(0)[0]!.matured).toBe(58);
    expect(p.record(1)[0]!.matured).toBe(9);
  });
});
