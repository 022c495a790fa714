/** One stream as facts: gaps, rejects, epochs, seams, notices and counters, each worked out by hand. */

import { describe, expect, test } from "vitest";
import { cellAt } from "../../src/store/cell.ts";
import { Kind } from "../../src/store/ring.ts";
import { Session } from "../../src/store/session.ts";
import { type Fields, grid, header, runtimeConfig, SPOT } from "../support/frames.ts";
import { BROKEN, bin, bins, model, open, texts, ZEROS } from "../support/session.ts";

describe("before anything came", () => {
  test("nothing is claimed", () => {
    const session = new Session(512, () => 7);
    expect(session).toMatchObject({
      config: null,
      configured: false,
      ring: null,
      projection: null,
      newest: null,
      lastBinMs: null,
      paused: false,
      speed: null,
      ended: null,
      models: [],
      seams: [],
      notices: [],
      originMs: 0,
      resumeFrom: null,
      spot: null,
      warmupNeeded: null,
    });
    expect(session.counters).toEqual({
      bins: 0,
      gaps: 0,
      gapBins: 0,
      droppedByServer: 0,
      rejects: 0,
      unknownMessages: 0,
      epochs: 0,
    });
    expect([session.msOf(5), session.binAt(5)]).toEqual([0, 5]);
    expect(Object.keys(session.scales)).toEqual(["score", "depth", "flow"]);
    expect(cellAt(session, { seq: 0, tick: 0 }).what).toBe("none");
  });

  test("a frame before the config ends the stream", () => {
    const session = new Session(512, () => 0);
    expect(session.header(header(0))).toEqual({ message: "grid_update: expected a runtime_config first" });
    expect(session.binary(ZEROS)).toEqual({ message: "grid frame: expected a runtime_config first" });
  });

  test("so does one on a new connection, though the connection before had a config", () => {
    const { session } = open();
    bin(session, 0);
    session.connectionOpened();
    expect(session.configured).toBe(false);
    expect(session.header(header(1))).toEqual({ message: "grid_update: expected a runtime_config first" });
    expect(session.binary(ZEROS)).toEqual({ message: "grid frame: expected a runtime_config first" });
  });

  test("a config that cannot be read ends it too, and the one before stays", () => {
    const { session } = open();
    const before = session.config;
    expect(session.runtimeConfig(runtimeConfig({ symbol: 5 }))).toEqual({
      message: "runtime_config: symbol: expected a non-empty string, got 5",
    });
    expect(session.config).toBe(before);
  });
});

describe("a bin", () => {
  test("is stored with its time, its arrival and its numbers", () => {
    const { session, clock } = open();
    clock.ms = 5000;
    bin(session, 3, { spot: 100, score: 0.5 });
    expect(session.counters.bins).toBe(1);
    expect(session.lastBinMs).toBe(5000);
    expect(session.newest!.seq).toBe(3);
    expect(session.spot).toBe(100);
    expect(session.resumeFrom).toBe(4);
    // Bin 0 starts at 1770387900 s; bin 3 300 ms later.
    expect(session.originMs).toBe(1_770_387_900_000);
    expect(session.msOf(3)).toBe(1_770_387_900_300);
    expect(session.binAt(1_770_387_900_250)).toBe(2.5);
    expect(texts(session)).toEqual([]);
  });

  test("its start is kept to the microsecond", () => {
    const { session } = open();
    const fields = { bin_start_ns: "1770387900000250999", bin_end_ns: "1770387900100250999" };
    bin(session, 0, { fields });
    expect(session.originMs).toBe(1_770_387_900_000.25);
  });

  test("feeds each layer's scale with its own cells", () => {
    const { session } = open();
    // 99 of 100 cells at most are below 40: the cut-off is the upper edge of 40's bucket, 20 buckets a decade.
    for (let seq = 0; seq < 3; seq++) bin(session, seq, {}, grid({ bid_depth: { 3: 40 }, v_add: { 2: 7 } }));
    const edge = (size: number): number => 10 ** (Math.ceil(Math.log10(size) * 20) / 20);
    expect(session.scales.depth.cut).toBeCloseTo(edge(40), 9);
    expect(session.scales.flow.cut).toBeCloseTo(edge(7), 9);
    expect(session.scales.score.cut).toBe(1);
  });

  test("a band is made of a ready, enabled model and a sound book only", () => {
    const made = (options: Parameters<typeof header>[1], overrides: Fields = {}): number => {
      const { session } = open(overrides);
      for (let seq = 0; seq < 9; seq++) bin(session, seq, { spot: SPOT + (seq % 2), ready: false });
      bin(session, 9, { spot: SPOT, score: 0.5, ...options });
      return session.projection!.at(9).length;
    };
    expect(made({})).toBe(4);
    expect(made({ ready: false })).toBe(0);
    expect(made({ valid: false })).toBe(0);
    expect(made({ fields: { spot_ref_price_int: "0" } })).toBe(0);
    expect(made({}, model({ enabled: false }))).toBe(0);
  });

  test("no spot in the newest bin is no spot", () => {
    const { session } = open();
    bin(session, 0);
    bin(session, 1, { fields: { spot_ref_price_int: "0" } });
    expect(session.spot).toBeNull();
  });
});

