"""States of a whole replay, kept while it runs, so that another one of the same session begins near any bin.

A state is what the engine holds between two bins, and where in the source it stands; beside it lies what each signal held there.
Both are bound to all that decides their bits: the file, the instrument, the span, the code, the signal and what it knew at its
start. So the bins that follow are those of a replay from the session's start, to the last bit.

What the next bin waits for is a copy of the arrays: 0.9 ms for 3.1 MB of a simulated hour, and a learned signal's snapshot of up
to 7 ms. They are packed and written by another thread; until that one has done with a state no other is taken.

Source: engine.md sections 2 to 5 for what a state is.
"""

import hashlib
import json
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy import __version__ as numpy_version
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.files import write_kept
from engine.modules import OURS, is_standard, standing, top_of
from engine.run.runner import Runner
from engine.schema import pack, unpack
from engine.signals.base import SignalLike
from engine.signals.carried import own_of
from engine.source.id_changes import IdChanges
from engine.source.records import Place, Source

KEYFRAME_BINS: Final = 3_000  # between two states; half of them are run anew on the average start
FOLDER_BYTES: Final = 8 << 30  # of all states together
MOST_WAITING: Final = 4  # states of one process that wait to be written; each holds its arrays
_FILLED_TO: Final = 0.9  # what is left of that once the least recently used have gone

ENGINE_KIND: Final = "state of a replay"
SIGNAL_KIND: Final = "state of a replay's signal"
END_KIND: Final = "end of a replay"
_ENGINE, _SIGNAL, _END = ".engine", ".signal", "end.bins"
_OURS: Final = (_ENGINE, _SIGNAL, Path(_END).suffix, ".tmp")  # the last of writers that were killed
_COMPUTING: Final = ("numba", "scikit-learn", "lightgbm", "xgboost-cpu")  # distributions, some of which may not be there
# Fields of the instrument that no state of the engine depends on: they shape labels, scores, and what others make of them.
_OF_NO_STATE: Final = ("perm_", "state5_table", "projection_horizons_bins", "price_decimals")


_waiting: Final = threading.BoundedSemaphore(MOST_WAITING)


class Resumed(NamedTuple):
    """Where a replay goes on: its place in the source, how many of the source's records are in, and what it has counted."""

    place: Place
    n_records: int
    quality_counts: dict[str, int]


