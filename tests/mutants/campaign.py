"""Plants bugs one by one in copies of the tree and tells which of them the tests do not find."""

import argparse
import hashlib
import json
import os
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from engine.files import load_yaml
from tests.mutants.coverage_map import COMPILED, CoverageMap
from tests.mutants.operators import Mutant, is_change, mutants_of
from tests.mutants.trial import Trier, Verdict, mode_of

KEPT = "lake/cache/mutants"
EQUIVALENT = "tests/mutants/equivalent.yaml"
PRODUCT = ("engine", "tune", "serve")
LEFT_OUT = ("engine/examples/",)  # for reading; run by tests of their own
# Whole processes, containers and wheels, speeds, and the tests of this tool: no place to look for a bug of one line.
NO_TESTS_OF = ("tests/bench/", "tests/test_cluster/", "tests/test_wheel.py", "tests/test_mutants.py",
               "tests/parity/test_kernel_coverage.py", "tests/test_tidy.py", "tests/test_dependencies.py")  # fmt: skip
WHOLE_SESSIONS = ("tests/parity/",)  # minutes of a day's bins: only with --slow
# Nothing but whole sessions and processes: hopeless without the compiler.
NOT_PLAIN = ("tests/test_serve/", "tests/test_engine/test_campaign/test_process.py", "tests/test_engine/test_run/test_keyframe",
             "tests/test_engine/test_run/test_lost_files.py", "tests/test_engine/test_signals/test_mirrored_runs.py",
             "tests/test_engine/test_examples.py", "tests/test_engine/test_feed/", "tests/test_tune/test_sweep_process.py",
             "tests/test_tune/test_calibration", "tests/test_tune/test_own_promotion.py")  # fmt: skip
NEAR = {"engine": ("tests/test_engine/", "tests/parity/", "tests/conformance/"), "tune": ("tests/test_tune/",),
        "serve": ("tests/test_serve/",)}  # fmt: skip
FOUND = ("killed", "timeout")


def room_of(path: str) -> str:
    """ "engine.book" for a file in a room, "engine.ground" for one beside the rooms, else the package's name."""
    parts = path.split("/")
    if parts[0] != "engine":
        return parts[0]
    return f"engine.{parts[1]}" if len(parts) > 2 else "engine.ground"


def product_files(root: Path, chosen: list[str]) -> list[str]:
    """The product's sources, or those of the files, folders and patterns given, as paths from the root."""
    whole = sorted(str(p.relative_to(root)) for name in PRODUCT for p in (root / name).rglob("*.py"))
    whole = [name for name in whole if not name.startswith(LEFT_OUT)]
    if not chosen:
        return whole
    found: list[str] = []
    for one in chosen:
        near = sorted(str(p.relative_to(root)) for p in root.glob(one.rstrip("/")))
        hit = [name for name in whole if any(name == p or name.startswith(f"{p}/") for p in near)]
        if not hit:
            raise SystemExit(
                f"no source of engine, tune or serve is called {one}; give a file, a folder or a pattern from the root"
            )
        found += hit
    return sorted(set(found))


def files_of_tests(root: Path, near: set[str] | None, is_slow: bool) -> list[str]:
    """The test files that can find a bug; of some packages only those that stand near them."""
    whole = sorted(str(p.relative_to(root)) for p in (root / "tests").rglob("test_*.py"))
    whole = [name for name in whole if not name.startswith(NO_TESTS_OF if is_slow else (*NO_TESTS_OF, *WHOLE_SESSIONS))]
    return whole if near is None else [n for n in whole if any(n.startswith(folder) for p in near for folder in NEAR[p])]


