"""Runs one test file and writes down which test runs which lines: `recording.py OUT SECONDS FILE [PYTEST ARGS]`.

Lines that a fixture of a module or session runs belong to every test that uses the fixture, and those of a process that a test
starts belong to the test. Tests that would begin after so many ``SECONDS`` of work, or four times as many by the clock, are left
out: they are too slow to find one bug of many.
"""

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

PRODUCT = ("engine", "tune", "serve")
FIXTURE = "fixture "
TEST = "SPYMASTER_MUTANTS_TEST"  # read by the processes that a test starts


def work() -> float:
    """Seconds of the processor so far, of this process and of its children that ended."""
    return sum(os.times()[:4])


class Recorder:
    """Tells coverage whose lines come next, and keeps what each test and fixture took."""

    def __init__(self, measured: coverage.Coverage, limit_s: float) -> None:
        self._measured = measured
        self._limit_s = limit_s
        self._began = time.monotonic()
        self.seconds: dict[str, float] = defaultdict(float)  # by the clock
        self.work: dict[str, float] = defaultdict(float)  # of the processor, by this process and those it waited for
        self.fixtures: dict[str, list[str]] = {}
        self.failed: set[str] = set()
        self.passed: set[str] = set()

    def switch(self, name: str) -> None:
        os.environ[TEST] = name
        self._measured.switch_context(name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.fixtures[item.nodeid] = [FIXTURE + name for name in getattr(item, "fixturenames", [])]
        self.switch(item.nodeid)
        start, worked = time.perf_counter(), work()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] += time.perf_counter() - start
            self.work[item.nodeid] += work() - worked
            self.switch("")
            if work() > self._limit_s or time.monotonic() - self._began > 4 * self._limit_s:
                item.session.shouldstop = "no time left for the tests behind"

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        around, name = os.environ[TEST], FIXTURE + fixturedef.argname
        self.switch(name)
        start, worked = time.perf_counter(), work()
        try:
            return (yield)
        finally:
            for kept, took in ((self.seconds, time.perf_counter() - start), (self.work, work() - worked)):
                kept[name] += took
                kept[around] -= took
            self.switch(around)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)


def record(out: Path, limit_s: float, args: list[str]) -> None:
    """Run pytest with some arguments in this process and write the record of it."""
    root = Path.cwd()
    settings = out.with_suffix(".coveragerc")
    data = out.with_suffix(".coverage")
    include = ",".join(f"{root}/{name}/*" for name in PRODUCT)
    run = {
        "data_file": data,
        "include": include,
        "context": f"${{{TEST}-}}",
        "parallel": "true",
        "sigterm": "true",
        "patch": "_exit",
    }
    settings.write_text("[run]\n" + "".join(f"{key} = {value}\n" for key, value in run.items()))
    os.environ["COVERAGE_PROCESS_START"] = str(settings)
    os.environ[TEST] = ""
    measured = coverage.Coverage(data_file=str(data), data_suffix="main", include=[f"{root}/{name}/*" for name in PRODUCT])
    measured.start()
    recorder = Recorder(measured, limit_s)
    pytest.main(args, plugins=[recorder])
    measured.stop()
    measured.save()
    combined = coverage.Coverage(data_file=str(data))
    combined.combine([str(out.parent)], keep=False)
    found = combined.get_data()
    lines: dict[str, dict[str, list[int]]] = {}
    for file in found.measured_files():
        by_test: dict[str, list[int]] = defaultdict(list)
        for line, contexts in found.contexts_by_lineno(file).items():
            for context in contexts:
                by_test[context].append(line)
        lines[str(Path(file).relative_to(root))] = by_test
    sound = recorder.passed - recorder.failed
    took = {name: {"seconds": recorder.seconds[name], "work": recorder.work[name]} for name in recorder.seconds}
    tests = {name: {**took[name], "fixtures": recorder.fixtures[name]} for name in recorder.fixtures if name in sound}
    fixtures = {name: one for name, one in took.items() if name.startswith(FIXTURE)}
    out.write_text(json.dumps({"tests": tests, "fixtures": fixtures, "failed": sorted(recorder.failed), "lines": lines}))
    data.unlink(missing_ok=True)
    settings.unlink()


if __name__ == "__main__":
    record(Path(sys.argv[1]).resolve(), float(sys.argv[2]), sys.argv[3:])
