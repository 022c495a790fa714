"""A planted edge: now and then the book shows a cue, and where the edge holds the price follows it.

A cue is a lean of the book that lasts ``lead`` seconds. Behind it the price is pushed, tick by tick at random times that
are exponential with mean ``decay``, ``size`` ticks in the mean: ``size * (1 - exp(-t / decay))`` of them within t seconds
of the cue's end. A push takes the whole best level, and the other side follows at once, so it stays. Where the edge does
not hold the same cues are given and nothing follows.
"""

import json
import re
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from engine.constants import ACTION_ADD, ACTION_CANCEL, F_LAST, NS_PER_S
from engine.errors import ConfigError
from engine.files import write_atomic
from engine.jit import kernel
from engine.schema import MboRecords, Structured
from engine.simulate.flow import LATENT_STEP_NS, excite
from engine.simulate.orders import ALL_OF_IT, draw_size, sweep
from engine.simulate.queues import (
    ASK,
    BID,
    CUE_DTYPE,
    N_CUES,
    N_LEVELS,
    Edge,
    Feed,
    Market,
    below,
    drop_order,
    emit_order,
    exponential,
    new_order_id,
    rest_order,
    uniform,
)

NO_EDGE: Final = -1
RELATIONS: Final = {
    "imbalance": "orders join the touch of one side and leave the other's",
    "flow": "small trades of one side, and orders joining its touch",
    "pressure": "orders come one to ten ticks behind the touch of one side and leave the other's",
}
IMBALANCE: Final = 0
FLOW: Final = 1
ALWAYS: Final = 0
FIRST_HALF: Final = 1
REGIME: Final = 3
WHERE: Final = ("always", "first-half", "second-half", "regime")
CUE_FIELDS: Final = CUE_DTYPE.names or ()
CUE_SHARE: Final = 0.35  # of the events while a cue is given
PRESSURE_TICKS: Final = 10
PUSH_STAYS: Final = 1.3  # ticks in the fair value for a push of one: makes good what a refill takes back
SETTLING: Final = 8  # orders that follow a push
SIZE_CUE: Final = 4.0  # contracts, tail
MAX_TICKS: Final = 200.0
MIN_EVERY_S: Final = 5.0
EXAMPLE: Final = "relation=pressure,size=12,decay=5,every=30,lead=3,where=always"


@dataclass(frozen=True)
class EdgeSpec:
    """What is planted.

    Attributes
    ----------
    relation
        What the cue is: ``imbalance``, ``flow`` or ``pressure``, see RELATIONS.
    size
        Ticks that the price goes for a cue, in the mean, in its direction; below 0 against it, 0 for a cue that means nothing.
    decay
        s, mean wait of each of those ticks after the cue's end.
    every
        s between two cues' ends and starts, in the mean, half of it at least.
    lead
        s that a cue lasts.
    where
        Where in the session it holds: ``always``, ``first-half``, ``second-half``, or ``regime:SECONDS``: spans of that
        length in turn, the first of which holds.
    """

    relation: str
    size: float
    decay: float = 5.0
    every: float = 30.0
    lead: float = 3.0
    where: str = "always"

    def to_json(self) -> dict[str, Any]:
        """The fields and the relation in words."""
        return asdict(self) | {"cue": RELATIONS[self.relation]}

    def to_params(self) -> Edge:
        """Checked, as kernels take it.

        Raises
        ------
        ConfigError
            A value is not allowed.
        """
        if self.relation not in RELATIONS:
            raise ConfigError(f"edge relation was {self.relation!r}; it must be one of {', '.join(RELATIONS)}")
        if not (isfinite(self.size) and abs(self.size) <= MAX_TICKS):
            raise ConfigError(f"edge size was {self.size:g} ticks; it must be from -{MAX_TICKS:g} to {MAX_TICKS:g}")
        for name, low in (("decay", 0.05), ("every", MIN_EVERY_S), ("lead", 0.1)):
            value = getattr(self, name)
            if not (isfinite(value) and low <= value <= 3600.0):
                raise ConfigError(f"edge {name} was {value:g} s; it must be from {low:g} to 3600")
        place, span_s = self.where, 1.0
        if place.startswith("regime:"):
            place, _, span = place.partition(":")
            span_s = float(span) if re.fullmatch(r"\d{1,5}(\.\d+)?", span) else 0.0
        elif place == "regime":
            span_s = 0.0
        if place not in WHERE or not 1.0 <= span_s <= 86_400.0:
            raise ConfigError(
                f"edge where was {self.where!r}; it must be always, first-half, second-half or regime:SECONDS with 1 to 86400"
            )
        return Edge(
            list(RELATIONS).index(self.relation),
            float(self.size),
            float(self.decay),
            float(self.every),
            float(self.lead),
            WHERE.index(place),
            span_s,
        )


