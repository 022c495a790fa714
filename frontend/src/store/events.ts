/** What happened on this page, newest last, bounded. */

export type EventKind = "connection" | "gap" | "reject" | "model" | "grid" | "server" | "feed";

export interface LogEvent {
  readonly atMs: number; // wall clock, Unix ms
  readonly kind: EventKind;
  readonly text: string;
  readonly seq: number | null; // where to jump
}

export class EventLog {
  readonly list: LogEvent[] = [];
  private readonly limit: number;
  private readonly wallClock: () => number;
  /** Grows with each event, so that a view knows when to redraw. */
  version = 0;

  constructor(limit = 500, wallClock: () => number = Date.now) {
    this.limit = limit;
    this.wallClock = wallClock;
  }

  add(kind: EventKind, text: string, seq: number | null = null): void {
    this.list.push({ atMs: this.wallClock(), kind, text, seq });
    if (this.list.length > this.limit) this.list.splice(0, this.list.length - this.limit);
    this.version++;
  }
}
