/** The layers kept of every cell, and those a viewer can choose, in one table. */

export const LAYER_NAMES = [
  "score",
  "depth", // bid depth positive, ask depth negative
  "flow", // add - pull - fill, contracts/s
  "pressure",
  "vacuum",
  "bid",
  "ask",
  "add",
  "pull",
  "fill",
] as const;
export type LayerName = (typeof LAYER_NAMES)[number];

export const LAYERS = ["score", "depth", "flow"] as const;
export type LayerId = (typeof LAYERS)[number];

export type Ramp = "diverging" | "sides";

/**
 * How magnitude becomes a place on the ramp, x being its share of the cut-off: `log` is ln(1 + span·x) / ln(1 + span), near
 * linear for small x; `power` is x^exponent; `range` runs in logarithms, raised to an exponent, from the lower cut-off, at `base`, to the
 * upper one.
 */
export type Curve =
  | { readonly kind: "log"; readonly span: number }
  | { readonly kind: "power"; readonly exponent: number }
  | { readonly kind: "range"; readonly base: number; readonly exponent: number };

export interface Layer {
  readonly id: LayerId;
  readonly label: string;
  readonly explains: string;
  readonly source: LayerName;
  readonly ramp: Ramp;
  readonly negative: string; // what the negative side is called
  readonly positive: string;
  readonly unit: string;
  readonly curve: Curve;
  readonly initialCut: number;
  readonly ceiling: number;
}

export const LAYER_TABLE: readonly Layer[] = [
  {
    id: "score",
    label: "Score",
    explains: "of each price: vacuum blue, pressure amber",
    source: "score",
    ramp: "diverging",
    negative: "vacuum",
    positive: "pressure",
    unit: "",
    curve: { kind: "power", exponent: 1.6 }, // weak scores are common and say little: they stay near neutral
    initialCut: 1,
    ceiling: 1,
  },
  {
    id: "depth",
    label: "Resting depth",
    explains: "at each price, log scale: bids blue, asks orange",
    source: "depth",
    ramp: "sides",
    negative: "ask",
    positive: "bid",
    unit: "contracts",
    curve: { kind: "range", base: 0.1, exponent: 1.5 }, // common sizes stay dark, walls stand out
    initialCut: 10,
    ceiling: Number.POSITIVE_INFINITY,
  },
  {
    id: "flow",
    label: "Net flow",
    explains: "added less pulled and filled: building amber, draining blue",
    source: "flow",
    ramp: "diverging",
    negative: "draining",
    positive: "building",
    unit: "contracts/s",
    curve: { kind: "log", span: 3 },
    initialCut: 1,
    ceiling: Number.POSITIVE_INFINITY,
  },
];

export function layerOf(id: LayerId): Layer {
  const layer = LAYER_TABLE.find((l) => l.id === id);
  if (!layer) throw new Error(`unknown layer ${id}`);
  return layer;
}

/** Place of a magnitude on the ramp, 0..1 between the cut-offs. */
export function ramp(layer: Layer, size: number, cut: number, floor: number): number {
  const { curve } = layer;
  const share = size / cut;
  if (curve.kind === "log") return Math.log1p(curve.span * share) / Math.log1p(curve.span);
  if (curve.kind === "power") return share ** curve.exponent;
  if (size === 0) return 0;
  if (size <= floor) return floor < cut ? curve.base : 1;
  const place = Math.log(size / floor) / Math.log(cut / floor);
  return curve.base + (1 - curve.base) * place ** curve.exponent;
}
