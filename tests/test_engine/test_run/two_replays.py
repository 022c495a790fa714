"""A process with two replays at once, to be run by a test: something happens to the first one's files in the middle.

    python -m tests.test_engine.test_run.two_replays SESSION.dbn FOLDER

Prints one line of JSON, by form of the file and by harm: for each replay the SHA-256 of its bins' bits and the error it ended
with, and the first one's notices.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

import engine.source.dbn_file
import engine.source.decoded
from engine.config import load_instrument
from engine.errors import EngineError
from engine.run import keyframes
from engine.run.block import BinBlock
from engine.run.replay import Replay
from engine.source.records import open_source
from tests.sessions import join
from tests.streams import DAY

HARM_AT = 30  # bins
START = "09:31:00"


def _cut_all(kept: Path, pattern: str) -> None:
    for path in kept.rglob(pattern):
        os.truncate(path, path.stat().st_size // 2)


def _swap(file: Path) -> None:
    new = file.with_name("new")
    new.write_bytes(bytes(1000))
    new.rename(file)


FORMS = ("dbn", "dbn.zst")
HARMS: dict[str, Callable[[Path, Path], object]] = {
    "nothing": lambda file, kept: None,
    "file cut": lambda file, kept: os.truncate(file, 2000),
    "file emptied": lambda file, kept: os.truncate(file, 0),
    "file overwritten": lambda file, kept: file.write_bytes(bytes(file.stat().st_size)),
    "file replaced": lambda file, kept: _swap(file),
    "file removed": lambda file, kept: file.unlink(),
    "decoded records cut": lambda file, kept: _cut_all(kept, "*.mbo"),
    "decoded records and file cut": lambda file, kept: (_cut_all(kept, "*.mbo"), os.truncate(file, 2000)),
    "everything kept cut": lambda file, kept: _cut_all(kept, "*.*"),
    "everything kept removed": lambda file, kept: shutil.rmtree(kept),
}


def two_replays(file: Path, other: Path, kept: Path, harm: str) -> dict[str, Any]:
    """Run both, a bin of each in turn."""
    config = load_instrument()
    replays = [
        Replay(
            open_source([path], config, DAY),
            config,
            START,
            block_bins=1,
            chunk_records=16,
            checkpoints=folder / "books",
            keyframes=folder / "states",
        )
        for path, folder in ((file, kept), (other, kept.with_name("others")))
    ]
    running = [iter(replay) for replay in replays]
    blocks: list[list[BinBlock]] = [[], []]
    ended: list[str | None] = [None, None]
    while None in ended:
        for i in range(2):
            if ended[i] is None:
                try:
                    blocks[i].append(next(running[i]))
                except StopIteration:
                    ended[i] = ""
                except EngineError as error:
                    ended[i] = f"{type(error).__name__}: {error}"
        keyframes.wait()
        if len(blocks[0]) == len(blocks[1]) == HARM_AT:
            HARMS[harm](file, kept)
    bits = [hashlib.sha256(join(many).to_bytes()).hexdigest() for many in blocks]
    return {"bits": bits, "ended": ended, "notices": replays[0].notices}


def main(session: Path, folder: Path) -> None:
    """Every form with every harm, each with files of its own."""
    engine.source.dbn_file.WINDOW_RECORDS = engine.source.decoded.WINDOW_RECORDS = 64  # a small file is read in many pieces
    keyframes.KEYFRAME_BINS = 20
    content = session.read_bytes()
    found = {}
    for form in FORMS:
        for harm in HARMS:
            place = folder / f"{form} {harm}"
            place.mkdir()
            files = [place / f"{name}-20260206.{form}" for name in ("harmed", "other")]
            for file in files:
                file.write_bytes(zstandard.compress(content) if form == "dbn.zst" else content)
            found[f"{form}, {harm}"] = two_replays(*files, place / "kept", harm)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
