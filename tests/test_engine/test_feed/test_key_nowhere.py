"""The vendor's key: a recorder that works, is refused and is killed leaves it nowhere, and no other process sees it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.feed.download.key import KEY_ENV
from engine.feed.record.place import rings, state_path
from engine.lake import Lake
from tests.conftest import REPO_ROOT
from tests.feed import KEY, Running, running, two_days

pytestmark = pytest.mark.slow
SYMBOL = "MNQH6"
WRONG = KEY[:-1] + "X"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(two_days(tmp_path / "tape"), tmp_path / "work", heartbeat_s=0.5) as one:
        yield one


def owners_file(folder: Path, key: str) -> Path:
    path = folder / "key"
    path.write_text(key)
    path.chmod(0o600)
    return path


def recorder(lake: Lake, gateway: Running, *more: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    where = f"{gateway.ready.live_host}:{gateway.ready.live_port}"
    arguments = ["record", SYMBOL, "--lake", str(lake.root), "--gateway", where, "--ring-mb", "1", *more]
    plain = {name: value for name, value in os.environ.items() if name != KEY_ENV}
    return subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments],
        cwd=REPO_ROOT, env=plain | (environment or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def until_recorded(lake: Lake, process: subprocess.Popen[bytes]) -> bytes:
    """What it says until it has begun to record."""
    assert process.stderr is not None
    return process.stderr.readline()


def processes_with(key: str, but: set[int]) -> list[int]:
    """Every process of ours whose arguments or environment hold a key."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            seen = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
        if key.encode() in seen and int(folder.name) not in but:
            found.append(int(folder.name))
    return found


def kept(lake: Lake) -> list[bytes]:
    memory = [*rings(lake, SYMBOL), state_path(lake, SYMBOL)]
    files = [path for path in (*lake.root.rglob("*"), *memory) if path.is_file()]
    assert files
    return [path.read_bytes() for path in files]


def test_a_key_from_a_file_is_in_no_process_and_in_nothing_that_is_kept(gateway: Running, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    process = recorder(lake, gateway, "--key-file", str(owners_file(tmp_path, KEY)), "--until", "2026-02-05T14:00:02")
    said = [until_recorded(lake, process)]
    assert processes_with(KEY, set()) == []
    out, err = process.communicate(timeout=60)
    said += [out, err]
    assert process.returncode == 0, err.decode()
    assert all(KEY.encode() not in one for one in (*said, *kept(lake)))


def test_a_key_of_the_environment_is_in_that_process_alone(gateway: Running, tmp_path: Path) -> None:
    """What it was started with cannot be taken back from it, but nobody inherits it or is told."""
    lake = Lake(tmp_path / "lake")
    process = recorder(lake, gateway, "--until", "2026-02-05T14:00:02", environment={KEY_ENV: KEY})
    said = [until_recorded(lake, process)]
    assert processes_with(KEY, {process.pid}) == []
    assert KEY.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert all(KEY.encode() not in one for one in (*said, out, err, *kept(lake)))


def test_a_key_that_is_refused_is_not_told(gateway: Running, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    process = recorder(lake, gateway, "--key-file", str(owners_file(tmp_path, WRONG)), "--budget-s", "1")
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert all(WRONG.encode() not in one for one in (out, err, *kept(lake)))


def test_a_download_keeps_it_nowhere_either(gateway: Running, tmp_path: Path) -> None:
    """Saved requests, the job list, symbology, and MLflow's store of a lake that has one."""
    lake = Lake(tmp_path / "lake")
    lake.mlflow.mkdir(parents=True)
    (lake.mlflow / "mlflow.db").write_bytes(b"a store that nobody opens")
    arguments = ["download", "--symbols", "MNQ", "--start", "2026-02-05", "--end", "2026-02-06", "--yes", "--batch", "always"]
    plain = {name: value for name, value in os.environ.items() if name != KEY_ENV}
    fault = gateway.fault("hold@batch.list_files")
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments, "--gateway", gateway.ready.https_url, "--lake", str(lake.root),
         "--key-file", str(owners_file(tmp_path, KEY)), "--timeout-s", "3"],
        cwd=REPO_ROOT, env=plain | {"REQUESTS_CA_BUNDLE": str(gateway.ready.certificate)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert fault.hit.wait(60)
    assert processes_with(KEY, set()) == []
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert all(KEY.encode() not in one for one in (out, err, *kept(lake)))
