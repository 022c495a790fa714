/** What a new `runtime_config` on an open stream means for the picture. */

import type { RuntimeConfig } from "../wire/types.ts";

export interface ParameterChange {
  readonly name: string;
  readonly before: unknown;
  readonly after: unknown;
}

export type ConfigChange =
  | { readonly kind: "none" }
  | { readonly kind: "display"; readonly fields: readonly string[] }
  | { readonly kind: "promotion"; readonly changes: readonly ParameterChange[] }
  | { readonly kind: "grid"; readonly fields: readonly string[] };

/** Fields that say how labels look. */
const DISPLAY = new Set(["price_decimals", "qty_unit", "contract_multiplier"]);
/** Fields about this message or this session, not about numbers. */
const PASSING = new Set([
  "type",
  "reason",
  "effective_bin_seq",
  "config_version",
  "session",
  "session_tz",
  "capabilities",
  "notices",
  "deployment_stage",
  "mode",
  "runtime_model",
]);

function isModelField(name: string): boolean {
  return name.startsWith("perm_") || name.startsWith("projection_");
}

/** Compares by field; whatever is neither display, message nor model changes the numbers of a grid cell. */
export function compareConfigs(before: RuntimeConfig, after: RuntimeConfig): ConfigChange {
  const names = new Set([...Object.keys(before.raw), ...Object.keys(after.raw)]);
  const changed = [...names].filter((name) => !PASSING.has(name) && !same(before.raw[name], after.raw[name]));
  const grid = changed.filter((name) => !DISPLAY.has(name) && !isModelField(name));
  if (grid.length > 0) return { kind: "grid", fields: grid.sort() };
  const changes = [
    ...parameterChanges(before.model.parameters, after.model.parameters),
    ...changed
      .filter(isModelField)
      .map((name) => ({ name, before: before.raw[name], after: after.raw[name] })),
  ];
  const renamed = before.model.name !== after.model.name || before.model.version !== after.model.version;
  if (renamed || before.model.enabled !== after.model.enabled || changes.length > 0) {
    return { kind: "promotion", changes };
  }
  return changed.length > 0 ? { kind: "display", fields: changed } : { kind: "none" };
}

function parameterChanges(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): ParameterChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names
    .filter((name) => !same(before[name], after[name]))
    .map((name) => ({ name, before: before[name], after: after[name] }));
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