class Keyframes:
    """The kept states of one session.

    Parameters
    ----------
    folder
        Where states of all sessions lie; made when the first is kept. Safe to delete at any time.
    source, runner
        A source and a fresh runner over it.

    Attributes
    ----------
    notices : list of str
        What could not be used or kept, a line each.
    began_at : int
        The bin whose kept state the replay began from, 0 where it began at the session's start.
    every_bins : int
        How far states lie apart.
    """

    def __init__(self, folder: Path, source: Source, runner: Runner) -> None:
        self.notices: list[str] = []
        self.began_at = 0
        self.every_bins = KEYFRAME_BINS
        self._folder = folder
        self._source = source
        self._signal = runner.signal
        self._at_start = b""
        self._key = engine_key(source, runner)
        self._signal_key = self._key_of_signal()
        self.path = _home(folder, source, runner, self._key)
        self._done = {b // self.every_bins for b in self._kept_bins()}
        self._writing: Future[None] | None = None

    # --- starting from one ---

    def load(self, runner: Runner, bin_seq: int) -> Resumed | None:
        """Put the last sound state at or before a bin into a fresh runner and its signal; None where there is none.

        What is damaged is told in ``notices`` and removed, so that it is made anew.
        """
        for kept in reversed(self._kept_bins()):
            if not 0 < kept <= bin_seq:
                continue
            found = self._read(kept)
            if found is None:
                continue
            arrays, of_signal = found
            if self._signal is not None and not self._restore_signal(self._signal, of_signal["state"].tobytes()):
                return None
            told = json.loads(arrays["told"].tobytes())
            file_number, first, n_before, instrument_id, n_records = arrays["place"].tolist()
            place = Place(file_number, first, n_before, instrument_id, IdChanges(**told["id_changes"]))
            runner.go_on_from(arrays, n_records)
            self.began_at = kept
            for file, (notices, remarks) in zip(self._source.files, told["files"], strict=False):
                file.notices, file.remarks = notices, remarks
            return Resumed(place, n_records, told["quality_counts"])
        return None

    def _read(self, kept: int) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]] | None:
        """What was kept of the engine and of the signal at a bin."""
        parts = [(self._engine_path(kept), ENGINE_KIND, self._key)]
        if self._signal is not None:
            parts.append((self._signal_path(kept), SIGNAL_KIND, self._signal_key or ""))
        found: list[dict[str, NDArray[Any]]] = []
        for path, kind, key in parts:
            try:
                found.append(unpack(kind, key, path.read_bytes()))
            except (ConfigError, OSError) as error:
                why = f"{error.strerror}" if isinstance(error, OSError) else f"{error}"
                self._notice(f"{self.path.name}/{path.name} could not be used, an earlier state or the session's start is: {why}")
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                self._done.discard(kept // self.every_bins)
                return None
            with suppress(OSError):
                os.utime(path)  # the least recently used go first
        return found[0], found[-1]

    def _restore_signal(self, signal: SignalLike, data: bytes) -> bool:
        try:
            signal.restore(data)
        except Exception as error:  # others' code may raise what it likes; it begins as it came
            self._notice(f"{signal.name} did not take its kept state back ({type(error).__name__}); the session is run anew")
            signal.restore(self._at_start)
            return False
        return True

    # --- keeping one ---

    def see(self, runner: Runner, place: Place, n_records: int, quality_counts: dict[str, int]) -> None:
        """Between two bins: keep the state where one is due.

        Parameters
        ----------
        place, n_records
            A place in the source at or before the next record, and how many records have made the state.
        quality_counts
            Bins so far by quality bit.
        """
        bin_seq = runner.n_bins
        slot = bin_seq // self.every_bins
        if slot in self._done or slot == 0 or runner.is_finished or self._signal_key is None:
            return
        if runner.signal is not self._signal or self._is_fitting():
            # Another signal took over in mid-session, and what it holds depends on when; or a fit is under way, which a state
            # would wait for: the next bin asks again.
            return
        if self._engine_path(bin_seq).exists() and (self._signal is None or self._signal_path(bin_seq).exists()):
            self._done.add(slot)  # by another replay of the session
            return
        if (self._writing is not None and not self._writing.done()) or not _waiting.acquire(blocking=False):
            return
        self._done.add(slot)
        jobs = [(self._engine_path(bin_seq), ENGINE_KIND, self._key, self._arrays_of(runner, place, n_records, quality_counts))]
        if self._signal is not None:
            try:
                state = np.frombuffer(self._signal.snapshot(), np.uint8)
            except Exception as error:  # others' code may raise what it likes; the bins go on
                _waiting.release()
                self._notice(f"{self._signal.name} gave no state to keep ({type(error).__name__}); a later start is run anew")
                return
            jobs.append((self._signal_path(bin_seq), SIGNAL_KIND, self._signal_key or "", {"state": state}))
        self._writing = _writer().submit(self._write, jobs)
        self._writing.add_done_callback(lambda _: _waiting.release())

    def end(self, runner: Runner) -> None:
        """The last bin is out: note how many the session has, where nobody wanted fewer."""
        path, n_bins = self.path / _END, np.array([runner.n_bins], np.int64)
        wanted = runner.span.n_bins
        if (wanted is None or runner.n_bins < wanted) and not path.exists():
            self._writing = _writer().submit(self._write, [(path, END_KIND, self._key, {"n_bins": n_bins})])

    def _arrays_of(self, runner: Runner, place: Place, n_records: int, quality_counts: dict[str, int]) -> dict[str, NDArray[Any]]:
        *numbers, id_changes = place
        # What reading has told of the files that lie before the place: who starts there does not read them.
        files = [(file.notices, file.remarks) for file in self._source.files[: place.file]]
        told = {"files": files, "id_changes": asdict(id_changes), "quality_counts": quality_counts}
        return runner.arrays() | {
            "place": np.array([*numbers, n_records], np.int64),
            "told": np.frombuffer(json.dumps(told).encode(), np.uint8),
        }

    def _write(self, jobs: list[tuple[Path, str, str, dict[str, NDArray[Any]]]]) -> None:
        """In the writer's thread: the parts of one state, the signal's last."""
        why = "no room, or not to be written"
        try:
            is_kept = all(path.exists() or write_kept(path, pack(kind, key, arrays)) for path, kind, key, arrays in jobs)
            make_room(self._folder, FOLDER_BYTES)
        except OSError as error:
            is_kept, why = False, error.strerror or type(error).__name__
        if not is_kept:
            self._notice(f"states of the session are not kept in {self._folder} ({why}); a later start at a bin takes longer")

    # --- what it is bound to ---

    def _key_of_signal(self) -> str | None:
        """The signal's part of what is bound; None where its replays run from the session's start."""
        signal = self._signal
        if signal is None:
            return ""
        if signal.late_policy != "wait":
            return None  # its bits depend on when a fit was done
        try:
            self._at_start = signal.snapshot()
            return signal_key(signal, self._key, self._at_start)
        except Exception as error:  # others' code may raise what it likes
            self._notice(
                f"{signal.name} gives no state to keep ({type(error).__name__}); its replays run from the session's start"
            )
            return None

    def _is_fitting(self) -> bool:
        return bool(getattr(self._signal, "is_fitting", False))

    def _kept_bins(self) -> list[int]:
        """Bins at which the whole of a state is kept, ascending."""
        if self._signal_key is None:
            return []
        try:
            names = set(os.listdir(self.path))
        except OSError:
            return []
        stems = [Path(name).stem for name in names if name.endswith(_ENGINE)]
        bins = sorted(int(stem) for stem in stems if stem.isdecimal())
        return [b for b in bins if self._signal is None or self._signal_path(b).name in names]

    def _engine_path(self, bin_seq: int) -> Path:
        return self.path / f"{bin_seq:09d}{_ENGINE}"

    def _signal_path(self, bin_seq: int) -> Path:
        return self.path / f"{bin_seq:09d}_{_short(self._signal_key or '')}{_SIGNAL}"

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)


