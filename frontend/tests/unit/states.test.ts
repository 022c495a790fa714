import { describe, expect, test } from "vitest";
import { Backoff } from "../../src/stream/backoff.ts";
import { parseQuery, streamUrl, withoutToken } from "../../src/stream/query.ts";
import { chipFor, type Facts, type StateName } from "../../src/stream/state.ts";

const LIVE: Facts = {
  nowMs: 100_000,
  phase: "open",
  phaseSinceMs: 90_000,
  endpoint: "127.0.0.1:8002",
  configured: true,
  mode: "live",
  speed: null,
  sessionDate: "2026-02-06",
  cellWidthMs: 100,
  lastBinMs: 99_950,
  queued: 0,
  bookValid: true,
  modelEnabled: true,
  ready: true,
  samples: 100,
  needed: 60,
  paused: false,
  frozenBehind: null,
  retryAtMs: null,
  tries: 0,
  closeReason: "",
  totalBins: 1234,
};

describe("the chip", () => {
  const cases: readonly (readonly [StateName, Partial<Facts>, RegExp])[] = [
    ["LIVE", {}, /^$/],
    ["REPLAY", { mode: "replay", speed: 10 }, /^×10 · 2026-02-06$/],
    ["REPLAY", { mode: "replay", speed: 0 }, /^max speed/],
    ["CONNECTING", { phase: "connecting", configured: false, phaseSinceMs: 98_000 }, /8002 · 2 s$/],
    [
      "CONNECTING",
      { phase: "connecting", configured: false, phaseSinceMs: 89_000 },
      /is the server running\?$/,
    ],
    ["CONNECTING", { configured: false }, /8002/],
    ["WARMING UP", { ready: false, samples: 12 }, /^model warming 12\/60 · 4\.8 s left$/],
    ["WARMING UP", { ready: false, samples: 12, needed: null }, /^model warming 12$/],
    ["LIVE", { ready: false, modelEnabled: false }, /^$/],
    ["BEHIND", { queued: 25 }, /^2\.5 s behind$/],
    ["LIVE", { queued: 10 }, /^$/],
    ["BOOK INVALID", { bookValid: false }, /bands suspended/],
    ["STALE", { lastBinMs: 98_800 }, /^no bin for 1\.2 s$/],
    ["LIVE", { lastBinMs: 99_000 }, /^$/],
    ["STALE", { lastBinMs: 94_900, cellWidthMs: 1000 }, /^no bin for 5\.1 s$/],
    ["LIVE", { lastBinMs: 95_100, cellWidthMs: 1000 }, /^$/],
    ["PAUSED", { paused: true, lastBinMs: 50_000 }, /paused at the server/],
    ["FROZEN", { frozenBehind: 17 }, /17 bins behind/],
    ["STALE", { frozenBehind: 17, lastBinMs: 90_000 }, /no bin/],
    [
      "RECONNECTING",
      { phase: "waiting", retryAtMs: 101_500, tries: 2, closeReason: "busy" },
      /^try 2 in 1\.5 s · busy$/,
    ],
    ["RECONNECTING", { phase: "connecting", configured: false, tries: 2 }, /^try 2 · connecting$/],
    ["ERROR", { phase: "failed", closeReason: "no such day" }, /^no such day$/],
    ["ENDED", { phase: "ended" }, /1,234 bins$/],
  ];
  test.each(cases)("%s with %j", (state, facts, detail) => {
    const chip = chipFor({ ...LIVE, ...facts });
    expect(chip.state).toBe(state);
    expect(chip.detail).toMatch(detail);
  });
});

describe("waiting between tries", () => {
  test("half a second, doubling to fifteen, within 20 %", () => {
    const low = new Backoff(() => 0);
    const high = new Backoff(() => 1);
    const waits = Array.from({ length: 8 }, () => [low.next(), high.next()] as const);
    expect(waits.map(([a]) => Math.round(a))).toEqual([400, 800, 1600, 3200, 6400, 12_000, 12_000, 12_000]);
    expect(waits.map(([, b]) => Math.round(b))).toEqual([
      600, 1200, 2400, 4800, 9600, 18_000, 18_000, 18_000,
    ]);
    low.reset();
    expect(Math.round(low.next())).toBe(400);
  });
});

describe("the query", () => {
  const good = "?product_type=future_mbo&symbol=MNQH6&dt=2026-02-06";

  test("what is missing is named, without a silent default", () => {
    const parsed = parseQuery("?dt=2026-02-06");
    if (parsed.ok) throw new Error("accepted");
    expect(parsed.problems.map((p) => p.name)).toEqual(["product_type", "symbol"]);
  });

  test.each([
    ["dt=2026-02-30", "dt"],
    ["start_time=25:00", "start_time"],
    ["speed=fast", "speed"],
    ["cols=100", "cols"],
    ["layer=volume", "layer"],
    ["palette=rainbow", "palette"],
    ["tz=Mars/Olympus", "tz"],
    ["renderer=webgl", "renderer"],
    ["projection_source=frontend", "projection_source"],
    ["projection_horizons_bins=1,1", "projection_horizons_bins"],
    ["ws=http://x", "ws"],
    ["model=0", "model"],
    ["model=3.0", "model"],
    ["model=champions", "model"],
  ])("%s is refused by name", (text, name) => {
    const params = new URLSearchParams(good);
    const [key, value] = text.split("=");
    params.set(key!, value!);
    const parsed = parseQuery(`?${params}`);
    if (parsed.ok) throw new Error("accepted");
    expect(parsed.problems.map((p) => p.name)).toEqual([name]);
  });

  test("the stream's address carries what concerns the server and nothing else", () => {
    const extra =
      "&start_time=09:25&speed=10&layer=flow&palette=grey&cols=600&perm_tanh_scale=2&token=secret&model=3&projection_horizons_bins=1,8";
    const parsed = parseQuery(good + extra);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const url = new URL(streamUrl(parsed.query, "https://host:8002/vacuum-pressure.html", 77));
    expect(url.origin + url.pathname).toBe("wss://host:8002/v1/vacuum-pressure/stream");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      product_type: "future_mbo",
      symbol: "MNQH6",
      dt: "2026-02-06",
      start_time: "09:25",
      speed: "10",
      projection_horizons_bins: "1,8",
      perm_tanh_scale: "2",
      token: "secret",
      model: "3",
      resume_from: "77",
    });
    expect(withoutToken(url.toString())).not.toContain("secret");
  });
});
