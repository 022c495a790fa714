"""A download from the gateway: what it asks, shows and refuses, what lies in the lake afterwards, and that the key is nowhere."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.feed.download.key import KEY_ENV, Key, read_key
from engine.feed.download.patience import Patience
from engine.feed.download.vendor import Vendor
from tests.conftest import REPO_ROOT
from tests.downloads import ASK, content, of, raw_files, whole
from tests.feed import FIRST, H6, KEY, M6, SECOND, Running


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
        "mnqh6-glbx-mdp3-20260205.mbo.dbn.zst", "mnqm6-glbx-mdp3-20260205.mbo.dbn.zst", "mnqm6-glbx-mdp3-20260206.mbo.dbn.zst",
    ]  # fmt: skip
    assert [content(path) for path in raw_files(tmp_path)] == [of(FIRST, H6), of(FIRST, M6), of(SECOND, M6)]  # its evening, too
    (rolls / "MNQ.yaml").write_text("root: MNQ\nrolls:\n  - {date: 2026-02-01, from: MNQH6, to: MNQU6, rule: calendar}\n")
    code, _, err = door("--yes")
    assert code == 2
    assert "the roll file says MNQU6 for 2026-02-05, which was not listed then" in err


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


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--every", "1d"), "--every buys while nobody looks"),
        (("--every", "1d", "--yes"), "--every buys while nobody looks"),
        (("--every", "0d", "--yes", "--max-usd", "1"), "like 1d"),
        (("--every", "daily", "--yes", "--max-usd", "1"), "like 1d"),
        (("--end", "2026-02-05"), "not after --start 2026-02-05"),
        (("--max-usd", "-1"), "0 or more dollars"),
        (("--timeout-s", "0"), "more than 0 seconds"),
        (("--symbols", "MNQ.FUT"), "a product's root or a contract"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(more: tuple[str, ...], told: str, door: Any) -> None:
    code, out, err = door(*more)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_it_goes_on_with_what_has_come_since(source: Running, tmp_path: Path) -> None:
    """Rounds a second apart: the first fails and says so, the second fetches all there is, the third finds it there."""
    source.fault("status@metadata.get_dataset_range:code=403")
    arguments = ["download", "--symbols", "MNQ", "--start", "2026-02-05", "--every", "1s", "--yes", "--max-usd", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments, "--gateway", source.ready.https_url, "--lake", str(tmp_path / "lake")],
        cwd=REPO_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    told: list[str] = []
    while not any("there already: MNQH6 2026-02-05, MNQH6 2026-02-06" in line for line in told):
        told.append(process.stdout.readline())
        assert told[-1], told
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "this round failed, the next will go on with it" in err
    whole(tmp_path)


# The key.


def test_the_key_comes_from_its_owners_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.slow
def test_the_key_is_nowhere(source: Running, tmp_path: Path) -> None:
    """Neither in what a whole download prints and keeps, nor in the process list while it hangs."""
    fault = source.fault("hold@batch.list_files")
    lake = tmp_path / "lake"
    arguments = [
        *ASK,
        "--gateway",
        source.ready.https_url,
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
