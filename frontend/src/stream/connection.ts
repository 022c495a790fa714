/** The socket: opens, reads, breaks, returns. Frames go out in order through a queue that is drained in slices. */

import { isObject } from "../wire/fields.ts";
import { Backoff } from "./backoff.ts";

export type Phase = "idle" | "connecting" | "open" | "waiting" | "failed" | "ended";

export interface Failure {
  readonly code: number | null; // close code; null when the page itself gave up
  readonly errorCode: string; // the server's word for it
  readonly message: string; // word for word
}

export interface ConnectionEvents {
  opened(): void;
  /** A parsed text frame; returns a message when the stream cannot be read any more. */
  text(frame: Readonly<Record<string, unknown>>): string | null;
  binary(bytes: Uint8Array): string | null;
  /** Phase or queue changed. */
  changed(): void;
  note(text: string): void;
}

const NORMAL = 1000;
const LOST = 1006;
const GIVE_UP = new Set([1008, 1011]);
/** Milliseconds of work between two breaths, so that painting and input are not starved. */
const SLICE_MS = 8;
/** A look that comes later than this was held up, and what the socket heard meanwhile is not read yet. */
const HELD_UP_MS = 1500;

export class Connection {
  phase: Phase = "idle";
  phaseSinceMs = 0;
  retryAtMs: number | null = null;
  closeReason = "";
  failure: Failure | null = null;
  private readonly backoff: Backoff;
  private readonly address: () => string;
  private readonly on: ConnectionEvents;
  private readonly now: () => number;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private lastError: { code: string; message: string } | null = null;
  private queue: (string | ArrayBuffer)[] = [];
  private head = 0;
  private draining = false;
  private closed: { code: number; reason: string } | null = null;
  private heardAtMs = 0;
  private lookedAtMs = 0;
  private readonly channel = new MessageChannel();

  constructor(address: () => string, on: ConnectionEvents, now: () => number, backoff = new Backoff()) {
    this.address = address;
    this.on = on;
    this.now = now;
    this.backoff = backoff;
    this.channel.port1.onmessage = () => this.drain();
  }

  get tries(): number {
    return this.backoff.tries;
  }

  /** Whole bins waiting in the queue. */
  get queuedBins(): number {
    return (this.queue.length - this.head) >> 1;
  }

  connect(): void {
    this.drop();
    this.failure = null;
    this.lastError = null;
    this.retryAtMs = null;
    this.enter("connecting");
    const socket = new WebSocket(this.address());
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.heardAtMs = this.now();
      this.enter("open");
      this.on.opened();
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      this.heardAtMs = this.now();
      this.queue.push(event.data);
      this.wake();
    };
    socket.onclose = (event) => {
      this.closed = { code: event.code, reason: event.reason };
      this.wake();
    };
  }

  /** At once, whatever the timer says. */
  retry(): void {
    if (this.phase === "failed" || this.phase === "ended") this.backoff.reset();
    this.connect();
  }

  send(control: Readonly<Record<string, unknown>>): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(control));
  }

  /** A bin that was read well: the way is good again. */
  healthy(): void {
    if (this.backoff.tries > 0) this.backoff.reset();
  }

  /** Gives the socket up and connects again where nothing was heard for longer; to be called several times a second. */
  requireHeard(withinMs: number | null): void {
    const now = this.now();
    const heldUp = now - this.lookedAtMs > HELD_UP_MS; // a laptop that slept: read first, then judge
    this.lookedAtMs = now;
    const silentMs = now - this.heardAtMs;
    if (withinMs === null || heldUp || this.phase !== "open" || silentMs <= withinMs) return;
    this.lastError = null;
    const reason = `no frame and no heartbeat for ${(silentMs / 1000).toFixed(1)} s`;
    this.ended({ code: LOST, reason });
  }

  /** Gives up for a reason found in the page. */
  fail(message: string): void {
    this.drop();
    this.failure = { code: null, errorCode: "contract", message };
    this.closeReason = message;
    this.enter("failed");
  }

  private wake(): void {
    if (this.draining) return;
    this.draining = true;
    this.channel.port2.postMessage(null);
  }

  private drain(): void {
    this.draining = false;
    const until = this.now() + SLICE_MS;
    while (this.head < this.queue.length) {
      const frame = this.queue[this.head]!;
      this.head++;
      const broken = typeof frame === "string" ? this.text(frame) : this.on.binary(new Uint8Array(frame));
      if (broken !== null) return this.fail(broken);
      if (this.now() >= until) break;
    }
    if (this.head >= this.queue.length) {
      this.queue = [];
      this.head = 0;
      if (this.closed) this.ended(this.closed);
    } else this.wake();
    this.on.changed();
  }

  private text(text: string): string | null {
    let frame: unknown;
    try {
      frame = JSON.parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return this.on.text({ type: "not JSON" });
    }
    if (!isObject(frame)) return this.on.text({ type: "not an object" });
    if (frame.type === "error") {
      this.lastError = { code: String(frame.code ?? ""), message: String(frame.message ?? "") };
    }
    return this.on.text(frame);
  }

  private ended(closed: { code: number; reason: string }): void {
    const { code, reason } = closed;
    this.drop();
    const words = this.lastError?.message || reason;
    if (GIVE_UP.has(code)) {
      this.failure = {
        code,
        errorCode: this.lastError?.code ?? "",
        message: words || `the server closed with ${code}`,
      };
      this.closeReason = this.failure.message;
      this.enter("failed");
      return;
    }
    if (code === NORMAL) return this.enter("ended");
    this.closeReason = words || (code === 1006 ? "connection lost" : `closed with ${code}`);
    const wait = this.backoff.next();
    this.retryAtMs = this.now() + wait;
    this.on.note(`${this.closeReason}; try ${this.backoff.tries} in ${(wait / 1000).toFixed(1)} s`);
    this.enter("waiting");
    this.timer = setTimeout(() => this.connect(), wait);
  }

  /** Lets go of the socket and of whatever it still says. */
  private drop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.closed = null;
    this.queue = [];
    this.head = 0;
    if (this.socket) {
      this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
      this.socket.close();
      this.socket = null;
    }
  }

  private enter(phase: Phase): void {
    this.phase = phase;
    this.phaseSinceMs = this.now();
    this.on.changed();
  }
}