def read_edge(text: Any) -> EdgeSpec:
    """An edge as ``--edge`` takes it: ``relation=NAME,size=TICKS`` and any of decay, every, lead, where.

    Raises
    ------
    ConfigError
        The text does not say that, or a value is not allowed.
    """
    if not isinstance(text, str):
        raise ConfigError(f"edge was {text!r}; give text such as {EXAMPLE!r}")
    given: dict[str, Any] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or name not in EdgeSpec.__dataclass_fields__ or name in given:
            raise ConfigError(
                f"edge was {text!r}, of which {item!r} is not understood; give NAME=VALUE once each, such as {EXAMPLE}"
            )
        if name in ("relation", "where"):
            given[name] = value
            continue
        try:
            given[name] = float(value)
        except ValueError:
            raise ConfigError(f"edge {name} was {value!r}; it must be a number, as in {EXAMPLE}") from None
    missing = [name for name in ("relation", "size") if name not in given]
    if missing:
        raise ConfigError(f"edge was {text!r} without {missing[0]}; give it as in {EXAMPLE}")
    spec = EdgeSpec(**given)
    spec.to_params()
    return spec


def key_path(out: Path) -> Path:
    """Where the answer key of a simulated file lies: beside it."""
    return out.with_name(out.name + ".edge.json")


def write_key(out: Path, spec: EdgeSpec, seed: int, start_ns: int, end_ns: int, cues: Structured) -> None:
    """Write the answer key of a session: what was planted, and every cue with the ticks that were to follow it."""
    key = {
        "file": out.name,
        "seed": seed,
        "start_ns": start_ns,
        "end_ns": end_ns,
        **spec.to_json(),
        "n_cues": len(cues),
        "cues": [dict(zip(CUE_FIELDS, cue.tolist(), strict=True)) for cue in cues],
    }
    write_atomic(key_path(out), json.dumps(key, indent=1).encode())


@kernel
def holds_at(feed: Feed, ts: int) -> bool:
    """Whether the edge holds for a cue that ends at ``ts``, ns."""
    edge = feed.edge
    if edge.where == ALWAYS:
        return True
    if edge.where == REGIME:
        return int((ts - feed.start_ns) / (edge.span_s * NS_PER_S)) % 2 == 0
    is_first = 2 * (ts - feed.start_ns) < feed.end_ns - feed.start_ns
    return is_first == (edge.where == FIRST_HALF)


@kernel
def draw_gap(market: Market, feed: Feed) -> int:
    """Time from a cue's end to the next one's start, ns."""
    return int((0.5 + exponential(market.rng, 0.5)) * feed.edge.every_s * NS_PER_S)


@kernel
def note_cue(market: Market, start_ns: int, end_ns: int, ticks: int, holds: bool) -> None:
    """Write the cue that has ended into the answer key."""
    state = market.state[0]
    if state["n_cues"] < N_CUES:
        cue = market.cues[state["n_cues"]]
        cue["start_ns"] = start_ns
        cue["end_ns"] = end_ns
        cue["side"] = state["cue"]
        cue["ticks"] = ticks
        cue["holds"] = holds
        state["n_cues"] += 1


