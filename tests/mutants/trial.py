"""One mutant tried: written into a copy of the tree, the tests that run its lines in batches, quickest first, until one fails."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.coverage_map import COMPILED, PLAIN, CoverageMap, Recorded
from tests.mutants.operators import Mutant
from tests.mutants.zygote import Zygote

BATCH_SECONDS = (2.0, 8.0, 30.0)  # work of a batch's tests by the map
# Work of all tests tried: those named after the source, the others that stand near it, and the rest.
OWN_SECONDS, NEAR_SECONDS, FAR_SECONDS = 25.0, 20.0, 10.0
FROZEN_IN = ("engine/constants.py", "engine/schema.py", "engine/config.py", "engine/jit.py")
SLOW_SECONDS = 60.0  # of tests that need the compiler, for a kernel's mutant that all others let pass
LEAST_LIMIT_S = 20.0  # for a batch, beside six times what it took when it was recorded
COMPILING_S = 240.0
# Nothing kept, nobody beside, and a zygote has imported what pytest would like to import itself.
QUIETLY = ("-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """How a mutant ended: "killed" by a test, "timeout", "survived" n tests, or "untested" where no test runs its lines."""

    status: str
    killer: str
    n_tests: int


def mode_of(root: Path, source: str) -> str:
    """A file with kernels, or with values that kernels freeze in, is tried without the compiler."""
    return PLAIN if source in FROZEN_IN or b"kernel\ndef " in (root / source).read_bytes() else COMPILED


def copy_tree(root: Path, to: Path) -> None:
    """Bring a folder to the files that git does not ignore, times included: Numba knows what it compiled by place and time."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, check=True, capture_output=True
    ).stdout
    names = {name for name in listed.decode().split("\0") if name and (root / name).is_file()}
    for there in [path for path in to.rglob("*") if path.is_file() and path.suffix != ".pyc"]:
        if str(there.relative_to(to)) not in names:
            there.unlink()
    for name in names:
        now, then = (root / name).stat(), to / name
        if not then.is_file() or (then.stat().st_mtime_ns, then.stat().st_size) != (now.st_mtime_ns, now.st_size):
            then.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, then)
    shared = root.parent / "shared"
    if shared.exists() and not (to.parent / "shared").exists():
        (to.parent / "shared").symlink_to(shared.resolve())


def folder_near(source: str) -> str:
    """Where the tests of a source stand: the folder of its room, or for one beside the rooms its own file."""
    parts = source.removesuffix(".py").split("/")
    if parts[0] != "engine":
        return f"tests/test_{parts[0]}/"
    return f"tests/test_engine/test_{parts[1]}" + ("/" if len(parts) > 2 else ".py")


def own_tests(source: str) -> str:
    """What the files of tests begin with that are named after a source."""
    folder = folder_near(source)
    stem = source.rpartition("/")[2].removesuffix(".py").strip("_")
    return f"{folder}test_{stem}" if folder.endswith("/") else folder


def _within(seconds: float, tests: list[Recorded], known: CoverageMap) -> list[Recorded]:
    """The first of some tests whose work, fixtures of a file once, is no more than that together."""
    taken, fixtures = 0.0, set[tuple[str, str]]()
    for i, test in enumerate(tests):
        cost, needed = known.cost(test, fixtures)
        taken += cost.work
        fixtures |= needed
        if taken > seconds:
            return tests[:i]
    return list(tests)