@cache
def tests_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted((root / "tests").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def equivalents(root: Path) -> dict[tuple[str, str, str, str], str]:
    """The reason of each mutant that cannot change behaviour, by file, function and the lines that go and come."""
    listed = load_yaml((root / EQUIVALENT).read_text(), EQUIVALENT)
    return {(e["path"], e["function"], e["gone"].strip(), e["come"].strip()): e["why"] for e in listed}


@dataclass(frozen=True)
class Planned:
    """A mutant with its source and name."""

    mutant: Mutant
    source: bytes
    key: str


def sample(root: Path, files: Iterable[str], seed: int) -> Iterator[Planned]:
    """All mutants of some files in a seeded order: the rooms in turn, in each an operator by lot, of it one mutant."""
    rooms: dict[str, dict[str, list[tuple[Mutant, bytes]]]] = defaultdict(lambda: defaultdict(list))
    for path in files:
        source = (root / path).read_bytes()
        for mutant in mutants_of(path, source):
            rooms[room_of(path)][mutant.operator].append((mutant, source))
    lots = {}
    for room, operators in rooms.items():
        lots[room] = lot = random.Random(f"{seed} {room}")
        for one in operators.values():
            lot.shuffle(one)
    while rooms:
        for room in list(rooms):
            operators = rooms[room]
            operator = lots[room].choice(sorted(operators))
            mutant, source = operators[operator].pop()
            if not operators[operator]:
                del operators[operator]
                if not operators:
                    del rooms[room]
            if is_change(mutant, source):
                yield Planned(mutant, source, mutant.key(source))


class Results:
    """What became of each mutant, kept from run to run; one that survived is tried again when a test changed."""

    def __init__(self, path: Path, tests: str) -> None:
        self._path, self._tests = path, tests
        self._known: dict[str, dict[str, Any]] = {}
        if path.is_file():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self._known[row["key"]] = row

    def known(self, key: str) -> Verdict | None:
        row = self._known.get(key)
        if row is None or (row["status"] not in FOUND and row["tests"] != self._tests):
            return None
        return Verdict(row["status"], row["killer"], row["n_tests"])

    def add(self, planned: Planned, verdict: Verdict, seconds: float) -> None:
        row = {"key": planned.key, "path": planned.mutant.path, "operator": planned.mutant.operator, "status": verdict.status,
               "killer": verdict.killer, "n_tests": verdict.n_tests, "seconds": round(seconds, 2),
               "tests": self._tests}  # fmt: skip
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


class Campaign:
    """A seeded sample tried by some workers until the time is over."""

    def __init__(self, root: Path, files: list[str], seed: int, jobs: int, each: int, is_slow: bool, out: TextIO) -> None:
        self._root, self._files, self._seed, self._each, self._out = root, files, seed, each, out
        self._is_slow = is_slow
        self._kept = root / KEPT
        self._lock = threading.Lock()
        kernels = Path(os.environ.get("NUMBA_CACHE_DIR") or root / "lake" / "cache" / "kernels")
        self._triers = [Trier(root, self._kept / "trees" / str(i), kernels, is_slow) for i in range(jobs)]
        self._maps: dict[str, CoverageMap] = {}
        self._results = Results(self._kept / "results.jsonl", tests_hash(root))
        self._equivalents = equivalents(root)
        self.ended: list[tuple[Planned, Verdict]] = []
        self.n_equivalent = 0

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def close(self) -> None:
        for trier in self._triers:
            trier.close()

    def make_maps(self, near: set[str] | None) -> None:
        """Record the test files that have none, then read all."""
        modes = sorted({mode_of(self._root, path) for path in self._files} | {COMPILED})
        for mode in modes:
            files = [
                f for f in files_of_tests(self._root, near, self._is_slow) if mode == COMPILED or not f.startswith(NOT_PLAIN)
            ]
            missing = CoverageMap(self._root, self._kept, mode).missing(files)
            if missing:
                self.say(f"recording which lines {len(missing)} test files run ({mode}); kept for the next time")
            queue = iter(missing)

            def record(trier: Trier, queue: Iterator[str] = queue, mode: str = mode) -> None:
                recorder = CoverageMap(trier.tree, self._kept, mode)
                while (file := self._next(queue)) is not None:
                    start = time.monotonic()
                    recorder.record(file, trier.kernels)
                    self.say(f"  {file}  {time.monotonic() - start:.0f} s")

            self._in_threads(record)
            self._maps[mode] = CoverageMap(self._root, self._kept, mode)
            self._maps[mode].load(files_of_tests(self._root, None, self._is_slow))

    def _next(self, queue: Iterator[Any]) -> Any:
        with self._lock:
            return next(queue, None)

    def _in_threads(self, work: Any) -> None:
        faults: list[BaseException] = []

        def guarded(trier: Trier) -> None:
            try:
                work(trier)
            except BaseException as fault:
                faults.append(fault)
                raise

        threads = [threading.Thread(target=guarded, args=(trier,)) for trier in self._triers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]

    def run(self, minutes: float) -> None:
        end = time.monotonic() + 60 * minutes
        queue = self._planned()

        def work(trier: Trier) -> None:
            while time.monotonic() < end and (planned := self._next(queue)) is not None:
                verdict = self._results.known(planned.key)
                if verdict is None:
                    start = time.monotonic()
                    verdict = trier.try_mutant(planned.mutant, planned.source, self._maps.__getitem__)
                    with self._lock:
                        self._results.add(planned, verdict, time.monotonic() - start)
                with self._lock:
                    self.ended.append((planned, verdict))
                    if verdict.status not in FOUND:
                        place = planned.mutant.function or "module"
                        self.say(f"\n{verdict.status} ({verdict.n_tests} tests), {place}, {planned.key}")
                        self.say(planned.mutant.diff(planned.source))

        self._in_threads(work)

    def _planned(self) -> Iterator[Planned]:
        """The sample without those that change nothing, at most ``each`` a room."""
        taken: dict[str, int] = defaultdict(int)
        for planned in sample(self._triers[0].tree, self._files, self._seed):
            room = room_of(planned.mutant.path)
            if taken[room] >= self._each:
                if all(taken[room_of(path)] >= self._each for path in self._files):
                    return
                continue
            gone, come = planned.mutant.change(planned.source)
            if (planned.mutant.path, planned.mutant.function, gone, come) in self._equivalents:
                self.n_equivalent += 1
                continue
            taken[room] += 1
            yield planned

    def report(self) -> float:
        """Print the score of each room; the whole score comes back."""
        rooms: dict[str, list[str]] = defaultdict(list)
        for planned, verdict in self.ended:
            rooms[room_of(planned.mutant.path)].append(verdict.status)
        self.say(f"\n{'room':24} {'mutants':>8} {'found':>6} {'left':>5} {'score':>7}")
        everything: list[str] = []
        for room, ends in sorted(rooms.items()):
            everything += ends
            n_found = sum(end in FOUND for end in ends)
            self.say(f"{room:24} {len(ends):8} {n_found:6} {len(ends) - n_found:5} {n_found / len(ends):7.1%}")
        n_found = sum(end in FOUND for end in everything)
        score = n_found / len(everything) if everything else 1.0
        self.say(f"{'all':24} {len(everything):8} {n_found:6} {len(everything) - n_found:5} {score:7.1%}")
        self.say(f"seed {self._seed}; {self.n_equivalent} that change nothing left out (tests/mutants/equivalent.yaml)")
        return score


def main(argv: list[str], root: Path) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="sources, folders or patterns from the root; everything where none is given")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another sample and order (default: 1)")
    parser.add_argument("--minutes", type=float, default=20.0, help="no mutant is begun after these (default: 20)")
    parser.add_argument("--each", type=int, default=1_000_000, help="at most so many mutants a room")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at a time (default: 2)")
    parser.add_argument("--slow", action="store_true", help="try a kernel's survivors also on tests that need the compiler")
    parser.add_argument("--least", type=float, default=0.0, help="exit code 1 below this share found, as 0.9")
    args = parser.parse_args(argv)
    files = product_files(root, args.files)
    campaign = Campaign(root, files, args.seed, args.jobs, args.each, args.slow, sys.stdout)
    try:
        campaign.make_maps({path.split("/")[0] for path in files} if args.files else None)
        campaign.run(args.minutes)
    finally:
        campaign.close()
    return int(campaign.report() < args.least)
