/** A silent socket: how long it may be, and what the page does about it, over a real one. */

import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import WebSocket, { WebSocketServer } from "ws";
import { Connection } from "../../src/stream/connection.ts";
import { type Pace, silenceLimitMs } from "../../src/stream/liveness.ts";

const PACED: Pace = { cellWidthMs: 100, heartbeats: false, paused: false, speed: 1, streaming: true };

describe("how long a socket may be silent", () => {
  test.each<[string, Partial<Pace>, number | null]>([
    ["three seconds", {}, 3000],
    ["ten cell widths, where those are longer", { cellWidthMs: 301 }, 3010],
    ["on the boundary both are the same", { cellWidthMs: 300 }, 3000],
    ["a slow replay's cells come later", { speed: 0.25 }, 4000],
    ["a fast one has three seconds all the same", { speed: 10 }, 3000],
    ["nobody knows while it is paused", { paused: true }, null],
    ["nor before the first bin", { streaming: false }, null],
    ["nor where it goes as fast as it can", { speed: 0 }, null],
    ["nor where the pace is not known", { speed: null }, null],
    ["with heartbeats a pause changes nothing", { heartbeats: true, paused: true, streaming: false }, 3000],
    ["nor does the speed", { heartbeats: true, speed: 0.25, cellWidthMs: 500 }, 5000],
  ])("%s", (_, changes, expected) => {
    expect(silenceLimitMs({ ...PACED, ...changes })).toBe(expected);
  });
});

describe("a connection", () => {
  let server: WebSocketServer;
  let connection: Connection;
  let clock: number;
  let notes: string[];
  let opened: () => void;
  const before = globalThis.WebSocket;

  beforeEach(async () => {
    globalThis.WebSocket = WebSocket as unknown as typeof globalThis.WebSocket;
    server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await new Promise((resolve) => server.once("listening", resolve));
    clock = 10_000;
    notes = [];
    opened = () => {};
  });

  afterEach(async () => {
    connection.fail("over");
    await new Promise((resolve) => server.close(resolve));
    globalThis.WebSocket = before;
  });

  /** Opened, after the server said a word that was read. */
  async function open(): Promise<WebSocket> {
    const came = new Promise<WebSocket>((resolve) => server.once("connection", resolve));
    const heard = new Promise<void>((resolve) => {
      connection = new Connection(
        () => `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        {
          opened: () => opened(),
          text: () => {
            resolve();
            return null;
          },
          binary: () => null,
          changed: () => {},
          note: (text) => notes.push(text),
        },
        () => clock,
      );
    });
    connection!.connect();
    const peer = await came;
    peer.send('{"type":"heartbeat"}');
    await heard;
    return peer;
  }

  /** Looks as the page does, several times a second, until so much time has passed. */
  function look(ms: number, withinMs: number | null): void {
    for (let passed = 0; passed < ms; passed += 100) {
      clock += 100;
      connection.requireHeard(withinMs);
    }
  }

  test("that is silent for longer is given up, named, and made anew", async () => {
    const peer = await open();
    const gone = new Promise((resolve) => peer.once("close", resolve));
    look(3000, 3000);
    expect(connection.phase).toBe("open"); // on the boundary
    look(100, 3000);
    expect(connection.phase).toBe("waiting");
    expect(connection.closeReason).toBe("no frame and no heartbeat for 3.1 s");
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^no frame and no heartbeat for 3\.1 s; try 1 in 0\.[456] s$/);
    const again = new Promise<void>((resolve) => {
      opened = resolve;
    });
    await gone; // the old socket was closed by the page
    await again; // and it came back
  });

  test("is left alone where silence says nothing", async () => {
    await open();
    look(60_000, null);
    expect(connection.phase).toBe("open");
  });

  test("whose page was held up is read before it is judged", async () => {
    await open();
    look(1000, 3000);
    clock += 60_000; // a laptop slept
    connection.requireHeard(3000);
    expect(connection.phase).toBe("open");
    clock += 100; // and nothing was there to be read
    connection.requireHeard(3000);
    expect(connection.phase).toBe("waiting");
  });
});