describe("a gap", () => {
  test("is counted once, with its bins and what the server skipped, and told with its length", () => {
    const { session } = open();
    bin(session, 0);
    bin(session, 33, { fields: { dropped_bins: 30 } });
    expect(session.counters).toMatchObject({ bins: 2, gaps: 1, gapBins: 32, droppedByServer: 30 });
    expect(session.events.list).toMatchObject([
      { kind: "gap", text: "32 bins missing (3.2 s), 30 skipped by the server", seq: 1 },
    ]);
    expect(session.ring!.kind[session.ring!.slot(32)]).toBe(Kind.Gap);
  });

  test("of one bin is one, and more skipped than missing counts the missing only", () => {
    const { session } = open();
    bin(session, 0);
    bin(session, 2);
    bin(session, 5, { fields: { dropped_bins: 9 } });
    expect(session.counters).toMatchObject({ gaps: 2, gapBins: 3, droppedByServer: 2 });
    expect(texts(session)).toEqual([
      "gap: 1 bins missing (0.1 s)",
      "gap: 2 bins missing (0.2 s), 9 skipped by the server",
    ]);
  });
});

describe("a broken bin", () => {
  test("is counted, listed and holds its place", () => {
    const { session } = open();
    bin(session, 0);
    expect(session.header(header(1))).toBeNull();
    expect(session.binary(BROKEN)).toBeNull();
    bin(session, 2);
    expect(session.counters).toMatchObject({ bins: 2, rejects: 1, gaps: 0 });
    expect(session.events.list).toMatchObject([
      { kind: "reject", text: 'v_add: expected finite numbers, got "NaN at k=0"', seq: 1 },
    ]);
    expect(session.ring!.kind[session.ring!.slot(1)]).toBe(Kind.Reject);
  });

  test("after a hole is a gap and a reject", () => {
    const { session } = open();
    bin(session, 0);
    session.header(header(3));
    session.binary(BROKEN);
    expect(session.counters).toMatchObject({ rejects: 1, gaps: 1, gapBins: 2, droppedByServer: 0 });
    expect(texts(session)[1]).toBe("gap: 2 bins missing (0.2 s)");
    const { ring } = session;
    expect([1, 2, 3].map((seq) => ring!.kind[ring!.slot(seq)])).toEqual([Kind.Gap, Kind.Gap, Kind.Reject]);
  });

  test("without a place in time is listed and stored nowhere", () => {
    const { session } = open();
    bin(session, 5);
    session.header(header(5));
    expect(session.events.list).toMatchObject([{ text: "bin_seq: expected above 5, got 5", seq: null }]);
    expect(session.ring!.count).toBe(1);
  });

  test("the sixth in ten seconds ends the stream, in a header as in a grid", () => {
    for (const part of ["header", "grid"] as const) {
      const { session, clock } = open();
      bin(session, 0);
      const broken = (seq: number) => {
        if (part === "header") return session.header(header(0));
        session.header(header(seq));
        return session.binary(BROKEN);
      };
      for (let i = 1; i <= 5; i++) expect(broken(i)).toBeNull();
      clock.ms += 10_000; // the first five are ten seconds old: they still count
      const last =
        part === "header"
          ? "bin_seq: expected above 0, got 0"
          : 'v_add: expected finite numbers, got "NaN at k=0"';
      expect(broken(6)).toEqual({ message: `more than 5 broken bins in 10 s; the last: ${last}` });
      expect(session.counters.rejects).toBe(6);
    }
  });

  test("a new connection starts with a budget of its own", () => {
    const { session } = open();
    bin(session, 0);
    for (let i = 0; i < 5; i++) expect(session.header(header(0))).toBeNull();
    session.connectionOpened();
    session.runtimeConfig(runtimeConfig());
    expect(session.header(header(0))).toBeNull();
  });

  test("a schema that broke ends the stream at once", () => {
    const names = [...(runtimeConfig().grid_schema_fields as string[]), "x"];
    const { session } = open({ grid_schema_fields: names });
    session.header(header(0));
    const place = names.length;
    expect(session.binary(ZEROS)).toEqual({
      message: `grid schema: grid column ${place}: expected x, got nothing`,
    });
    expect(session.counters.rejects).toBe(1);
  });
});

