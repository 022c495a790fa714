/** How long a socket may be silent before the page takes it for dead. Pure, so that every row can be tested. */

export interface Pace {
  readonly cellWidthMs: number;
  /** The server says something each second, whatever it waits for. */
  readonly heartbeats: boolean;
  readonly paused: boolean;
  readonly speed: number | null; // market seconds a second; 0 as fast as it goes
  readonly streaming: boolean; // a bin came on this connection
}

const LEAST_MS = 3000;
const CELLS = 10;

/** Milliseconds without any frame; null where silence says nothing: nobody knows when the next one is due. */
export function silenceLimitMs(pace: Pace): number | null {
  if (pace.heartbeats) return Math.max(LEAST_MS, CELLS * pace.cellWidthMs);
  if (pace.paused || !pace.streaming || pace.speed === null || pace.speed <= 0) return null;
  return Math.max(LEAST_MS, (CELLS * pace.cellWidthMs) / pace.speed);
}
