/** Numbers, and what a model is, as people read them. */

import type { RuntimeModelInfo } from "../wire/types.ts";

const MINUS = "−";

/** Fixed decimals with a real minus sign; "–" for what is not a number. */
export function fixed(value: number | null | undefined, decimals: number): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return value.toFixed(decimals).replace("-", MINUS);
}

/** With an explicit sign. */
export function signed(value: number | null | undefined, decimals: number): string {
  const text = fixed(value, decimals);
  return value !== null && value !== undefined && value > 0 ? `+${text}` : text;
}

/** About four significant digits, whatever the size; what has decayed to nothing prints 0. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size < 1e-9) return "0";
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replaceAll("-", MINUS);
  return Number(value.toPrecision(4)).toString().replace("-", MINUS);
}

/** Every digit of a double, as it was sent. */
export function exact(value: number | bigint): string {
  return Object.is(value, -0) ? "0" : String(value);
}

export function percent(share: number, decimals = 0): string {
  return Number.isNaN(share) ? "–" : `${(100 * share).toFixed(decimals)} %`;
}

export function grouped(n: number): string {
  return n.toLocaleString("en-US");
}

export const STATE5_WORDS: Readonly<Record<number, string>> = {
  2: "bull vacuum ▲",
  1: "bull pressure △",
  0: "mixed ○",
  [-1]: "bear pressure ▽",
  [-2]: "bear vacuum ▼",
};

/** Where the model comes from, and what is known of it: forced past the gate and why, and what its live record says. */
export function modelOrigin(model: RuntimeModelInfo): string {
  if (model.version === "") return "instrument's own";
  const said = [`version ${model.version}`];
  if (model.because !== "") said.push(`forced past the gate: ${model.because}`);
  else if (model.standing === "proven") said.push("passed the gate");
  else if (model.standing === "not_proven") said.push("not proven");
  if (model.record !== "") said.push(model.record);
  else if (model.standing === "on_trial") said.push("on trial");
  return said.join(", ");
}
