/** The Arrow frame of one bin: schema once, then numbers each time. */

import { type Decoded, decodeArrow, schemaBytes } from "./arrow.ts";
import schema from "./schema.json";
import {
  type BinHeader,
  type Checked,
  type Column,
  fail,
  type Grid,
  pass,
  type RuntimeConfig,
} from "./types.ts";

const KNOWN: ReadonlyMap<string, string> = new Map(Object.entries(schema.grid)); // column -> type
const CODE_RANGES: Readonly<Record<string, readonly [number, number]>> = {
  spectrum_state_code: [-1, 1],
  perm_state5_code: [-2, 2],
  traded_buy: [0, 2 ** 31 - 1],
  traded_sell: [0, 2 ** 31 - 1],
};

/** Decodes and checks grids of one connection; remembers the schema's bytes so that it is compared, not parsed, each time. */
export class GridChecker {
  private readonly config: RuntimeConfig;
  private knownSchema: Uint8Array | null = null;
  /** A broken schema is not one bad bin: nothing that follows can be read. */
  schemaBroken = false;

  constructor(config: RuntimeConfig) {
    this.config = config;
  }

  check(bytes: Uint8Array, header: BinHeader): Checked<Grid> {
    let decoded: Decoded;
    try {
      decoded = decodeArrow(bytes);
    } catch (error) {
      return fail("grid frame", "one Arrow IPC stream", error instanceof Error ? error.message : error);
    }
    const names = this.checkSchema(bytes, decoded);
    if (!names.ok) return names;
    const { rows } = this.config;
    if (decoded.rows !== rows) return fail("rows", `2R+1 = ${rows}`, decoded.rows);
    const grid = new Map<string, Column>();
    for (const column of decoded.columns) {
      if (column.nulls > 0) return fail(column.name, "no nulls", `${column.nulls} nulls`);
      if (!KNOWN.has(column.name)) continue;
      if (column.values.length !== rows) {
        return fail(column.name, `${rows} values in one record batch`, column.values.length);
      }
      const wrong = checkValues(column.name, column.values, this.config.radius);
      if (wrong) return wrong;
      grid.set(column.name, column.values);
    }
    return this.checkEventIds(grid, header) ?? pass(grid);
  }

  private checkSchema(bytes: Uint8Array, decoded: Decoded): Checked<null> {
    const length = schemaBytes(bytes);
    const head = bytes.subarray(0, length);
    if (this.knownSchema && length > 0 && sameBytes(head, this.knownSchema)) return pass(null);
    const names = decoded.columns.map((column) => column.name);
    const wanted = this.config.schemaFields;
    const at = wanted.findIndex((name, i) => names[i] !== name);
    if (at >= 0 || names.length !== wanted.length) {
      this.schemaBroken = true;
      const i = at >= 0 ? at : wanted.length;
      return fail(`grid column ${i + 1}`, wanted[i] ?? "no further column", names[i]);
    }
    for (const { name, type } of decoded.columns) {
      const known = KNOWN.get(name);
      if (known !== undefined && known !== type) {
        this.schemaBroken = true;
        return fail(`type of ${name}`, known, type);
      }
    }
    this.knownSchema = head.slice();
    return pass(null);
  }

  private checkEventIds(grid: Grid, header: BinHeader): ReturnType<typeof fail> | null {
    const ids = grid.get("last_event_id");
    if (!(ids instanceof BigInt64Array)) return null;
    const limit = BigInt(header.eventId);
    for (const id of ids) {
      if (id > limit) return fail("last_event_id", `at most the header's event_id ${limit}`, String(id));
    }
    return null;
  }
}

function checkValues(name: string, values: Column, radius: number): ReturnType<typeof fail> | null {
  if (name === "k") {
    for (let i = 0; i < values.length; i++) {
      if (Number(values[i]) !== i - radius) return fail("k", `${i - radius} in row ${i}`, Number(values[i]));
    }
    return null;
  }
  if (values instanceof Float64Array) {
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) return fail(name, "finite numbers", `${values[i]} at k=${i - radius}`);
    }
    return null;
  }
  const range = CODE_RANGES[name];
  if (range) {
    for (let i = 0; i < values.length; i++) {
      const code = Number(values[i]);
      if (code < range[0] || code > range[1]) return fail(name, `${range[0]}..${range[1]}`, code);
    }
  }
  return null;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
