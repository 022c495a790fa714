"""What an engine said of a case, against the case's answers.

python -m tests.conformance.answers DIR      judges DIR/<case>.json, one file a case, as another engine wrote them
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.generator import load, names

TAU_REST_DECAY_S = 30.0
TOLERANCE = 1e-9  # relative to 1 + |x|
QUALITY = ("cold", "gap", "crossed", "one_sided", "bad_time", "doubtful_book", "closed", "roll")
FLOWS = ("add", "pull", "fill")
ANY = "any"  # an answer that is not judged
Values = dict[str, Any]


@dataclass
class Observed:
    """What an engine says of one case; ``books`` and ``rows`` in the order in which the answers ask for them.

    None stands for what an engine does not tell: it is not judged. So a book without bins is judged by its books alone.
    """

    refused: str = ""  # the message, where the file was refused
    kept: int | None = None  # records of the contract that went into the book
    anomalies: dict[str, int] | None = None
    first: dict[str, list[int]] | None = None  # kind -> order_id, sequence
    notices: int | None = None  # complaints about the file itself
    books: list[Values] | None = None  # valid, bids, asks; queues where priority is kept
    bins: list[Values] | None = None
    rows: list[Values] | None = None  # add_mass, ..., bid_depth, last_event_id
    judges_quality: tuple[str, ...] = QUALITY  # the bits that the engine knows of


def is_same(ours: Any, theirs: Any) -> bool:
    """Equal; numbers to 1e-9."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isfinite(ours) and abs(ours - theirs) <= TOLERANCE * (1 + abs(theirs))
    return bool(ours == theirs)


def disagreements(case: Values, seen: Observed) -> list[str]:
    """A line for each answer that the engine did not give; empty when it agrees."""
    if "refused" in case:
        return [f"the refusal does not name {word}: {seen.refused!r}" for word in case["refused"] if word not in seen.refused]
    if seen.refused:
        return [f"refused: {seen.refused}"]
    found: list[str] = []

    def check(what: str, got: Any, wanted: Any) -> None:
        if not is_same(got, wanted):
            found.append(f"{what}: got {got!r}, the answer is {wanted!r}")

    for what, got, wanted in (
        ("records kept", seen.kept, case["kept"]),
        ("anomalies", seen.anomalies, case.get("anomalies", {})),
        ("first anomalies (order_id, sequence)", seen.first, case.get("first", {} if case.get("anomalies") != ANY else ANY)),
        ("notices", seen.notices, case.get("notices", 0)),
    ):
        if got is not None and wanted != ANY:
            check(what, got, wanted)
    if "n_bins" in case and seen.bins is not None:
        check("number of bins", len(seen.bins), case["n_bins"])
    for wanted, book in _pairs(case.get("books", []), seen.books):
        for name in wanted.keys() & book.keys() - {"at"}:
            check(f"book at {wanted['at']}, {name}", book[name], wanted[name])
    for wanted in case.get("bins", []) if seen.bins is not None else ():
        bin_ = seen.bins[wanted["seq"]]
        for name in wanted.keys() - {"seq", "quality"}:
            check(f"bin {wanted['seq']}, {name}", bin_[name], wanted[name])
        judged = [name for name in wanted.get("quality", []) if name in seen.judges_quality]
        if "quality" in wanted:
            check(f"bin {wanted['seq']}, quality", sorted(set(bin_["quality"]) & set(seen.judges_quality)), sorted(judged))
    for wanted, row in _pairs(case.get("rows", []), seen.rows):
        for name, value in expected_row(wanted).items():
            check(f"bin {wanted['bin']} at {wanted['price']}, {name}", row[name], value)
    return found


def _pairs(wanted: list[Values], seen: list[Values] | None) -> list[tuple[Values, Values]]:
    """What is asked for with what was said; nothing where the engine does not tell."""
    return [] if seen is None else list(zip(wanted, seen, strict=True))


def expected_row(answer: Values) -> Values:
    """Columns that an answer's row stands for: flows ``[[size, seconds before the bin's end], …]`` become decayed masses."""
    columns: Values = dict(answer.get("values", {}))
    for name in FLOWS:
        if name in answer:
            columns[f"{name}_mass"] = sum(size * math.exp(-age / TAU_REST_DECAY_S) for size, age in answer[name])
    return columns | {name: answer[name] for name in ("bid_depth", "ask_depth", "last_event_id") if name in answer}


def main() -> int:
    folder = Path(sys.argv[1])
    n_wrong = 0
    for name in names():
        path = folder / f"{name}.json"
        wrong = disagreements(load(name), Observed(**json.loads(path.read_text()))) if path.exists() else ["no answer"]
        n_wrong += bool(wrong)
        print(f"{name}: {'; '.join(wrong) or 'agrees'}")
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