@kernel
def advance_edge(market: Market, feed: Feed, ts: int) -> None:
    """Begin and end cues and let pushes fall due up to ``ts``, in fixed steps."""
    rng = market.rng
    state = market.state[0]
    if state["next_cue_ns"] == 0:
        state["edge_ns"] = feed.start_ns
        state["next_cue_ns"] = feed.start_ns + draw_gap(market, feed)
    while state["edge_ns"] + LATENT_STEP_NS <= ts:
        now = state["edge_ns"] + LATENT_STEP_NS
        state["edge_ns"] = now
        if state["cue"] == 0 and now >= state["next_cue_ns"]:
            state["cue"] = 1 if uniform(rng) < 0.5 else -1
            away = 0.5 * (state["best_bid"] + state["best_ask"]) - N_LEVELS // 2
            if abs(away) > 0.5 * feed.limit_ticks:  # back, before the window of levels ends
                state["cue"] = -1 if (away > 0.0) == (feed.edge.size >= 0.0) else 1
            state["cue_since_ns"] = now
            state["cue_until_ns"] = now + int(feed.edge.lead_s * NS_PER_S)
        elif state["cue"] != 0 and now >= state["cue_until_ns"]:
            holds = holds_at(feed, now)
            size = abs(feed.edge.size)
            ticks = int(size) + (1 if uniform(rng) < size - int(size) else 0)
            ticks *= state["cue"] if feed.edge.size > 0.0 else -state["cue"]
            if not holds:
                ticks = 0
            note_cue(market, state["cue_since_ns"], now, ticks, holds)
            state["owed"] += ticks
            state["cue"] = 0
            state["next_cue_ns"] = now + draw_gap(market, feed)
        if state["owed"] != 0 and uniform(rng) < abs(state["owed"]) * LATENT_STEP_NS / (feed.edge.decay_s * NS_PER_S):
            step = 1 if state["owed"] > 0 else -1
            state["owed"] -= step
            state["pushes"] += step
            state["fair"] += PUSH_STAYS * step


@kernel
def push_on(market: Market, feed: Feed, out: MboRecords) -> None:
    """One event of a push: the best level is taken, then the other side follows to where it stood."""
    state = market.state[0]
    if state["settling"] != 0:
        side = BID if state["settling"] > 0 else ASK
        state["settling"] -= 1 if side == BID else -1
        tick = state["best_ask"] - 1 if side == BID else state["best_bid"] + 1
        slot = rest_order(market, new_order_id(market), side, tick, draw_size(market.rng, SIZE_CUE))
        emit_order(market, feed, out, ACTION_ADD, slot, market.orders[slot]["size"], F_LAST)
        return
    excite(market, feed, True)
    hit = ASK if state["pushes"] > 0 else BID
    before = state["best_ask"] if hit == ASK else state["best_bid"]
    sweep(market, feed, out, hit, ALL_OF_IT, 1)
    after = state["best_ask"] if hit == ASK else state["best_bid"]
    if after != before:  # a sweep has an end: a long queue needs two
        state["pushes"] -= 1 if hit == ASK else -1
        state["settling"] = SETTLING if hit == ASK else -SETTLING


@kernel
def add_cue(market: Market, feed: Feed, out: MboRecords) -> None:
    """One event of a cue, which moves no price by itself."""
    rng = market.rng
    state = market.state[0]
    side = BID if state["cue"] > 0 else ASK
    other = 1 - side
    depth = 1 + below(rng, PRESSURE_TICKS)
    if feed.edge.relation == IMBALANCE or feed.edge.relation == FLOW:
        depth = 0
    touch = state["best_bid"] if other == BID else state["best_ask"]
    level = market.levels[other, touch - depth if other == BID else touch + depth]
    if uniform(rng) < 0.5 and level["count"] > 3:
        if feed.edge.relation == FLOW:
            excite(market, feed, True)
            sweep(market, feed, out, other, 1 + below(rng, 2), 1)
            return
        slot = level["back"]
        emit_order(market, feed, out, ACTION_CANCEL, slot, market.orders[slot]["size"], F_LAST)
        drop_order(market, slot)
        return
    tick = state["best_bid"] - depth if side == BID else state["best_ask"] + depth
    slot = rest_order(market, new_order_id(market), side, tick, draw_size(rng, SIZE_CUE))
    emit_order(market, feed, out, ACTION_ADD, slot, market.orders[slot]["size"], F_LAST)
