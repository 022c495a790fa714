/** What the user does with mouse and keyboard: view, layer, pin, freeze. Data stays in the session, drawing in the picture. */

import { byId } from "./dom/elements.ts";
import { LAYERS, type LayerId, layerOf } from "./layers/table.ts";
import { BAND_MODES, type BandMode } from "./paint/scene.ts";
import { type Cell, type CellAddress, cellAt } from "./store/cell.ts";
import type { Session } from "./store/session.ts";
import { dialogOpen, showHelp } from "./ui/dialogs.ts";
import { inField, type KeyActions, pressKey } from "./ui/keys.ts";
import { listenToAxis, listenToMap } from "./ui/pointer.ts";
import { remembered } from "./ui/remembered.ts";
import { View, type ViewState } from "./view/view.ts";

const PAN_PX = 40;
/** Rows that the price zoom shows after a reset, at most. */
const DEFAULT_TICKS = 101;

export interface ControlEvents {
  /** Everything is to be drawn again. */
  repaint(): void;
  /** Only crosshair and pin moved. */
  recursor(): void;
  layerChosen(id: LayerId): void;
  pinned(cell: Cell): void;
  /** A cell reached by keyboard, to be read out. */
  spoken(cell: Cell): void;
  /** Spoken politely. */
  say(text: string): void;
  reconnect(): void;
  showTable(seq: number): void;
}

export class Controls {
  readonly view = new View();
  layerId: LayerId;
  bandMode: BandMode = "now";
  crosshair = true;
  frozenAt: number | null = null;
  hover: CellAddress | null = null;
  hoverPx: readonly [number, number] | null = null; // CSS px of the map
  pin: CellAddress | null = null;
  private shortcuts = remembered.shortcuts;
  private undo: ViewState[] = [];
  private readonly session: Session;
  private readonly on: ControlEvents;

  constructor(session: Session, layer: LayerId, on: ControlEvents) {
    this.session = session;
    this.layerId = layer;
    this.on = on;
    this.listen();
  }

  /** Newest bin on screen. */
  get newest(): number {
    return this.frozenAt ?? this.session.ring?.last ?? -1;
  }

  /** Bins that came since what is on screen. */
  get behind(): number {
    const last = this.session.ring?.last ?? -1;
    return this.frozenAt !== null
      ? last - this.frozenAt
      : Math.max(0, Math.round(last + 1 - this.view.right));
  }

  setLayer(id: LayerId): void {
    this.layerId = id;
    this.on.layerChosen(id);
    this.on.repaint();
  }

  resetZoom(): void {
    const rows = this.session.config ? this.session.config.rows : DEFAULT_TICKS;
    this.view.fitPrice(Math.min(rows, DEFAULT_TICKS));
    this.view.fitTime(2 * devicePixelRatio);
    this.view.goLive(this.session.ring?.last ?? 0, this.session.spot);
  }

  goLive(reset: boolean): void {
    this.frozenAt = null;
    if (reset) this.resetZoom();
    else this.view.goLive(this.session.ring?.last ?? 0, this.session.spot);
    this.on.repaint();
  }

  private listen(): void {
    const ratio = (): number => devicePixelRatio;
    const map = byId("map");
    listenToMap(map, {
      hover: (x, y) => {
        this.hoverPx = x === null || y === null ? null : [x, y];
        this.findHover();
        this.on.recursor();
      },
      pin: (x, y) => this.setPin({ seq: this.view.seqAt(x * ratio()), tick: this.view.tickAt(y * ratio()) }),
      panBy: (dx, dy) => this.panPx(dx * ratio(), dy * ratio()),
      wheel: (direction, x, y, what) => {
        if (what.price) this.view.zoomPrice(direction, y * ratio());
        if (what.time) this.view.zoomTime(direction, x * ratio(), this.newest);
        this.on.repaint();
      },
      box: (x0, y0, x1, y1) => {
        this.undo = [...this.undo.slice(-9), this.view.snapshot()];
        const r = ratio();
        this.view.zoomBox(x0 * r, y0 * r, x1 * r, y1 * r, this.newest);
        this.on.repaint();
      },
      boxing: (corners) => this.showBox(corners),
      live: () => this.goLive(true),
    });
    listenToAxis(byId("prices"), "y", (direction) => this.zoomPrice(direction));
    listenToAxis(byId("times"), "x", (direction) => this.zoomTime(direction));
    addEventListener("keydown", (event) => this.key(event));
    byId("to-live").addEventListener("click", () => this.goLive(false));
    byId("banner-retry").addEventListener("click", () => this.on.reconnect());
    byId("help-button").addEventListener("click", () => this.help());
  }

