/** What happened: connections, gaps, rejects, model changes; each with a jump to its bin. */

import { button, byId, el } from "../dom/elements.ts";
import type { EventLog } from "../store/events.ts";

const WORDS = {
  connection: "link",
  gap: "gap",
  reject: "reject",
  model: "model",
  grid: "grid",
  server: "server",
  feed: "feed",
} as const;

const SHOWN = 120;

export class EventsPanel {
  private readonly panel = byId("panel-events");
  private readonly list = el("ol", { class: "events", id: "events" });
  private readonly tab = byId("tab-events");
  private version = -1;

  constructor() {
    this.panel.append(this.list);
  }

  update(log: EventLog, jump: (seq: number) => void): void {
    if (log.version === this.version) return;
    this.version = log.version;
    this.tab.textContent = log.version > 0 ? `Events ${log.version}` : "Events";
    const items = log.list
      .slice(-SHOWN)
      .reverse()
      .map((event) => {
        const time = new Date(event.atMs).toTimeString().slice(0, 8);
        const { seq } = event;
        return el(
          "li",
          { "data-kind": event.kind },
          el("span", { class: "dim number" }, time),
          el("b", {}, WORDS[event.kind]),
          el("span", {}, event.text),
          ...(seq === null
            ? []
            : [button("show", () => jump(seq), { class: "link", "aria-label": `Show bin ${seq}` })]),
        );
      });
    this.list.replaceChildren(...items);
  }
}
