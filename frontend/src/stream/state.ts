/** The state chip: facts in, one state out. Pure, so that every row of the table can be tested. */

export type StateName =
  | "SETUP"
  | "CONNECTING"
  | "WARMING UP"
  | "LIVE"
  | "REPLAY"
  | "BEHIND"
  | "BOOK INVALID"
  | "STALE"
  | "RECONNECTING"
  | "ERROR"
  | "PAUSED"
  | "FROZEN"
  | "ENDED";

/** How the live feed is, as the server's heartbeats tell. */
export interface Feed {
  readonly state: string; // connecting, live, quiet, closed, dead or ended
  readonly ageS: number | null; // since its newest record came, when it was told
  readonly toldMs: number; // arrival of what told it
  readonly lagS: number | null; // by which the bins are behind what was recorded
  readonly why: string; // its alarm or last warning
}

export interface Facts {
  readonly feed?: Feed | null; // of a live session
  readonly nowMs: number;
  readonly phase: "connecting" | "open" | "waiting" | "failed" | "ended";
  readonly phaseSinceMs: number;
  readonly endpoint: string;
  readonly configured: boolean;
  readonly mode: string; // of the config: live or replay
  readonly speed: number | null;
  readonly sessionDate: string;
  readonly cellWidthMs: number;
  readonly lastBinMs: number | null; // arrival of the newest bin
  readonly queued: number; // bins waiting
  readonly bookValid: boolean;
  readonly modelEnabled: boolean;
  readonly ready: boolean;
  readonly samples: number;
  readonly needed: number | null;
  readonly paused: boolean;
  readonly frozenBehind: number | null; // bins stored since the view was frozen
  readonly retryAtMs: number | null;
  readonly tries: number;
  readonly closeReason: string;
  readonly totalBins: number;
}

export interface Chip {
  readonly state: StateName;
  readonly icon: string;
  readonly tone: "good" | "busy" | "warn" | "bad" | "idle";
  readonly detail: string;
}

const BEHIND_BINS = 10;
const SERVER_HINT_MS = 10_000;

/** How long without a bin is too long. */
export function staleAfterMs(cellWidthMs: number): number {
  return Math.max(1000, 5 * cellWidthMs);
}

export function chipFor(f: Facts): Chip {
  if (f.phase === "failed") return chip("ERROR", "✕", "bad", f.closeReason);
  if (f.phase === "ended") return chip("ENDED", "■", "idle", `session ended · ${count(f.totalBins)} bins`);
  if (f.phase === "waiting") {
    const left = Math.max(0, (f.retryAtMs ?? f.nowMs) - f.nowMs) / 1000;
    return chip("RECONNECTING", "↻", "warn", `try ${f.tries} in ${left.toFixed(1)} s · ${f.closeReason}`);
  }
  if (f.phase === "connecting" || !f.configured) {
    if (f.tries > 0) return chip("RECONNECTING", "↻", "warn", `try ${f.tries} · connecting`);
    const waited = f.nowMs - f.phaseSinceMs;
    const hint = waited >= SERVER_HINT_MS ? " · is the server running?" : "";
    return chip("CONNECTING", "…", "busy", `${f.endpoint} · ${(waited / 1000).toFixed(0)} s${hint}`);
  }
  if (f.paused) return chip("PAUSED", "⏸", "idle", "replay paused at the server");
  const dead = f.mode === "live" && f.feed ? feedChip(f.feed, f.nowMs) : null;
  if (dead) return dead;
  const age = f.lastBinMs === null ? null : f.nowMs - f.lastBinMs;
  if (age !== null && age > staleAfterMs(f.cellWidthMs)) {
    const frozen = f.frozenBehind === null ? "" : " · view frozen";
    return chip("STALE", "⚠", "warn", `no bin for ${(age / 1000).toFixed(1)} s${frozen}`);
  }
  if (f.frozenBehind !== null)
    return chip("FROZEN", "❄", "idle", `view frozen · ${count(f.frozenBehind)} bins behind`);
  if (f.queued > BEHIND_BINS) {
    return chip("BEHIND", "»", "warn", `${((f.queued * f.cellWidthMs) / 1000).toFixed(1)} s behind`);
  }
  if (f.lastBinMs !== null && !f.bookValid)
    return chip("BOOK INVALID", "⊘", "warn", "book not valid · bands suspended");
  if (f.modelEnabled && !f.ready) {
    const needed = f.needed === null ? "" : `/${f.needed}`;
    const left = f.needed === null ? 0 : (Math.max(0, f.needed - f.samples) * f.cellWidthMs) / 1000;
    const time = left > 0 ? ` · ${left.toFixed(1)} s left` : "";
    return chip("WARMING UP", "◔", "busy", `model warming ${f.samples}${needed}${time}`);
  }
  if (f.mode === "live") return chip("LIVE", "●", "good", f.feed ? ageWords(f.feed, f.nowMs) : "");
  const speed = f.speed === null ? "" : f.speed === 0 ? "max speed" : `×${f.speed}`;
  return chip("REPLAY", "▶", "good", [speed, f.sessionDate].filter(Boolean).join(" · "));
}

const MUCH_LAG_S = 1;

/** What a feed makes of the chip where records do not simply come; null where they do. */
function feedChip(feed: Feed, nowMs: number): Chip | null {
  const age = ageWords(feed, nowMs);
  const said = (words: string): string => [words, age].filter(Boolean).join(" · ");
  switch (feed.state) {
    case "dead":
      return chip("STALE", "⚠", "bad", said(feed.why === "" ? "feed dead" : `feed dead: ${feed.why}`));
    case "closed":
      return chip("LIVE", "○", "idle", said("exchange closed"));
    case "quiet":
      return chip("LIVE", "●", "good", said("quiet market, feed alive"));
    case "connecting":
      return chip("LIVE", "…", "busy", said("feed connecting"));
    default:
      if (feed.lagS === null || feed.lagS <= MUCH_LAG_S) return null;
      return chip("BEHIND", "»", "warn", `${feed.lagS.toFixed(1)} s behind the feed`);
  }
}

/** How old the newest record is by now. */
function ageWords(feed: Feed, nowMs: number): string {
  if (feed.ageS === null) return "no record yet";
  const s = feed.state === "live" ? feed.ageS : feed.ageS + (nowMs - feed.toldMs) / 1000;
  return `newest record ${s.toFixed(1)} s old`;
}

function chip(state: StateName, icon: string, tone: Chip["tone"], detail: string): Chip {
  return { state, icon, tone, detail };
}

function count(n: number): string {
  return n.toLocaleString("en-US");
}
