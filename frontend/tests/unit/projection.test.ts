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

  /** Moves of one bin +2 and -2 by turns from 100, so that after an even number of moves their deviation is 2. */
  function zigzag(p: Projection, bins: number, score: number | null, model = 0): void {
    for (let seq = 0; seq < bins; seq++) p.push(seq, 100 + 2 * (seq % 2), score, model);
  }

  test("a band by hand: what it holds, and none for a horizon of which a single move was seen", () => {
    const p = new Projection([1, 3], 8);
    zigzag(p, 5, null); // moves of 1 bin: +2 -2 +2 -2; of 3: +2 -2
    // With bin 5 moves of 1 are 2 -2 2 -2 4: mean 0.8, mean square 6.4, deviation sqrt(5.76) = 2.4.
    const [band, other] = p.push(5, 104, 0.5, 7);
    expect(band).toEqual({
      seq: 5,
      horizon: 1,
      centre: expect.closeTo(104 + 0.5 * 2 * 2.4, 12),
      half: expect.closeTo(1.28 * 2.4, 12),
      calibrated: false,
      model: 7,
      score: 0.5,
      spot: 104,
    });
    expect(other!.horizon).toBe(3);
    const young = new Projection([1, 3], 8);
    zigzag(young, 4, 0.5);
    expect(young.at(3).map((band) => band.horizon)).toEqual([1]); // one move of 3 bins only
  });

  test("bands are kept for the width, each under its own bin", () => {
    const p = new Projection([1], 8);
    zigzag(p, 12, 0.5);
    expect([3, 4, 11, 12].map((seq) => p.at(seq).map((band) => band.seq))).toEqual([[], [4], [11], []]);
    expect(p.at(-1)).toEqual([]);
    expect(p.at(-8)).toEqual([]);
  });

  test("a width that is too small for the longest horizon is widened: it matures", () => {
    const p = new Projection([1, 6], 2);
    zigzag(p, 20, 0.5);
    // Moves of 6 bins are 0 from bin 6 on; the second, bin 7, gives a deviation: bands of 7..13 are mature by bin 19.
    expect(p.record(0).map((row) => [row.horizon, row.matured])).toEqual([
      [1, 17],
      [6, 7],
    ]);
  });

  test("a band is hit by the sign of the move; none and no opinion are left out; its edge is covered", () => {
    // Moves +2 -2: deviation 2, half 2.56. Score s has its centre at 100 + 4 s.
    const judge = (score: number, spot: number) => {
      const p = new Projection([1], 8);
      p.push(0, 100, null, 0);
      p.push(1, 102, null, 0);
      p.push(2, 100, score, 0);
      p.push(3, spot, null, 0);
      const [row] = p.record(0);
      return [row!.matured, row!.judged, row!.hits, row!.leftOut, row!.covered];
    };
    expect(judge(0.5, 101)).toEqual([1, 1, 1, 0, 1]);
    expect(judge(0.5, 99)).toEqual([1, 1, 0, 0, 0]); // 3 from the centre
    expect(judge(-0.5, 99)).toEqual([1, 1, 1, 0, 1]);
    expect(judge(-0.5, 101)).toEqual([1, 1, 0, 0, 0]);
    expect(judge(0.5, 100)).toEqual([1, 0, 0, 1, 1]); // no move
    expect(judge(0.05, 101)).toEqual([1, 1, 1, 0, 1]); // the least opinion
    expect(judge(0.0499, 101)).toEqual([1, 0, 0, 1, 1]);
    expect(judge(-0.0499, 101)).toEqual([1, 0, 0, 1, 1]);
    expect(judge(-0.05, 101)).toEqual([1, 1, 0, 0, 1]);
    expect(judge(0.37, 104)).toEqual([1, 1, 1, 0, 1]); // 2.52 from its centre 101.48
    expect(judge(0.35, 104)).toEqual([1, 1, 1, 0, 0]); // 2.6
  });

  test("the record before anything matured has no rate; after one it has", () => {
    const p = new Projection([1, 2], 8);
    expect(p.record(0)).toEqual(
      [1, 2].map((horizon) => ({
        horizon,
        matured: 0,
        judged: 0,
        hits: 0,
        hitRate: NaN,
        interval: [0, 1],
        leftOut: 0,
        covered: 0,
        coverage: NaN,
        meanError: NaN,
        shown: false,
      })),
    );
    for (const [seq, [spot, score]] of [
      [100, null],
      [102, null],
      [100, 0.5],
      [101, 0.5],
      [101, null],
    ].entries() as Iterable<[number, [number, number | null]]>) {
      p.push(seq, spot, score, 0);
    }
    const row = p.record(0)[0]!;
    // Bin 2: centre 102, came 101: error -1, a hit. Bin 3: moves 2 -2 1, mean 1/3, deviation sqrt(3 - 1/9) = 1.699673;
    // centre 101 + 1.699673, came 101, no move.
    expect([row.matured, row.judged, row.hits, row.hitRate, row.leftOut, row.covered, row.coverage]).toEqual([
      2, 1, 1, 1, 1, 2, 1,
    ]);
    expect(row.meanError).toBeCloseTo((-1 - 1.699673) / 2, 6);
  });

  test("the fiftieth matured band calibrates the next and shows the record", () => {
    const p = new Projection([1], 64);
    // Scores of 0: the centre is the spot, each error 2, so the 80th percentile is 2; before, 1.28 deviations of 2.
    zigzag(p, 52, 0);
    expect(p.record(0)[0]).toMatchObject({ matured: 49, shown: false }); // of bins 2 to 50
    expect(p.at(51)[0]!.calibrated).toBe(false);
    p.push(52, 100, 0, 0);
    expect(p.record(0)[0]).toMatchObject({ matured: 50, shown: true });
    expect(p.at(52)[0]).toMatchObject({ calibrated: true, half: 2 });
    p.push(53, 102, 0, 0); // on the band's edge
    expect(p.record(0)[0]).toMatchObject({ matured: 51, covered: 51 });
    p.push(54, 105, 0, 0);
    expect(p.record(0)[0]).toMatchObject({ matured: 52, covered: 51 });
  });

  test("a bin without a spot matures nothing, nor does one whose bin had none", () => {
    const p = new Projection([1], 8);
    zigzag(p, 3, 0.5);
    p.push(3, null, 0.5, 0); // bin 2 spoke, and is not judged
    p.push(4, 120, 0.5, 0);
    expect(p.record(0)[0]!.matured).toBe(0);
    expect(p.at(4)).toHaveLength(1); // its deviation knows nothing of the jump
    expect(p.at(4)[0]!.half).toBeCloseTo(2.56, 12);
  });

  test("horizons that came later speak of themselves, and the record is theirs", () => {
    const p = new Projection([1], 16);
    zigzag(p, 4, 0.5);
    p.setHorizons([2]);
    for (let seq = 4; seq < 8; seq++) p.push(seq, 100 + 2 * (seq % 2), 0.5, 0);
    expect(p.at(7).map((band) => band.horizon)).toEqual([2]);
    expect(p.record(0).map((row) => [row.horizon, row.matured])).toEqual([[2, 1]]); // bin 5's: the second move came with it
  });

  test("the records of the latest hundred models are kept", () => {
    const p = new Projection([1], 8);
    zigzag(p, 3, 0.5, 0);
    for (let model = 0; model < 100; model++) p.push(3 + model, 100 + 2 * ((3 + model) % 2), 0.5, model);
    expect(p.record(0)[0]!.matured).toBe(2); // its track is the oldest of a hundred
    p.push(103, 102, 0.5, 100);
    expect(p.record(0)[0]!.matured).toBe(0);
    expect(p.record(1)[0]!.matured).toBe(1);
  });
});
