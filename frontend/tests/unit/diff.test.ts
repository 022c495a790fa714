import { describe, expect, test } from "vitest";
import { compareConfigs } from "../../src/store/diff.ts";
import { checkConfig } from "../../src/wire/config.ts";
import type { RuntimeConfig } from "../../src/wire/types.ts";
import { type Fields, runtimeConfig } from "../support/frames.ts";

function config(overrides: Fields = {}): RuntimeConfig {
  const checked = checkConfig(runtimeConfig(overrides));
  if (!checked.ok) throw new Error(JSON.stringify(checked.why));
  return checked.value;
}

const model = (changes: Fields, parameters: Fields = {}): Fields => ({
  runtime_model: {
    name: "perm_derivative",
    enabled: true,
    version: null,
    parameters: { zscore_min_periods: 60, zscore_window_bins: 240, tanh_scale: 3, ...parameters },
    ...changes,
  },
});

describe("a new config on an open stream", () => {
  test("the same is nothing", () => {
    expect(compareConfigs(config(), config({ reason: "model_change", effective_bin_seq: 9 }))).toEqual({
      kind: "none",
    });
  });

  test("another model is a promotion, with what changed", () => {
    expect(compareConfigs(config(), config(model({ name: "ads", version: 2 }, { tanh_scale: 4 })))).toEqual({
      kind: "promotion",
      changes: [{ name: "tanh_scale", before: 3, after: 4 }],
    });
  });

  test("a perm_ value or other horizons are a promotion too", () => {
    const after = config({
      perm_tanh_scale: 2,
      projection_horizons_bins: [1, 8],
      projection_horizons_ms: [100, 800],
    });
    const change = compareConfigs(config(), after);
    if (change.kind !== "promotion") throw new Error(change.kind);
    expect(change.changes.map((c) => c.name)).toContain("perm_tanh_scale");
    expect(change.changes.map((c) => c.name)).toContain("projection_horizons_bins");
  });

  test.each([
    ["cell width", { cell_width_ms: 200, projection_horizons_ms: [200, 400, 600, 800] }],
    ["tick", { tick_size: 0.5 }],
    ["symbol", { symbol: "MNQM6" }],
    ["radius", { grid_radius_ticks: 40 }],
    ["a number that makes the cells", { tau_velocity: 3 }],
  ])("another %s cannot share a history", (_, overrides) => {
    expect(compareConfigs(config(), config({ ...overrides, ...model({ name: "ads" }) })).kind).toBe("grid");
  });

  test("decimals and unit only change labels", () => {
    expect(compareConfigs(config(), config({ price_decimals: 3 }))).toEqual({
      kind: "display",
      fields: ["price_decimals"],
    });
  });
});
