"""What lies in a lake after a download of the gateway's two days."""

import json
from datetime import date
from pathlib import Path

from engine.feed.dbn_stream import DbnStream
from engine.files import sha256_file
from tests.feed import FIRST, H6, M6, SECOND, rows_of

ASK = ("download", "--symbols", "MNQ", "--start", "2026-02-05", "--end", "2026-02-07")


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
