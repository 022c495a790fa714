"""When the simulated market acts and which way it leans: arrivals, regimes, fair value and mood.

Arrivals excite further arrivals (a Hawkes process with a fast and a slow kernel). The takers lean with a mood that
persists, with their own last trades and with a fair value that drifts by regime; the makers meet most of that lean. So
order flow imbalance tells a little about the next quote moves, and only a little.
"""

from typing import Final

import numpy as np

from engine.jit import kernel
from engine.simulate.queues import N_LEVELS, Feed, Market, below, exponential, normal, uniform

LATENT_STEP_NS: Final = 10_000_000

# Rows: calm, usual, trend, burst. Columns: weight of being next; mean duration, s; activity; eagerness;
# volatility of fair, ticks per root second; mean size of its drift, ticks/s.
REGIMES: Final = np.array(
    [
        [0.30, 25.0, 0.75, 0.80, 0.75, 0.0],
        [0.30, 25.0, 1.00, 1.00, 1.5, 0.075],
        [0.28, 30.0, 1.10, 1.10, 1.5, 0.9],
        [0.12, 5.0, 1.80, 1.50, 4.5, 2.25],
    ]
)

# The lean. Times are for a market of USUAL_RATE and stretch with the rate.
USUAL_RATE: Final = 1000.0  # records/s
FOLLOW: Final = 1.0  # 1/s, of the fair value towards the mid
MOOD_S: Final = 3.0  # s
MOOD_SIZE: Final = 0.35
CHAIN_S: Final = 0.5  # s
FAIR_TICKS: Final = 4.0  # a gap to the fair value beyond this pulls no harder
FAR_OFF_TICKS: Final = 200.0  # until it is this wide: then everybody sees it
TRADE_PULL: Final = 0.1
TRADE_MOOD: Final = 0.1
TRADE_CHAIN: Final = 0.003
TRADE_PARENT: Final = 0.33
PARENT_STAYS: Final = 0.5  # of `parent`, from trade to trade
QUOTE_PULL: Final = 0.55
QUOTE_MEETS: Final = 0.12

# Heat: how busy the market is, a log-normal factor with a slow and a fast part (Ornstein-Uhlenbeck each).
HEAT_SLOW_S: Final = 240.0
HEAT_SLOW_SIZE: Final = 0.5
HEAT_FAST_S: Final = 12.0
HEAT_FAST_SIZE: Final = 0.45
HEAT_MEAN: Final = 0.5 * (HEAT_SLOW_SIZE**2 + HEAT_FAST_SIZE**2)

# Bursts: now and then the price runs through several levels at once, and keeps a part of it.
BURST_EVERY_S: Final = 30.0
BURST_MIN_TICKS: Final = 3
BURST_TICKS: Final = 5.0  # mean beyond the least
BURST_STAYS: Final = 0.5  # of the way, in the fair value
BURST_SPEED: Final = 8.0  # arrivals, while it lasts

# Hawkes kernels: each event adds `BRANCH * DECAY` to the rate, which decays with `DECAY`.
BRANCH_FAST: Final = 0.40
DECAY_FAST: Final = 3.0  # of the rate
BRANCH_SLOW: Final = 0.30
DECAY_SLOW: Final = 3.0  # 1/s
KICK_TRADE: Final = 2.5  # a trade excites more than a quote
KICK_QUOTE: Final = 0.92
RATE_PULL_S: Final = 15.0
RATE_PULL_MOST: Final = 2.5  # in logs; a heat beyond it the pull no longer makes up for
RECORDS_PER_EVENT: Final = 1.15  # until the session has shown its own
MIN_STEP_NS: Final = 150
WIRE_NS: Final = 78_000  # exchange to capture, at least
WIRE_JITTER_NS: Final = 18_000.0


@kernel
def start_latent(market: Market, feed: Feed) -> None:
    """Start the latent state at the middle of the book, with the excitation of a market that has been running."""
    state = market.state[0]
    state["fair"] = 0.5 * (state["best_bid"] + state["best_ask"])
    state["latent_ns"] = feed.start_ns
    state["regime_end_ns"] = feed.start_ns
    state["activity"] = 1.0
    state["eagerness"] = 1.0
    state["heat_slow"] = HEAT_SLOW_SIZE * normal(market.rng)
    state["heat_fast"] = HEAT_FAST_SIZE * normal(market.rng)
    state["heat"] = 1.0
    state["excite_fast"] = BRANCH_FAST * feed.rate / RECORDS_PER_EVENT
    state["excite_slow"] = BRANCH_SLOW * feed.rate / RECORDS_PER_EVENT


