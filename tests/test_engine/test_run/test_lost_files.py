"""Files that are cut, replaced or lost under a running replay: no process dies of it, and whoever does not need them goes on."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.config import load_instrument
from engine.simulate.session import simulate
from tests.conftest import REPO_ROOT
from tests.sessions import replay_file
from tests.test_engine.test_run.two_replays import FORMS, HARMS, START

Told = dict[str, dict[str, Any]]
# What ends the replay whose files are harmed; all else leaves its bits as they are.
ENDED_BY = {
    "dbn": {"file cut", "file emptied", "file overwritten", "decoded records and file cut"},
    "dbn.zst": {"decoded records and file cut"},  # it reads the decoded records
}
TOLD_OF_DECODED = {("dbn.zst", "decoded records cut"), ("dbn.zst", "everything kept cut")}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """31 minutes and 8 seconds: 80 bins from 09:31 on, with a book kept 60 s into the file."""
    path = tmp_path_factory.mktemp("raw") / "glbx-mdp3-20260206.mbo.dbn"
    simulate(path, seed=3, seconds=1868, rate=20.0)
    return path


@pytest.fixture(scope="module")
def undisturbed(session: Path) -> str:
    bins = replay_file(session, load_instrument(), start_time=START)
    assert len(bins.fields) == 80
    return hashlib.sha256(bins.to_bytes()).hexdigest()


@pytest.fixture(scope="module")
def told(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What a process tells in which all of it happened, one after the other: it lives to the end."""
    arguments = [str(session), str(tmp_path_factory.mktemp("harmed"))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_engine.test_run.two_replays", *arguments],
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: Told = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("harm", HARMS)
def test_bins_stay_right_or_end_with_one_line(harm: str, form: str, undisturbed: str, told: Told) -> None:
    (bits, of_the_other), (ended, other_ended) = told[f"{form}, {harm}"]["bits"], told[f"{form}, {harm}"]["ended"]
    assert (of_the_other, other_ended) == (undisturbed, "")
    if harm in ENDED_BY[form]:
        assert ended.startswith("SourceChangedError: ")
        assert "harmed-20260206" in ended
        assert ended.isprintable()
    else:
        assert (bits, ended) == (undisturbed, "")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("harm", HARMS)
def test_lost_decoded_records_are_told_of_once_and_nothing_else_is(harm: str, form: str, told: Told) -> None:
    notices = told[f"{form}, {harm}"]["notices"]
    assert [notice.partition(",")[0] for notice in notices] == ["the decoded records were lost"] * (
        (form, harm) in TOLD_OF_DECODED or (form, harm) == ("dbn.zst", "decoded records and file cut")
    )


def test_nothing_that_a_stream_reads_is_mapped() -> None:
    """A page that is gone ends the process. What is mapped is not read by a stream, or cannot be cut.

    A notebook maps a dataset's column, which serving does not call; the gateway maps a copy of its own that has no name; a bell's
    page only gives the kernel an address.
    """
    sources = [path for room in ("engine", "serve") for path in (REPO_ROOT / room).rglob("*.py")]
    naming = [str(path.relative_to(REPO_ROOT)) for path in sources if re.search(r"mmap|memmap|memory_map", path.read_text())]
    assert sorted(naming) == ["engine/dataset/read.py", "engine/feed/gateway/tape.py", "engine/feed/record/bell.py"]
    calling = [path.name for path in (REPO_ROOT / "serve").rglob("*.py") if re.search(r"dataset\w*\.grid\(", path.read_text())]
    assert calling == []
