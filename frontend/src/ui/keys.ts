/** The keyboard: every mouse action has a key here. */

export interface KeyActions {
  freeze(): void;
  live(): void;
  pan(columns: number, rows: number): void;
  zoomPrice(direction: number): void;
  zoomTime(direction: number): void;
  layer(direction: number): void;
  bands(): void;
  crosshair(): void;
  vertical(): void;
  movePin(bins: number, ticks: number): void;
  seam(direction: number): void;
  reconnect(): void;
  table(): void;
  help(): void;
  undo(): void;
}

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

/** Runs the action of a key; false when the key means nothing here. */
export function pressKey(event: KeyboardEvent, act: KeyActions, shortcuts: boolean): boolean {
  const { key, altKey, shiftKey } = event;
  if (event.ctrlKey || event.metaKey) return false;
  const arrow = ARROWS[key];
  if (arrow) {
    const far = shiftKey ? 10 : 1;
    if (altKey) act.movePin(arrow[0] * far, arrow[1] * far);
    else act.pan(arrow[0] * far, arrow[1] * far);
    return true;
  }
  if (altKey || !shortcuts) return false;
  const table: Readonly<Record<string, () => void>> = {
    " ": act.freeze,
    f: act.live,
    "0": act.live,
    "+": () => act.zoomPrice(1),
    "=": () => act.zoomPrice(1),
    "-": () => act.zoomPrice(-1),
    "]": () => act.zoomTime(1),
    "[": () => act.zoomTime(-1),
    l: () => act.layer(shiftKey ? -1 : 1),
    p: act.bands,
    c: act.crosshair,
    v: act.vertical,
    n: () => act.seam(shiftKey ? -1 : 1),
    r: act.reconnect,
    t: act.table,
    "?": act.help,
    Backspace: act.undo,
  };
  const action = table[key.length === 1 ? key.toLowerCase() : key];
  if (!action) return false;
  action();
  return true;
}

/** Whether keys belong to what has the focus. */
export function inField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null
  );
}
