/** The small keepers of the store: raw frames, cells, events, timings, windows. Numbers worked out by hand. */

import { describe, expect, test } from "vitest";
import { cellAt } from "../../src/store/cell.ts";
import { EventLog } from "../../src/store/events.ts";
import { RAW_BINS, RawStore } from "../../src/store/raw.ts";
import { Session } from "../../src/store/session.ts";
import { Timing } from "../../src/store/timing.ts";
import { IntegerSd, SortedWindow, wilson } from "../../src/store/window.ts";
import type { Bin } from "../../src/wire/types.ts";
import { type Fields, GRID_NAMES, grid, header, runtimeConfig, SPOT } from "../support/frames.ts";

const ZEROS = grid();

describe("raw frames", () => {
  const bin = (seq: number, bytes = ZEROS): Bin =>
    ({ header: { seq, eventId: 10 * seq }, grid: new Map(), bytes }) as unknown as Bin;

  test("the newest 600 bins are kept, each under its own number", () => {
    const raw = new RawStore();
    for (let seq = 0; seq <= RAW_BINS; seq++) raw.store(bin(seq));
    expect([raw.header(0), raw.columns(0)]).toEqual([null, null]); // bin 600 has its place
    expect(raw.header(1)!.seq).toBe(1);
    expect(raw.header(600)!.seq).toBe(600);
    expect([raw.header(601), raw.columns(601)]).toEqual([null, null]);
    expect([raw.header(-1), raw.columns(-1)]).toEqual([null, null]);
  });

  test("bin 0 is a bin", () => {
    const raw = new RawStore();
    raw.store(bin(0));
    expect(raw.header(0)!.seq).toBe(0);
    expect([...raw.columns(0)!.keys()]).toEqual(GRID_NAMES);
  });

  test("each bin has its own columns, decoded once while it is looked at", () => {
    const raw = new RawStore();
    raw.store(bin(5, grid({ v_add: { 0: 5 } })));
    raw.store(bin(6, grid({ v_add: { 0: 6 } })));
    const five = raw.columns(5)!;
    expect(five.get("v_add")![50]).toBe(5);
    expect(raw.columns(5)).toBe(five);
    expect(raw.columns(6)!.get("v_add")![50]).toBe(6);
    expect(raw.columns(5)!.get("v_add")![50]).toBe(5);
  });

  test("after a clearing nothing is left, and a bin of the same number is read anew", () => {
    const raw = new RawStore();
    raw.store(bin(5, grid({ v_add: { 0: 5 } })));
    raw.columns(5);
    raw.clear();
    expect([raw.header(5), raw.columns(5)]).toEqual([null, null]);
    raw.store(bin(5, grid({ v_add: { 0: 7 } })));
    expect(raw.columns(5)!.get("v_add")![50]).toBe(7);
  });
});

describe("a cell", () => {
  const CELLS = {
    spectrum_score: { 3: 0.5 },
    pressure_variant: { 3: 1.5 },
    vacuum_variant: { 3: 2.5 },
    bid_depth: { 3: 3.5 },
    ask_depth: { 3: 4.5 },
    v_add: { 3: 5.5 },
    v_pull: { 3: 6.5 },
    v_fill: { 3: 7.5 },
    perm_state5_code: { 3: -2 },
    last_event_id: { 3: 4 },
  };

  /** Bin 0 with numbers at k = 3, bin 1 lost, bin 2 broken, bin 3 without a spot, bin 4 at another price. */
  function session(): Session {
    const s = new Session(512, () => 0);
    s.runtimeConfig(runtimeConfig());
    const play = (seq: number, bytes: Uint8Array, fields: Fields = {}, spot = SPOT): void => {
      s.header(header(seq, { spot, fields }));
      s.binary(bytes);
    };
    play(0, grid(CELLS));
    play(2, grid({ v_add: { 0: Number.NaN } }));
    play(3, ZEROS, { spot_ref_price_int: "0" });
    play(4, grid({ v_add: { [-50]: 9 }, perm_state5_code: { [-50]: 1 } }), {}, 900);
    return s;
  }

  test("is every number as sent while its frame is kept", () => {
    const cell = cellAt(session(), { seq: 0, tick: SPOT + 3 });
    expect(cell).toMatchObject({
      seq: 0,
      tick: SPOT + 3,
      k: 3,
      what: "bin",
      exact: true,
      state5: -2,
      age: 6,
    }); // 10 - 4
    expect([...cell.columns.keys()]).toEqual(GRID_NAMES);
    expect(cell.columns.get("k")).toBe(3);
    expect(cell.columns.get("v_pull")).toBe(6.5);
    expect(cell.columns.get("last_event_id")).toBe(4n);
    expect(cellAt(session(), { seq: 4, tick: 850 })).toMatchObject({ k: -50, exact: true, state5: 1 });
  });

  test("that no event touched has no age", () => {
    expect(cellAt(session(), { seq: 0, tick: SPOT + 2 })).toMatchObject({
      what: "bin",
      state5: 0,
      age: null,
    });
  });

  test("is the stored layers after that", () => {
    const s = session();
    s.raw.clear();
    const cell = cellAt(s, { seq: 0, tick: SPOT + 3 });
    expect(cell).toMatchObject({
      seq: 0,
      tick: SPOT + 3,
      k: 3,
      what: "bin",
      exact: false,
      state5: -2,
      age: null,
    });
    expect(Object.fromEntries(cell.columns)).toEqual({
      spectrum_score: 0.5,
      pressure_variant: 1.5,
      vacuum_variant: 2.5,
      bid_depth: 3.5,
      ask_depth: 4.5,
      v_add: 5.5,
      v_pull: 6.5,
      v_fill: 7.5,
    });
    const other = cellAt(s, { seq: 4, tick: 850 });
    expect([other.k, other.exact, other.columns.get("v_add"), other.state5]).toEqual([-50, false, 9, 1]);
  });

  test.each([
    ["the lowest row", -50, "bin"],
    ["the highest row", 50, "bin"],
    ["a tick below the rows", -51, "outside"],
    ["a tick above the rows", 51, "outside"],
  ])("%s", (_, k, what) => {
    expect(cellAt(session(), { seq: 0, tick: SPOT + k })).toMatchObject({ k, what });
  });

  test.each([
    ["of a bin that never came", 1, "gap"],
    ["of a bin that came broken", 2, "reject"],
    ["of a bin without a spot", 3, "none"],
    ["of a bin to come", 5, "none"],
    ["before the first bin", -1, "none"],
  ])("%s says so and holds no number", (_, seq, what) => {
    expect(cellAt(session(), { seq, tick: SPOT })).toEqual({
      seq,
      tick: SPOT,
      k: null,
      what,
      exact: false,
      columns: new Map(),
      state5: null,
      age: null,
    });
  });
});

