/** Mouse and touch over the map and its axes. */

export interface PointerActions {
  /** CSS px of the map; null when the pointer left. */
  hover(x: number | null, y: number | null): void;
  pin(x: number, y: number): void;
  panBy(dx: number, dy: number): void;
  wheel(direction: number, x: number, y: number, what: { price: boolean; time: boolean }): void;
  box(x0: number, y0: number, x1: number, y1: number): void;
  boxing(corners: readonly [number, number, number, number] | null): void;
  live(): void;
}

const CLICK_PX = 4;
const WHEEL_STEP = 60;
const AXIS_STEP = 24;

export function listenToMap(map: HTMLElement, act: PointerActions): void {
  let drag: { x: number; y: number; startX: number; startY: number; moved: boolean; box: boolean } | null =
    null;
  let wheel = 0;
  const place = (event: MouseEvent): readonly [number, number] => {
    const box = map.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  map.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.target as HTMLElement).closest("button, .notice")) return;
    const [x, y] = place(event);
    drag = { x, y, startX: x, startY: y, moved: false, box: event.altKey };
    map.setPointerCapture(event.pointerId);
  });
  map.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!drag) return act.hover(x, y);
    if (Math.hypot(x - drag.startX, y - drag.startY) > CLICK_PX) drag.moved = true;
    if (!drag.moved) return;
    if (drag.box) act.boxing([drag.startX, drag.startY, x, y]);
    else act.panBy(x - drag.x, y - drag.y);
    drag.x = x;
    drag.y = y;
  });
  const end = (event: PointerEvent): void => {
    if (!drag) return;
    const { startX, startY, x, y, moved, box } = drag;
    drag = null;
    if (moved && box) {
      act.boxing(null);
      act.box(startX, startY, x, y);
    } else if (!moved && event.type === "pointerup") act.pin(startX, startY);
  };
  map.addEventListener("pointerup", end);
  map.addEventListener("pointercancel", end);
  map.addEventListener("pointerleave", () => act.hover(null, null));
  map.addEventListener("dblclick", () => act.live());
  map.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      // Shift turns the wheel sideways in most browsers.
      wheel += event.deltaY !== 0 ? event.deltaY : event.deltaX;
      const [x, y] = place(event);
      const both = event.ctrlKey || event.metaKey;
      while (Math.abs(wheel) >= WHEEL_STEP) {
        act.wheel(wheel > 0 ? -1 : 1, x, y, { price: both || !event.shiftKey, time: both || event.shiftKey });
        wheel -= Math.sign(wheel) * WHEEL_STEP;
      }
    },
    { passive: false },
  );
}

/** Dragging along an axis scales it. */
export function listenToAxis(axis: HTMLElement, along: "x" | "y", zoom: (direction: number) => void): void {
  let last: number | null = null;
  const at = (event: PointerEvent): number => (along === "x" ? event.clientX : event.clientY);
  axis.addEventListener("pointerdown", (event) => {
    last = at(event);
    axis.setPointerCapture(event.pointerId);
  });
  axis.addEventListener("pointermove", (event) => {
    if (last === null) return;
    while (Math.abs(at(event) - last) >= AXIS_STEP) {
      const direction = Math.sign(at(event) - last);
      zoom(along === "x" ? direction : -direction);
      last += direction * AXIS_STEP;
    }
  });
  const end = (): void => {
    last = null;
  };
  axis.addEventListener("pointerup", end);
  axis.addEventListener("pointercancel", end);
}
