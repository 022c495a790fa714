"""A gateway before every download: shared by a file's tests, each of which leaves no fault and no job behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.cli import main
from engine.feed.download.key import KEY_ENV
from tests.downloads import ASK
from tests.feed import KEY, Running, running, two_days

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    with running(two_days(folder), folder / "work", job_polls=0) as one:
        yield one


@pytest.fixture
def source(downloads: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(downloads.ready.certificate))
    monkeypatch.setenv(KEY_ENV, KEY)
    yield downloads
    downloads.gateway.faults.clear()
    downloads.fault("expire@batch.list_jobs")
    downloads.historical().batch.list_jobs()  # what one test ordered is no other's


@pytest.fixture
def door(source: Running, tmp_path: Path, capsys: Capture) -> Callable[..., tuple[int, str, str]]:
    """Runs a download into a lake of its own."""

    def call(*more: object, ask: tuple[str, ...] = ASK) -> tuple[int, str, str]:
        arguments = [*ask, "--gateway", source.ready.https_url, "--lake", str(tmp_path / "lake"), *map(str, more)]
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
