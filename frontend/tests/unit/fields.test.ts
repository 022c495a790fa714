/** Readers of single fields: the exact type, each bound with the value on it, and the words of a refusal. */

import { describe, expect, test } from "vitest";
import { FieldReader, isObject } from "../../src/wire/fields.ts";
import { fail, pass, show } from "../../src/wire/types.ts";

type Read = (reader: FieldReader) => unknown;

const NOTHING = undefined;
const MAX = Number.MAX_SAFE_INTEGER;

describe("a field that is as it must be is handed on unchanged", () => {
  const cases: readonly (readonly [string, Read, readonly unknown[]])[] = [
    ["number", (r) => r.number("f"), [0, -2.5, 1e300]],
    ["positive", (r) => r.positive("f"), [Number.MIN_VALUE, 1, 0.25]],
    ["integer", (r) => r.integer("f"), [0, -MAX, MAX]],
    ["integer from 3", (r) => r.integer("f", 3), [3, 4]],
    ["integer from 3 to 5", (r) => r.integer("f", 3, 5), [3, 4, 5]],
    ["text", (r) => r.text("f"), ["a", " "]],
    ["flag", (r) => r.flag("f"), [true, false]],
    ["integers from 2", (r) => r.integers("f", 2), [[2], [3, 2]]],
    ["numbers", (r) => r.numbers("f"), [[], [1.5, -2]]],
    ["texts", (r) => r.texts("f"), [["a"], ["a", ""]]],
    ["object", (r) => r.object("f"), [{}, { a: 1 }]],
  ];
  test.each(cases)("%s", (_, read, values) => {
    for (const value of values) {
      const reader = new FieldReader({ f: value });
      expect(read(reader)).toEqual(value);
      expect(reader.violation).toBeNull();
    }
  });

  test("a 64-bit integer comes as text and is read to its last digit, at both ends of its range", () => {
    for (const [given, value] of [
      ["0", 0n],
      ["-1", -1n],
      ["1770387900000000001", 1_770_387_900_000_000_001n],
      ["9223372036854775807", 2n ** 63n - 1n],
      ["-9223372036854775808", -(2n ** 63n)],
    ] as const) {
      const reader = new FieldReader({ f: given });
      expect(reader.int64("f")).toBe(value);
      expect(reader.violation).toBeNull();
    }
  });
});

describe("a field that is not is refused in words, never coerced, and reads as nothing", () => {
  const cases: readonly (readonly [string, Read, string, unknown, readonly unknown[]])[] = [
    ["number", (r) => r.number("f"), "a finite number", 0, [NOTHING, null, "1", true, Number.NaN, 1 / 0]],
    ["positive, one that is 0", (r) => r.positive("f"), "a number > 0", 0, [0]],
    ["positive, one below 0", (r) => r.positive("f"), "a number > 0", -1e-9, [-1e-9]],
    ["positive, no number", (r) => r.positive("f"), "a finite number", 0, [NOTHING, "1", Number.NaN]],
    ["integer", (r) => r.integer("f"), "an integer", 0, [NOTHING, "1", 1.5, MAX + 1, [1], Number.NaN]],
    ["integer from 3", (r) => r.integer("f", 3), "an integer >= 3", 0, [2, NOTHING, "3", 3.5, MAX + 1]],
    ["integer from 3 to 5", (r) => r.integer("f", 3, 5), "an integer from 3 to 5", 0, [2, 6, "4", 4.5]],
    ["text", (r) => r.text("f"), "a non-empty string", "", [NOTHING, "", 5, ["a"]]],
    ["flag", (r) => r.flag("f"), "true or false", false, [NOTHING, 1, 0, "true", null]],
    [
      "64-bit integer",
      (r) => r.int64("f"),
      "a 64-bit integer as a decimal string",
      0n,
      [NOTHING, 5, "", "x5", "5x", "1.0", "+1", "--1", ["5"], "9223372036854775808", "-9223372036854775809"],
    ],
    [
      "integers from 2",
      (r) => r.integers("f", 2),
      "a list of integers >= 2",
      [],
      [NOTHING, [], 2, "23", [2, 1], [1, 2], [2, 2.5], [2, "3"], [2, 2 ** 53], { length: 1 }],
    ],
    [
      "numbers",
      (r) => r.numbers("f"),
      "a list of numbers",
      [],
      [NOTHING, 1, "12", [1, "2"], ["1", 2], [1, Number.NaN], [1 / 0], { length: 0 }],
    ],
    ["texts", (r) => r.texts("f"), "a list of strings", [], [NOTHING, [], "ab", ["a", 1], [1, "a"]]],
    ["object", (r) => r.object("f"), "an object", {}, [NOTHING, null, [], [1], "a", 5]],
  ];
  test.each(cases)("%s", (_, read, expected, instead, values) => {
    for (const value of values) {
      const reader = new FieldReader({ f: value }, "outer.");
      expect(read(reader)).toEqual(instead);
      expect([value, reader.violation?.why.field, reader.violation?.why.expected]).toEqual([
        value,
        "outer.f",
        expected,
      ]);
    }
  });
});

describe("a list of fields", () => {
  test("the first refusal is kept, and then nothing is made of them", () => {
    const reader = new FieldReader({ a: 1, b: 2 });
    reader.text("a");
    reader.flag("b");
    let made = 0;
    expect(reader.finish(() => made++)).toEqual(fail("a", "a non-empty string", 1));
    expect(made).toBe(0);
  });

  test("without one the value is made", () => {
    expect(new FieldReader({}).finish(() => 7)).toEqual({ ok: true, value: 7 });
    expect(pass(7)).toEqual({ ok: true, value: 7 });
  });

  test("a field is there unless it is missing or null; 0, empty and false are there", () => {
    const reader = new FieldReader({ zero: 0, empty: "", no: false, none: null });
    expect(["zero", "empty", "no", "none", "missing"].map((name) => reader.has(name))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test("a list or null is no object", () => {
    expect([{}, { a: 1 }, [], null, undefined, "a", 1].map(isObject)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe("what came, in a message", () => {
  test.each([
    [undefined, "nothing"],
    [null, "null"],
    ["a\nb", '"a\\nb"'],
    [1.5, "1.5"],
    [[1, "a"], '[1,"a"]'],
    [Symbol("s"), "Symbol(s)"], // JSON has no word for it
    ["x".repeat(78), `"${"x".repeat(78)}"`], // 80 characters with its quotes
    ["x".repeat(79), `"${"x".repeat(76)}…`], // 81: cut to 77 and a mark
  ])("%j is shown as %s", (value, text) => {
    expect(show(value)).toBe(text);
  });
});
