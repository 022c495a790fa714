/** Frames as the Python server encodes them, recorded from a simulated session. */

import { tableFromIPC } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { Session } from "../../src/store/session.ts";
import { decodeArrow } from "../../src/wire/arrow.ts";
import schema from "../../src/wire/schema.json";
import expected from "../fixtures/simulated.expected.json";
import { readRecording } from "../support/recording.ts";

const frames = readRecording(new URL("../fixtures/simulated.frames.gz", import.meta.url).pathname);
const grids = frames.filter((frame) => typeof frame !== "string");

describe("frames of the Python server", () => {
  test("columns come with the names, order and types of the page's schema", () => {
    const { rows, columns } = decodeArrow(grids[0]!);
    expect(rows).toBe(101);
    expect(Object.fromEntries(columns.map((c) => [c.name, c.type]))).toEqual(schema.grid);
    expect(columns.map((c) => c.name)).toEqual(Object.keys(schema.grid));
  });

  test("every number is the one pyarrow reads", () => {
    for (const [i, grid] of grids.entries()) {
      const { columns } = decodeArrow(grid);
      const want = expected[i] as unknown as Record<string, number[]>;
      for (const { name, values } of columns) {
        expect([name, want.rows!.map((row) => Number(values[row]))]).toEqual([name, want[name]]);
      }
    }
  });

  test("every number of every column is the one apache-arrow reads", () => {
    for (const grid of grids) {
      const oracle = tableFromIPC(grid);
      for (const { name, values } of decodeArrow(grid).columns) {
        expect([...values]).toEqual([...oracle.getChild(name)!.toArray()]);
      }
    }
  });

  test("a session takes them all without a reject", () => {
    const session = new Session(512, () => 0);
    for (const frame of frames) {
      if (typeof frame !== "string") expect(session.binary(frame)).toBeNull();
      else {
        const text = JSON.parse(frame) as Record<string, unknown>;
        const take = text.type === "runtime_config" ? session.runtimeConfig(text) : session.header(text);
        expect(take).toBeNull();
      }
    }
    expect(session.counters).toMatchObject({ bins: grids.length, rejects: 0, gaps: 0, unknownMessages: 0 });
    expect(session.config).toMatchObject({ symbol: "MNQH6", rows: 101, timeZone: "America/New_York" });
  });

  test("a header bears every field of the Python schema, in its type", () => {
    const header = JSON.parse(
      frames.find((f) => typeof f === "string" && f.includes("grid_update")) as string,
    );
    const kinds: Record<string, string> = { text: "string", b1: "boolean" };
    for (const [name, code] of Object.entries({ ...schema.bin, ...schema.model })) {
      expect([name, typeof header[name]]).toEqual([name, kinds[code] ?? "number"]);
    }
  });
});