class Trier:
    """A copy of the tree in ``folder`` with a zygote over it; one at a time tries a mutant."""

    def __init__(self, root: Path, folder: Path, kernels: Path, is_slow: bool) -> None:
        self._folder, self._is_slow = folder, is_slow
        self.tree = folder / "main"
        copy_tree(root, self.tree)
        self.kernels = kernels
        self._log = folder / "log"
        self._aside = Path(tempfile.mkdtemp(prefix="mutants-"))  # short: the paths of sockets are limited
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(self.tree)}
        self._zygote = Zygote(env)
        self._stamp = 1_000_000_000
        self._times: dict[str, int] = {}  # of the sources themselves, which Numba knows them by
        self._trusted: dict[tuple[str, str], bool] = {}  # by mode and test

    def close(self) -> None:
        self._zygote.close()
        shutil.rmtree(self._aside, ignore_errors=True)

    def write(self, source: str, text: bytes) -> None:
        """Put a mutant in a source's place, with a time of its own: Python knows compiled files by time and size."""
        path = self.tree / source
        self._times.setdefault(source, path.stat().st_mtime_ns)
        path.write_bytes(text)
        self._stamp += 1
        os.utime(path, (self._stamp, self._stamp))

    def restore(self, source: str, text: bytes) -> None:
        """The source itself again, with its own time."""
        path = self.tree / source
        path.write_bytes(text)
        os.utime(path, ns=(self._times[source], self._times[source]))

    def _pytest(self, mode: str, names: Iterable[str], limit_s: float, kernels: Path | None = None) -> tuple[str, str]:
        limit = (f"--timeout={limit_s:.0f}", "--timeout-method=signal")
        # A folder of its own for what tests write: two runs that clean up in one trip over each other.
        args = ["-x", "-q", *QUIETLY, f"--basetemp={self._aside / 't'}", *limit, *names]
        env = {"NUMBA_DISABLE_JIT": "1" if mode == PLAIN else "0", "NUMBA_CACHE_DIR": str(kernels or self.kernels)}
        answer = self._zygote.run(self.tree, args, env, limit_s + 10, self._log)
        return answer, self._log.read_text(errors="replace")

    def try_mutant(self, mutant: Mutant, source: bytes, maps: Callable[[str], CoverageMap]) -> Verdict:
        """Run the mutant's tests until one fails; a test that also fails on the source itself finds nothing."""
        mode = mode_of(self.tree, mutant.path)
        known = maps(mode)
        if mutant.is_imported:  # by whichever test comes first
            tests = known.of_file(mutant.path)
        else:
            tests = known.of_lines(mutant.path, mutant.line, mutant.last_line)
        n_run = 0
        self.write(mutant.path, mutant.applied(source))
        try:
            for batch, limit_s in self._batches(tests, known, mutant.path):
                verdict = self._verdict(mode, batch, limit_s, mutant, source)
                n_run += len(batch)
                if verdict is not None:
                    return Verdict(*verdict, n_run)
            if mode == PLAIN and self._is_slow:
                slow = self._slow_tests(known, maps(COMPILED), mutant.path)
                if slow:
                    kernels = self._folder / "kernels"
                    try:
                        verdict = self._verdict(COMPILED, slow, COMPILING_S, mutant, source, kernels)
                    finally:
                        shutil.rmtree(kernels, ignore_errors=True)
                    n_run += len(slow)
                    if verdict is not None:
                        return Verdict(*verdict, n_run)
        finally:
            self.restore(mutant.path, source)
        return Verdict("survived" if n_run else "untested", "", n_run)

    def _batches(self, tests: list[Recorded], known: CoverageMap, source: str) -> list[tuple[list[str], float]]:
        """Names of tests to run together, with the seconds after which a batch counts as hanging."""
        own, near = own_tests(source), folder_near(source)
        by_distance: list[list[Recorded]] = [[], [], []]
        for test in tests:
            by_distance[0 if test.name.startswith(own) else 1 if test.name.startswith(near) else 2].append(test)
        limits = (OWN_SECONDS, NEAR_SECONDS, FAR_SECONDS)
        chosen = [one for limit, some in zip(limits, by_distance, strict=True) for one in _within(limit, some, known)]
        left = sorted(chosen, key=tests.index)
        found: list[tuple[list[str], float]] = []
        for most_work in BATCH_SECONDS:
            batch = _within(most_work, left, known)
            if batch:
                fixtures: set[tuple[str, str]] = set()
                seconds = 0.0
                for test in batch:
                    cost, needed = known.cost(test, fixtures)
                    fixtures |= needed
                    seconds += cost.seconds
                found.append(([test.name for test in batch], LEAST_LIMIT_S + 6 * seconds))
            left = left[len(batch) :]
        return found

    def _slow_tests(self, plain: CoverageMap, compiled: CoverageMap, source: str) -> list[str]:
        """Tests that only end in time with the compiler, of the source's own folder and those that compare whole sessions."""
        folders = ("tests/parity/", folder_near(source))
        ended = {test.name for test in plain.tests}
        left = [test for test in compiled.tests if test.name.startswith(folders) and test.name not in ended]
        chosen, taken = [], 0.0
        for test in sorted(left, key=lambda t: (t.cost.work, t.name)):
            taken += test.cost.work
            if taken > SLOW_SECONDS:
                break
            chosen.append(test.name)
        return chosen

    def _verdict(
        self, mode: str, batch: list[str], limit_s: float, mutant: Mutant, source: bytes, kernels: Path | None = None
    ) -> tuple[str, str] | None:
        """ "killed" or "timeout" with the test's name; None where all pass."""
        names = list(batch)
        while names := [name for name in names if self._trusted.get((mode, name), True)]:
            answer, log = self._pytest(mode, names, limit_s, kernels)
            if answer in ("0", "5"):
                return None
            if answer == "4" and "not found: " in log:  # the mutant changed what tests are called
                answer, log = self._pytest(mode, sorted({name.split("::")[0] for name in names}), 3 * limit_s, kernels)
                if answer == "0":
                    return None
            killer = _failed(log)
            if self._pass_on_the_source(mode, [killer] if killer else names, limit_s, mutant, source):
                return "timeout" if answer == "timeout" else "killed", killer
        return None

    def _pass_on_the_source(self, mode: str, names: list[str], limit_s: float, mutant: Mutant, source: bytes) -> bool:
        """Whether tests pass on the source itself, here and in this way; those that fail are not asked again for any mutant."""
        if all(self._trusted.get((mode, name)) for name in names):
            return True
        self.restore(mutant.path, source)
        answer, log = self._pytest(mode, names, limit_s)
        if answer in ("3", "4"):
            raise RuntimeError(f"{', '.join(names)} cannot be run on the source itself: {log[-2000:]}")
        self.write(mutant.path, mutant.applied(source))
        if answer == "0":
            self._trusted |= {(mode, name): True for name in names}
            return True
        culprit = _failed(log)
        self._trusted |= {(mode, name): False for name in ([culprit] if culprit else names)}
        return False


def _failed(log: str) -> str:
    """The first test that a run says failed; empty where it came to no word."""
    found = FAILED.search(log)
    return found.group(1) if found else ""
