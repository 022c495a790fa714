/** Everything the page knows about one stream: config, ring, bands, seams, counters. Frames in, facts out; no DOM. */

import { AutoScale } from "../layers/scale.ts";
import { LAYER_TABLE, type LayerId } from "../layers/table.ts";
import { feedOf } from "../stream/feed.ts";
import type { Feed } from "../stream/state.ts";
import { checkConfig } from "../wire/config.ts";
import { FrameSequence, type Reject, RejectBudget } from "../wire/sequence.ts";
import type { Bin, BinHeader, RuntimeConfig, RuntimeModelInfo, Violation } from "../wire/types.ts";
import { compareConfigs, type ParameterChange } from "./diff.ts";
import { EventLog } from "./events.ts";
import { Projection } from "./projection.ts";
import { RawStore } from "./raw.ts";
import { Ring } from "./ring.ts";
import { Timing } from "./timing.ts";

export interface Seam {
  readonly seq: number;
  readonly before: string;
  readonly after: string;
  readonly changes: readonly ParameterChange[];
}

export interface Notice {
  readonly id: number;
  readonly title: string;
  readonly lines: readonly string[];
}

/** A stream that cannot be read any more. */
export interface ContractFailure {
  readonly message: string;
}

export interface Counters {
  bins: number;
  gaps: number;
  gapBins: number;
  droppedByServer: number;
  rejects: number;
  unknownMessages: number;
  epochs: number;
}

export class Session {
  readonly events = new EventLog();
  readonly raw = new RawStore();
  readonly decode = new Timing();
  readonly counters: Counters = {
    bins: 0,
    gaps: 0,
    gapBins: 0,
    droppedByServer: 0,
    rejects: 0,
    unknownMessages: 0,
    epochs: 0,
  };
  config: RuntimeConfig | null = null;
  /** False between a new connection and its first config. */
  configured = false;
  ring: Ring | null = null;
  projection: Projection | null = null;
  models: string[] = [];
  seams: Seam[] = [];
  notices: Notice[] = [];
  newest: BinHeader | null = null;
  lastBinMs: number | null = null;
  /** UTC ms of the start of bin 0. */
  originMs = 0;
  paused = false;
  /** Whether a heartbeat came on this connection. */
  beats = false;
  /** How the live feed is; null where a past day is replayed. */
  feed: Feed | null = null;
  speed: number | null = null;
  ended: { readonly bins: number } | null = null;
  scales: Record<LayerId, AutoScale>;
  private readonly columns: number;
  private sequence: FrameSequence | null = null;
  private budget = new RejectBudget();
  private pendingSeam: Seam | null = null;
  private modelIndex = 0;
  private noticeId = 0;
  private readonly now: () => number;

  /** `columns`: bins kept. `now`: wall clock in ms. */
  constructor(columns: number, now: () => number) {
    this.columns = columns;
    this.now = now;
    this.scales = freshScales();
  }

  /** The bin to ask for after a break; null when nothing is held. */
  get resumeFrom(): number | null {
    return this.ring?.count ? this.ring.last + 1 : null;
  }

  /** Spot in ticks of the newest bin that had one. */
  get spot(): number | null {
    return this.newest?.spotTick ?? null;
  }

  msOf(seq: number): number {
    return this.originMs + seq * (this.config?.cellWidthMs ?? 0);
  }

  /** A heartbeat has come. */
  heartbeat(frame: Readonly<Record<string, unknown>>): void {
    this.beats = true;
    const feed = feedOf(frame, this.now());
    if (feed === null) return;
    if (this.feed?.state !== feed.state) this.events.add("feed", `feed is ${feed.state}`);
    if (feed.why !== "" && feed.why !== this.feed?.why) this.events.add("feed", feed.why);
    this.feed = feed;
  }

  /** Milliseconds on the session's clock to a place in bins. */
  binAt(ms: number): number {
    return (ms - this.originMs) / (this.config?.cellWidthMs ?? 1);
  }

