/** `window.__spymaster`: counters and geometry for tests and for whoever looks under the bonnet. Reads only. */

import type { App } from "./app.ts";

export interface Exposed {
  counters(): Record<string, number>;
  timing(): { paintP50: number; paintP95: number; decodeP50: number; decodeP99: number };
  memory(): { ringBytes: number; heapBytes: number | null };
  state(): string;
  /** CSS px in the map: left edge of a bin's column, middle of a tick's row, and their sizes. */
  place(seq: number, tick: number): { x: number; y: number; w: number; h: number };
  zone(horizon: number): { x: number };
  view(): {
    newest: number;
    first: number;
    follow: boolean;
    right: number;
    centre: number;
    historyWidth: number;
    binsPerPixel: number;
  };
  bands(seq: number): readonly unknown[];
  track(model: number): readonly unknown[];
  seams(): readonly { readonly seq: number; readonly before: string; readonly after: string }[];
  labels(): Record<string, { text: string; x: number; y: number; w: number; h: number }[]>;
  cut(layer: string): number;
}

declare global {
  interface Window {
    __spymaster?: Exposed;
  }
}

export function expose(app: App): void {
  const { session, controls } = app;
  const view = controls.view;
  window.__spymaster = {
    counters: () => ({
      ...session.counters,
      kept: session.ring?.count ?? 0,
      framesPainted: app.framesPainted,
      over: app.over,
      tries: app.connection.tries,
      queued: app.connection.queuedBins,
    }),
    timing: () => ({
      paintP50: app.paintMs.percentile(0.5),
      paintP95: app.paintMs.percentile(0.95),
      decodeP50: session.decode.percentile(0.5),
      decodeP99: session.decode.percentile(0.99),
    }),
    memory: () => {
      const layers = session.ring ? Object.values(session.ring.layers) : [];
      const heap = (performance as { memory?: { usedJSHeapSize: number } }).memory;
      return {
        ringBytes: layers.reduce((sum, layer) => sum + layer.byteLength, 0),
        heapBytes: heap?.usedJSHeapSize ?? null,
      };
    },
    state: () => app.chip().state,
    place: (seq, tick) => ({
      x: view.xOf(seq) / devicePixelRatio,
      y: view.yOf(tick) / devicePixelRatio,
      w: view.time.px / devicePixelRatio,
      h: view.price.px / devicePixelRatio,
    }),
    zone: (horizon) => ({
      x: Math.round(view.zoneX(horizon, session.config?.horizons.at(-1) ?? 1)) / devicePixelRatio,
    }),
    view: () => ({
      newest: controls.newest,
      first: session.ring?.first ?? 0,
      follow: view.follow,
      right: view.right,
      centre: view.centre,
      historyWidth: view.historyWidth / devicePixelRatio,
      binsPerPixel: view.time.per / view.time.px,
    }),
    bands: (seq) => session.projection?.at(seq) ?? [],
    seams: () => session.seams,
    track: (model) => session.projection?.record(model) ?? [],
    labels: () => ({
      map: [...app.labels.boxes],
      price: [...app.picture.priceAxis.labels.boxes],
      time: [...app.picture.timeAxis.labels.boxes],
      strip: [...app.picture.strip.labels.boxes],
    }),
    cut: (layer) => session.scales[layer as keyof typeof session.scales].cut,
  };
}
