/** All canvases of the stage, painted on demand: one frame after new data, input or resize, none in silence. */

import { byId } from "../dom/elements.ts";
import type { CellAddress } from "../store/cell.ts";
import type { View } from "../view/view.ts";
import { PriceAxis, TimeAxis } from "./axes.ts";
import { CursorPainter } from "./cursor.ts";
import { LegendPainter } from "./legend.ts";
import { MapPainter } from "./map.ts";
import type { RasterStats } from "./raster.ts";
import type { Scene } from "./scene.ts";
import { ScoreStrip } from "./strip.ts";
import { fitCanvas } from "./theme.ts";

/** CSS px of the projection zone. */
const ZONE_WIDTH = 150;

export class Picture {
  private readonly heat = byId<HTMLCanvasElement>("heat");
  private readonly cursorCanvas = byId<HTMLCanvasElement>("cursor");
  private readonly prices = byId<HTMLCanvasElement>("prices");
  private readonly times = byId<HTMLCanvasElement>("times");
  private readonly stripCanvas = byId<HTMLCanvasElement>("strip");
  private readonly map = new MapPainter(this.heat);
  private readonly cursor = new CursorPainter(this.cursorCanvas);
  readonly priceAxis = new PriceAxis(this.prices);
  readonly timeAxis = new TimeAxis(this.times);
  readonly strip = new ScoreStrip(this.stripCanvas);
  private readonly legend = new LegendPainter(byId<HTMLCanvasElement>("legend"));

  /** Fits canvases and view to the layout; true when the map's size changed. */
  fit(view: View, ratio: number): boolean {
    for (const canvas of [this.cursorCanvas, this.prices, this.times, this.stripCanvas])
      fitCanvas(canvas, ratio);
    const changed = fitCanvas(this.heat, ratio);
    const { width, height } = this.heat;
    const zone = Math.round(Math.min(ZONE_WIDTH * ratio, width / 4));
    if (!changed && view.size.zone === zone && view.size.width === width && view.size.height === height)
      return false;
    view.size = { width, height, zone };
    return true;
  }

  paint(
    scene: Scene,
    hover: CellAddress | null,
    pinned: CellAddress | null,
    crosshair: boolean,
  ): RasterStats {
    scene.labels.clear();
    const stats = this.map.paint(scene);
    this.strip.paint(scene);
    this.legend.paint(scene.layer, scene.scale, scene.palette, scene.ratio);
    this.paintCursor(scene, hover, pinned, crosshair);
    return stats;
  }

  /** Crosshair, pin and the axes' cursor tags only. */
  paintCursor(scene: Scene, hover: CellAddress | null, pinned: CellAddress | null, crosshair: boolean): void {
    const shown = crosshair ? hover : null;
    this.cursor.paint(scene, hover, pinned, crosshair);
    this.priceAxis.paint(scene, shown?.tick ?? null);
    this.timeAxis.paint(scene, shown && shown.seq <= scene.newest ? shown.seq : null);
  }
}
