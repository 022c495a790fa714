/** The numbers of one cell: a tooltip at the cursor, the whole row in the side panel. */

import { byId, el, setText } from "../dom/elements.ts";
import type { Cell } from "../store/cell.ts";
import type { Session } from "../store/session.ts";
import { priceText } from "../view/price-axis.ts";
import type { ZoneClock } from "../view/time-axis.ts";
import { exact, STATE5_WORDS, short, signed } from "./format.ts";

const NO_CELL: Readonly<Record<Cell["what"], string>> = {
  bin: "",
  gap: "no data: bins missing here",
  reject: "no data: this bin was broken and refused",
  none: "no data here",
  outside: "outside the grid of this bin",
};

/** Lines of a cell as label and text; what the tooltip, the panel and the spoken reading share. */
export function cellLines(session: Session, cell: Cell, clock: ZoneClock): (readonly [string, string])[] {
  const config = session.config;
  if (!config) return [];
  const price = priceText(cell.tick, config.tickSize, config.priceDecimals);
  const lines: (readonly [string, string])[] = [
    ["time", clock.time(session.msOf(cell.seq), 1)],
    ["price", cell.k === null ? price : `${price}  (k ${signed(cell.k, 0)})`],
  ];
  if (cell.what !== "bin") return [...lines, ["", NO_CELL[cell.what]]];
  const number = (name: string): string => {
    const value = cell.columns.get(name);
    return value === undefined ? "–" : short(Number(value));
  };
  lines.push(
    ["score", number("spectrum_score")],
    ["depth bid / ask", `${number("bid_depth")} / ${number("ask_depth")}`],
    ["add / pull / fill", `${number("v_add")} / ${number("v_pull")} / ${number("v_fill")}`],
    ["pressure / vacuum", `${number("pressure_variant")} / ${number("vacuum_variant")}`],
    ["state", STATE5_WORDS[cell.state5 ?? 0] ?? "–"],
  );
  if (cell.age !== null)
    lines.push(["last touched", cell.age === 0 ? "this event" : `${cell.age} events ago`]);
  return lines;
}

export class Tooltip {
  private readonly box = byId("tooltip");

  hide(): void {
    this.box.hidden = true;
  }

  /** At CSS px `x`, `y` of the map, on the side where there is room. */
  show(session: Session, cell: Cell, clock: ZoneClock, x: number, y: number): void {
    const rows = cellLines(session, cell, clock).map(([label, text]) =>
      el(
        "div",
        { class: "pair" },
        el("span", { class: "dim" }, label),
        el("span", { class: "number" }, text),
      ),
    );
    this.box.replaceChildren(...rows);
    this.box.hidden = false;
    const map = this.box.parentElement!;
    const { offsetWidth: w, offsetHeight: h } = this.box;
    const left = x + 18 + w > map.clientWidth ? x - 18 - w : x + 18;
    const top = y + 18 + h > map.clientHeight ? y - 18 - h : y + 18;
    this.box.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }
}

export class CellPanel {
  private readonly panel = byId("panel-cell");
  private readonly title = el("p", { id: "cell-title" }, "");
  private readonly table = el("table", { class: "numbers cell", id: "cell-table" });

  constructor() {
    const hint = "Click a cell to pin it, move the pin with Alt and the arrow keys.";
    this.panel.append(el("p", { class: "dim small" }, hint), this.title, this.table);
  }

  update(session: Session, cell: Cell | null, clock: ZoneClock): void {
    if (!cell) {
      setText(this.title, "No cell pinned.");
      this.table.replaceChildren();
      return;
    }
    const source = cell.what !== "bin" ? "" : cell.exact ? "as sent" : "stored layers, 7 digits";
    const [time, price, note] = cellLines(session, cell, clock);
    setText(
      this.title,
      [time?.[1], price?.[1], cell.what === "bin" ? source : note?.[1]].filter(Boolean).join(" · "),
    );
    this.table.replaceChildren(
      ...[...cell.columns].map(([name, value]) =>
        el("tr", {}, el("th", { scope: "row" }, name), el("td", { "data-column": name }, exact(value))),
      ),
    );
  }
}
