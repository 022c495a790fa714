import { describe, expect, test } from "vitest";
import { circles, fileGraph, folderCircles, readSources } from "../support/imports.ts";

const graphOf = (sources: Readonly<Record<string, string>>) => fileGraph(new Map(Object.entries(sources)));

describe("the page's sources", () => {
  const files = fileGraph(readSources(new URL("../../src", import.meta.url).pathname));

  test("are read: every script but the entry is imported, and known imports of each form are seen", () => {
    const imported = new Set([...files.values()].flatMap((targets) => [...targets]));
    expect([...files.keys()].filter((path) => path.endsWith(".ts") && !imported.has(path))).toEqual([
      "main.ts",
    ]);
    expect(files.get("app.ts")).toContain("paint/picture.ts");
    expect(files.get("expose.ts")).toContain("app.ts"); // type only
    expect(files.get("wire/config.ts")).toContain("wire/schema.json");
  });

  test("hold no circle of files", () => {
    expect(circles(files)).toEqual([]);
  });

  test("hold no circle of folders", () => {
    expect(folderCircles(files)).toEqual([]);
  });
});

describe("the search for circles", () => {
  test("a straight line of imports has none, nor two ways to one file", () => {
    const graph = graphOf({
      "main.ts": 'import "./a/top.ts"; import "./b/low.ts";',
      "a/top.ts": 'import { low } from "../b/low.ts"; import "./side.ts";',
      "a/side.ts": 'import { low } from "../b/low.ts";',
      "b/low.ts": 'import "a-package"; export const low = 1;',
    });
    expect(circles(graph)).toEqual([]);
    expect(folderCircles(graph)).toEqual([]);
  });

  test("two folders that import each other are named with the imports, though no two files do", () => {
    const graph = graphOf({
      "store/ring.ts": "export type Name = string;",
      "store/session.ts": 'import { table } from "../view/layers.ts";',
      "view/layers.ts": 'import type { Name } from "../store/ring.ts"; export const table: Name[] = [];',
    });
    expect(circles(graph)).toEqual([]);
    expect(folderCircles(graph)).toEqual([
      "store -> view -> store: store/session.ts imports view/layers.ts, view/layers.ts imports store/ring.ts",
    ]);
  });

  test("a circle of files in one folder is named, and is none of folders", () => {
    const graph = graphOf({
      "a/entry.ts": 'import "./x.ts";', // leads into the circle, is not in it
      "a/x.ts": 'import "./y.ts";',
      "a/y.ts": 'import "./z.ts";',
      "a/z.ts": 'import "./x.ts";',
    });
    expect(circles(graph)).toEqual(["a/x.ts -> a/y.ts -> a/z.ts -> a/x.ts"]);
    expect(folderCircles(graph)).toEqual([]);
  });

  test("a circle over three folders, two circles at once, and a file that imports itself", () => {
    const graph = graphOf({
      "c/one.ts": 'import "../a/one.ts";',
      "a/one.ts": 'import "../b/one.ts";',
      "b/one.ts": 'import "../c/two.ts";',
      "c/two.ts": 'import "./two.ts";',
      "d/one.ts": 'import "../e/one.ts";',
      "e/one.ts": 'import "../d/one.ts";',
    });
    expect(circles(graph)).toEqual(["c/two.ts -> c/two.ts", "d/one.ts -> e/one.ts -> d/one.ts"]);
    expect(folderCircles(graph).map((line) => line.split(":")[0])).toEqual([
      "a -> b -> c -> a",
      "d -> e -> d",
    ]);
  });

  test("a folder that imports the files above it is in a circle with them", () => {
    const graph = graphOf({
      "app.ts": 'import "./a/one.ts";',
      "a/one.ts": 'import "../words.ts";',
      "words.ts": "",
    });
    expect(folderCircles(graph)).toEqual([". -> a -> .: app.ts imports a/one.ts, a/one.ts imports words.ts"]);
  });

  test.each([
    ["a value", 'import { x } from "./b.ts";'],
    ["over several lines, in single quotes", "import {\n  x,\n  y,\n} from './b.ts';"],
    ["for its effect", 'import "./b.ts";'],
    ["a type", 'import type { X } from "./b.ts";'],
    ["a type among values", 'import { type X } from "./b.ts";'],
    ["handed on", 'export { x } from "./b.ts";'],
    ["a type handed on", 'export type { X } from "./b.ts";'],
    ["all handed on", 'export * from "./b.ts";'],
    ["late", 'const b = await import("./b.ts");'],
    ["a type in place", 'export type X = import("./b.ts").X;'],
    ["what a module is", 'let b: typeof import("./b.ts");'],
    ["the old way", 'import b = require("./b.ts");'],
  ])("an import of %s counts", (_, text) => {
    expect(circles(graphOf({ "a.ts": text, "b.ts": 'import "./a.ts";' }))).toEqual(["a.ts -> b.ts -> a.ts"]);
  });

  test("a word in a comment or a string is no import", () => {
    const text = '// import "./b.ts";\n/* export * from "./b.ts" */\nexport const s = \'import "./b.ts"\';';
    expect(circles(graphOf({ "a.ts": text, "b.ts": 'import "./a.ts";' }))).toEqual([]);
  });

  test.each([
    ["without an extension", 'import "./b";', "a.ts imports ./b; allowed is a relative path"],
    ["from the root of the server", 'import "/b.ts";', "a.ts imports /b.ts; allowed is a relative path"],
    ["computed", "await import(name);", "a.ts imports a name that is computed"],
    ["broken", "import {", "a.ts cannot be read"],
  ])("an import that cannot be followed is refused: %s", (_, text, message) => {
    expect(() => graphOf({ "a.ts": text, "b.ts": "" })).toThrow(message);
  });
});
