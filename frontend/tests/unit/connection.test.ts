/** The socket of the page against a real server: one that falls silent is left, and come back to. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { Connection, type ConnectionEvents } from "../../src/stream/connection.ts";

const BEGIN = (control: boolean) => JSON.stringify({ type: "runtime_config", capabilities: { control } });

let server: WebSocketServer;
let connections: Connection[];

beforeEach(async () => {
  vi.stubGlobal("WebSocket", WebSocket); // Node 20 has none of its own
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  connections = [];
});

afterEach(() => {
  for (const connection of connections) connection.fail("over");
  for (const client of server.clients) client.terminate();
  server.close();
  vi.unstubAllGlobals();
});

/** A connection that is open, its server's end, and what it noted. */
async function open(): Promise<{ connection: Connection; peer: WebSocket; notes: string[] }> {
  const notes: string[] = [];
  const on: ConnectionEvents = {
    opened: () => {},
    text: () => null,
    binary: () => null,
    changed: () => {},
    note: (text) => notes.push(text),
  };
  const { port } = server.address() as AddressInfo;
  const connection = new Connection(
    () => `ws://127.0.0.1:${port}/`,
    on,
    () => performance.now(),
  );
  connections.push(connection);
  const came = once(server, "connection");
  connection.connect();
  const [peer] = (await came) as [WebSocket];
  await vi.waitFor(() => expect(connection.phase).toBe("open"));
  return { connection, peer, notes };
}

test("a server that falls silent is left within five seconds and asked again", {
  timeout: 15_000,
}, async () => {
  const { connection, peer, notes } = await open();
  const again = once(server, "connection");
  peer.send(BEGIN(true));
  const silentSince = performance.now();
  await vi.waitFor(() => expect(notes).toHaveLength(1), { timeout: 9000 });
  expect(notes[0]).toMatch(/^nothing came for 4 s; try 1 in /);
  expect(performance.now() - silentSince).toBeGreaterThanOrEqual(4000);
  await again;
  await vi.waitFor(() => expect(connection.phase).toBe("open"));
});

test("heartbeats are enough to stay, and a server that promises none may be silent", {
  timeout: 15_000,
}, async () => {
  const [beating, quiet] = [await open(), await open()];
  beating.peer.send(BEGIN(true));
  quiet.peer.send(BEGIN(false));
  const beats = setInterval(() => beating.peer.send('{"type":"heartbeat"}'), 1000);
  const since = performance.now();
  await vi.waitFor(() => expect(performance.now() - since).toBeGreaterThan(5500), { timeout: 9000 });
  clearInterval(beats);
  for (const { connection, notes } of [beating, quiet])
    expect([connection.phase, notes]).toEqual(["open", []]);
});
