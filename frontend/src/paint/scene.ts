/** What one picture is made of. */

import type { AutoScale } from "../layers/scale.ts";
import type { Layer } from "../layers/table.ts";
import type { Session } from "../store/session.ts";
import type { Palette } from "../view/palette.ts";
import type { LabelBoard } from "../view/price-axis.ts";
import type { ZoneClock } from "../view/time-axis.ts";
import type { View } from "../view/view.ts";

export type BandMode = "off" | "now" | "one" | "all";
export const BAND_MODES: readonly BandMode[] = ["off", "now", "one", "all"];

export interface Scene {
  readonly session: Session;
  readonly view: View;
  readonly layer: Layer;
  readonly palette: Palette;
  readonly scale: AutoScale;
  readonly bands: BandMode;
  /** Newest bin that may be drawn: the newest, or where the view was frozen. */
  readonly newest: number;
  readonly stale: boolean;
  readonly ratio: number; // device pixels per CSS pixel
  readonly clock: ZoneClock;
  readonly labels: LabelBoard;
}
