/** What a new config on an open stream changes, and the words for it. */

import { describe, expect, test } from "vitest";
import { describe as inWords, modelLabel } from "../../src/store/session.ts";
import { type Fields, grid, runtimeConfig } from "../support/frames.ts";
import { bin, bins, model, open, texts } from "../support/session.ts";

describe("a promotion in mid-stream", () => {
  const promoted = (overrides: Fields = {}): Fields =>
    runtimeConfig({
      ...model({
        name: "ads",
        version: 2,
        parameters: { zscore_min_periods: 60, tanh_scale: 4, wide: "yes" },
      }),
      ...overrides,
    });

  test("is told with what changed, and its seam stands at the next bin", () => {
    const { session } = open();
    bins(session, 0, 4);
    const { ring, projection } = session;
    expect(session.runtimeConfig(promoted())).toBeNull();
    expect([session.ring, session.projection]).toEqual([ring, projection]);
    expect(session.notices).toEqual([
      {
        id: 1,
        title: "Model changed: perm_derivative → ads v2",
        lines: ["tanh_scale: 3 → 4", "wide: – → yes", "zscore_window_bins: 240 → –"],
      },
    ]);
    expect(session.events.list).toMatchObject([
      {
        kind: "model",
        text: "Model changed: perm_derivative → ads v2 · tanh_scale: 3 → 4 · wide: – → yes · zscore_window_bins: 240 → –",
        seq: 5,
      },
    ]);
    expect(session.seams).toEqual([]); // not before its bin
    expect(session.models).toEqual(["perm_derivative"]);
    bin(session, 5);
    expect(session.models).toEqual(["perm_derivative", "ads v2"]);
    expect(session.seams).toEqual([
      {
        seq: 5,
        before: "perm_derivative",
        after: "ads v2",
        changes: [
          { name: "tanh_scale", before: 3, after: 4 },
          { name: "wide", before: undefined, after: "yes" },
          { name: "zscore_window_bins", before: 240, after: undefined },
        ],
      },
    ]);
    bin(session, 6);
    expect(session.seams).toHaveLength(1);
    expect([4, 5, 6].map((seq) => ring!.modelIndex[ring!.slot(seq)])).toEqual([0, 1, 1]);
  });

  test("from a bin to come: the old model speaks until then", () => {
    const { session } = open();
    bins(session, 0, 4);
    session.runtimeConfig(promoted({ effective_bin_seq: 7 }));
    bins(session, 5, 8);
    const ring = session.ring!;
    expect([5, 6, 7, 8].map((seq) => ring.modelIndex[ring.slot(seq)])).toEqual([0, 0, 1, 1]);
    expect(session.seams[0]!.seq).toBe(7);
  });

  test("from a bin that is here already: columns from there on are the new model's", () => {
    const { session } = open();
    bins(session, 0, 4);
    session.runtimeConfig(promoted({ effective_bin_seq: 3 }));
    bin(session, 7);
    const ring = session.ring!;
    expect([2, 3, 4, 7].map((seq) => ring.modelIndex[ring.slot(seq)])).toEqual([0, 1, 1, 1]);
  });

  test("before the first bin the seam stands at 0", () => {
    const { session } = open();
    session.runtimeConfig(promoted());
    expect(session.events.list[0]!.seq).toBe(0);
    bin(session, 40);
    expect(session.seams[0]!.seq).toBe(0);
  });

  test("with the same parameters says so", () => {
    const { session } = open();
    session.runtimeConfig(runtimeConfig(model({ name: "ads" })));
    expect(session.notices[0]!.lines).toEqual(["same parameters"]);
    expect(texts(session)).toEqual(["model: Model changed: perm_derivative → ads"]);
  });

  test("a demotion is told, and a trade more of the record is not", () => {
    const { session } = open(model({ standing: "proven", record: "1 live trade" }));
    const say = (fields: Fields) =>
      session.runtimeConfig(runtimeConfig({ reason: "standing_change", ...model(fields) }));
    expect(say({ standing: "proven", record: "2 live trades" })).toBeNull();
    expect(texts(session)).toEqual([]);
    expect(session.config!.model.record).toBe("2 live trades");
    expect(say({ standing: "on_trial", record: "79 live trades" })).toBeNull();
    expect(session.notices.map(({ title, lines }) => [title, lines])).toEqual([
      ["Model is on trial", ["79 live trades"]],
    ]);
    expect(texts(session)).toEqual(["model: Model is on trial · 79 live trades"]);
    expect(session.seams).toEqual([]);
  });

  test("other horizons speak from the next bin on", () => {
    const { session } = open();
    bins(session, 0, 1);
    session.runtimeConfig(runtimeConfig({ projection_horizons_bins: [3], projection_horizons_ms: [300] }));
    expect(session.projection!.record(0).map((row) => row.horizon)).toEqual([3]);
  });

  test("the same config changes nothing and tells nothing", () => {
    const { session } = open();
    bins(session, 0, 4);
    session.runtimeConfig(runtimeConfig({ price_decimals: 3 }));
    bin(session, 5);
    expect([session.notices, texts(session), session.seams]).toEqual([[], [], []]);
    expect(session.config!.priceDecimals).toBe(3);
  });

  test("the last fifty seams are kept", () => {
    const { session } = open();
    for (let i = 0; i < 51; i++) {
      session.runtimeConfig(runtimeConfig(model({ name: `m${i}` })));
      bin(session, i);
    }
    expect(session.seams).toHaveLength(50);
    expect([session.seams[0]!.after, session.seams[49]!.after]).toEqual(["m1", "m50"]);
  });
});

