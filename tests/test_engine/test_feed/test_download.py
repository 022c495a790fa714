"""A download from the gateway: what it asks, shows and refuses, what lies in the lake afterwards, what each failure says."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import zstandard

from engine.cli import main
from engine.feed.dbn_stream import DbnStream
from engine.feed.download.key import KEY_ENV, Key, read_key
from engine.feed.download.patience import Patience
from engine.feed.download.vendor import Vendor
from engine.files import sha256_file
from tests.conftest import REPO_ROOT
from tests.feed import FIRST, H6, KEY, M6, SECOND, Running, rows_of, running, two_days

Capture = pytest.CaptureFixture[str]
ASK = ("download", "--symbols", "MNQ", "--start", "2026-02-05", "--end", "2026-02-07")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    with running(two_days(folder), folder / "work", job_polls=0) as one:
        yield one


@pytest.fixture
def gateway(shared: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shared.ready.certificate))
    monkeypatch.setenv(KEY_ENV, KEY)
    yield shared
    shared.gateway.faults.clear()
    shared.fault("expire@batch.list_jobs")
    shared.historical().batch.list_jobs()  # what one test ordered is no other's


@pytest.fixture
def door(gateway: Running, tmp_path: Path, capsys: Capture) -> Callable[..., tuple[int, str, str]]:
    """Runs a download into a lake of its own."""

    def call(*more: object, ask: tuple[str, ...] = ASK) -> tuple[int, str, str]:
        arguments = [*ask, "--gateway", gateway.ready.https_url, "--lake", str(tmp_path / "lake"), *map(str, more)]
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def raw_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "lake/raw").rglob("*.dbn.zst"))


def content(path: Path) -> bytes:
    return b"".join(block.tobytes() for block in DbnStream(path).records())


def of(day: date, number: int) -> bytes:
    rows = rows_of(day)
    return bytes(rows[rows["instrument_id"] == number].tobytes())


def whole(tmp_path: Path, number: int = H6) -> None:
    """Both days lie there, each once, right, with symbology, and nothing is half done."""
    files = raw_files(tmp_path)
    contract = {H6: "mnqh6", M6: "mnqm6"}[number]
    assert [path.name for path in files] == [f"{contract}-glbx-mdp3-{day}.mbo.dbn.zst" for day in ("20260205", "20260206")]
    assert [content(path) for path in files] == [of(FIRST, number), of(SECOND, number)]
    ledger = json.loads((tmp_path / "lake/downloads/jobs.json").read_text())
    assert {name: one["sha256"] for name, one in ledger["files"].items()} == {path.name: sha256_file(path) for path in files}
    for path in files:
        beside = json.loads(path.with_name(path.name.removesuffix(".dbn.zst") + ".symbology.json").read_text())
        assert [span["s"] for span in beside["result"][contract.upper()]] == [str(number)]
    assert sorted(path.name for path in (tmp_path / "lake/raw").rglob("*") if path.is_file() and path.suffix != ".zst") == [
        path.name.removesuffix(".dbn.zst") + ".symbology.json" for path in files
    ]
    assert list((tmp_path / "lake/downloads").glob("staging/*")) == []


@pytest.mark.parametrize("way", ["always", "never"])
def test_nothing_becomes_two_days_in_the_lake(way: str, door: Any, tmp_path: Path) -> None:
    code, out, err = door("--yes", "--batch", way)
    assert (code, err) == (0, "")
    assert "front month by the vendor's MNQ.v.0 (volume)" in out
    assert ("as a batch job" if way == "always" else "streamed") in out
    assert f"{1200 if way == 'always' else 600:,} records" in out
    whole(tmp_path)
    before = [path.stat().st_mtime_ns for path in raw_files(tmp_path)]
    code, out, _ = door("--yes")
    assert code == 0
    assert "there already: MNQH6 2026-02-05, MNQH6 2026-02-06" in out
    assert "in all $0.00" in out
    assert [path.stat().st_mtime_ns for path in raw_files(tmp_path)] == before


def test_the_roll_file_decides_the_front_month(door: Any, tmp_path: Path) -> None:
    rolls = tmp_path / "lake/rolls"
    rolls.mkdir(parents=True)
    (rolls / "MNQ.yaml").write_text("root: MNQ\nrolls:\n  - {date: 2026-02-06, from: MNQH6, to: MNQM6, rule: calendar}\n")
    code, out, _ = door("--yes")
    assert code == 0
    assert f"front month by the roll file {rolls / 'MNQ.yaml'}" in out
    assert [path.name for path in raw_files(tmp_path)] == [
        "mnqh6-glbx-mdp3-20260205.mbo.dbn.zst", "mnqm6-glbx-mdp3-20260206.mbo.dbn.zst",
    ]  # fmt: skip
    assert [content(path) for path in raw_files(tmp_path)] == [of(FIRST, H6), of(SECOND, M6)]
    (rolls / "MNQ.yaml").write_text("root: MNQ\nrolls:\n  - {date: 2026-02-01, from: MNQH6, to: MNQU6, rule: calendar}\n")
    code, _, err = door("--yes")
    assert code == 2
    assert "the roll file says MNQU6 for 2026-02-05, which was not listed then; there: MNQH6, MNQM6" in err


def test_a_contract_is_taken_as_it_is(door: Any, tmp_path: Path) -> None:
    assert door("--yes", ask=("download", "--symbols", "MNQM6", "--start", "2026-02-05", "--end", "2026-02-07"))[0] == 0
    whole(tmp_path, M6)


def test_what_is_shown_is_asked_with_the_request_that_is_sent(door: Any, tmp_path: Path) -> None:
    code, out, _ = door("--yes", "--batch", "always", "--json")
    assert code == 0
    shown = json.loads(out)
    (offer,) = shown["offers"]
    assert offer["asked"] == {
        "dataset": "GLBX.MDP3", "schema": "mbo", "contract": "MNQH6", "start": "2026-02-05", "end": "2026-02-07",
    }  # fmt: skip
    assert (offer["n_records"], offer["n_bytes"]) == (1200, 1200 * 56)
    assert offer["cost_usd"] == shown["cost_usd"] == pytest.approx(1200 * 56 * 1.8 / 2**30)
    assert shown["placed"] == [str(path) for path in raw_files(tmp_path)]


# Nothing is bought that nobody agreed to.


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


def test_without_a_terminal_and_a_yes_nothing_is_bought(no_terminal: None, door: Any, tmp_path: Path) -> None:
    code, _, err = door()
    assert code == 2
    assert err.count("\n") == 1
    assert "there is no terminal to ask on; say --yes" in err
    assert raw_files(tmp_path) == []


def test_more_than_the_limit_is_refused_and_the_limit_itself_is_not(door: Any, tmp_path: Path) -> None:
    cost = 1200 * 56 * 1.8 / 2**30
    code, _, err = door("--yes", "--batch", "always", "--max-usd", cost * 0.999)
    assert code == 2
    assert "more than --max-usd" in err
    assert raw_files(tmp_path) == []
    assert door("--yes", "--batch", "always", "--max-usd", repr(cost))[0] == 0
    whole(tmp_path)


# Failures.


@pytest.mark.parametrize(
    ("code", "exit_code", "told"),
    [
        (401, 1, "the vendor does not know the key"),
        (402, 1, "the account's credit does not cover it"),
        (403, 1, "the account may not have these data"),
        (404, 1, "the vendor does not have it"),
        (422, 2, "ask for something else"),
    ],
)
@pytest.mark.parametrize("point", ["metadata.get_cost", "batch.submit_job", "batch.list_files", "batch.download"])
def test_what_no_retry_mends_is_one_line(point: str, code: int, exit_code: int, told: str, gateway: Running, door: Any) -> None:
    gateway.fault(f"status@{point}:code={code}")
    found, _, err = door("--yes", "--batch", "always")
    assert found == exit_code
    assert err.count("\n") == 1
    assert told in err
    assert f"HTTP {code}" in err
    assert KEY not in err


@pytest.mark.parametrize("way", ["always", "never"])
@pytest.mark.parametrize(
    "fault",
    [
        "status@metadata.get_cost:code=429,retry_after=1",
        "status@metadata.get_cost:code=503,times=2",
        "hold@symbology.resolve",
        "status@timeseries.get_range:code=500",
        "cut@timeseries.get_range:after=3000",
        "stall@timeseries.get_range:after=3000",
        "end@timeseries.get_range:after=3000",
        "garbage@timeseries.get_range:after=3000",
        "status@batch.submit_job:code=502",
        "hold@batch.submit_job",
        "mute@batch.submit_job",
        "work@batch.submit_job:polls=2",
        "status@batch.list_jobs:code=500",
        "hold@batch.list_files",
        "status@batch.download:code=429,retry_after=0",
        "cut@batch.download:after=3000",
        "stall@batch.download:after=3000",
        "end@batch.download:after=3000",
        "garbage@batch.download:after=3000",
        "cut@batch.download:after=3000,times=3",
    ],
)
def test_what_a_retry_mends_leaves_no_trace(fault: str, way: str, gateway: Running, door: Any, tmp_path: Path) -> None:
    ordered = gateway.fault(fault)
    is_streams, is_batchs = "timeseries" in fault, "batch" in fault
    if (way == "always" and is_streams) or (way == "never" and is_batchs):
        pytest.skip("that way does not come by there")
    code, _, err = door("--yes", "--batch", way, "--timeout-s", "0.4")
    assert (code, err) == (0, "")
    assert ordered.hit.is_set() or ordered.kind == "work"
    whole(tmp_path)
    if way == "always":
        assert (
            len(gateway.historical().batch.list_jobs()) == 1
        )  # what was taken and not answered is found again, not bought again
    quarantined = [path.name for path in (tmp_path / "lake/downloads").glob("quarantine/*/*")]
    is_wrong = ordered.kind == "garbage" or fault.startswith("end@timeseries")
    assert len(quarantined) == is_wrong


def test_a_file_that_stays_wrong_is_tried_thrice(gateway: Running, door: Any, tmp_path: Path) -> None:
    gateway.fault("garbage@batch.download:after=3000,times=0")
    code, _, err = door("--yes", "--batch", "always")
    assert code == 1
    assert "came 3 times and each time it is not what the manifest's hash says" in err
    assert raw_files(tmp_path) == []
    assert len(list((tmp_path / "lake/downloads").glob("quarantine/*/*"))) == 3


def test_a_failing_vendor_is_given_up_when_the_budget_is_spent(gateway: Running, door: Any, tmp_path: Path) -> None:
    gateway.fault("status@metadata.get_cost:code=500,times=0")
    code, _, err = door("--yes", "--budget-s", "0.6")
    assert code == 1
    assert "more time with --budget-s" in err
    assert err.count("\n") == 1


def test_an_expired_job_is_told_and_ordered_anew_at_the_next_call(gateway: Running, door: Any, tmp_path: Path) -> None:
    gateway.fault("work@batch.submit_job:polls=1")
    gateway.fault("expire@batch.list_jobs:skip=1")
    code, _, err = door("--yes", "--batch", "always")
    assert code == 1
    assert "has expired or is not known; give the same command again" in err
    assert door("--yes", "--batch", "always")[0] == 0
    whole(tmp_path)


def test_what_lies_there_with_other_content_is_not_replaced(door: Any, tmp_path: Path) -> None:
    assert door("--yes")[0] == 0
    path = raw_files(tmp_path)[0]
    ours = zstandard.ZstdCompressor().compress(b"another")
    os.truncate(path, 0)
    path.write_bytes(ours)
    assert door("--yes")[0] == 0  # it is there: nothing is fetched
    assert path.read_bytes() == ours


def test_two_downloads_into_one_lake_wait_for_no_one(gateway: Running, door: Any, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "lake/downloads").mkdir(parents=True)
    with (tmp_path / "lake/downloads/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = door("--yes")
    assert code == 1
    assert "another download is running" in err


def test_a_damaged_list_is_one_line(door: Any, tmp_path: Path) -> None:
    (tmp_path / "lake/downloads").mkdir(parents=True)
    (tmp_path / "lake/downloads/jobs.json").write_text("{")
    code, _, err = door("--yes")
    assert code == 2
    assert "is no list of downloads" in err


# The key.


def test_the_key_comes_from_its_owners_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.errors import ConfigError

    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    assert read_key(path).reveal() == KEY
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            read_key(path)
    monkeypatch.delenv(KEY_ENV, raising=False)
    with pytest.raises(ConfigError, match="no key was given"):
        read_key(None)
    monkeypatch.setenv(KEY_ENV, "two words")
    with pytest.raises(ConfigError, match="one word"):
        read_key(None)


def test_a_key_shows_itself_to_nobody() -> None:
    key = Key(KEY)
    assert KEY not in f"{key!r} {key} {[key]}"
    assert key.hide(f"a {KEY}\nb") == "a ******** b"


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://127.0.0.1:1234/v0/batch/download/x", True),
        ("http://127.0.0.1:1234/v0/batch/download/x", False),
        ("https://127.0.0.1:1235/v0/batch/download/x", False),
        ("https://api.databento.com/v0/x", False),
        ("https://evil.example/127.0.0.1:1234", False),
    ],
)
def test_the_key_goes_to_the_vendors_own_addresses_only(url: str, may: bool) -> None:
    vendor = Vendor(Key(KEY), "https://127.0.0.1:1234", 1.0, Patience(1.0), print)
    assert vendor.may_have_the_key(url) == may


def test_the_vendors_hosts_are_its_own() -> None:
    vendor = Vendor(Key(KEY), None, 1.0, Patience(1.0), print)
    assert vendor.may_have_the_key("https://api.databento.com/v0/x")
    assert not vendor.may_have_the_key("https://databento.com.evil.example/v0/x")


def test_the_key_is_nowhere(gateway: Running, tmp_path: Path) -> None:
    """Neither in what a whole download prints and keeps, nor in the process list while it hangs."""
    fault = gateway.fault("hold@batch.list_files")
    lake = tmp_path / "lake"
    arguments = [
        *ASK,
        "--gateway",
        gateway.ready.https_url,
        "--lake",
        str(lake),
        "--yes",
        "--batch",
        "always",
        "--timeout-s",
        "3",
    ]
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "ignore", "-m", "engine", *arguments],
        cwd=REPO_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert fault.hit.wait(60)
    commands = [path.read_bytes() for path in Path(f"/proc/{process.pid}").glob("cmdline")]
    kept = [path.read_bytes() for path in lake.rglob("*") if path.is_file()]
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    kept += [path.read_bytes() for path in lake.rglob("*") if path.is_file()]
    assert len(commands) == 1
    for said in (*commands, *kept, out, err):
        assert KEY.encode() not in said