  /** Bins after which the model speaks; null when the config does not say. */
  get warmupNeeded(): number | null {
    const config = this.config;
    if (!config) return null;
    for (const value of [config.model.parameters.zscore_min_periods, config.raw.perm_zscore_min_periods]) {
      if (typeof value === "number") return value;
    }
    return null;
  }

  connectionOpened(): void {
    this.configured = false;
    this.paused = false;
    this.beats = false;
    this.budget = new RejectBudget();
  }

  runtimeConfig(raw: Readonly<Record<string, unknown>>): ContractFailure | null {
    const checked = checkConfig(raw);
    if (!checked.ok) return { message: `runtime_config: ${describe(checked.why)}` };
    const config = checked.value;
    const before = this.config;
    if (!before || !this.ring || !this.projection) this.reset(config);
    else this.change(before, config);
    this.config = config;
    if (this.configured) this.sequence?.reconfigure(config);
    else this.sequence = new FrameSequence(config, this.ring?.count ? this.ring.last : null);
    this.configured = true;
    return null;
  }

  /** A header. The grid that follows completes the bin. */
  header(raw: Readonly<Record<string, unknown>>): ContractFailure | null {
    if (!this.sequence || !this.configured)
      return { message: "grid_update: expected a runtime_config first" };
    for (const reject of this.sequence.header(raw)) {
      const failure = this.reject(reject);
      if (failure) return failure;
    }
    return null;
  }

  binary(bytes: Uint8Array): ContractFailure | null {
    if (!this.sequence || !this.configured) return { message: "grid frame: expected a runtime_config first" };
    const verdict = this.sequence.binary(bytes);
    if (verdict === null) return null;
    if (verdict.kind === "reject") return this.reject(verdict);
    if (verdict.newEpoch) this.newEpoch(verdict.bin.header.seq);
    this.store(verdict.bin, verdict.missing);
    return null;
  }

  acknowledged(raw: Readonly<Record<string, unknown>>): void {
    const of = raw.of;
    if (of === "pause") this.paused = true;
    if (of === "resume") this.paused = false;
    if (of === "seek") this.sequence?.expectNewEpoch();
    const state = raw.state;
    if (typeof state === "object" && state !== null) {
      const { paused, speed } = state as { paused?: unknown; speed?: unknown };
      if (typeof paused === "boolean") this.paused = paused;
      if (typeof speed === "number") this.speed = speed;
    }
  }

  closeNotice(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
  }

  notify(title: string, lines: readonly string[]): void {
    this.noticeId++;
    this.notices = [...this.notices.slice(-2), { id: this.noticeId, title, lines }];
  }

  private store(bin: Bin, missing: number): void {
    const { header } = bin;
    const ring = this.ring!;
    const config = this.config!;
    if (missing > 0) this.gap(header.seq, missing, header.droppedBins, config);
    this.applySeam(header);
    const slot = ring.store(header, bin.grid, this.modelIndex, missing);
    this.raw.store(bin);
    for (const layer of LAYER_TABLE) {
      this.scales[layer.id].push(ring.layers[layer.source], slot * ring.rows, (slot + 1) * ring.rows);
    }
    const sound = header.bookValid ? header.spotTick : null;
    const score = config.model.enabled && header.model.ready ? header.model.score : null;
    this.projection!.push(header.seq, sound, score, this.modelIndex);
    this.originMs = Number(header.startNs / 1000n) / 1000 - header.seq * config.cellWidthMs;
    this.newest = header;
    this.lastBinMs = this.now();
    this.counters.bins++;
  }

  private gap(seq: number, missing: number, dropped: number, config: RuntimeConfig): void {
    this.counters.gaps++;
    this.counters.gapBins += missing;
    this.counters.droppedByServer += Math.min(dropped, missing);
    const span = ((missing * config.cellWidthMs) / 1000).toFixed(1);
    const why = dropped > 0 ? `, ${dropped} skipped by the server` : "";
    this.events.add("gap", `${missing} bins missing (${span} s)${why}`, seq - missing);
  }

