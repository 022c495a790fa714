/** Section 10: every broken promise of the wire gives its message, and no exception. */

import { describe, expect, test } from "vitest";
import { checkConfig } from "../../src/wire/config.ts";
import { FrameSequence, RejectBudget, type Verdict } from "../../src/wire/sequence.ts";
import type { RuntimeConfig } from "../../src/wire/types.ts";
import { columns, encode, type Fields, grid, header, NO_PRICE, runtimeConfig } from "../support/frames.ts";

function config(overrides: Fields = {}): RuntimeConfig {
  const checked = checkConfig(runtimeConfig(overrides));
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

function play(sequence: FrameSequence, head: Fields, bytes: Uint8Array = grid()): Verdict | null {
  const rejects = sequence.header(head);
  const verdict = sequence.binary(bytes);
  return rejects[0] ?? verdict;
}

function why(verdict: Verdict | null): string {
  if (verdict?.kind !== "reject") throw new Error(`expected a reject, got ${JSON.stringify(verdict?.kind)}`);
  return `${verdict.why.field}: expected ${verdict.why.expected}, got ${verdict.why.got}`;
}

function altered(name: string, row: number, value: number): Uint8Array {
  const cells = columns();
  const column = cells.get(name)!;
  if (column instanceof BigInt64Array) column[row] = BigInt(value);
  else column[row] = value;
  return encode(cells);
}

function without(name: string): Uint8Array {
  const cells = columns();
  cells.delete(name);
  return encode(cells);
}

describe("a good bin", () => {
  test("passes with its numbers", () => {
    const verdict = play(
      new FrameSequence(config()),
      header(5, { score: 0.25 }),
      grid({ bid_depth: { [-3]: 12 } }),
    );
    if (verdict?.kind !== "bin") throw new Error("refused");
    expect(verdict.bin.header).toMatchObject({ seq: 5, spotTick: 86_400, bidTick: 86_399, askTick: 86_400 });
    expect(verdict.bin.header.model.score).toBe(0.25);
    expect(verdict.bin.grid.get("bid_depth")![47]).toBe(12);
    expect(verdict.missing).toBe(0);
  });

  test("prices of zero and below are prices; a missing one has a mark of its own", () => {
    const head = (fields: Fields): unknown => {
      const verdict = play(new FrameSequence(config()), header(5, { fields }));
      if (verdict?.kind !== "bin") throw new Error(why(verdict));
      return verdict.bin.header;
    };
    const zero = {
      best_bid_price_int: "-250000000",
      best_ask_price_int: "0",
      spot_ref_price_int: "0",
      mid_price: -0.125,
    };
    expect(head(zero)).toMatchObject({ bidTick: -1, askTick: 0, spotTick: 0, midPrice: -0.125 });
    const oneSided = {
      best_bid_price_int: NO_PRICE,
      best_ask_price_int: "-500000000",
      spot_ref_price_int: NO_PRICE,
      mid_price: null,
    };
    expect(head(oneSided)).toMatchObject({ bidTick: null, askTick: -2, spotTick: null, midPrice: null });
  });

  test("the first bin of a connection may have any number; a hole after it is a gap", () => {
    const sequence = new FrameSequence(config());
    expect(play(sequence, header(900))).toMatchObject({ kind: "bin", missing: 0 });
    expect(play(sequence, header(933))).toMatchObject({ kind: "bin", missing: 32 });
  });

  test("goes on after the newest bin held when a broken stream is resumed", () => {
    const sequence = new FrameSequence(config(), 49);
    expect(play(sequence, header(58))).toMatchObject({ kind: "bin", missing: 8 });
  });

  test("an unknown extra header field is ignored", () => {
    expect(play(new FrameSequence(config()), header(0, { fields: { brand_new: 1 } }))).toMatchObject({
      kind: "bin",
    });
  });

  test("an unknown extra column is carried past when the config announces it", () => {
    const cells = columns();
    cells.set("brand_new", new Float64Array(101));
    const sequence = new FrameSequence(config({ grid_schema_fields: [...cells.keys()] }));
    const verdict = play(sequence, header(0), encode(cells));
    if (verdict?.kind !== "bin") throw new Error("refused");
    expect(verdict.bin.grid.has("brand_new")).toBe(false);
  });
});

describe("a broken header", () => {
  const cases: readonly (readonly [string, Fields, RegExp])[] = [
    [
      "a number as text",
      { runtime_model_score: "0.5" },
      /^runtime_model_score: expected a finite number, got "0.5"/,
    ],
    [
      "a 64-bit number as a number",
      { bin_start_ns: 5 },
      /^bin_start_ns: expected a 64-bit integer as a decimal string/,
    ],
    ["a truth value as a number", { book_valid: 1 }, /^book_valid: expected true or false, got 1/],
    ["a fractional bin_seq", { bin_seq: 1.5 }, /^bin_seq: expected an integer >= 0, got 1.5/],
    [
      "another width",
      { bin_end_ns: header(1).bin_end_ns },
      /^bin_end_ns - bin_start_ns: expected one cell width/,
    ],
    [
      "a spot off the tick",
      { spot_ref_price_int: "21600000000001" },
      /^spot_ref_price_int: expected a whole tick/,
    ],
    [
      "a crossed book that claims to be valid",
      { best_bid_price_int: header(0, { spot: 90_000 }).best_ask_price_int },
      /^best_bid_price_int: expected below best_ask_price_int/,
    ],
    [
      "no readiness",
      { runtime_model_ready: undefined },
      /^runtime_model_ready: expected true or false, got nothing/,
    ],
  ];
  test.each(cases)("%s", (_, fields, message) => {
    expect(why(play(new FrameSequence(config()), header(0, { fields })))).toMatch(message);
  });

  test("its grid is skipped with it, and the next bin is good", () => {
    const sequence = new FrameSequence(config());
    play(sequence, header(0));
    expect(sequence.header(header(1, { fields: { book_valid: "yes" } }))).toHaveLength(1);
    expect(sequence.binary(grid())).toBeNull();
    expect(play(sequence, header(2))).toMatchObject({ kind: "bin", missing: 0 });
  });
});

describe("a broken grid", () => {
  const cases: readonly (readonly [string, () => Uint8Array, RegExp, boolean])[] = [
    [
      "not Arrow",
      () => new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9]),
      /^grid (frame|column 1): expected/,
      false,
    ],
    ["a lost column", () => without("v_add"), /^grid column \d+: expected v_add, got "a_add"|v_pull/, true],
    ["100 rows", () => encode(columns({}, 49)), /^rows: expected 2R\+1 = 101, got 99/, false],
    ["k in disorder", () => altered("k", 3, 7), /^k: expected -47 in row 3, got 7/, false],
    [
      "NaN",
      () => altered("pressure_variant", 50, Number.NaN),
      /^pressure_variant: expected finite numbers, got "NaN at k=0"/,
      false,
    ],
    [
      "an unknown state",
      () => altered("perm_state5_code", 10, 3),
      /^perm_state5_code: expected -2..2, got 3/,
      false,
    ],
    [
      "an event of the future",
      () => altered("last_event_id", 0, 99),
      /^last_event_id: expected at most .* 10, got "99"/,
      false,
    ],
  ];
  test.each(cases)("%s", (_, bytes, message, fatal) => {
    const verdict = play(new FrameSequence(config()), header(0), bytes());
    expect(why(verdict)).toMatch(message);
    expect(verdict).toMatchObject({ fatal });
  });

  test("another type under a known name cannot be read on", () => {
    const cells = columns();
    cells.set("bid_depth", new Int32Array(101));
    const verdict = play(new FrameSequence(config()), header(0), encode(cells));
    expect(why(verdict)).toMatch(/^type of bid_depth: expected f8, got "i4"/);
    expect(verdict).toMatchObject({ fatal: true });
  });

  test("the schema is compared by its bytes after the first frame: a change is found", () => {
    const sequence = new FrameSequence(config());
    expect(play(sequence, header(0))).toMatchObject({ kind: "bin" });
    expect(play(sequence, header(1))).toMatchObject({ kind: "bin" });
    expect(play(sequence, header(2), without("k"))).toMatchObject({ kind: "reject", fatal: true });
  });

  test("its place in time is kept, so that the next bin is no gap", () => {
    const sequence = new FrameSequence(config());
    play(sequence, header(0));
    expect(play(sequence, header(1), altered("k", 0, 0))).toMatchObject({ kind: "reject", seq: 1 });
    expect(play(sequence, header(2))).toMatchObject({ kind: "bin", missing: 0 });
  });
});

