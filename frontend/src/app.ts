/** The page as a whole: stream into session, session into picture. */

import { Controls } from "./controls.ts";
import { byId, setText } from "./dom/elements.ts";
import { layerOf } from "./layers/table.ts";
import { Picture } from "./paint/picture.ts";
import type { Scene } from "./paint/scene.ts";
import { cellAt } from "./store/cell.ts";
import { Session } from "./store/session.ts";
import { Timing } from "./store/timing.ts";
import { Connection, type ConnectionEvents } from "./stream/connection.ts";
import { silenceLimitMs } from "./stream/liveness.ts";
import { type PageQuery, streamUrl, withoutToken } from "./stream/query.ts";
import { type Chip, chipFor, staleAfterMs } from "./stream/state.ts";
import { CellPanel, cellLines, Tooltip } from "./ui/cell-panel.ts";
import { showTable } from "./ui/dialogs.ts";
import { EventsPanel } from "./ui/events-panel.ts";
import { Footer } from "./ui/footer.ts";
import { ModelPanel } from "./ui/model-panel.ts";
import { hideOverlay, setBanner, showError, showNotices } from "./ui/overlays.ts";
import { listenToTabs } from "./ui/tabs.ts";
import { TopBar } from "./ui/top-bar.ts";
import { palette } from "./view/palette.ts";
import { LabelBoard } from "./view/price-axis.ts";
import { ZoneClock } from "./view/time-axis.ts";

const TICK_MS = 100;

export class App {
  readonly session: Session;
  readonly connection: Connection;
  readonly controls: Controls;
  readonly picture = new Picture();
  readonly labels = new LabelBoard();
  readonly paintMs = new Timing();
  framesPainted = 0;
  over = 0;
  private readonly query: PageQuery;
  private clock: ZoneClock;
  private dirty = false;
  private cursorDirty = false;
  private scheduled = false;
  private viewReady = false;
  private stale = false;
  private seen = "";
  private paintTimes: number[] = [];
  private readonly topBar = new TopBar();
  private readonly modelPanel = new ModelPanel();
  private readonly cellPanel = new CellPanel();
  private readonly events = new EventsPanel();
  private readonly footer: Footer;
  private readonly tooltip = new Tooltip();
  private readonly toLive = byId("to-live");
  private readonly layerName = byId("layer-name");
  private readonly layerWords = byId("layer-words");
  private readonly map = byId("map");
  private readonly overlay = byId("overlay");

  constructor(query: PageQuery) {
    const now = (): number => performance.now();
    this.query = query;
    this.clock = new ZoneClock(query.timeZone ?? "UTC");
    this.session = new Session(query.cols, now);
    this.session.speed = query.speed ?? 1;
    this.controls = new Controls(this.session, query.layer, {
      repaint: () => this.requestPaint(),
      recursor: () => this.requestCursor(),
      layerChosen: (id) => this.footer.chosen(id),
      pinned: (cell) => this.cellPanel.update(this.session, cell, this.clock),
      spoken: (cell) => {
        const lines = cellLines(this.session, cell, this.clock);
        this.topBar.say(lines.map(([label, text]) => `${label} ${text}`).join(", "));
      },
      say: (text) => this.topBar.say(text),
      reconnect: () => this.retry(),
      showTable: (seq) => showTable(this.session, seq, this.clock),
    });
    this.footer = new Footer(
      (id) => this.controls.setLayer(id),
      (locked) => {
        for (const scale of Object.values(this.session.scales)) scale.locked = locked;
      },
    );
    this.controls.setLayer(query.layer);
    this.connection = new Connection(
      () => streamUrl(query, location.href, this.session.resumeFrom),
      this.wire(),
      now,
    );
    listenToTabs(() => this.requestPaint());
    new ResizeObserver(() => this.requestPaint()).observe(this.map);
    this.connection.connect();
    setInterval(() => this.tick(), TICK_MS);
  }

  /** Address of the stream, without the token. */
  get endpoint(): string {
    return withoutToken(streamUrl(this.query, location.href, null));
  }

