/** Frames recorded from the real encoder: see tools/record_frames.py. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

const REPO = new URL("../../../", import.meta.url).pathname;

/** The project's Python. */
export function python(): string {
  const own = join(REPO, ".venv/bin/python");
  return process.env.PYTHON ?? (existsSync(own) ? own : "python3");
}

export { REPO };

export type Frame = string | Uint8Array;

export function readRecording(path: string): Frame[] {
  const body = gunzipSync(readFileSync(path));
  const frames: Frame[] = [];
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32LE(at);
    const payload = body.subarray(at + 5, at + 5 + length);
    // A copy at offset 0: Arrow's buffers must lie on 8-byte boundaries, as they do in a frame off the wire.
    frames.push(body[at + 4] === 1 ? new Uint8Array(payload) : payload.toString("utf8"));
    at += 5 + length;
  }
  return frames;
}

/** Simulates a session, plays it through the engine and gives the frames a client would get. */
export function recordFrames(bins: number, startTime: string): Frame[] {
  const folder = mkdtempSync(join(tmpdir(), "frames-"));
  try {
    const out = join(folder, "frames.gz");
    const script = join(REPO, "frontend/tools/record_frames.py");
    execFileSync(python(), [script, out, "--bins", String(bins), "--start-time", startTime], {
      cwd: REPO,
      stdio: "pipe",
    });
    return readRecording(out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
