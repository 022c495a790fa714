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

  test("every field that differs is named, in order of the alphabet for a grid", () => {
    const after = config({ tick_size: 0.5, symbol: "MNQM6", price_decimals: 1 });
    expect(compareConfigs(config(), after)).toEqual({ kind: "grid", fields: ["symbol", "tick_size"] });
  });

  test("a field that came or went is one that differs", () => {
    expect(compareConfigs(config(), config({ brand_new: 1 }))).toEqual({
      kind: "grid",
      fields: ["brand_new"],
    });
    expect(compareConfigs(config({ brand_new: 1 }), config())).toEqual({
      kind: "grid",
      fields: ["brand_new"],
    });
  });

  test.each([
    ["type", "another"],
    ["reason", "model_change"],
    ["effective_bin_seq", 9],
    ["config_version", "other"],
    ["session", { n_bins: 5 }],
    ["session_tz", "UTC"],
    ["capabilities", { control: true }],
    ["notices", ["a"]],
    ["deployment_stage", "live"],
    ["mode", "replay"],
  ])("%s is about the message or the session, not about numbers", (name, value) => {
    expect(compareConfigs(config(), config({ [name]: value }))).toEqual({ kind: "none" });
  });

  test.each([
    ["price_decimals", 3],
    ["qty_unit", "lots"],
    ["contract_multiplier", 5],
  ])("%s only changes labels", (name, value) => {
    expect(compareConfigs(config(), config({ [name]: value }))).toEqual({ kind: "display", fields: [name] });
  });

  test.each([
    ["the name", { name: "ads" }],
    ["the version", { version: 2 }],
    ["whether it is enabled", { enabled: false }],
  ])("%s alone is a promotion", (_, changes) => {
    expect(compareConfigs(config(), config(model(changes)))).toEqual({ kind: "promotion", changes: [] });
  });

  test("a parameter alone is a promotion, one that came or went too, in order of the alphabet", () => {
    const after = config(model({ parameters: { zscore_min_periods: 60, new_one: [1], tanh_scale: 3 } }));
    expect(compareConfigs(config(), after)).toEqual({
      kind: "promotion",
      changes: [
        { name: "new_one", before: undefined, after: [1] },
        { name: "zscore_window_bins", before: 240, after: undefined },
      ],
    });
  });

  test("a field that only begins like a model's is one: perm_ and projection_, and no other", () => {
    const change = (name: string) => compareConfigs(config(), config({ [name]: 1 }));
    expect(change("perm_new")).toEqual({
      kind: "promotion",
      changes: [{ name: "perm_new", before: undefined, after: 1 }],
    });
    expect(change("projection_new")).toMatchObject({ kind: "promotion" });
    expect(change("my_perm_")).toMatchObject({ kind: "grid" });
    expect(change("my_projection_")).toMatchObject({ kind: "grid" });
  });
});
