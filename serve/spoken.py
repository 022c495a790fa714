"""Which model spoke at which bin: what streams hand over for the record, and the answer for any bin of any day.

Source: `engine.trades.spoken` for the record.
"""

import argparse
import logging
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.constants import NS_PER_S
from engine.door import print_json, read_day
from engine.errors import ConfigError, EngineError
from engine.lake import Lake
from engine.run.block import BinBlock
from engine.run.replay import SESSION_TZ
from engine.trades.chain import Entry
from engine.trades.spoken import SpokenRecord, Stretch, model_hash, symbols_spoken
from serve.backlog import Backlog
from serve.champion import SignalChoice
from serve.request import shown

logger = logging.getLogger(__name__)

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAX: Final = 40  # characters of a moment


class SpokenDesk:
    """The records of one replica; any thread may hand over."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._records: dict[str, SpokenRecord] = {}  # the writing thread's
        self._trouble: dict[str, str] | None = None
        self._backlog = Backlog("record of who spoke")

    @property
    def trouble(self) -> dict[str, str] | None:
        """Why the record is not written, ``message`` and ``since``; None where all is well."""
        return self._trouble

    def submit(self, symbol: str, entry: Entry) -> None:
        """Have an entry written, in order, without waiting."""
        self._backlog.put(lambda: self._append(symbol, entry))

    def flush(self) -> None:
        """Wait until what was handed over is written, or was tried in vain."""
        self._backlog.flush()

    def close(self) -> None:
        """Write what is still to be written, and end."""
        self._backlog.close()

    def _append(self, symbol: str, entry: Entry) -> None:
        record = self._records.setdefault(symbol, SpokenRecord(self._lake, symbol))
        try:
            record.append([entry])
        except (EngineError, OSError) as error:
            text = f"the record of who spoke is not written: {error}"
            if self._trouble is None or self._trouble["message"] != text:
                logger.error("%s", text)
                self._trouble = {"message": text, "since": _now()}
            if isinstance(error, OSError):
                raise
        else:
            self._trouble = None


class Speaker:
    """What one replay tells the record: whenever another model speaks, and where it ended.

    Parameters
    ----------
    desk : SpokenDesk
    symbol, file, day : str
        Of the session; ``day`` as YYYY-MM-DD.
    width_ms : int
        Of a bin.
    source : str
        ``replay`` or ``live``.
    """

    def __init__(self, desk: SpokenDesk, symbol: str, file: str, day: str, width_ms: int, source: str = "replay") -> None:
        self._desk, self._symbol = desk, symbol
        self._common: Entry = {"source": source, "file": file, "dt": day, "width_ns": width_ms * 1_000_000}
        self._choice: SignalChoice | None = None
        self._stretch: Entry = {}
        self._until = 0

    def see(self, block: BinBlock, choice: SignalChoice) -> None:
        """Take in the next bins and whose they are."""
        if choice is not self._choice:
            self.end()
            first, width_ns = int(block.bins["bin_seq"][0]), self._common["width_ns"]
            start_ns = int(block.bins["bin_start_ns"][0]) - first * width_ns
            self._choice = choice
            self._stretch = {"session": f"{self._symbol}@{start_ns}", "bin": first, "model": _told(choice)}
            self._desk.submit(self._symbol, {"kind": "from", **self._stretch, **self._common, "start_ns": start_ns, "at": _now()})
        self._until = int(block.bins["bin_seq"][-1]) + 1

    def end(self) -> None:
        """No bin comes any more under this model; asked again it says nothing."""
        if self._choice is not None:
            self._choice = None
            self._desk.submit(self._symbol, {"kind": "until", **self._stretch, "until": self._until, "at": _now()})


def models_at(lake: Lake, when: str, symbol: str | None = None) -> dict[str, Any]:
    """Who spoke at a moment, or on a day.

    Parameters
    ----------
    when : str
        An ISO time with its zone (without one New York's is meant), nanoseconds since 1970 UTC, or a day as YYYY-MM-DD.
    symbol : str, optional
        Default every symbol that has a record.

    Returns
    -------
    dict
        ``when``, ``ts_ns`` (text; of a moment) or ``day``, and ``models``: for each stretch of bins ``symbol``, ``session``,
        ``file``, ``first``, ``until`` (null where no end is on record), ``bin_seq`` (of a moment), ``model``
        {source, version, name, sha256, config}, and ``since``.

    Raises
    ------
    ConfigError
        It is no moment and no day, or the symbol has no record.
    ChampionError
        The record is broken; the line names the first broken link.
    """
    known = symbols_spoken(lake)
    if symbol is not None and symbol not in known:
        raise ConfigError(f"symbol was {shown(symbol)}; there is a record of who spoke for {', '.join(known) or 'none yet'}")
    day, ts_ns = _moment(when)
    models: list[dict[str, Any]] = []
    for one in known if symbol is None else [symbol]:
        record = SpokenRecord(lake, one)
        record.verify()
        record.refresh()
        if day is not None:
            models += [_line(one, stretch) for stretch in record.on(day)]
        else:
            models += [_line(one, stretch) | {"bin_seq": seq} for stretch, seq in record.at(ts_ns)]
    where = {"ts_ns": str(ts_ns)} if day is None else {"day": day}
    return {"when": when, **where, "models": models}


def model_at(options: argparse.Namespace) -> int:
    """Who spoke at a moment or on a day, for a terminal."""
    told = models_at(Lake.open(options.lake), options.when, options.symbol)
    if options.json:
        print_json(told)
        return 0
    for line in model_lines(told):
        print(line)
    return 0


def model_lines(told: dict[str, Any]) -> list[str]:
    """`models_at` for a terminal."""
    lines = []
    for one in told["models"]:
        model = one["model"]
        who = model["name"] + (f" (champion v{model['version']})" if model["version"] else " (instrument)")
        bins = f"bin {one['bin_seq']} of " if "bin_seq" in one else ""
        until = "?" if one["until"] is None else str(one["until"] - 1)
        lines.append(f"{who}  {bins}bins {one['first']}-{until}  {one['session']}  {one['file']}  {model['sha256'][:12]}")
    return lines or [f"nothing on record spoke at {told['when']}"]


def _line(symbol: str, stretch: Stretch) -> dict[str, Any]:
    told = asdict(stretch)
    return {"symbol": symbol, **told, "start_ns": str(stretch.start_ns), "model": dict(stretch.model)}


def _told(choice: SignalChoice) -> dict[str, Any]:
    """What identifies a model: for the record."""
    champion = choice.champion
    fitted = None if champion is None or champion.fitted is None else champion.fitted.sha256
    name = choice.name if choice.enabled else "none"
    return {
        "source": choice.origin,
        "version": choice.version,
        "name": name,
        "sha256": model_hash(name, choice.parameters, fitted),
    }


def _moment(text: str) -> tuple[str | None, int]:
    """A day, or a moment in UTC ns."""
    if _DAY.fullmatch(text):
        return read_day(text).isoformat(), 0
    if text.isascii() and text.isdigit() and len(text) <= 19:
        return None, int(text)
    try:
        moment = datetime.fromisoformat(text[:_MAX])
    except ValueError:
        raise ConfigError(
            f"the moment was {shown(text)}; it must be a day as YYYY-MM-DD, an ISO time like 2026-02-06T09:40:00-05:00, or "
            "nanoseconds since 1970"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(SESSION_TZ))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return None, (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1000


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