  private reject(reject: Reject): ContractFailure | null {
    this.counters.rejects++;
    const text = describe(reject.why);
    this.events.add("reject", text, reject.seq);
    if (reject.seq !== null) {
      if (reject.missing > 0) this.gap(reject.seq, reject.missing, 0, this.config!);
      this.ring!.storeReject(reject.seq, reject.missing);
    }
    if (reject.fatal) return { message: `grid schema: ${text}` };
    return this.budget.spend(this.now())
      ? { message: `more than 5 broken bins in 10 s; the last: ${text}` }
      : null;
  }

  private newEpoch(seq: number): void {
    this.ring!.clear();
    this.raw.clear();
    this.seams = [];
    if (this.pendingSeam) this.pendingSeam = { ...this.pendingSeam, seq }; // its bin was one of the time that was left
    this.projection = new Projection(this.config!.horizons, this.columns);
    this.scales = freshScales();
    this.counters.epochs++;
    this.events.add("server", "jumped to another time; history starts anew");
  }

  private change(before: RuntimeConfig, after: RuntimeConfig): void {
    const change = compareConfigs(before, after);
    if (change.kind === "grid") {
      this.reset(after);
      this.notify("Grid changed", [`history starts anew: ${change.fields.join(", ")}`]);
      this.events.add("grid", `grid changed: ${change.fields.join(", ")}`);
      return;
    }
    this.projection!.setHorizons(after.horizons);
    if (change.kind !== "promotion") {
      this.standingChange(before.model, after.model);
      return;
    }
    const seq = after.effectiveBinSeq ?? (this.ring!.count ? this.ring!.last + 1 : 0);
    this.pendingSeam = { seq, before: modelLabel(before), after: modelLabel(after), changes: change.changes };
    const title = `Model changed: ${modelLabel(before)} → ${modelLabel(after)}`;
    const lines = change.changes.map((c) => `${c.name}: ${plain(c.before)} → ${plain(c.after)}`);
    this.notify(title, lines.length > 0 ? lines : ["same parameters"]);
    this.events.add("model", [title, ...lines].join(" · "), seq);
  }

  /** The same model, of which more is known by now: a demotion is told as loudly as a promotion. */
  private standingChange(before: RuntimeModelInfo, after: RuntimeModelInfo): void {
    if (before.standing === after.standing) return;
    const title = `Model is ${after.standing.replaceAll("_", " ")}`;
    this.notify(title, after.record === "" ? [] : [after.record]);
    this.events.add("model", [title, after.record].filter(Boolean).join(" · "));
  }

  private applySeam(header: BinHeader): void {
    const seam = this.pendingSeam;
    if (!seam || header.seq < seam.seq) return;
    this.pendingSeam = null;
    this.models.push(seam.after);
    this.modelIndex = this.models.length - 1;
    const ring = this.ring!;
    for (let seq = Math.max(seam.seq, ring.first); seq <= ring.last; seq++) {
      const slot = ring.slot(seq);
      if (slot >= 0) ring.modelIndex[slot] = this.modelIndex;
    }
    this.seams = [...this.seams.slice(-49), seam];
  }

  private reset(config: RuntimeConfig): void {
    this.ring = new Ring(this.columns, config.radius);
    this.raw.clear();
    this.projection = new Projection(config.horizons, this.columns);
    this.models = [modelLabel(config)];
    this.modelIndex = 0;
    this.seams = [];
    this.pendingSeam = null;
    this.newest = null;
    this.scales = freshScales();
    this.budget = new RejectBudget();
    this.sequence = null;
    this.configured = false;
  }
}

export function modelLabel(config: RuntimeConfig): string {
  const { name, version } = config.model;
  return version === "" ? name : `${name} ${/^\d/.test(version) ? "v" : ""}${version}`;
}

/** A violation as one line: field, expected, got. */
export function describe(why: Violation): string {
  return `${why.field}: expected ${why.expected}, got ${why.got}`;
}

function plain(value: unknown): string {
  return value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value);
}

function freshScales(): Record<LayerId, AutoScale> {
  return Object.fromEntries(
    LAYER_TABLE.map((layer) => [layer.id, new AutoScale(layer.initialCut, layer.ceiling)]),
  ) as Record<LayerId, AutoScale>;
}
