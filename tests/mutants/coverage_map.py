"""Which tests run which lines, kept for each test file by what it says; lines that moved since are found again by their text."""

import difflib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.mutants import recording

COMPILED, PLAIN = "compiled", "plain"  # with Numba's compiler, and without it: only there a kernel's lines are seen
MOST_SECONDS = {COMPILED: 120, PLAIN: 20}  # a test; slower ones are no use for one mutant of many
MOST_SECONDS_A_FILE = {COMPILED: 120, PLAIN: 40}  # of work, after which no test of a file is begun


def environment(mode: str, root: Path, kernels: Path) -> dict[str, str]:
    """The process environment of a run of tests in a copy of the tree."""
    return {
        **os.environ,
        "NUMBA_CACHE_DIR": str(kernels),
        "PYTHONPATH": str(root),
        "NUMBA_DISABLE_JIT": "1" if mode == PLAIN else "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _digest(*texts: bytes) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Cost:
    """Seconds of the processor, which a busy machine does not stretch, and seconds by the clock."""

    work: float
    seconds: float


@dataclass(frozen=True)
class Recorded:
    """A test with what it costs alone, its fixtures of a wider scope, and the lines that it and they run, by file."""

    name: str
    cost: Cost
    fixtures: tuple[str, ...]
    lines: dict[str, frozenset[int]] = field(repr=False)


class CoverageMap:
    """The records of all test files in one mode; made where missing by `record`, which takes minutes for the whole suite."""

    def __init__(self, root: Path, kept: Path, mode: str) -> None:
        self._root, self._kept, self._mode = root, kept / mode, mode
        self._sources = kept / "sources"
        self.tests: list[Recorded] = []
        self._fixtures: dict[tuple[str, str], Cost] = {}
        self.too_slow: set[str] = set()  # tests that did not end in time in this mode

    def _record_path(self, file: str) -> Path:
        text = (self._root / file).read_bytes()
        return self._kept / f"{file.replace('/', '.').removesuffix('.py')}.{_digest(text)}.json"

    def missing(self, files: Iterable[str]) -> list[str]:
        return [file for file in files if not self._record_path(file).is_file()]

    def record(self, file: str, kernels: Path) -> None:
        """Run a test file in the tree and keep its record, with the product's sources that its lines count in."""
        path = self._record_path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.parent / f"aside-{os.getpid()}-{path.stem}"
        aside.mkdir(exist_ok=True)
        limit = MOST_SECONDS[self._mode]
        args = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--timeout={limit}", "--timeout-method=signal", file]
        command = [
            sys.executable,
            "-P",
            recording.__file__,
            str(aside / "record.json"),
            str(MOST_SECONDS_A_FILE[self._mode]),
            *args,
        ]
        with (aside / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self._root,
                env=environment(self._mode, self._root, kernels),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                code = process.wait(4 * MOST_SECONDS_A_FILE[self._mode] + 3 * limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if code:
            raise RuntimeError(f"no record of {file}: {(aside / 'log').read_text(errors='replace')[-2000:]}")
        nothing = {"tests": {}, "fixtures": {}, "failed": [file], "lines": {}}
        found = json.loads((aside / "record.json").read_text()) if code is not None else nothing
        self._sources.mkdir(parents=True, exist_ok=True)
        found["sources"] = {}
        for name in found["lines"]:
            text = (self._root / name).read_bytes()
            found["sources"][name] = _digest(text)
            (self._sources / _digest(text)).write_bytes(text)
        (aside / "whole.json").write_text(json.dumps(found))
        (aside / "whole.json").replace(path)
        for left in aside.iterdir():
            left.unlink()
        aside.rmdir()

    def load(self, files: Iterable[str]) -> None:
        """Read the records of some test files; those without one are left out."""
        for file in files:
            path = self._record_path(file)
            if not path.is_file():
                continue
            found = json.loads(path.read_text())
            self.too_slow.update(found["failed"])
            moved = {name: self._moved(name, digest) for name, digest in found["sources"].items()}
            by_context: dict[str, dict[str, frozenset[int]]] = {}
            for name, contexts in found["lines"].items():
                for context, lines in contexts.items():
                    now = frozenset(moved[name][line] for line in lines if line in moved[name])
                    by_context.setdefault(context, {})[name] = now
            for name, took in found["fixtures"].items():
                self._fixtures[file, name] = Cost(took["work"], took["seconds"])
            for name, test in found["tests"].items():
                fixtures = tuple(f for f in test["fixtures"] if f in found["fixtures"])
                lines: dict[str, frozenset[int]] = {}
                for context in (name, *fixtures):
                    for source, ran in by_context.get(context, {}).items():
                        lines[source] = lines.get(source, frozenset()) | ran
                self.tests.append(Recorded(name, Cost(test["work"], test["seconds"]), fixtures, lines))

    def _moved(self, name: str, digest: str) -> dict[int, int]:
        """Where the lines of a source stand now, by where they stood when it was recorded."""
        path = self._root / name
        then = self._sources / digest
        if not path.is_file() or not then.is_file():
            return {}
        return _line_map(then.read_text(), path.read_text())

    def of_lines(self, source: str, first: int, last: int) -> list[Recorded]:
        """The tests that run one of the lines ``first`` to ``last`` of a source, quickest first."""
        wanted = range(first, last + 1)
        return self._quickest_first(test for test in self.tests if any(line in test.lines.get(source, ()) for line in wanted))

    def of_file(self, source: str) -> list[Recorded]:
        """The tests that run anything of a source, quickest first."""
        return self._quickest_first(test for test in self.tests if test.lines.get(source))

    def cost(self, test: Recorded, ready: Iterable[tuple[str, str]] = ()) -> tuple[Cost, set[tuple[str, str]]]:
        """What a test costs with the wider fixtures that it needs and that are not ready yet, and these."""
        file = test.name.split("::")[0]
        needed = {(file, name) for name in test.fixtures}.difference(ready)
        costs = [test.cost, *(self._fixtures[one] for one in needed if one in self._fixtures)]
        return Cost(sum(one.work for one in costs), sum(one.seconds for one in costs)), needed

    def _quickest_first(self, tests: Iterable[Recorded]) -> list[Recorded]:
        return sorted(tests, key=lambda test: (self.cost(test)[0].work, test.name))


@cache
def _line_map(then: str, now: str) -> dict[int, int]:
    before, after = then.splitlines(), now.splitlines()
    matches = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return {i + n + 1: j + n + 1 for i, j, length in matches for n in range(length)}
