/** What crosses the socket, as the page uses it after checking. 64-bit integers are bigint here, text on the wire. */

export interface RuntimeModelInfo {
  readonly name: string;
  readonly enabled: boolean;
  readonly version: string;
  readonly standing: string; // "proven", "on_trial", "not_proven", "forced", "instrument"; empty where the server does not say
  readonly because: string; // why it was forced
  readonly record: string; // what its live record says of its promise, in words; empty where it promised nothing
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** A checked `runtime_config` frame. `raw` keeps every field sent, for comparing two of them. */
export interface RuntimeConfig {
  readonly productType: string;
  readonly symbol: string;
  readonly configVersion: string;
  readonly tickSize: number; // dollars
  readonly tickInt: bigint; // 1e-9 dollars
  readonly priceScale: number;
  readonly priceDecimals: number;
  readonly qtyUnit: string;
  readonly radius: number; // ticks
  readonly rows: number; // 2 * radius + 1
  readonly cellWidthMs: number;
  readonly cellWidthNs: bigint;
  readonly horizons: readonly number[]; // bins
  readonly model: RuntimeModelInfo;
  readonly mode: string;
  readonly schemaVersion: number; // 1 had no traded volume by price and no trades of the model
  readonly schemaFields: readonly string[];
  readonly timeZone: string | null;
  readonly session: {
    readonly startNs: bigint | null;
    readonly endNs: bigint | null;
    readonly nBins: number | null;
  };
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly reason: string | null;
  readonly effectiveBinSeq: number | null;
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Numbers of the runtime model in one header. */
export interface ModelOutput {
  readonly name: string;
  readonly score: number;
  readonly ready: boolean;
  readonly sampleCount: number;
  readonly base: number;
  readonly d: readonly [number, number, number];
  readonly z: readonly [number, number, number];
  readonly bull: number;
  readonly bear: number;
  readonly mixed: number;
  readonly dominant: number;
}

/** One trade of the model on paper, told when it is entered and again, whole, when its end is known. */
export interface ModelTrade {
  readonly id: string; // the same in every stream of the session
  readonly side: "buy" | "sell";
  readonly price: number; // ticks; a half tick where trades are filled at the mid
  readonly takeProfit: number; // ticks
  readonly stop: number; // ticks
  readonly firedBin: number;
  readonly entryBin: number;
  readonly exitBin: number | null; // null while it is open, as the next two
  readonly outcome: string | null;
  readonly pnlTicks: number | null; // net
}

/** A checked `grid_update` header. Prices are whole ticks; null where the book had none. */
export interface BinHeader {
  readonly seq: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly eventId: number;
  readonly eventCount: number;
  readonly spotTick: number | null;
  readonly bidTick: number | null;
  readonly askTick: number | null;
  readonly midPrice: number | null; // dollars; null without both sides
  readonly bookValid: boolean;
  readonly bidSize: number | null;
  readonly askSize: number | null;
  readonly tradeCount: number | null;
  readonly buyVolume: number | null;
  readonly sellVolume: number | null;
  readonly unsidedVolume: number | null; // of trades without an aggressor: in no row
  readonly buyOutside: number | null; // bought at prices that have no row
  readonly sellOutside: number | null;
  readonly trades: readonly ModelTrade[];
  readonly quality: number;
  readonly droppedBins: number;
  readonly model: ModelOutput;
}

export type Column = Float64Array | Int32Array | Int8Array | BigInt64Array;
/** Columns of one frame by name, each `rows` long, k ascending. */
export type Grid = ReadonlyMap<string, Column>;

/** One whole bin: header, grid, and the bytes the grid came from. */
export interface Bin {
  readonly header: BinHeader;
  readonly grid: Grid;
  readonly bytes: Uint8Array;
}

/** One broken promise of the wire: what field, what was expected, what came. */
export interface Violation {
  readonly field: string;
  readonly expected: string;
  readonly got: string;
}

export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: Violation };

export function pass<T>(value: T): Checked<T> {
  return { ok: true, value };
}

export function fail(field: string, expected: string, got: unknown): { ok: false; why: Violation } {
  return { ok: false, why: { field, expected, got: show(got) } };
}

/** A short, one-line picture of any value, for messages. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = typeof value === "string" ? JSON.stringify(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