describe("a broken connection that returns", () => {
  test("goes on after the newest bin, what was missed is a gap, and pause is forgotten", () => {
    const { session } = open();
    bins(session, 0, 9);
    session.paused = true;
    session.connectionOpened();
    expect(session.paused).toBe(false);
    expect(session.runtimeConfig(runtimeConfig())).toBeNull();
    bin(session, 15);
    expect(session.counters).toMatchObject({ bins: 11, gaps: 1, gapBins: 5 });
    expect(session.ring!.count).toBe(16);
    expect(session.notices).toEqual([]);
  });

  test("before any bin it has no place to go on from: the first bin is no gap", () => {
    const { session } = open();
    session.connectionOpened();
    session.runtimeConfig(runtimeConfig());
    bin(session, 700);
    expect(session.counters).toMatchObject({ bins: 1, gaps: 0 });
  });
});

describe("what the server acknowledges", () => {
  test("pause, resume, and the state beside them", () => {
    const { session } = open();
    session.acknowledged({ of: "pause" });
    expect(session.paused).toBe(true);
    session.acknowledged({ of: "speed", state: { speed: 4 } });
    expect([session.paused, session.speed]).toEqual([true, 4]);
    session.acknowledged({ of: "resume" });
    expect(session.paused).toBe(false);
    session.acknowledged({ of: "step", state: { paused: true, speed: 0 } });
    expect([session.paused, session.speed]).toEqual([true, 0]);
    session.acknowledged({ of: "resume", state: null });
    session.acknowledged({ of: "speed", state: { paused: "yes", speed: "9" } }); // no coercion
    session.acknowledged({ of: "speed", state: 5 });
    expect([session.paused, session.speed]).toEqual([false, 0]);
  });

  test("a seek: the jump clears what was kept and is told; without one it is refused", () => {
    const { session } = open(model({}));
    bins(session, 100, 110);
    session.runtimeConfig(runtimeConfig(model({ name: "ads" })));
    bin(session, 111, {}, grid({ bid_depth: { 0: 500 } }));
    expect(session.seams).toHaveLength(1);
    session.header(header(10));
    expect(session.binary(ZEROS)).toBeNull();
    expect(session.counters).toMatchObject({ epochs: 0, rejects: 1 });
    session.acknowledged({ of: "seek" });
    bin(session, 10);
    expect(session.counters).toMatchObject({ epochs: 1, rejects: 1, gaps: 0, bins: 13 });
    expect([session.ring!.first, session.ring!.last]).toEqual([10, 10]);
    expect(session.seams).toEqual([]);
    expect(session.raw.header(111)).toBeNull();
    expect(session.projection!.at(110)).toEqual([]);
    expect(session.scales.depth.cut).toBe(10); // as at first
    expect(texts(session).at(-1)).toBe("server: jumped to another time; history starts anew");
    expect(session.models).toEqual(["perm_derivative", "ads"]);
  });

  test("a broken bin right after the jump leaves nothing of the time before in the new one", () => {
    const { session } = open();
    bins(session, 100, 110);
    session.acknowledged({ of: "seek" });
    session.header(header(10));
    session.binary(BROKEN);
    bin(session, 11);
    expect(session.counters).toMatchObject({ epochs: 1, rejects: 1 });
    expect([session.ring!.first, session.ring!.last, session.ring!.slot(105)]).toEqual([11, 11, -1]);
  });

  test("a promotion that was due when the jump came stands at the bin after it", () => {
    const { session } = open(model({}));
    bins(session, 100, 110);
    session.runtimeConfig(runtimeConfig(model({ name: "ads" })));
    session.acknowledged({ of: "seek" });
    bins(session, 10, 11);
    expect(session.seams).toMatchObject([{ seq: 10, before: "perm_derivative", after: "ads" }]);
    expect(session.ring!.modelIndex[session.ring!.slot(10)]).toBe(1);
  });

  test("a seek to the bin that is next is no jump", () => {
    const { session } = open();
    bin(session, 0);
    session.acknowledged({ of: "seek" });
    bin(session, 1);
    expect(session.counters.epochs).toBe(0);
    expect(session.ring!.count).toBe(2);
  });
});
