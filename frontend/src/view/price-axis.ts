/** Tick-aligned prices and labels that never lie on each other. */

/** Ticks between labels: 1, 2, 4 or 5 times a power of ten, whichever gives a round price, and at least `minTicks`. */
export function priceStep(minTicks: number, tickSize: number): number {
  const perUnit = Math.round(1 / tickSize);
  const whole = Math.abs(perUnit * tickSize - 1) < 1e-9 && perUnit > 1;
  const steps: number[] = [];
  if (whole) {
    for (let t = 1; t < perUnit; t *= 2) if (perUnit % t === 0) steps.push(t);
    for (let unit = perUnit; unit < 1e9; unit *= 10) steps.push(unit, 2 * unit, 5 * unit);
  } else {
    for (let unit = 1; unit < 1e9; unit *= 10) steps.push(unit, 2 * unit, 5 * unit);
  }
  return steps.find((step) => step >= minTicks) ?? steps.at(-1)!;
}

/** Multiples of `step` from `low` to `high`. */
export function multiples(low: number, high: number, step: number): number[] {
  const out: number[] = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) out.push(t);
  return out;
}

export function priceText(tick: number, tickSize: number, decimals: number): string {
  return (tick * tickSize).toFixed(decimals);
}

export interface Tag {
  readonly y: number; // where it wants to be
}

/**
 * Positions for tags of one height so that none covers another: each as near to its own place as the others allow.
 * Returns y in the order given; what is off the range is clamped into it.
 */
export function stackTags(tags: readonly Tag[], height: number, low: number, high: number): number[] {
  const order = tags.map((_, i) => i).sort((a, b) => tags[a]!.y - tags[b]!.y);
  const half = height / 2;
  interface Block {
    members: number[];
    middle: number;
  }
  const blocks: Block[] = [];
  const clampBlock = (block: Block): void => {
    const reach = (block.members.length * height) / 2;
    block.middle = Math.max(low + reach, Math.min(high - reach, block.middle));
  };
  for (const i of order) {
    let block: Block = { members: [i], middle: tags[i]!.y };
    clampBlock(block);
    for (;;) {
      const above = blocks.at(-1);
      if (!above) break;
      const gap = block.middle - above.middle - ((above.members.length + block.members.length) * height) / 2;
      if (gap >= 0) break;
      blocks.pop();
      const members = [...above.members, ...block.members];
      const wish = members.reduce((sum, m, at) => sum + tags[m]!.y - at * height, 0) / members.length;
      block = { members, middle: wish + ((members.length - 1) * height) / 2 };
      clampBlock(block);
    }
    blocks.push(block);
  }
  const out = new Array<number>(tags.length);
  for (const { members, middle } of blocks) {
    members.forEach((m, at) => {
      out[m] = middle - (members.length * height) / 2 + half + at * height;
    });
  }
  return out;
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/** Keeps what was written where, so that a second label is not written over a first one. */
export class LabelBoard {
  readonly boxes: (Box & { readonly text: string })[] = [];

  clear(): void {
    this.boxes.length = 0;
  }

  /** Claims a box; false, and nothing claimed, when something stands there already. */
  claim(text: string, box: Box): boolean {
    if (this.boxes.some((b) => overlaps(b, box))) return false;
    this.boxes.push({ text, ...box });
    return true;
  }
}

export function overlaps(a: Box, b: Box): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
