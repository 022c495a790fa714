"""The days that the lake can play, and how far each reaches."""

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Final

from engine.config import InstrumentConfig
from engine.dataset.sealed import seals
from engine.errors import EngineError
from engine.lake import RAW_SUFFIXES, Lake, files_of_contract
from engine.run.extent import extent_of
from engine.source.records import open_source

_DAY: Final = re.compile(r"(20[0-9]{2})-?([0-9]{2})-?([0-9]{2})")
_MOST_KEPT: Final = 4096

Mark = tuple[str, int, int]


class Days:
    """What the raw files of a lake hold; each is looked into once, as long as it stays as it is. Used from one thread at a time.

    Parameters
    ----------
    lake : Lake
        Where they lie.
    config : InstrumentConfig
        The instrument that is played.
    assumes_symbol, sealed_ok : bool
        As the service was told.
    """

    def __init__(self, lake: Lake, config: InstrumentConfig, *, assumes_symbol: bool, sealed_ok: bool) -> None:
        self._lake, self._config = lake, config
        self._assumes_symbol, self._sealed_ok = assumes_symbol, sealed_ok
        self._kept: dict[Mark, dict[str, Any]] = {}

    def told(self) -> list[dict[str, Any]]:
        """A day each, the latest first: ``dt, symbol, file, bytes, can_play, reason, start_ns, end_ns, n_bins``.

        Of a day with a sealed session nothing is read and nothing said, unless the service plays such days.
        """
        symbol = self._config.symbol
        held_out = {seal.dt for seal in seals(self._lake) if seal.symbol == symbol}
        by_day: dict[str, list[Path]] = {}
        for path, day in _files(self._lake.raw_dir(self._config.symbol_root)):
            by_day.setdefault(day, []).append(path)
        return [self._day(day, paths, day in held_out) for day, paths in sorted(by_day.items(), reverse=True)]

    def _day(self, day: str, paths: list[Path], is_sealed: bool) -> dict[str, Any]:
        told: dict[str, Any] = {
            "dt": day,
            "symbol": self._config.symbol,
            "is_sealed": is_sealed,
            "can_play": False,
            "reason": None,
        }
        if is_sealed and not self._sealed_ok:
            return {**told, "reason": "a session of this day is held out"}
        paths = files_of_contract(paths, self._config.symbol_root, self._config.symbol)
        if not paths:
            return {**told, "reason": f"its files are of other contracts than {self._config.symbol}"}
        if len({path.name.removesuffix(".zst") for path in paths}) > 1:
            return {**told, "reason": f"{len(paths)} files are of this day: {', '.join(path.name for path in paths[:5])}"}
        path = min(paths, key=lambda one: len(one.name))  # the plain one, as a stream takes it
        stat = path.stat()
        mark = (str(path), stat.st_size, stat.st_mtime_ns)
        if mark not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[mark] = self._look(path, day)
        return {**told, "file": path.name, "bytes": stat.st_size, **self._kept[mark]}

    def _look(self, path: Path, day: str) -> dict[str, Any]:
        try:
            source = open_source([path], self._config, date.fromisoformat(day), assumes_symbol=self._assumes_symbol)
            extent = extent_of(source, self._config)
        except (EngineError, OSError) as error:
            return {"reason": str(error)}
        if extent is None:
            return {"reason": "nothing happens in it"}
        return {"can_play": True, "start_ns": extent.start_ns, "end_ns": extent.end_ns, "n_bins": extent.n_bins}


def _files(folder: Path) -> Iterable[tuple[Path, str]]:
    for path in sorted(folder.glob("*")):
        found = _DAY.search(path.name) if path.name.endswith(RAW_SUFFIXES) else None
        if found is not None:
            day = "-".join(found.groups())
            try:
                date.fromisoformat(day)
            except ValueError:
                continue
            yield path, day