def kept_end(folder: Path, source: Source, runner: Runner) -> int | None:
    """How many bins a session has, where a replay of it has come to its end and noted that; ``runner`` is a fresh one."""
    key = engine_key(source, runner)
    try:
        arrays = unpack(END_KIND, key, (_home(folder, source, runner, key) / _END).read_bytes())
    except (ConfigError, OSError):
        return None
    return int(arrays["n_bins"][0])


def engine_key(source: Source, runner: Runner) -> str:
    """All that decides an engine's bits in a session: the files, the instrument, the span, the code."""
    span = runner.span
    files = source.identity
    fields = {name: value for name, value in runner.config.model_dump(mode="json").items() if not name.startswith(_OF_NO_STATE)}
    hours = hashlib.sha256(runner.engine.sessions.tobytes()).hexdigest()
    return json.dumps([files, fields, span.day_start, span.day_end, span.first_bin, span.opens_with_roll, hours, _code()])


def signal_key(signal: SignalLike, of_engine: str, at_start: bytes) -> str:
    """The same of a signal: what it is, its parameters, its code, and what it knew before the first bin.

    Raises
    ------
    ConfigError
        There is no source of it, or it gives no parameters.
    """
    home = type(own_of(signal))
    parts = [of_engine, home.__module__, home.__qualname__, signal.name, signal.params.model_dump_json(), signal.memory_bins]
    return json.dumps([*parts, hashlib.sha256(at_start).hexdigest(), _code_of(home)])


@cache
def _code() -> str:
    """Hash of the engine's sources, built-in signals included, and the versions of what computes beside them."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(json.dumps([numpy_version, *map(_version, _COMPUTING)]).encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def _code_of(signal: type[SignalLike]) -> str:
    """Hash of a signal's own sources where it is not ours; those of ours are in `_code`."""
    homes = dict.fromkeys(cls.__module__ for cls in signal.__mro__ if not is_standard(cls.__module__))
    foreign = [home for home in homes if top_of(home) not in OURS]
    return standing(foreign, f"signal {signal.name}", lambda module: False).digest() if foreign else ""


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _home(folder: Path, source: Source, runner: Runner, key: str) -> Path:
    """The folder of one session's states."""
    return folder / f"{runner.config.symbol}_{source.dt:%Y%m%d}_{_short(key)}"


def make_room(folder: Path, most_bytes: int) -> None:
    """Remove the least recently used states from a folder that holds more than ``most_bytes``, down to nine tenths of them."""
    found: list[tuple[int, int, Path]] = []
    for path in folder.glob("*/*"):
        if path.suffix not in _OURS:
            continue  # decoded records may lie here, too
        with suppress(OSError):  # another process may have removed it
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size, path))
    total = sum(size for _, size, _ in found)
    if total <= most_bytes:
        return
    for _, size, path in sorted(found):
        if total <= _FILLED_TO * most_bytes:
            return
        with suppress(OSError):
            path.unlink(missing_ok=True)
            total -= size
            path.parent.rmdir()  # where it was the last one


@cache
def _writer() -> ThreadPoolExecutor:
    """The thread of this process that packs and writes."""
    return ThreadPoolExecutor(1, "keyframes")


def wait() -> None:
    """Wait until every state that this process has taken is written."""
    _writer().submit(int).result()
