"""Silences of the feed: which are holes, which are quiet, and what told them apart.

A minute without a record in open trading is looked at. It is no hole when

- records were captured in it all the same (late ones, a snapshot dated by an older clear),
- the exchange's own numbers count on across it, one by one as they did before,
- or the instrument is silent for so long by its own rhythm.

Numbers that counted one by one and then leap tell of a hole whatever the rhythm.

Other contracts' records would tell too, and are passed over on purpose: a file cut by contract has none, and a bin's quality
would depend on the file that its records came in.

A feed that is followed live is watched: heartbeats show it alive, and whoever records it names every hole. Its quiet bins are out
before their silence is over, so that none may be judged by how long it lasts: in a watched feed only a hole that is told is one.
What the recorder told is kept beside the recording, whose replay gives the same bits. A download of those hours was watched by
nobody. It differs from what was seen live in the `gap` bit of bins in silences that it alone must take for holes, and in nothing
else; those silences are counted as quiet by heartbeat and listed by the runner.

Source: engine.md section 4, `gap`; Databento, `sequence`: given by the venue, to messages and not to what was recorded of them.
"""

from typing import Final

from engine import constants as c
from engine.jit import inline_kernel, kernel
from engine.run.state import CARE_HOLE, CARE_QUIET, UNSET, Engine
from engine.schema import Ints, Record

_SHORT_NS: Final = c.NS_PER_S  # what comes within a second is one burst and says nothing of the rhythm
_COUNTS: Final = 2  # steps of one, before numbers that count on prove that nothing is missing,
_COUNTS_ALWAYS: Final = 8  # and before a leap proves that something is
_RHYTHM_SILENCES: Final = 8  # silences, before there is a rhythm
_RHYTHM_MEMORY: Final = 64  # silences over which it is remembered
_RHYTHM_TIMES: Final = 12  # as often the mean silence: where they come at random, once in 160,000


@inline_kernel
def heard_at(record: Record, ts: int, captured: int) -> int:
    """When a record shows the feed to be alive: one of a snapshot dated long ago when it was captured, any other when it was."""
    is_snapshot = record["flags"] & c.F_SNAPSHOT != 0 and record["flags"] & c.F_BAD_TS_RECV == 0
    return captured if is_snapshot and captured - ts > c.FEED_GAP_NS else ts


@inline_kernel
def note_heard(run: Record, record: Record, heard: int, captured: int) -> None:
    """Take a kept record into the clocks and the numbers by which the next silence is judged."""
    run["heard_ts"] = max(run["heard_ts"], heard)
    run["heard_captured"] = max(run["heard_captured"], captured)
    run["is_judged"] = 0
    if record["flags"] & c.F_SNAPSHOT == 0:
        step = record["sequence"] - run["sequence"]
        if step == 1:
            run["n_counting"] += 1
        elif step != 0:
            run["n_counting"] = 0
        run["sequence"] = record["sequence"]


@inline_kernel
def is_silence(run: Record, heard: int) -> bool:
    """Whether what is heard now ends more than a burst's pause, and has not been judged yet."""
    return run["heard_ts"] != UNSET and heard - run["heard_ts"] > _SHORT_NS and run["is_judged"] == 0


@kernel
def longest_open(sessions: Ints, since: int, until: int) -> int:
    """The longest stretch of open trading in a span, ns; all of it where the hours are unknown."""
    if sessions.shape[0] == 0:
        return until - since
    longest = 0
    for i in range(sessions.shape[0]):
        longest = max(longest, min(until, sessions[i, 1]) - max(since, sessions[i, 0]))
    return longest


@kernel
def judge_silence(engine: Engine, heard: int, captured: int, step: int) -> None:
    """Judge the silence that ends at ``heard``, ns; ``step`` is how far the numbers went across it, 0 where unknown."""
    run = engine.run[0]
    run["is_judged"] = 1
    length = longest_open(engine.sessions, run["heard_ts"], heard)
    allowed = c.FEED_GAP_NS
    if run["n_rhythm"] >= _RHYTHM_SILENCES:
        allowed = max(allowed, _RHYTHM_TIMES * run["rhythm_ns"])
    if length > c.FEED_GAP_NS:
        if captured - run["heard_captured"] <= c.FEED_GAP_NS:
            run["quiet_by_capture"] += 1
        elif step == 1 and run["n_counting"] >= _COUNTS:
            run["quiet_by_sequence"] += 1
        elif length <= allowed and (step == 0 or run["n_counting"] < _COUNTS_ALWAYS):
            run["quiet_by_rhythm"] += 1
        elif run["is_watched"] == 1:
            run["quiet_by_heartbeat"] += 1
            run["quiet_from"] = run["heard_ts"]
            run["quiet_until"] = heard
            run["care"] = run["care"] | CARE_QUIET
        else:
            run["holes"] += 1
            run["hole_from"] = run["heard_ts"]
            run["hole_until"] = heard
            run["is_told"] = 0
            run["care"] = run["care"] | CARE_HOLE
    if length > _SHORT_NS:
        run["n_rhythm"] = min(run["n_rhythm"] + 1, _RHYTHM_MEMORY)
        # What is longer than the rhythm lets it be counts as that long, since it may be a hole; a thin market still is learnt.
        run["rhythm_ns"] += (min(length, allowed) - run["rhythm_ns"]) // run["n_rhythm"]


@kernel
def take_hole(engine: Engine, since: int, until: int) -> bool:
    """A hole that is told, ns: no silence is to be judged across it. Returns whether it is another than the last one."""
    run = engine.run[0]
    if run["is_told"] == 1 and run["hole_from"] == since and run["hole_until"] == until:
        return False
    run["holes"] += 1
    run["hole_from"] = since
    run["hole_until"] = until
    run["is_told"] = 1
    run["is_judged"] = 1
    return True


@inline_kernel
def mark_gap(engine: Engine, bin_ns: int) -> None:
    """Mark the open bin when it lies in the last hole, or holds what ended it; one that is told may be short, or out of hours."""
    run = engine.run[0]
    since, until = run["hole_from"], run["hole_until"]
    start = run["bin_start"]
    if until == UNSET or start > until or start + bin_ns <= since:
        return
    sessions = engine.sessions
    if sessions.shape[0] == 0 or run["is_told"] == 1:
        run["quality"] = run["quality"] | c.Q_GAP
    for i in range(sessions.shape[0]):
        opened, closed = sessions[i, 0], sessions[i, 1]
        # Only as much of a hole as lies in this bin's own hours of trading.
        if opened < start + bin_ns and start < closed and min(until, closed) - max(since, opened) > c.FEED_GAP_NS:
            run["quality"] = run["quality"] | c.Q_GAP
