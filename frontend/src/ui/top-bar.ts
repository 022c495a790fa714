/** Quotes, exchange time, data age and the state chip. */

import { byId, setText } from "../dom/elements.ts";
import type { Session } from "../store/session.ts";
import type { Chip } from "../stream/state.ts";
import { priceText } from "../view/price-axis.ts";
import type { ZoneClock } from "../view/time-axis.ts";
import { fixed } from "./format.ts";

export class TopBar {
  private readonly symbol = byId("symbol");
  private readonly date = byId("session-date");
  private readonly spot = byId("spot");
  private readonly bid = byId("bid");
  private readonly ask = byId("ask");
  private readonly spread = byId("spread");
  private readonly clockLabel = byId("clock-label");
  private readonly clock = byId("clock");
  private readonly age = byId("age");
  private readonly chip = byId("chip");
  private readonly icon = byId("chip-icon");
  private readonly state = byId("chip-state");
  private readonly detail = byId("chip-detail");
  private readonly announce = byId("announce");
  private readonly alert = byId("alert");
  private spoken = "";

  /** The page before anything is asked for. */
  setup(): void {
    this.status({ state: "SETUP", icon: "✎", tone: "busy", detail: "which session?" });
  }

  quotes(session: Session, clock: ZoneClock): void {
    const { config, newest } = session;
    if (!config) return;
    setText(this.symbol, config.symbol);
    if (!document.title.startsWith(config.symbol)) document.title = `${config.symbol} · Vacuum / Pressure`;
    if (!newest) return;
    const price = (tick: number | null): string =>
      tick === null ? "–" : priceText(tick, config.tickSize, config.priceDecimals);
    const size = (n: number | null): string => (n ? ` (${n})` : "");
    setText(this.spot, price(newest.spotTick));
    setText(this.bid, price(newest.bidTick) + size(newest.bidSize));
    setText(this.ask, price(newest.askTick) + size(newest.askSize));
    const spread =
      newest.bidTick === null || newest.askTick === null ? null : newest.askTick - newest.bidTick;
    setText(this.spread, spread === null ? "–" : `${spread} ${spread === 1 ? "tick" : "ticks"}`);
    const ms = Number(newest.endNs / 1000n) / 1000;
    setText(this.clock, clock.time(ms, 1));
    setText(this.clockLabel, `Exchange time ${clock.abbreviation(ms)}`);
    setText(this.date, clock.date(ms));
  }

  dataAge(session: Session, nowMs: number, halted: boolean): void {
    const { lastBinMs } = session;
    setText(this.age, lastBinMs === null || halted ? "–" : `${fixed((nowMs - lastBinMs) / 1000, 1)} s`);
  }

  status(chip: Chip): void {
    this.chip.dataset.tone = chip.tone;
    this.chip.dataset.state = chip.state;
    setText(this.icon, chip.icon);
    setText(this.state, chip.state);
    setText(this.detail, chip.detail);
    this.chip.title = chip.detail;
    if (chip.state === this.spoken) return;
    this.spoken = chip.state;
    document.body.dataset.state = chip.state;
    setText(chip.state === "ERROR" ? this.alert : this.announce, `${chip.state} ${chip.detail}`);
  }

  say(text: string): void {
    setText(this.announce, text);
  }
}