describe("another grid", () => {
  test("starts all anew, says what differs and keeps the events", () => {
    const { session } = open();
    bins(session, 0, 4);
    session.runtimeConfig(runtimeConfig(model({ name: "ads" })));
    const smaller = { grid_radius_ticks: 40, symbol: "MNQM6", ...model({ name: "ads" }) };
    expect(session.runtimeConfig(runtimeConfig(smaller))).toBeNull();
    expect(session.ring!.count).toBe(0);
    expect(session.ring!.radius).toBe(40);
    expect([session.newest, session.resumeFrom, session.seams, session.models]).toEqual([
      null,
      null,
      [],
      ["ads"],
    ]);
    expect(session.raw.header(4)).toBeNull();
    expect(session.notices.at(-1)).toMatchObject({
      title: "Grid changed",
      lines: ["history starts anew: grid_radius_ticks, grid_rows, symbol"],
    });
    expect(session.events.list.at(-1)).toMatchObject({
      kind: "grid",
      text: "grid changed: grid_radius_ticks, grid_rows, symbol",
    });
    bin(session, 2, {}, grid({}, 40)); // any number, and no seam of the model before
    expect(session.counters).toMatchObject({ rejects: 0, gaps: 0 });
    expect(session.seams).toEqual([]);
    expect(session.ring!.modelIndex[session.ring!.slot(2)]).toBe(0);
  });
});

describe("notices", () => {
  test("the last three stay, each until it is closed by its number", () => {
    const { session } = open();
    for (const title of ["a", "b", "c", "d"]) session.notify(title, []);
    expect(session.notices.map((n) => [n.id, n.title])).toEqual([
      [2, "b"],
      [3, "c"],
      [4, "d"],
    ]);
    session.closeNotice(3);
    session.closeNotice(9);
    expect(session.notices.map((n) => n.title)).toEqual(["b", "d"]);
  });
});

describe("words", () => {
  test.each([
    [null, "ads"],
    [2, "ads v2"],
    ["2.1", "ads v2.1"],
    ["rc2", "ads rc2"],
  ])("a model of version %j is %s", (version, label) => {
    expect(modelLabel(open(model({ name: "ads", version })).session.config!)).toBe(label);
  });

  test("a violation in one line", () => {
    expect(inWords({ field: "a", expected: "b", got: "c" })).toBe("a: expected b, got c");
  });

  test("bins that a model needs come from its parameters, else from the config, else are unknown", () => {
    const needed = (overrides: Fields): number | null => open(overrides).session.warmupNeeded;
    expect(needed({ perm_zscore_min_periods: 70 })).toBe(60);
    expect(needed({ perm_zscore_min_periods: 70, ...model({ parameters: {} }) })).toBe(70);
    expect(
      needed({ perm_zscore_min_periods: "70", ...model({ parameters: { zscore_min_periods: "6" } }) }),
    ).toBeNull();
  });
});
