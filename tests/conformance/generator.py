"""The conformance kit's files: each `cases/*.yaml` holds a tape of records in words; this writes it as DBN beside it.

    python -m tests.conformance.generator        writes every cases/*.dbn anew

Nothing of the engine is used: records and metadata are encoded by Databento's own library, so that the kit says what the feed
says and not what we think it does. The grammar of a tape stands in README.md.
"""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn as dbn
import yaml

CASES = Path(__file__).resolve().parent / "cases"
DAY = dt.date(2026, 2, 6)
OPEN_NS = int(dt.datetime(2026, 2, 6, 14, tzinfo=dt.UTC).timestamp()) * 10**9  # 09:00 in New York: @0 of every tape
SYMBOL, INSTRUMENT_ID = "MNQH6", 42_004_000
UNDEF_PRICE = 2**63 - 1
FLAGS = {"LAST": 128, "TOB": 64, "SNAPSHOT": 32, "MBP": 16, "BAD_TIME": 8, "MAYBE_BAD": 4, "PUB": 2, "-": 0}
CAPTURE_DELAY_NS = 100_000
OTHER_KIND = bytes([10, 23, 1, 0]) + bytes(36)  # a system message of 40 bytes
OPENING = """
R 0 N -        0 {at} SNAPSHOT
A 1 B 21599.75 5 {at} SNAPSHOT      event=-3600000
A 2 B 21599.50 7 {at} SNAPSHOT      event=-3600000
A 3 A 21600.25 4 {at} SNAPSHOT      event=-3600000
A 4 A 21600.50 6 {at} SNAPSHOT+LAST event=-3600000
"""


def names() -> list[str]:
    """Every case, in order."""
    return sorted(path.stem for path in CASES.glob("*.yaml"))


def load(name: str) -> dict[str, Any]:
    """A case: its tape and its answers."""
    case: dict[str, Any] = yaml.safe_load((CASES / f"{name}.yaml").read_text())
    return case


def lines(tape: str) -> Iterator[list[str]]:
    """The words of each record, comments left out, `OPENING` written out."""
    for line in tape.splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["OPENING"]:
            yield from lines(OPENING.format(at=words[1] if len(words) > 1 else "@0"))
        elif words:
            yield words


def at_ns(ms: str) -> int:
    """UTC ns of a tape's time, which counts ms from 09:00 in New York."""
    return OPEN_NS + int(Decimal(ms) * 1_000_000)


def encode(words: list[str], sequence: int, ts_out: bool) -> bytes:
    """One record; 56 bytes, 64 with the gateway's time behind them."""
    action, order_id, side, price, size, at, flags = words[:7]
    more = dict(word.split("=") for word in words[7:])
    event = at_ns(at.removeprefix("@"))
    is_known = action in "ACMFTNR"
    message = bytes(
        dbn.MBOMsg(
            publisher_id=1,
            instrument_id=int(more.get("instrument", INSTRUMENT_ID)),
            ts_event=at_ns(more["event"]) if "event" in more else event,
            order_id=int(order_id),
            price=UNDEF_PRICE if price == "-" else int(Decimal(price) * 10**9),
            size=int(size),
            action=dbn.Action(action if is_known else "N"),
            side=dbn.Side(side),
            ts_recv=at_ns(more["recv"]) if "recv" in more else event + CAPTURE_DELAY_NS,
            flags=sum(FLAGS[word] for word in flags.split("+")),
            channel_id=0,
            sequence=sequence,
            **({"ts_out": event + 2 * CAPTURE_DELAY_NS} if ts_out else {}),
        )
    )
    return message if is_known else message[:38] + action.encode() + message[39:]


def metadata(file: dict[str, Any]) -> bytes:
    """The head of the file: which id stands for which symbol on which days, and where the data are said to end."""
    intervals: dict[str, list[SimpleNamespace]] = {}
    default = [[SYMBOL, INSTRUMENT_ID, DAY, DAY + dt.timedelta(1)]]
    for symbol, number, start, end in file.get("mappings", default):
        intervals.setdefault(symbol, []).append(SimpleNamespace(start_date=start, end_date=end, symbol=str(number)))
    return dbn.Metadata(
        dataset="GLBX.MDP3",
        start=OPEN_NS - 14 * 3600 * 10**9,
        end=at_ns(str(file["end_ms"])) if "end_ms" in file else None,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.MBO if file.get("schema", "mbo") == "mbo" else None,
        symbols=file.get("symbols", list(intervals)),
        mappings=[SimpleNamespace(raw_symbol=symbol, intervals=spans) for symbol, spans in intervals.items()],
        ts_out=file.get("ts_out", False),
    ).encode()


def build(case: dict[str, Any]) -> bytes:
    """A case's DBN file."""
    file = case.get("file", {})
    body, sequence = b"", 0
    for words in lines(case["records"]):
        if words == ["OTHER"]:
            body += OTHER_KIND
            continue
        sequence += 1
        body += encode(words, sequence, file.get("ts_out", False))
    return metadata(file) + body[: len(body) - file.get("cut_bytes", 0)]


def main() -> None:
    for name in names():
        (CASES / f"{name}.dbn").write_bytes(build(load(name)))


if __name__ == "__main__":
    main()
