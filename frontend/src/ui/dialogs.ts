/** Help, and the table of one bin. */

import { button, byId, el } from "../dom/elements.ts";
import type { Session } from "../store/session.ts";
import { priceText } from "../view/price-axis.ts";
import type { ZoneClock } from "../view/time-axis.ts";
import { exact } from "./format.ts";

const dialog = byId<HTMLDialogElement>("dialog");

export function dialogOpen(): boolean {
  return dialog.open;
}

function open(title: string, ...content: Node[]): void {
  dialog.setAttribute("aria-label", title);
  dialog.replaceChildren(
    el(
      "header",
      {},
      el("h2", {}, title),
      button("×", () => dialog.close(), { "aria-label": "Close", class: "close" }),
    ),
    ...content,
  );
  if (!dialog.open) dialog.showModal();
}

const KEYS: readonly (readonly [string, string])[] = [
  ["Space", "freeze or resume the view; the stream goes on"],
  ["F or 0", "back to live, reset zoom"],
  ["← → ↑ ↓", "pan; with Shift ten times as far"],
  ["+  −", "zoom price"],
  ["[  ]", "zoom time"],
  ["L, Shift L", "next, previous layer"],
  ["P", "projection bands: off, now, with history, all"],
  ["C", "crosshair on or off"],
  ["V", "vertical: keep, re-centre at edge, always centre"],
  ["Alt + arrows", "move the pinned cell and read it out"],
  ["N, Shift N", "next, previous model seam"],
  ["R", "reconnect now"],
  ["T", "table of the bin"],
  ["?", "this help"],
  ["Wheel", "zoom price at the cursor; Shift: time; Ctrl: both"],
  ["Drag", "pan; on an axis: scale it; with Alt: box zoom, Backspace undoes"],
  ["Double-click", "back to live"],
];

export function showHelp(shortcuts: boolean, toggle: (on: boolean) => void): void {
  const box = el("input", { type: "checkbox", id: "shortcuts" });
  box.checked = shortcuts;
  box.addEventListener("change", () => toggle(box.checked));
  open(
    "Keys and mouse",
    el(
      "dl",
      { class: "keys" },
      ...KEYS.flatMap(([key, does]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, does)]),
    ),
    el("label", { class: "check" }, box, "Single-key shortcuts"),
  );
}

const TABLE_COLUMNS = [
  "spectrum_score",
  "bid_depth",
  "ask_depth",
  "v_add",
  "v_pull",
  "v_fill",
  "pressure_variant",
  "vacuum_variant",
];
const TABLE_TICKS = 10;

/** A real table of one bin, ±10 ticks around its spot, numbers as sent. */
export function showTable(session: Session, seq: number, clock: ZoneClock): void {
  const { config, raw } = session;
  const columns = raw.columns(seq);
  const header = raw.header(seq);
  if (!config || !columns || !header) {
    open("Table of the bin", el("p", {}, "The frame of this bin is no longer kept; the newest 600 are."));
    return;
  }
  const spot = header.spotTick;
  const rows: HTMLElement[] = [];
  for (let k = Math.min(TABLE_TICKS, config.radius); k >= -Math.min(TABLE_TICKS, config.radius); k--) {
    const price = spot === null ? "–" : priceText(spot + k, config.tickSize, config.priceDecimals);
    const cells = TABLE_COLUMNS.map((name) => {
      const value = columns.get(name)?.[k + config.radius];
      return el("td", { "data-column": name, "data-k": String(k) }, value === undefined ? "–" : exact(value));
    });
    rows.push(
      el("tr", {}, el("th", { scope: "row" }, `${k > 0 ? "+" : ""}${k}`), el("td", {}, price), ...cells),
    );
  }
  const heads = ["k", "price", ...TABLE_COLUMNS].map((name) =>
    el("th", { scope: "col" }, name.replace("_variant", "")),
  );
  open(
    "Table of the bin",
    el(
      "p",
      { class: "dim" },
      `bin ${seq} · ${clock.date(session.msOf(seq))} ${clock.time(session.msOf(seq), 1)} ${clock.zone}`,
    ),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "numbers wide", id: "bin-table" },
        el("thead", {}, el("tr", {}, ...heads)),
        el("tbody", {}, ...rows),
      ),
    ),
  );
}