  scene(): Scene {
    const { controls, session } = this;
    const layer = layerOf(controls.layerId);
    return {
      session,
      view: controls.view,
      layer,
      palette: palette(this.query.palette, layer.ramp),
      scale: session.scales[layer.id],
      bands: controls.bandMode,
      newest: controls.newest,
      stale: this.stale,
      ratio: devicePixelRatio,
      clock: this.clock,
      labels: this.labels,
    };
  }

  chip(): Chip {
    const { session, connection, controls } = this;
    const { config, newest } = session;
    return chipFor({
      nowMs: performance.now(),
      phase: connection.phase === "idle" ? "connecting" : connection.phase,
      phaseSinceMs: connection.phaseSinceMs,
      endpoint: new URL(this.endpoint).host,
      configured: session.configured,
      mode: config?.mode ?? "",
      speed: session.speed,
      sessionDate: newest ? this.clock.date(session.msOf(newest.seq)) : (this.query.dt ?? ""),
      cellWidthMs: config?.cellWidthMs ?? 100,
      lastBinMs: session.lastBinMs,
      queued: connection.queuedBins,
      bookValid: newest?.bookValid ?? true,
      modelEnabled: config?.model.enabled ?? false,
      ready: newest?.model.ready ?? false,
      samples: newest?.model.sampleCount ?? 0,
      needed: session.warmupNeeded,
      paused: session.paused,
      feed: session.feed,
      frozenBehind: controls.frozenAt === null ? null : controls.behind,
      retryAtMs: connection.retryAtMs,
      tries: connection.tries,
      closeReason: connection.closeReason,
      totalBins: session.ended?.bins ?? session.counters.bins,
    });
  }

  // --- stream ---

  private wire(): ConnectionEvents {
    const { session, controls } = this;
    return {
      opened: () => {
        session.connectionOpened();
        session.events.add("connection", "connected");
      },
      text: (frame) => this.textFrame(frame),
      binary: (bytes) => {
        const began = performance.now();
        const before = session.counters.bins;
        const failure = session.binary(bytes);
        if (session.counters.bins > before) {
          session.decode.push(performance.now() - began);
          this.connection.healthy();
          if (controls.frozenAt === null) controls.view.advance(session.ring!.last, session.spot);
        }
        return failure?.message ?? null;
      },
      changed: () => {
        this.phaseChanged();
        const { counters, events } = session;
        const seen = `${counters.bins}/${counters.rejects}/${events.version}/${session.config?.configVersion}`;
        // A frozen view stands still; its counter is text and moves with the tick.
        if (seen !== this.seen && controls.frozenAt === null) this.requestPaint();
        this.seen = seen;
      },
      note: (text) => session.events.add("connection", text),
    };
  }

  private textFrame(frame: Readonly<Record<string, unknown>>): string | null {
    const { session } = this;
    switch (frame.type) {
      case "grid_update":
        return session.header(frame)?.message ?? null;
      case "runtime_config": {
        const failure = session.runtimeConfig(frame);
        if (!failure && this.query.timeZone === null)
          this.clock = new ZoneClock(session.config?.timeZone ?? "UTC");
        if (session.notices.length > 0) this.topBar.say(session.notices.at(-1)!.title);
        return failure?.message ?? null;
      }
      case "error":
        session.events.add("server", `${String(frame.code ?? "error")}: ${String(frame.message ?? "")}`);
        return null;
      case "end":
        session.ended = { bins: typeof frame.bins === "number" ? frame.bins : session.counters.bins };
        return null;
      case "ack":
        session.acknowledged(frame);
        return null;
      case "heartbeat":
        session.heartbeat(frame);
        return null;
      default:
        session.counters.unknownMessages++;
        return null;
    }
  }

  private phaseChanged(): void {
    const { failure, phase } = this.connection;
    const { overlay } = this;
    if (phase === "failed" && failure) {
      if (!overlay.hidden) return;
      this.session.events.add("connection", `stopped: ${failure.message}`);
      showError(
        failure,
        () => this.details(),
        () => this.retry(),
      );
    } else if (overlay.dataset.kind === "error" && !overlay.hidden) hideOverlay();
  }