describe("events", () => {
  test("are kept with their time, newest last, and no more than the limit", () => {
    let now = 100;
    const log = new EventLog(2, () => now);
    log.add("gap", "a", 7);
    now = 200;
    log.add("model", "b");
    expect(log.list).toEqual([
      { atMs: 100, kind: "gap", text: "a", seq: 7 },
      { atMs: 200, kind: "model", text: "b", seq: null },
    ]);
    log.add("grid", "c");
    expect(log.list.map((event) => event.text)).toEqual(["b", "c"]);
    expect(log.version).toBe(3);
  });

  test("are 500 unless said otherwise", () => {
    const log = new EventLog();
    for (let i = 0; i < 501; i++) log.add("server", String(i));
    expect([log.list.length, log.list[0]!.text, log.version]).toEqual([500, "1", 501]);
  });
});

describe("timings", () => {
  test("percentiles are durations that were measured", () => {
    const timing = new Timing();
    expect(timing.percentile(0.5)).toBeNaN();
    for (const ms of [5, 1, 4, 2, 30]) timing.push(ms);
    expect(timing.count).toBe(5);
    // Sorted 1 2 4 5 30: place floor(5 p), the last at most.
    expect([0, 0.19, 0.2, 0.5, 0.99, 1].map((p) => timing.percentile(p))).toEqual([1, 1, 2, 4, 30, 30]);
  });

  test("only the newest count when it is full", () => {
    const timing = new Timing(3);
    for (const ms of [100, 100, 1, 2, 3]) timing.push(ms);
    expect([timing.count, timing.percentile(0), timing.percentile(1)]).toEqual([3, 1, 3]);
  });

  test("600 are kept unless said otherwise", () => {
    const timing = new Timing();
    for (let i = 0; i < 601; i++) timing.push(i);
    expect([timing.count, timing.percentile(0), timing.percentile(1)]).toEqual([600, 1, 600]);
  });
});

describe("windows", () => {
  test("quantiles lie between the nearest ranks; one value is every quantile; none is none", () => {
    const window = new SortedWindow(4);
    expect(window.quantile(0.5)).toBeNaN();
    window.push(7);
    expect([0, 0.8, 1].map((q) => window.quantile(q))).toEqual([7, 7, 7]);
    for (const value of [1, 5, 3]) window.push(value);
    // 1 3 5 7: place 3 q.
    expect([0, 0.25, 0.5, 1].map((q) => window.quantile(q))).toEqual([1, 2.5, 4, 7]);
  });

  test("the oldest leaves, one of a tie only", () => {
    const window = new SortedWindow(3);
    for (const value of [2, 2, 9, 1]) window.push(value); // the first 2 left
    expect([window.count, window.quantile(0), window.quantile(0.5), window.quantile(1)]).toEqual([
      3, 1, 2, 9,
    ]);
    window.push(4); // and the second
    expect([window.quantile(0), window.quantile(0.5), window.quantile(1)]).toEqual([1, 4, 9]);
    window.push(5); // then the 9
    expect([window.quantile(0), window.quantile(0.5), window.quantile(1)]).toEqual([1, 4, 5]);
  });

  test("the deviation of two values is half their distance, of one there is none, of equal ones it is 0", () => {
    const sd = new IntegerSd(2);
    expect(sd.sd).toBeNaN();
    sd.push(3);
    expect(sd.sd).toBeNaN();
    sd.push(7);
    expect(sd.sd).toBe(2);
    sd.push(-3); // 7 and -3
    expect([sd.count, sd.sd]).toEqual([2, 5]);
    sd.push(-3);
    expect(sd.sd).toBe(0);
  });

  test("the deviation of equal values is 0, never a root of less", () => {
    const sd = new IntegerSd(3);
    for (let i = 0; i < 3; i++) sd.push(94_906_267); // the square needs 54 bits: sums round
    expect(sd.sd).toBe(0);
  });

  test("Wilson's interval stays within 0 and 1", () => {
    // n = 4, z² = 3.8415: k = 0 gives 0 to z²/(n + z²) = 0.4899, k = n its mirror image.
    const [none, all] = [wilson(0, 4), wilson(4, 4)];
    expect(none[0]).toBe(0);
    expect(none[1]).toBeCloseTo(0.4899, 4);
    expect(all[0]).toBeCloseTo(0.5101, 4);
    expect(all[1]).toBe(1);
    // Half of 4: centre 0.5, half = z sqrt(1/16 + z²/64) / (1 + z²/4) = 1.95996 * 0.350014 / 1.960365
    expect(wilson(2, 4)[0]).toBeCloseTo(0.15004, 4);
    expect(wilson(2, 4)[1]).toBeCloseTo(0.84996, 4);
  });
});
