import { describe, expect, it } from "vitest";
import { feedOf } from "../../src/stream/feed.ts";
import { chipFor, type Facts, type Feed } from "../../src/stream/state.ts";

const FEED: Feed = { state: "live", ageS: 0.5, toldMs: 10_000, lagS: 0.1, why: "" };

const LIVE: Facts = {
  nowMs: 12_000,
  phase: "open",
  phaseSinceMs: 0,
  endpoint: "127.0.0.1:8002",
  configured: true,
  mode: "live",
  speed: null,
  sessionDate: "2026-02-06",
  cellWidthMs: 100,
  lastBinMs: 11_950,
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

function facts(feed: Feed, more: Partial<Facts> = {}): Facts {
  return { ...LIVE, feed, ...more };
}

describe("how a live feed is said", () => {
  it("while records come: LIVE, and how old the newest was when it was told", () => {
    expect(chipFor(facts(FEED))).toMatchObject({
      state: "LIVE",
      tone: "good",
      detail: "newest record 0.5 s old",
    });
  });

  it("a quiet market and a closed exchange are live, and the newest record ages", () => {
    const quiet = chipFor(facts({ ...FEED, state: "quiet" }));
    expect(quiet).toMatchObject({
      state: "LIVE",
      tone: "good",
      detail: "quiet market, feed alive · newest record 2.5 s old",
    });
    const closed = chipFor(facts({ ...FEED, state: "closed", ageS: null }));
    expect(closed).toMatchObject({ state: "LIVE", tone: "idle", detail: "exchange closed · no record yet" });
  });

  it("a dead feed is stale and says why, a feed that lags by more than a second is behind", () => {
    const dead = chipFor(facts({ ...FEED, state: "dead", why: "no connection for 60 s" }));
    expect(dead).toMatchObject({ state: "STALE", tone: "bad" });
    expect(dead.detail).toContain("feed dead: no connection for 60 s");
    expect(chipFor(facts({ ...FEED, lagS: 1 })).state).toBe("LIVE");
    expect(chipFor(facts({ ...FEED, lagS: 1.1 }))).toMatchObject({
      state: "BEHIND",
      detail: "1.1 s behind the feed",
    });
  });

  it("says nothing of a feed where a past day is replayed", () => {
    expect(chipFor(facts({ ...FEED, state: "dead" }, { mode: "replay" })).state).toBe("REPLAY");
  });
});

describe("a heartbeat's feed", () => {
  it("is read where there is one, whatever else it holds", () => {
    const feed = { state: "quiet", age_s: 3.5, lag_s: 0.2, alarm: "", warning: "slow reader", queue: 7 };
    expect(feedOf({ state: { feed } }, 42)).toEqual({
      state: "quiet",
      ageS: 3.5,
      toldMs: 42,
      lagS: 0.2,
      why: "slow reader",
    });
    expect(feedOf({ state: { feed: { ...feed, alarm: "look", age_s: null } } }, 42)).toMatchObject({
      ageS: null,
      why: "look",
    });
  });

  it("is none without a state in words", () => {
    for (const frame of [{}, { state: null }, { state: {} }, { state: { feed: { state: 3 } } }])
      expect(feedOf(frame, 0)).toBeNull();
  });
});