  private key(event: KeyboardEvent): void {
    if (inField(event.target) || dialogOpen()) return;
    // A focused button keeps its own keys.
    if (event.target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter")) return;
    const act: KeyActions = {
      freeze: () => this.freeze(),
      live: () => this.goLive(true),
      pan: (columns, rows) => this.panPx(-columns * PAN_PX, rows * PAN_PX),
      zoomPrice: (direction) => this.zoomPrice(direction),
      zoomTime: (direction) => this.zoomTime(direction),
      layer: (direction) => this.stepLayer(direction),
      bands: () => this.stepBands(),
      crosshair: () => {
        this.crosshair = !this.crosshair;
        this.on.recursor();
      },
      vertical: () => this.stepVertical(),
      movePin: (bins, ticks) => this.movePin(bins, ticks),
      seam: (direction) => this.nextSeam(direction),
      reconnect: () => this.on.reconnect(),
      table: () => this.on.showTable(this.pin?.seq ?? this.newest),
      help: () => this.help(),
      undo: () => {
        const state = this.undo.pop();
        if (state) this.view.restore(state);
        this.on.repaint();
      },
    };
    if (pressKey(event, act, this.shortcuts)) event.preventDefault();
  }

  private help(): void {
    showHelp(this.shortcuts, (on) => {
      this.shortcuts = on;
      remembered.shortcuts = on;
    });
  }

  private stepLayer(direction: number): void {
    const at = LAYERS.indexOf(this.layerId) + direction + LAYERS.length;
    this.setLayer(LAYERS[at % LAYERS.length]!);
    this.on.say(`layer ${layerOf(this.layerId).label}`);
  }

  private stepBands(): void {
    this.bandMode = BAND_MODES[(BAND_MODES.indexOf(this.bandMode) + 1) % BAND_MODES.length]!;
    this.on.say(`projection bands ${this.bandMode}`);
    this.on.repaint();
  }

  private stepVertical(): void {
    const modes = ["keep", "edge", "centre"] as const;
    this.view.vertical = modes[(modes.indexOf(this.view.vertical) + 1) % modes.length]!;
    this.on.say(`vertical mode ${this.view.vertical}`);
    this.on.repaint();
  }

  private zoomPrice(direction: number): void {
    this.view.zoomPrice(direction);
    this.on.repaint();
  }

  private zoomTime(direction: number): void {
    this.view.zoomTime(direction, this.view.historyWidth / 2, this.newest);
    this.on.repaint();
  }

  private panPx(dx: number, dy: number): void {
    this.view.pan(dx, dy, this.newest);
    if (dy !== 0 && this.view.vertical === "centre") this.view.vertical = "edge";
    this.on.repaint();
  }

  private freeze(): void {
    if (this.frozenAt !== null) return this.goLive(false);
    this.frozenAt = this.session.ring?.last ?? 0;
    this.on.repaint();
  }

  /** Puts a bin in the middle of the history. */
  jumpTo(seq: number): void {
    const { newest } = this;
    this.view.right = Math.min(newest + 1, seq + this.view.visibleBins / 2);
    this.view.follow = this.view.right >= newest + 1;
    const slot = this.session.ring?.slot(seq) ?? -1;
    const spot = slot < 0 ? Number.NaN : this.session.ring!.spotTick[slot]!;
    if (!Number.isNaN(spot)) this.view.centre = spot;
    this.on.repaint();
  }

  private nextSeam(direction: number): void {
    const at = this.view.right - this.view.visibleBins / 2;
    const seams = this.session.seams.map((seam) => seam.seq);
    const next = direction > 0 ? seams.find((seq) => seq > at + 1) : seams.findLast((seq) => seq < at - 1);
    if (next !== undefined) this.jumpTo(next);
  }

  /** The cell under the mouse may be another one after the map moved. */
  findHover(): void {
    if (!this.hoverPx) {
      this.hover = null;
      return;
    }
    const [x, y] = this.hoverPx;
    this.hover = { seq: this.view.seqAt(x * devicePixelRatio), tick: this.view.tickAt(y * devicePixelRatio) };
  }

  pinnedCell(): Cell | null {
    return this.pin && cellAt(this.session, this.pin);
  }

  private setPin(cell: CellAddress): void {
    this.pin = cell;
    this.on.pinned(cellAt(this.session, cell));
    this.on.recursor();
  }

  private movePin(bins: number, ticks: number): void {
    const from = this.pin ?? { seq: this.newest, tick: this.session.spot ?? Math.round(this.view.centre) };
    this.setPin({ seq: Math.max(0, Math.min(this.newest, from.seq + bins)), tick: from.tick + ticks });
    this.on.spoken(cellAt(this.session, this.pin!));
  }

  private showBox(corners: readonly [number, number, number, number] | null): void {
    const map = byId("map");
    let box = map.querySelector<HTMLElement>(".zoom-box");
    if (!corners) return box?.remove();
    if (!box) {
      box = document.createElement("div");
      box.className = "zoom-box";
      map.append(box);
    }
    const [x0, y0, x1, y1] = corners;
    box.style.inset = `${Math.min(y0, y1)}px auto auto ${Math.min(x0, x1)}px`;
    box.style.width = `${Math.abs(x1 - x0)}px`;
    box.style.height = `${Math.abs(y1 - y0)}px`;
  }
}
