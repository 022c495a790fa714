/** Layer choice, legend ends, and the readings of the page about itself. */

import { byId, el, setText } from "../dom/elements.ts";
import { LAYER_TABLE, type LayerId } from "../layers/table.ts";
import type { Scene } from "../paint/scene.ts";
import type { Session } from "../store/session.ts";
import type { Timing } from "../store/timing.ts";
import { fixed, grouped, short } from "./format.ts";

export interface Measures {
  readonly session: Session;
  readonly paintMs: Timing;
  readonly over: number;
}

const READINGS = ["bins", "gaps", "rejects", "paint", "fps", "decode", "zoom"] as const;
type Reading = (typeof READINGS)[number];

const TITLES: Readonly<Record<Reading, string>> = {
  zoom: "pixels per bin × pixels per tick",
  bins: "bins kept",
  gaps: "gaps in the stream, and bins missing in them",
  rejects: "broken bins refused",
  fps: "frames painted in the last second",
  paint: "95th percentile of the time one frame takes",
  decode: "median time to check, decode and store one bin",
};

export class Footer {
  private readonly layers: Map<LayerId, HTMLButtonElement>;
  private readonly low = byId("legend-low");
  private readonly high = byId("legend-high");
  private readonly overText = byId("legend-over");
  private readonly values = new Map<Reading, HTMLElement>();

  constructor(choose: (id: LayerId) => void, lock: (locked: boolean) => void) {
    const box = byId("layers");
    this.layers = new Map(
      LAYER_TABLE.map((layer, i) => {
        const attributes = { type: "button", role: "radio", title: layer.explains, "data-layer": layer.id };
        const choice = el("button", attributes, el("kbd", {}, String(i + 1)), layer.label);
        choice.addEventListener("click", () => choose(layer.id));
        box.append(choice);
        return [layer.id, choice] as const;
      }),
    );
    const lockButton = byId<HTMLButtonElement>("legend-lock");
    lockButton.addEventListener("click", () => {
      const locked = lockButton.getAttribute("aria-pressed") !== "true";
      lockButton.setAttribute("aria-pressed", String(locked));
      setText(lockButton, locked ? "Scale locked" : "Lock scale");
      lock(locked);
    });
    const readings = byId("readings");
    for (const name of READINGS) {
      const value = el("b", { id: `reading-${name}` }, "–");
      this.values.set(name, value);
      readings.append(el("span", { title: TITLES[name] }, `${name} `, value));
    }
  }

  chosen(id: LayerId): void {
    for (const [layer, choice] of this.layers) choice.setAttribute("aria-checked", String(layer === id));
  }

  legend(scene: Scene, over: number): void {
    const { layer } = scene;
    const { cut } = scene.scale;
    const unit = layer.unit ? ` ${layer.unit}` : "";
    setText(this.low, `${layer.negative} ${short(round(cut))}`);
    setText(this.high, `${short(round(cut))}${unit} ${layer.positive}`);
    setText(this.overText, `${grouped(over)} over`);
  }

  readings(measures: Measures, scene: Scene, fps: number): void {
    const { session, paintMs } = measures;
    const { counters, ring, decode } = session;
    const { time, price } = scene.view;
    const per = (px: number, units: number): string => (units === 1 ? `${px}` : `1/${units}`);
    const put = (name: Reading, text: string): void => setText(this.values.get(name)!, text);
    put("zoom", `${per(time.px, time.per)}×${per(price.px, price.per)} px`);
    put("bins", grouped(ring?.count ?? 0));
    put("gaps", counters.gaps === 0 ? "0" : `${counters.gaps} (${grouped(counters.gapBins)} bins)`);
    put("rejects", grouped(counters.rejects));
    put("fps", String(fps));
    put("paint", `${fixed(paintMs.percentile(0.95), 1)} ms`);
    put("decode", `${fixed(decode.percentile(0.5), 2)} ms`);
  }
}

/** Two significant digits: a cut-off is a percentile, not a measurement. */
function round(value: number): number {
  return Number(value.toPrecision(2));
}
