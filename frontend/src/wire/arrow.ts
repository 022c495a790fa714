/** Arrow decoding behind one function, so that another library can take its place. */

import { tableFromIPC } from "@uwdata/flechette";
import type { Column } from "./types.ts";

export interface DecodedColumn {
  readonly name: string;
  readonly type: string; // numpy type code: f8, i8, i4, i1
  readonly nulls: number;
  readonly values: Column;
}

export interface Decoded {
  readonly rows: number;
  readonly columns: readonly DecodedColumn[];
}

const ARROW_INT = 2;
const ARROW_FLOAT = 3;

/**
 * One Arrow IPC stream as typed arrays, without a copy and without row objects.
 *
 * @throws Error when the bytes are not an Arrow stream.
 */
export function decodeArrow(bytes: Uint8Array): Decoded {
  const table = tableFromIPC(bytes);
  const rows = table.numRows;
  const columns = table.schema.fields.map((field, i): DecodedColumn => {
    const column = table.getChildAt(i);
    const type = field.type as { typeId: number; bitWidth?: number; precision?: number; signed?: boolean };
    let code = `arrow type ${type.typeId}`;
    if (type.typeId === ARROW_INT) code = `${type.signed ? "i" : "u"}${(type.bitWidth ?? 0) / 8}`;
    if (type.typeId === ARROW_FLOAT) code = `f${2 << (type.precision ?? 0)}`;
    const batch = column.data[0] as unknown as { values?: Column } | undefined;
    // Arrow may pad a buffer: only the first `rows` values belong to the column.
    const values = (batch?.values?.subarray(0, rows) ?? new Float64Array(0)) as Column;
    return { name: field.name, type: code, nulls: column.nullCount, values };
  });
  return { rows, columns };
}

/**
 * Length in bytes of the schema message that opens an IPC stream; 0 when there is none.
 * Streams whose first bytes are the same have the same schema.
 */
export function schemaBytes(bytes: Uint8Array): number {
  if (bytes.byteLength < 8) return 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== 0xffffffff) return 0;
  const end = 8 + view.getInt32(4, true);
  return end > 8 && end <= bytes.byteLength ? end : 0;
}