  private details(): string {
    const { failure } = this.connection;
    const { config, counters } = this.session;
    const page = {
      endpoint: this.endpoint,
      config_version: config?.configVersion,
      agent: navigator.userAgent,
    };
    return JSON.stringify({ failure, ...page, counters }, null, 2);
  }

  private retry(): void {
    hideOverlay();
    this.connection.retry();
  }

  // --- painting: only after new data, input, resize or a change of state ---

  private requestPaint(): void {
    this.dirty = true;
    this.schedule();
  }

  private requestCursor(): void {
    this.cursorDirty = true;
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.paint();
    });
  }

  private paint(): void {
    const began = performance.now();
    const { controls, picture } = this;
    const resized = picture.fit(controls.view, devicePixelRatio);
    if (!this.viewReady && this.session.spot !== null) {
      this.viewReady = true;
      controls.resetZoom();
    }
    const scene = this.scene();
    if (this.dirty || resized) {
      this.dirty = false;
      controls.findHover();
      this.over = picture.paint(scene, controls.hover, controls.pin, controls.crosshair).over;
      this.framesPainted++;
      this.paintTimes.push(began);
      this.panels(scene);
    } else if (this.cursorDirty) picture.paintCursor(scene, controls.hover, controls.pin, controls.crosshair);
    this.cursorDirty = false;
    this.showTooltip(scene);
    this.paintMs.push(performance.now() - began);
  }

  private panels(scene: Scene): void {
    const { session, controls } = this;
    this.topBar.quotes(session, this.clock);
    this.modelPanel.update(session);
    this.cellPanel.update(session, controls.pinnedCell(), this.clock);
    showNotices(session.notices, (id) => {
      session.closeNotice(id);
      this.requestPaint();
    });
    setText(this.layerName, scene.layer.label);
    setText(this.layerWords, scene.layer.explains);
    this.footer.legend(scene, this.over);
  }

  /** Ten times a second: what changes without new data. */
  /** How long the connection may be silent, ms; null where nobody can say. */
  private silenceLimit(): number | null {
    const { config, configured, lastBinMs, paused, speed, beats } = this.session;
    if (!config || !configured) return null;
    return silenceLimitMs({
      cellWidthMs: config.cellWidthMs,
      // Who takes controls waits for them, and says each second that it does.
      heartbeats: beats || config.capabilities.control === true,
      paused,
      speed,
      streaming: lastBinMs !== null && lastBinMs >= this.connection.phaseSinceMs,
    });
  }

  private tick(): void {
    const { session, connection, controls } = this;
    const now = performance.now();
    connection.requireHeard(this.silenceLimit());
    const chip = this.chip();
    this.topBar.status(chip);
    this.topBar.dataAge(session, now, chip.state === "PAUSED" || chip.state === "ENDED");
    const waiting =
      connection.phase === "waiting" || (connection.phase === "connecting" && connection.tries > 0);
    setBanner(waiting ? chip.detail : null);
    const since = session.lastBinMs === null ? 0 : now - session.lastBinMs;
    const late = since > staleAfterMs(session.config?.cellWidthMs ?? 100);
    const stale = late && !session.paused && connection.phase !== "ended";
    if (stale !== this.stale) {
      this.stale = stale;
      document.body.classList.toggle("stale", stale);
      if (controls.frozenAt === null) this.requestPaint();
    }
    this.toLive.hidden = controls.view.follow && controls.frozenAt === null;
    setText(this.toLive, `▶ ${controls.behind} bins behind — back to live`);
    this.events.update(session.events, (seq) => controls.jumpTo(seq));
    this.paintTimes = this.paintTimes.filter((t) => now - t < 1000);
    this.footer.readings(this, this.scene(), this.paintTimes.length);
  }

  private showTooltip(scene: Scene): void {
    const { hover, hoverPx } = this.controls;
    const inHistory = hoverPx !== null && hoverPx[0] * devicePixelRatio < scene.view.historyWidth;
    if (!hover || !inHistory || !this.session.config || hover.seq > scene.newest) return this.tooltip.hide();
    this.tooltip.show(this.session, cellAt(this.session, hover), this.clock, hoverPx[0], hoverPx[1]);
  }
}
