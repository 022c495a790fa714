"""A service that is frozen: no socket ends, so its clients find out by the silence, and lose nothing by it."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.lake import Lake
from serve.client import ServiceError, stream_url, tail
from tests.conftest import REPO_ROOT


@contextmanager
def service(lake: Lake) -> Iterator[tuple[int, str]]:
    """A service over a lake in a process of its own; its pid and address."""
    command = [sys.executable, "-m", "tests.bench.serving.served", "service", str(lake.root), "4"]
    with subprocess.Popen(command, cwd=REPO_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.pid, f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


class FreezesAfter(io.StringIO):
    """Takes lines, and stops a process at one of them."""

    def __init__(self, pid: int, n_lines: int) -> None:
        super().__init__()
        self._pid = pid
        self._n_left = n_lines
        self.frozen_at = 0.0

    def write(self, text: str) -> int:
        self._n_left -= text.count("\n")
        if self._n_left <= 0 and not self.frozen_at:
            os.kill(self._pid, signal.SIGSTOP)
            self.frozen_at = time.monotonic()
        return super().write(text)


def bins_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(r" *\d+ ", line)]


def test_a_frozen_service_is_found_within_five_seconds_and_no_bin_is_lost(lake: Lake) -> None:
    with service(lake) as (pid, base):
        whole = io.StringIO()
        tail(stream_url(base, [("speed", "0")]), 40, None, whole)
        out = FreezesAfter(pid, 12)
        try:
            with pytest.raises(ServiceError) as caught:
                tail(stream_url(base, [("speed", "1")]), None, None, out)
            assert time.monotonic() - out.frozen_at <= 5.0
        finally:
            os.kill(pid, signal.SIGCONT)
        found = re.search(r"frozen or cut off; go on with --resume-from (\d+)$", str(caught.value))
        assert found is not None, str(caught.value)
        place = int(found[1])
        heard = bins_of(out.getvalue())
        rest = io.StringIO()
        tail(stream_url(base, [("speed", "0"), ("resume_from", str(place))]), 40 - place, None, rest)
    assert heard + bins_of(rest.getvalue()) == bins_of(whole.getvalue())
