/** Everything known about one cell: exact while its frame is kept, the stored layers after that. */

import { LAYER_NAMES, type LayerName } from "../layers/table.ts";
import { Kind } from "./ring.ts";
import type { Session } from "./session.ts";

/** A cell of the map by absolute bin and price. */
export interface CellAddress {
  readonly seq: number;
  readonly tick: number;
}

export interface Cell {
  readonly seq: number;
  readonly tick: number;
  readonly k: number | null; // ticks from the column's own spot
  readonly what: "bin" | "gap" | "reject" | "none" | "outside";
  /** True when `columns` are the numbers as sent. */
  readonly exact: boolean;
  readonly columns: ReadonlyMap<string, number | bigint>;
  readonly state5: number | null;
  /** Events since this row was last touched, null when unknown. */
  readonly age: number | null;
}

const COLUMN_OF: Readonly<Record<LayerName, string>> = {
  score: "spectrum_score",
  depth: "",
  flow: "",
  pressure: "pressure_variant",
  vacuum: "vacuum_variant",
  bid: "bid_depth",
  ask: "ask_depth",
  add: "v_add",
  pull: "v_pull",
  fill: "v_fill",
};

export function cellAt(session: Session, { seq, tick }: CellAddress): Cell {
  const { ring, raw } = session;
  const nothing = { seq, tick, k: null, exact: false, columns: new Map(), state5: null, age: null };
  const slot = ring?.slot(seq) ?? -1;
  if (!ring || slot < 0) return { ...nothing, what: "none" };
  if (ring.kind[slot] === Kind.Gap) return { ...nothing, what: "gap" };
  if (ring.kind[slot] === Kind.Reject) return { ...nothing, what: "reject" };
  const spot = ring.spotTick[slot]!;
  if (Number.isNaN(spot)) return { ...nothing, what: "none" };
  const k = tick - spot;
  if (Math.abs(k) > ring.radius) return { ...nothing, k, what: "outside" };
  const row = k + ring.radius;
  const frame = raw.columns(seq);
  if (!frame) {
    const stored = new Map<string, number>();
    for (const name of LAYER_NAMES) {
      if (COLUMN_OF[name] !== "") stored.set(COLUMN_OF[name], ring.layers[name][slot * ring.rows + row]!);
    }
    return {
      seq,
      tick,
      k,
      what: "bin",
      exact: false,
      columns: stored,
      state5: ring.states[slot * ring.rows + row]!,
      age: null,
    };
  }
  const columns = new Map<string, number | bigint>();
  for (const [name, values] of frame) columns.set(name, values[row]!);
  const last = columns.get("last_event_id");
  const header = raw.header(seq)!;
  const touched = typeof last === "bigint" && last > 0n;
  return {
    seq,
    tick,
    k,
    what: "bin",
    exact: true,
    columns,
    state5: ring.states[slot * ring.rows + row]!,
    age: touched ? header.eventId - Number(last) : null,
  };
}
