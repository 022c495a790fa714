/** The model: what it says now, and how its projections did. */

import { byId, el, setText } from "../dom/elements.ts";
import type { TrackRow } from "../store/projection.ts";
import { MIN_MATURED } from "../store/projection.ts";
import type { Session } from "../store/session.ts";
import { fixed, grouped, modelOrigin, percent, STATE5_WORDS, short, signed } from "./format.ts";

export class ModelPanel {
  private readonly name = el("strong", { id: "model-name" }, "–");
  private readonly version = el("span", { class: "dim", id: "model-version" });
  private readonly ready = el("span", { class: "badge", id: "model-ready" }, "–");
  private readonly score = el("output", { class: "score-number", id: "model-score" }, "–");
  private readonly needle = el("i", {});
  private readonly words = el("span", { class: "dim" }, "");
  private readonly cells = new Map<string, HTMLElement>();
  private readonly bars = new Map<string, { bar: HTMLElement; number: HTMLElement }>();
  private readonly dominant = el("span", { id: "model-dominant" }, "–");
  private readonly track = el("div", { id: "track" });
  private trackKey = "";

  constructor() {
    const panel = byId("panel-model");
    const meter = el("div", { class: "meter", "aria-hidden": "true" }, this.needle);
    panel.append(
      el("div", { class: "model-head" }, this.name, this.ready),
      this.version,
      el("div", { class: "score-row" }, this.score, this.words),
      meter,
      el(
        "div",
        { class: "meter-ends" },
        el("span", {}, "−1 down"),
        el("span", {}, "0"),
        el("span", {}, "up +1"),
      ),
      el("h3", {}, "Derivatives"),
      this.numbers(),
      el("h3", {}, "Intensity"),
      this.intensities(),
      el("div", { class: "pair" }, el("span", { class: "dim" }, "Dominant state"), this.dominant),
      el("h3", {}, "Track record of the projection"),
      this.track,
    );
  }

  update(session: Session): void {
    const { config, newest } = session;
    if (!config) return;
    const { model } = config;
    setText(this.name, model.name);
    setText(this.version, modelOrigin(model));
    if (!newest) return;
    const out = newest.model;
    const needed = session.warmupNeeded;
    const warming =
      needed === null
        ? `warming ${out.sampleCount}`
        : `warming ${Math.min(out.sampleCount, needed)}/${needed}`;
    setText(this.ready, !model.enabled ? "off" : out.ready ? "ready" : warming);
    this.ready.dataset.tone = !model.enabled ? "idle" : out.ready ? "good" : "busy";
    setText(this.score, signed(out.score, 3));
    setText(
      this.words,
      !out.ready
        ? "not ready"
        : Math.abs(out.score) < 0.05
          ? "no opinion"
          : out.score > 0
            ? "upward"
            : "downward",
    );
    this.needle.style.left = `${Math.min(0.5, 0.5 + out.score / 2) * 100}%`;
    this.needle.style.width = `${(Math.abs(out.score) / 2) * 100}%`;
    this.needle.dataset.side = out.score >= 0 ? "up" : "down";
    const put = (id: string, value: number): void => setText(this.cells.get(id)!, short(value));
    put("base", out.base);
    for (const i of [0, 1, 2] as const) {
      put(`d${i + 1}`, out.d[i]);
      put(`z${i + 1}`, out.z[i]);
    }
    for (const [id, value] of Object.entries({ bull: out.bull, bear: out.bear, mixed: out.mixed })) {
      const row = this.bars.get(id)!;
      row.bar.style.width = `${Math.max(0, Math.min(1, value)) * 100}%`;
      setText(row.number, fixed(value, 3));
    }
    setText(this.dominant, STATE5_WORDS[out.dominant] ?? String(out.dominant));
    this.record(session);
  }

  private numbers(): HTMLElement {
    const head = el("tr", {}, el("th", {}, ""), ...["1", "2", "3"].map((n) => el("th", { scope: "col" }, n)));
    const cell = (id: string): HTMLElement => {
      const td = el("td", { id: `model-${id}` }, "–");
      this.cells.set(id, td);
      return td;
    };
    const row = (label: string, prefix: string): HTMLElement =>
      el("tr", {}, el("th", { scope: "row" }, label), ...[1, 2, 3].map((n) => cell(`${prefix}${n}`)));
    const base = el("tr", {}, el("th", { scope: "row" }, "base"), cell("base"), el("td", {}), el("td", {}));
    return el(
      "table",
      { class: "numbers" },
      el("thead", {}, head),
      el("tbody", {}, base, row("d", "d"), row("z", "z")),
    );
  }

  private intensities(): HTMLElement {
    const rows = (["bull", "bear", "mixed"] as const).map((id) => {
      const bar = el("i", { class: id });
      const number = el("span", { class: "number" }, "–");
      this.bars.set(id, { bar, number });
      return el(
        "div",
        { class: "bar-row" },
        el("span", { class: "dim" }, id),
        el("div", { class: "bar" }, bar),
        number,
      );
    });
    return el("div", {}, ...rows);
  }

  /** Rebuilt only when a number in it changed. */
  private record(session: Session): void {
    const { projection, config } = session;
    if (!projection || !config) return;
    const models = session.models.map((label, i) => ({ label, rows: projection.record(i) }));
    const shown = models
      .filter((m, i) => i === models.length - 1 || m.rows.some((row) => row.matured > 0))
      .reverse();
    const key = JSON.stringify(shown.map((m) => [m.label, m.rows.map((row) => [row.horizon, row.matured])]));
    if (key === this.trackKey) return;
    this.trackKey = key;
    this.track.replaceChildren(
      ...shown
        .slice(0, 3)
        .map((m) =>
          el(
            "table",
            { class: "numbers track" },
            el("caption", {}, m.label),
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                ...["after", "n", "hits", "95 %", "in band", "err"].map((t) => el("th", { scope: "col" }, t)),
              ),
            ),
            el("tbody", {}, ...m.rows.map((row) => trackRow(row, config.cellWidthMs))),
          ),
        ),
      el("p", { class: "dim small" }, "hits: sign of the move; band aims at 80 %; err in ticks"),
    );
  }
}

function trackRow(row: TrackRow, cellWidthMs: number): HTMLElement {
  const after = `${Number(((row.horizon * cellWidthMs) / 1000).toPrecision(3))} s`;
  const head = el("th", { scope: "row" }, after);
  if (!row.shown) {
    return el("tr", {}, head, el("td", { colspan: "5" }, `${row.matured} of ${MIN_MATURED}`));
  }
  const [low, high] = row.interval;
  const range = row.judged === 0 ? "–" : `${Math.round(100 * low)}–${Math.round(100 * high)}`;
  const tip = `${grouped(row.judged)} judged, ${grouped(row.leftOut)} left out: no move, or |score| < 0.05`;
  return el(
    "tr",
    { title: tip },
    head,
    ...[
      grouped(row.matured),
      percent(row.hitRate),
      range,
      percent(row.coverage),
      signed(row.meanError, 2),
    ].map((t) => el("td", {}, t)),
  );
}
