/** The Arrow frame of one bin: names, order, types, rows and values, each refusal in its words. */

import { Bool, makeVector, Table, tableToIPC, Utf8, vectorFromArray } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { decodeArrow, schemaBytes } from "../../src/wire/arrow.ts";
import { checkConfig } from "../../src/wire/config.ts";
import { GridChecker } from "../../src/wire/grid.ts";
import { checkHeader } from "../../src/wire/header.ts";
import type { BinHeader, RuntimeConfig } from "../../src/wire/types.ts";
import { columns, encode, type Fields, GRID_NAMES, grid, header, runtimeConfig } from "../support/frames.ts";

type Cells = ReturnType<typeof columns>;

function configOf(overrides: Fields = {}): RuntimeConfig {
  const checked = checkConfig(runtimeConfig(overrides));
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

/** Header of bin 0: `event_id` is 10. */
function head(): BinHeader {
  const checked = checkHeader(header(0), configOf());
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

function refusal(checker: GridChecker, bytes: Uint8Array): string {
  const checked = checker.check(bytes, head());
  if (checked.ok) throw new Error("accepted");
  return `${checked.why.field}: ${checked.why.expected}, not ${checked.why.got}`;
}

/** The same columns in another order. */
function ordered(cells: Cells, names: readonly string[]): Cells {
  return new Map(names.map((name) => [name, cells.get(name)!]));
}

function swapped(a: string, b: string): string[] {
  return GRID_NAMES.map((name) => (name === a ? b : name === b ? a : name));
}

function table(
  vectors: Readonly<Record<string, ReturnType<typeof makeVector> | ReturnType<typeof vectorFromArray>>>,
) {
  return tableToIPC(new Table(vectors as never), "stream");
}

describe("names and order of the columns", () => {
  const SWAPS = [
    ["v_add", "v_pull"], // neighbours of one type
    ["bid_depth", "ask_depth"],
    ["k", "traded_sell"], // the first and the last
  ] as const;

  test.each(SWAPS)("%s and %s in each other's place are refused, from the first frame on", (a, b) => {
    const checker = new GridChecker(configOf());
    const first = GRID_NAMES.indexOf(a);
    const frame = encode(ordered(columns(), swapped(a, b)));
    expect(refusal(checker, frame)).toBe(`grid column ${first + 1}: ${a}, not "${b}"`);
    expect(checker.schemaBroken).toBe(true);
  });

  test.each(SWAPS)("%s and %s changing places in mid-stream are refused", (a, b) => {
    const checker = new GridChecker(configOf());
    expect(checker.check(grid(), head()).ok).toBe(true);
    expect(refusal(checker, encode(ordered(columns(), swapped(a, b))))).toMatch(/^grid column/);
    expect(checker.schemaBroken).toBe(true);
  });

  test("any order passes that the config announces, and each name keeps its own numbers", () => {
    const names = [...GRID_NAMES].reverse();
    const checker = new GridChecker(configOf({ grid_schema_fields: names }));
    const cells = columns({ v_add: { 0: 1 }, v_pull: { 0: 2 }, bid_depth: { 0: 3 }, ask_depth: { 0: 4 } });
    const checked = checker.check(encode(ordered(cells, names)), head());
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    expect(["v_add", "v_pull", "bid_depth", "ask_depth"].map((n) => checked.value.get(n)![50])).toEqual([
      1, 2, 3, 4,
    ]);
  });

  test("a column that nobody announced is refused at the end and in between", () => {
    const cells = columns();
    cells.set("brand_new", new Float64Array(101));
    expect(refusal(new GridChecker(configOf()), encode(cells))).toBe(
      `grid column ${GRID_NAMES.length + 1}: no further column, not "brand_new"`,
    );
    const between = ["k", "brand_new", ...GRID_NAMES.slice(1)];
    expect(refusal(new GridChecker(configOf()), encode(ordered(cells, between)))).toBe(
      `grid column 2: ${GRID_NAMES[1]}, not "brand_new"`,
    );
  });

  test("the last column missing is named", () => {
    const cells = columns();
    cells.delete("traded_sell");
    expect(refusal(new GridChecker(configOf()), encode(cells))).toBe(
      `grid column ${GRID_NAMES.length}: traded_sell, not nothing`,
    );
  });

  test("an announced column of an unknown name is no part of the grid, also when objects have one of that name", () => {
    const names = [...GRID_NAMES, "brand_new", "constructor"];
    const cells = columns();
    cells.set("brand_new", new Float64Array(101).fill(Number.NaN)); // not used, so not judged
    cells.set("constructor", new Float64Array(101));
    const checked = new GridChecker(configOf({ grid_schema_fields: names })).check(encode(cells), head());
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    expect([...checked.value.keys()]).toEqual(GRID_NAMES);
  });

  test("a good frame after a refused one is judged anew", () => {
    const checker = new GridChecker(configOf());
    expect(checker.check(encode(ordered(columns(), swapped("v_add", "v_pull"))), head()).ok).toBe(false);
    expect(checker.check(grid(), head()).ok).toBe(true);
  });

  test("a frame whose schema is as long as the known one, and another, is not taken for it", () => {
    const checker = new GridChecker(configOf());
    expect(checker.check(grid(), head()).ok).toBe(true);
    const renamed = new Map(
      [...columns()].map(([name, values]) => [name === "v_add" ? "v_ade" : name, values]),
    );
    const bytes = encode(renamed);
    expect(schemaBytes(bytes)).toBe(schemaBytes(grid()));
    expect(refusal(checker, bytes)).toMatch(/: v_add, not "v_ade"$/);
  });
});

describe("types", () => {
  test.each([
    ["bid_depth", new Float32Array(101), "f8", "f4"],
    ["k", new BigInt64Array(101), "i4", "i8"],
    ["perm_state5_code", new Uint8Array(101), "i1", "u1"],
    ["last_event_id", new BigUint64Array(101), "i8", "u8"],
    ["best_ask_move_ticks", new Int16Array(101), "i4", "i2"],
  ])("%s of another type is refused, for good", (name, values, wanted, got) => {
    const checker = new GridChecker(configOf());
    const cells = columns();
    cells.set(name, values as unknown as Float64Array);
    expect(refusal(checker, encode(cells))).toBe(`type of ${name}: ${wanted}, not "${got}"`);
    expect(checker.schemaBroken).toBe(true);
  });
});

describe("rows and values", () => {
  const one = (name: string, k: number, value: number): Uint8Array => grid({ [name]: { [k]: value } });

  test.each([
    ["one row less", encode(columns({}, 49)), "rows: 2R+1 = 101, not 99"],
    ["two rows more", encode(columns({}, 51)), "rows: 2R+1 = 101, not 103"],
    [
      "no row",
      encode(new Map([...columns()].map(([n, v]) => [n, v.slice(0, 0)]))),
      "rows: 2R+1 = 101, not 0",
    ],
    ["k off in the first row", one("k", -50, -49), "k: -50 in row 0, not -49"],
    ["k off in the last row", one("k", 50, 49), "k: 50 in row 100, not 49"],
    [
      "infinite in the first row",
      one("v_add", -50, Infinity),
      'v_add: finite numbers, not "Infinity at k=-50"',
    ],
    ["not a number in the last row", one("v_add", 50, NaN), 'v_add: finite numbers, not "NaN at k=50"'],
    ["state code above", one("spectrum_state_code", 50, 2), "spectrum_state_code: -1..1, not 2"],
    ["state code below", one("spectrum_state_code", -50, -2), "spectrum_state_code: -1..1, not -2"],
    ["five-state code above", one("perm_state5_code", 50, 3), "perm_state5_code: -2..2, not 3"],
    ["five-state code below", one("perm_state5_code", -50, -3), "perm_state5_code: -2..2, not -3"],
    [
      "an event id to come",
      one("last_event_id", 50, 11),
      'last_event_id: at most the header\'s event_id 10, not "11"',
    ],
  ])("%s is refused, and only this bin", (_, bytes, message) => {
    const checker = new GridChecker(configOf());
    expect(refusal(checker, bytes)).toBe(message);
    expect(checker.schemaBroken).toBe(false);
  });

  test("codes and event ids pass on their bounds, and codes without a range whatever they are", () => {
    const cells = {
      spectrum_state_code: { [-50]: -1, 50: 1 },
      perm_state5_code: { [-50]: -2, 50: 2 },
      last_event_id: { 0: 10 }, // the header's own
      perm_microstate_id: { 0: 127, 1: -128 },
      best_ask_move_ticks: { 0: 2 ** 31 - 1 },
      v_add: { 0: Number.MAX_VALUE },
    };
    expect(new GridChecker(configOf()).check(grid(cells), head()).ok).toBe(true);
  });

  test("a null is refused and counted, in a column that is not used as well", () => {
    const names = [...GRID_NAMES, "brand_new"];
    for (const name of ["v_add", "brand_new"]) {
      const vectors = Object.fromEntries(
        [...columns()].map(([n, values]) => [n, makeVector(values as Float64Array)] as const),
      ) as Record<string, unknown>;
      vectors.brand_new = makeVector(new Float64Array(101));
      vectors[name] = vectorFromArray(Array.from({ length: 101 }, (_, i) => (i > 98 ? null : 0.5)));
      const checker = new GridChecker(configOf({ grid_schema_fields: names }));
      expect(refusal(checker, table(vectors as never))).toBe(`${name}: no nulls, not "2 nulls"`);
    }
  });

  test("two record batches are not one, though their rows add up", () => {
    const whole = new Table(
      Object.fromEntries([...columns()].map(([n, values]) => [n, makeVector(values as Float64Array)])),
    );
    const [batch] = whole.batches;
    const bytes = tableToIPC(new Table([batch!.slice(0, 60), batch!.slice(60)]), "stream");
    expect(decodeArrow(bytes).rows).toBe(101);
    expect(refusal(new GridChecker(configOf()), bytes)).toBe("k: 101 values in one record batch, not 60");
  });

  test("bytes that are no Arrow stream are refused with the reader's words", () => {
    expect(refusal(new GridChecker(configOf()), new Uint8Array(64).fill(7))).toMatch(
      /^grid frame: one Arrow IPC stream, not ".+"$/,
    );
  });
});

describe("decoding", () => {
  test("types are told by their codes, others by Arrow's number", () => {
    const bytes = table({
      a: makeVector(new Int8Array(2)),
      b: makeVector(new Uint16Array(2)),
      c: makeVector(new Int32Array(2)),
      d: makeVector(new BigInt64Array(2)),
      e: makeVector(new Float32Array(2)),
      f: makeVector(new Float64Array(2)),
      g: vectorFromArray(["x", "y"], new Utf8()),
      h: vectorFromArray([true, false], new Bool()),
    });
    const { rows, columns: found } = decodeArrow(bytes);
    expect(rows).toBe(2);
    expect(found.map(({ name, type }) => [name, type])).toEqual([
      ["a", "i1"],
      ["b", "u2"],
      ["c", "i4"],
      ["d", "i8"],
      ["e", "f4"],
      ["f", "f8"],
      ["g", "arrow type 5"],
      ["h", "arrow type 6"],
    ]);
  });

  test("a buffer's padding is no value", () => {
    const { columns: found } = decodeArrow(table({ a: makeVector(new Float64Array([1, 2, 3])) }));
    expect([...found[0]!.values]).toEqual([1, 2, 3]);
  });

  test("without a batch there are columns and no rows", () => {
    const bytes = table({ a: makeVector(new Float64Array([1])) });
    const end = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    const { rows, columns: found } = decodeArrow(
      new Uint8Array([...bytes.subarray(0, schemaBytes(bytes)), ...end]),
    );
    expect([rows, found.map((c) => [c.name, c.type, c.nulls, c.values.length])]).toEqual([
      0,
      [["a", "f8", 0, 0]],
    ]);
  });
});

describe("length of the schema message", () => {
  /** A message of `length` bytes after its marker and its length, `tail` bytes more. */
  function message(length: number, tail: number, marker = 0xffffffff): Uint8Array {
    const bytes = new Uint8Array(8 + Math.max(0, length) + tail);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, marker, true);
    view.setInt32(4, length, true);
    return bytes;
  }

  test.each([
    ["a message with more behind it", message(16, 4), 24],
    ["a message to the end", message(16, 0), 24],
    ["a message of one byte", message(1, 0), 9],
    ["a message one byte short", message(16, 0).subarray(0, 23), 0],
    ["an empty message, the end of a stream", message(0, 4), 0],
    ["a negative length", message(-1, 4), 0],
    ["another marker", message(16, 4, 0xfffffffe), 0],
    ["eight bytes and no message", message(0, 0), 0],
    ["seven bytes", message(16, 0).subarray(0, 7), 0],
    ["no byte", new Uint8Array(), 0],
  ])("%s", (_, bytes, length) => {
    expect(schemaBytes(bytes)).toBe(length);
  });

  test("is read where the frame begins, not where its buffer does", () => {
    const shifted = new Uint8Array(40);
    shifted.set(message(16, 4), 8);
    expect(schemaBytes(shifted.subarray(8))).toBe(24);
  });
});

describe("traded volume", () => {
  const MOST = 2 ** 31 - 1;

  test.each(["traded_buy", "traded_sell"])("%s holds nothing, or as much as 31 bits do", (name) => {
    const checked = new GridChecker(configOf()).check(grid({ [name]: { 0: MOST } }), head());
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    expect([...checked.value.get(name)!.slice(49, 52)]).toEqual([0, MOST, 0]);
  });

  test.each(["traded_buy", "traded_sell"])("%s below nothing is refused", (name) => {
    const frame = grid({ [name]: { [-50]: -1 } });
    expect(refusal(new GridChecker(configOf()), frame)).toBe(`${name}: 0..${MOST}, not -1`);
  });

  test("of the first schema there is none", () => {
    const names = GRID_NAMES.filter((name) => !name.startsWith("traded_"));
    const config = configOf({ schema_version: 1, grid_schema_fields: names });
    const checked = new GridChecker(config).check(encode(ordered(columns(), names)), head());
    if (!checked.ok) throw new Error(JSON.stringify(checked.why));
    expect([...checked.value.keys()]).toEqual(names);
  });
});