describe("order", () => {
  test("a second header in place of a grid refuses the first bin only", () => {
    const sequence = new FrameSequence(config());
    play(sequence, header(0));
    expect(sequence.header(header(1))).toEqual([]);
    const [reject] = sequence.header(header(2));
    expect(why(reject!)).toMatch(/^frame order: expected the grid that belongs to the header/);
    expect(sequence.binary(grid())).toMatchObject({ kind: "bin", missing: 0 });
  });

  test("a grid without a header", () => {
    expect(why(new FrameSequence(config()).binary(grid()))).toMatch(
      /^frame order: expected a header before each grid/,
    );
  });

  test("bin_seq back is refused, after an acknowledged seek it is a new epoch", () => {
    const sequence = new FrameSequence(config());
    play(sequence, header(100));
    expect(why(play(sequence, header(100)))).toMatch(/^bin_seq: expected above 100, got 100/);
    sequence.expectNewEpoch();
    expect(play(sequence, header(10))).toMatchObject({ kind: "bin", newEpoch: true, missing: 0 });
    expect(play(sequence, header(11))).toMatchObject({ kind: "bin", newEpoch: false });
    expect(why(play(sequence, header(5)))).toMatch(/^bin_seq/);
  });
});

describe("where a refused bin stands", () => {
  const BAD = altered("k", 0, 0);
  const broken = (seq: number): Fields => header(seq, { fields: { book_valid: 1 } });

  test("a broken grid has its header's number, and what came not before it is missing", () => {
    const sequence = new FrameSequence(config(), 4);
    expect(play(sequence, header(8), BAD)).toMatchObject({ seq: 8, missing: 3, fatal: false });
    expect(play(sequence, header(9))).toMatchObject({ kind: "bin", missing: 0 });
  });

  test("a broken header has its number only if that is the next in line", () => {
    const sequence = new FrameSequence(config(), 4);
    expect(sequence.header(broken(6))).toMatchObject([{ seq: null, missing: 0 }]);
    expect(sequence.header(broken(4))).toMatchObject([{ seq: null, missing: 0 }]);
    expect(sequence.header(broken(5))).toMatchObject([{ seq: 5, missing: 0 }]);
    expect(play(sequence, header(6))).toMatchObject({ kind: "bin", missing: 0 });
    expect(new FrameSequence(config()).header(broken(0))).toMatchObject([{ seq: null, missing: 0 }]);
    expect(new FrameSequence(config()).header(broken(1))).toMatchObject([{ seq: null, missing: 0 }]); // no bin yet: no line
  });

  test("a header without its grid has its number", () => {
    const sequence = new FrameSequence(config(), 4);
    expect(sequence.header(header(7))).toEqual([]);
    expect(sequence.header(header(8))).toMatchObject([
      { why: { field: "frame order", got: '"a second header"' }, seq: 7, missing: 2 },
    ]);
    expect(sequence.binary(grid())).toMatchObject({ kind: "bin", missing: 0 });
  });

  test("a header without its grid and a broken one after it are two", () => {
    const sequence = new FrameSequence(config(), 4);
    sequence.header(header(5));
    expect(sequence.header(broken(6))).toMatchObject([
      { seq: 5, why: { field: "frame order" } },
      { seq: 6, why: { field: "book_valid" } },
    ]);
  });

  test("a good header after a refused one is no second header", () => {
    const sequence = new FrameSequence(config(), 4);
    sequence.header(broken(5));
    expect(sequence.header(header(6))).toEqual([]);
    expect(sequence.binary(grid())).toMatchObject({ kind: "bin", missing: 0 });
  });

  test("a number that goes back has no place, and its grid is skipped with it", () => {
    const sequence = new FrameSequence(config(), 4);
    expect(sequence.header(header(3))).toMatchObject([{ seq: null, missing: 0, why: { field: "bin_seq" } }]);
    expect(sequence.binary(grid())).toBeNull();
    expect(sequence.binary(grid())).toMatchObject({
      kind: "reject",
      seq: null,
      why: { field: "frame order" },
    });
    expect(play(sequence, header(5))).toMatchObject({ kind: "bin", missing: 0 });
  });
});

