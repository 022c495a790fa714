/** What the outcomes of mutants say: scores, diffs, what is listed as equivalent. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { asDiff, isSampled, judge, originalOf, score } from "../../tools/mutants/judge.mjs";
import listed from "../mutants/equivalent.json";

const SOURCE = "const a = 1;\nif (a < 2) {\n  go();\n}\nif (a < 2) stop();\n";
const SOURCES = new Map([
  ["src/wire/x.ts", SOURCE],
  ["src/store/y.ts", SOURCE],
]);

type Mutant = Parameters<typeof asDiff>[0];

function mutant(status: string, changes: Partial<Mutant> = {}): Mutant {
  const location = { start: { line: 2, column: 5 }, end: { line: 2, column: 10 } };
  return {
    id: "0",
    fileName: "src/wire/x.ts",
    mutatorName: "EqualityOperator",
    replacement: "a <= 2",
    status,
    location,
    ...changes,
  };
}

const LINE = {
  file: "src/wire/x.ts",
  line: "if (a < 2) {",
  mutator: "EqualityOperator",
  original: "a < 2",
  replacement: "a <= 2",
  reason: "a is 1",
};

describe("a mutant", () => {
  test("is shown as the lines that it changes", () => {
    expect(originalOf(mutant("Survived"), SOURCE)).toBe("a < 2");
    expect(asDiff(mutant("Survived"), SOURCE)).toBe(
      "src/wire/x.ts:2:5 EqualityOperator (Survived)\n-if (a < 2) {\n+if (a <= 2) {",
    );
  });

  test("over several lines too", () => {
    const block = mutant("NoCoverage", {
      replacement: "{}",
      location: { start: { line: 2, column: 12 }, end: { line: 4, column: 2 } },
    });
    expect(originalOf(block, SOURCE)).toBe("{\n  go();\n}");
    expect(asDiff(block, SOURCE).split("\n").slice(1)).toEqual([
      "-if (a < 2) {",
      "-  go();",
      "-}",
      "+if (a < 2) {}",
    ]);
  });
});

describe("the judgement", () => {
  test("counts by folder; a timeout is noticed, what was not tried is not counted", () => {
    const store = { fileName: "src/store/y.ts" };
    const all = [
      mutant("Killed"),
      mutant("Timeout"),
      mutant("Survived"),
      mutant("NoCoverage"),
      mutant("RuntimeError"),
      mutant("Killed", store),
    ];
    const { folders, survivors, stale } = judge(all, [], SOURCES);
    expect([...folders]).toEqual([
      ["src/wire", { mutants: 4, killed: 2, equivalent: 0, survived: 2 }],
      ["src/store", { mutants: 1, killed: 1, equivalent: 0, survived: 0 }],
    ]);
    expect(survivors).toEqual([all[2], all[3]]);
    expect(stale).toEqual([]);
    expect(score(folders.get("src/wire")!)).toBe(50);
  });

  test("takes out what is listed, as often as it is listed", () => {
    const twice = [mutant("Survived"), mutant("Survived", { id: "1" })];
    expect(judge(twice, [LINE], SOURCES).folders.get("src/wire")).toEqual({
      mutants: 2,
      killed: 0,
      equivalent: 1,
      survived: 1,
    });
    const { folders, survivors } = judge(twice, [{ ...LINE, times: 2 }], SOURCES);
    expect(survivors).toEqual([]);
    expect(score(folders.get("src/wire")!)).toBe(100);
  });

  test.each([
    ["file", "src/store/y.ts"],
    ["line", "if (a < 2) stop();"],
    ["mutator", "ConditionalExpression"],
    ["original", "a"],
    ["replacement", "a > 2"],
  ])("a line with another %s does not fit", (name, value) => {
    expect(judge([mutant("Survived")], [{ ...LINE, [name]: value }], SOURCES).survivors).toHaveLength(1);
  });

  test("a line that fits no survivor is stale where its file was tried, also when a test kills it now", () => {
    expect(judge([mutant("Killed")], [LINE], SOURCES).stale).toEqual([LINE]);
    expect(judge([mutant("Killed", { fileName: "src/store/y.ts" })], [LINE], SOURCES).stale).toEqual([]);
  });
});

test("a sample has its share, is the same for the same seed and another for another", () => {
  const sample = (share: number, seed: number): number[] =>
    Array.from({ length: 2000 }, (_, id) => id).filter((id) => isSampled(String(id), share, seed));
  expect(sample(1, 5)).toHaveLength(2000);
  expect(sample(0, 5)).toHaveLength(0);
  const quarter = sample(0.25, 5);
  expect(quarter.length).toBeGreaterThan(440); // 500, deviation 19
  expect(quarter.length).toBeLessThan(560);
  expect(sample(0.25, 5)).toEqual(quarter);
  expect(sample(0.25, 6)).not.toEqual(quarter);
});

test("every line of the list has its reason and stands in a source that is there", () => {
  for (const { file, line, reason } of listed as (typeof LINE)[]) {
    const lines = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8").split("\n");
    expect(lines.map((text) => text.trim())).toContain(line);
    expect(reason.length).toBeGreaterThan(10);
  }
});
