/** A local server that sends what a test tells it to: the built page over HTTP, known frames over a WebSocket. */

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { type WebSocket, WebSocketServer } from "ws";
import { type Fields, grid, type HeaderOptions, header, runtimeConfig } from "./frames.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
};

/** One connected page. */
export class Peer {
  readonly query: URLSearchParams;
  private readonly socket: WebSocket;

  constructor(socket: WebSocket, query: URLSearchParams) {
    this.socket = socket;
    this.query = query;
  }

  text(frame: Fields | string): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  binary(bytes: Uint8Array): void {
    this.socket.send(bytes);
  }

  config(overrides: Fields = {}): void {
    this.text(runtimeConfig(overrides));
  }

  bin(seq: number, options: HeaderOptions = {}, cells: Parameters<typeof grid>[0] = {}): void {
    this.text(header(seq, options));
    this.binary(grid(cells));
  }

  /** Sends bin after bin, ten a second, until stopped; the number of the next one is what `stop` returns. */
  trickle(from: number, send: (seq: number) => void = (seq) => this.bin(seq)): () => number {
    let next = from;
    const timer = setInterval(() => send(next++), 100);
    return () => {
      clearInterval(timer);
      return next;
    };
  }

  /** The end of the data. Afterwards nothing on the page moves or grows stale, so pixels can be read at leisure. */
  end(bins: number): void {
    this.text({ type: "end", bins });
    this.close(1000);
  }

  close(code: number, reason = ""): void {
    this.socket.close(code, reason);
  }

  /** Ends without a goodbye. */
  destroy(): void {
    this.socket.terminate();
  }
}

export class ScriptedServer {
  readonly peers: Peer[] = [];
  /** When each page connected, ms. */
  readonly times: number[] = [];
  private readonly http: Server;
  private readonly sockets: WebSocketServer;
  private waiting: ((peer: Peer) => void)[] = [];
  private served = 0;
  /** Status for the next upgrades; 0 accepts. */
  refuse = 0;

  private constructor(http: Server, sockets: WebSocketServer) {
    this.http = http;
    this.sockets = sockets;
  }

  static async start(dist: string): Promise<ScriptedServer> {
    const http = createServer((request, response) => {
      const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
      readFile(join(dist, path === "/" ? "index.html" : path)).then(
        (body) => {
          response.writeHead(200, {
            "content-type": TYPES[extname(path === "/" ? ".html" : path)] ?? "text/html",
          });
          response.end(body);
        },
        () => response.writeHead(404).end(),
      );
    });
    const sockets = new WebSocketServer({ noServer: true });
    const server = new ScriptedServer(http, sockets);
    http.on("upgrade", (request, socket, head) => {
      server.times.push(performance.now());
      if (server.refuse > 0) {
        socket.end(`HTTP/1.1 ${server.refuse} No\r\n\r\n`);
        return;
      }
      sockets.handleUpgrade(request, socket, head, (ws) => {
        const peer = new Peer(ws, new URL(request.url ?? "/", "http://localhost").searchParams);
        server.peers.push(peer);
        for (const tell of server.waiting.splice(0)) tell(peer);
      });
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  pageUrl(params: Readonly<Record<string, string>> = {}): string {
    const query = new URLSearchParams({
      product_type: "future_mbo",
      symbol: "MNQH6",
      dt: "2026-02-06",
      ...params,
    });
    return `${this.origin}/vacuum-pressure.html?${query}`;
  }

  /** The next page that connects, or one that already did and was not asked for. */
  async peer(): Promise<Peer> {
    const next = this.peers[this.served];
    this.served++;
    return next ?? new Promise((resolve) => this.waiting.push(resolve));
  }

  async stop(): Promise<void> {
    for (const client of this.sockets.clients) client.terminate();
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}
