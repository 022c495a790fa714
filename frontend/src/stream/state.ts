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

export interface Facts {
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
  if (f.mode === "live") return chip("LIVE", "●", "good", "");
  const speed = f.speed === null ? "" : f.speed === 0 ? "max speed" : `×${f.speed}`;
  return chip("REPLAY", "▶", "good", [speed, f.sessionDate].filter(Boolean).join(" · "));
}

function chip(state: StateName, icon: string, tone: Chip["tone"], detail: string): Chip {
  return { state, icon, tone, detail };
}

function count(n: number): string {
  return n.toLocaleString("en-US");
}