@kernel
def advance_latent(market: Market, feed: Feed, ts: int) -> None:
    """Bring regime, fair value and mood up to ``ts`` in fixed steps."""
    rng = market.rng
    state = market.state[0]
    dt = LATENT_STEP_NS * 1e-9 * feed.rate / USUAL_RATE  # a slower market is the same film run slower
    while state["latent_ns"] + LATENT_STEP_NS <= ts:
        now = state["latent_ns"] + LATENT_STEP_NS
        state["latent_ns"] = now
        if now >= state["regime_end_ns"]:
            u = uniform(rng)
            i = 0
            while i < REGIMES.shape[0] - 1 and u >= REGIMES[i, 0]:
                u -= REGIMES[i, 0]
                i += 1
            state["regime_end_ns"] = now + int((0.3 + exponential(rng, 0.7)) * REGIMES[i, 1] * 1e9)
            state["activity"] = REGIMES[i, 2]
            state["eagerness"] = REGIMES[i, 3]
            state["volatility"] = REGIMES[i, 4]
            sign = 1.0 if uniform(rng) < 0.5 else -1.0
            state["drift"] = sign * REGIMES[i, 5] * (0.5 + uniform(rng))
        mid = 0.5 * (state["best_bid"] + state["best_ask"])
        away = (state["fair"] - N_LEVELS // 2) / feed.limit_ticks
        if abs(away) > 0.8 and away * state["drift"] > 0.0:
            state["drift"] = -state["drift"]
        # Most of what the flow moved stays moved: fair follows the mid, and drags it only a little.
        fair = state["fair"] + (FOLLOW * (mid - state["fair"]) + state["drift"]) * dt
        fair += state["volatility"] * np.sqrt(state["heat"] * dt) * normal(rng)
        edge = N_LEVELS // 2
        state["fair"] = min(max(fair, edge - feed.limit_ticks), edge + feed.limit_ticks)
        state["mood"] += -state["mood"] * dt / MOOD_S + MOOD_SIZE * np.sqrt(2.0 * dt / MOOD_S) * normal(rng)
        state["chain"] *= np.exp(-dt / CHAIN_S)
        advance_heat(market, dt)


@kernel
def advance_heat(market: Market, dt: float) -> None:
    """Bring the heat on by ``dt`` s, and begin a burst when its time has come."""
    rng = market.rng
    state = market.state[0]
    state["heat_slow"] += -state["heat_slow"] * dt / HEAT_SLOW_S + HEAT_SLOW_SIZE * np.sqrt(2.0 * dt / HEAT_SLOW_S) * normal(rng)
    state["heat_fast"] += -state["heat_fast"] * dt / HEAT_FAST_S + HEAT_FAST_SIZE * np.sqrt(2.0 * dt / HEAT_FAST_S) * normal(rng)
    state["heat"] = np.exp(state["heat_slow"] + state["heat_fast"] - HEAT_MEAN)
    if uniform(rng) < state["heat"] * dt / BURST_EVERY_S:
        ticks = BURST_MIN_TICKS + int(exponential(rng, BURST_TICKS))
        state["burst_left"] = ticks if uniform(rng) < 0.5 else -ticks
        state["fair"] += BURST_STAYS * state["burst_left"]


@kernel
def draw_arrival(market: Market, feed: Feed) -> None:
    """Set the time of the next event by thinning; its excitation has decayed to that time."""
    rng = market.rng
    state = market.state[0]
    elapsed = (state["ts_event"] - feed.start_ns) * 1e-9
    # Regimes make busy and quiet minutes; a slow pull keeps the session's mean at the rate asked for.
    lag = (feed.rate * elapsed - state["n_records"]) / (feed.rate * RATE_PULL_S)
    records_per_event = state["n_records"] / state["n_events"] if state["n_events"] > 5000 else RECORDS_PER_EVENT
    base = feed.rate / records_per_event * (1.0 - BRANCH_FAST - BRANCH_SLOW)
    base *= state["activity"] * state["heat"] * np.exp(min(max(lag, -RATE_PULL_MOST), RATE_PULL_MOST))
    if state["burst_left"] != 0:
        base *= BURST_SPEED
    decay_fast = DECAY_FAST * feed.rate
    fast = state["excite_fast"]
    slow = state["excite_slow"]
    wait = 0.0
    while True:
        bound = base + fast + slow
        step = exponential(rng, 1.0 / bound)
        wait += step
        fast *= np.exp(-decay_fast * step)
        slow *= np.exp(-DECAY_SLOW * step)
        if uniform(rng) * bound <= base + fast + slow:
            break
    state["excite_fast"] = fast
    state["excite_slow"] = slow
    ts = state["ts_event"] + max(int(wait * 1e9), MIN_STEP_NS)
    state["ts_event"] = ts
    state["ts_recv"] = max(state["ts_recv"] + 1, ts + WIRE_NS + int(exponential(rng, WIRE_JITTER_NS)))
    state["ts_in_delta"] = 12_000 + below(rng, 4_000)


@kernel
def excite(market: Market, feed: Feed, is_trade: bool) -> None:
    """What just happened makes more happen."""
    state = market.state[0]
    kick = KICK_TRADE if is_trade else KICK_QUOTE
    state["excite_fast"] += kick * BRANCH_FAST * DECAY_FAST * feed.rate
    state["excite_slow"] += kick * BRANCH_SLOW * DECAY_SLOW


@kernel
def set_leans(market: Market) -> None:
    """Set which way takers and makers lean now, in (-1, 1); positive lifts the price."""
    state = market.state[0]
    gap = state["fair"] - 0.5 * (state["best_bid"] + state["best_ask"])
    pull = np.tanh(gap / FAIR_TICKS)
    # Takers persist, parents being cut into children; makers meet them, so a foreseeable flow moves the price little.
    own = TRADE_CHAIN * state["chain"] + TRADE_PARENT * state["parent"]
    takers = np.tanh(TRADE_PULL * pull + TRADE_MOOD * state["mood"] + own)
    makers = QUOTE_PULL * pull - QUOTE_MEETS * takers
    if abs(gap) > FAR_OFF_TICKS:
        makers += 0.5 * np.sign(gap)
    state["lean_takers"] = takers
    state["lean_makers"] = makers