describe("an epoch", () => {
  test("may begin further on, which is no gap", () => {
    const sequence = new FrameSequence(config(), 100);
    sequence.expectNewEpoch();
    expect(play(sequence, header(500))).toMatchObject({ kind: "bin", newEpoch: true, missing: 0 });
    expect(play(sequence, header(503))).toMatchObject({ kind: "bin", newEpoch: false, missing: 2 });
  });

  test("does not begin with the next bin in line, nor before the first", () => {
    for (const [last, seq] of [
      [100, 101],
      [null, 7],
    ] as const) {
      const sequence = new FrameSequence(config(), last);
      sequence.expectNewEpoch();
      expect(play(sequence, header(seq))).toMatchObject({ kind: "bin", newEpoch: false, missing: 0 });
      expect(why(play(sequence, header(seq)))).toMatch(/^bin_seq: expected above/); // it may turn once
    }
  });

  test.each([
    ["a grid", (s: FrameSequence) => play(s, header(10), altered("k", 0, 0))],
    ["a header", (s: FrameSequence) => play(s, header(10, { fields: { book_valid: 1 } }))],
  ])(
    "is opened by a good bin: what broke before it, %s, has no place in the time that was left",
    (_, broken) => {
      const sequence = new FrameSequence(config(), 100);
      sequence.expectNewEpoch();
      expect(broken(sequence)).toMatchObject({ kind: "reject", seq: null, missing: 0 });
      expect(play(sequence, header(11))).toMatchObject({ kind: "bin", newEpoch: true, missing: 0 });
    },
  );

  test("is opened by the second of two headers as well, the first has no place", () => {
    const sequence = new FrameSequence(config(), 100);
    sequence.expectNewEpoch();
    sequence.header(header(9));
    expect(sequence.header(header(10))).toMatchObject([{ seq: null, missing: 0 }]);
    expect(sequence.binary(grid())).toMatchObject({ kind: "bin", newEpoch: true, missing: 0 });
  });
});

