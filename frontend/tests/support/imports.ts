/** Who imports whom, read from the sources by a parser, and the circles in it. */

import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { parseSync } from "vite";

/** Every node and what it points to. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** Texts of all files below a folder, by path from there; only scripts are read, other files have the text "". */
export function readSources(root: string): Map<string, string> {
  const paths = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => posix.relative(root, posix.join(entry.parentPath, entry.name)))
    .sort();
  return new Map(
    paths.map((path) => [path, isScript(path) ? readFileSync(posix.join(root, path), "utf8") : ""]),
  );
}

/** Files to the files they import, type-only imports included; packages are left out. Throws on what it cannot follow. */
export function fileGraph(sources: ReadonlyMap<string, string>): Graph {
  const graph = new Map<string, Set<string>>();
  for (const [path, text] of sources) {
    const targets = new Set<string>();
    for (const name of isScript(path) ? importsOf(path, text) : []) {
      if (!/^[./]/.test(name)) continue;
      const target = posix.join(posix.dirname(path), name);
      if (name.startsWith("/") || !sources.has(target))
        throw new Error(`${path} imports ${name}; allowed is a relative path to a file, with its extension`);
      targets.add(target);
    }
    graph.set(path, targets);
  }
  return graph;
}

/** The same by folder. Files of one folder may import each other, so no folder points to itself. */
export function folderGraph(files: Graph): Graph {
  const graph = new Map<string, Set<string>>();
  for (const [path, targets] of files) {
    const folder = posix.dirname(path);
    const known = graph.get(folder) ?? new Set();
    graph.set(folder, known);
    for (const target of targets) if (posix.dirname(target) !== folder) known.add(posix.dirname(target));
  }
  return graph;
}

/** Through every node that stands in a circle the shortest one, each once, as `a -> b -> a`. */
export function circles(graph: Graph): string[] {
  const found = new Set<string>();
  for (const start of graph.keys()) {
    const circle = shortestBack(graph, start);
    if (!circle) continue;
    const first = circle.indexOf(circle.toSorted()[0]!);
    const turned = [...circle.slice(first), ...circle.slice(0, first)];
    found.add([...turned, turned[0]].join(" -> "));
  }
  return [...found].sort();
}

/** Circles of folders, each arrow with the imports that make it. */
export function folderCircles(files: Graph): string[] {
  return circles(folderGraph(files)).map((circle) => {
    const folders = circle.split(" -> ");
    const blamed = folders.slice(1).flatMap((to, i) => between(files, folders[i]!, to));
    return `${circle}: ${blamed.join(", ")}`;
  });
}

function between(files: Graph, from: string, to: string): string[] {
  return [...files]
    .filter(([path]) => posix.dirname(path) === from)
    .flatMap(([path, targets]) =>
      [...targets].filter((t) => posix.dirname(t) === to).map((t) => `${path} imports ${t}`),
    );
}

/** Nodes of the shortest way from a node back to it, the node first; null where there is none. */
function shortestBack(graph: Graph, start: string): string[] | null {
  const seen = new Set<string>();
  let ways = [[start]];
  while (ways.length > 0) {
    const longer: string[][] = [];
    for (const way of ways) {
      for (const next of graph.get(way.at(-1)!) ?? []) {
        if (next === start) return way;
        if (seen.has(next)) continue;
        seen.add(next);
        longer.push([...way, next]);
      }
    }
    ways = longer;
  }
  return null;
}

function isScript(path: string): boolean {
  return /\.[cm]?[jt]sx?$/.test(path);
}

/** Names that a script imports in any form: `import`, `export … from`, `import()`, also as a type, `import x = require()`. */
function importsOf(path: string, text: string): string[] {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} cannot be read: ${errors[0]!.message}`);
  const names: string[] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    const { type, source, expression } = node as { type?: string; source?: unknown; expression?: unknown };
    const named =
      type === "TSExternalModuleReference" ? expression : IMPORTING.has(type ?? "") ? source : null;
    if (named) {
      const { value } = named as { value?: unknown };
      if (typeof value !== "string")
        throw new Error(`${path} imports a name that is computed; allowed is a plain string`);
      names.push(value);
    }
    for (const child of Object.values(node)) walk(child);
  };
  walk(program);
  return names;
}

const IMPORTING: ReadonlySet<string> = new Set([
  "ImportDeclaration",
  "ExportNamedDeclaration",
  "ExportAllDeclaration",
  "ImportExpression",
  "TSImportType",
]);