describe("a config in mid-stream", () => {
  test("judges the headers after it", () => {
    const sequence = new FrameSequence(config());
    play(sequence, header(0));
    sequence.reconfigure(config({ cell_width_ms: 200, projection_horizons_ms: [200, 400, 600, 800] }));
    expect(why(play(sequence, header(1)))).toMatch(
      /^bin_end_ns - bin_start_ns: expected one cell width = 200000000 ns/,
    );
  });

  test("with other columns or rows judges the grids after it", () => {
    const sequence = new FrameSequence(config());
    play(sequence, header(0));
    const names = [...columns().keys()].filter((name) => name !== "a_add");
    sequence.reconfigure(config({ grid_schema_fields: names }));
    expect(play(sequence, header(1), without("a_add"))).toMatchObject({ kind: "bin" });
    sequence.reconfigure(config({ grid_schema_fields: names, grid_radius_ticks: 49 }));
    const small = columns({}, 49);
    small.delete("a_add");
    expect(play(sequence, header(2), encode(small))).toMatchObject({ kind: "bin" });
  });

  test("with the same columns and rows knows the schema still", () => {
    const sequence = new FrameSequence(config());
    play(sequence, header(0));
    sequence.reconfigure(config({ price_decimals: 3 }));
    expect(play(sequence, header(1))).toMatchObject({ kind: "bin" });
    expect(play(sequence, header(2), without("k"))).toMatchObject({ kind: "reject", fatal: true });
  });
});

describe("the budget of rejects", () => {
  test("the sixth within ten seconds is one too many", () => {
    const budget = new RejectBudget();
    for (const t of [0, 1000, 2000, 3000, 4000]) expect(budget.spend(t)).toBe(false);
    expect(budget.spend(9999)).toBe(true);
  });

  test("ten seconds ago still counts, a millisecond more does not", () => {
    for (const [last, spent] of [
      [10_000, true],
      [10_001, false],
    ] as const) {
      const budget = new RejectBudget();
      for (const t of [0, 1, 1, 1, 1]) budget.spend(t);
      expect(budget.spend(last)).toBe(spent);
    }
  });

  test("of another size and time", () => {
    const budget = new RejectBudget(1, 100);
    expect([0, 101, 201, 202].map((t) => budget.spend(t))).toEqual([false, false, true, true]);
  });

  test("spread over a longer time they are forgiven", () => {
    const budget = new RejectBudget();
    for (let t = 0; t < 60_000; t += 2100) expect(budget.spend(t)).toBe(false);
  });
});
