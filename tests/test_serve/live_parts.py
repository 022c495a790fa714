"""The real parts of a live day: a gateway with a file, a recorder in a process of its own, and what the file's replay gives."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.run.replay import Replay
from engine.source.records import open_source
from serve.frames import BinFrames, FrameEncoder
from tests.conftest import REPO_ROOT
from tests.feed import KEY, Running, running

END_S = 20.0


@dataclass
class Market:
    """A gateway that plays, and the recorder before it."""

    gateway: Running
    lake: Lake
    symbol: str
    key_file: Path
    speed: float
    recorder: subprocess.Popen[bytes] | None = None

    def record(self) -> subprocess.Popen[bytes]:
        """Start a recorder, the first or another one."""
        where = ["--lake", str(self.lake.root), "--gateway", f"127.0.0.1:{self.gateway.ready.live_port}"]
        how = ["--key-file", str(self.key_file), "--speed", f"{self.speed:g}", "--heartbeat-s", "1"]
        words = [sys.executable, "-m", "engine", "record", self.symbol, *where, *how]
        self.recorder = subprocess.Popen(words, cwd=REPO_ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return self.recorder

    def end(self) -> None:
        """End the recorder in good order: the day is over."""
        if self.recorder is not None:
            self.recorder.terminate()
            assert self.recorder.wait(END_S) == 0


@contextmanager
def market(raw: Path, lake: Lake, symbol: str, speed: float, tmp_path: Path) -> Iterator[Market]:
    """A gateway until the block ends; whatever records then is killed."""
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    with running([raw], tmp_path / "gateway", speed=speed, heartbeat_s=1.0) as gateway:
        found = Market(gateway, lake, symbol, key_file, speed)
        try:
            yield found
        finally:
            if found.recorder is not None:
                found.recorder.kill()
                found.recorder.wait()


def replayed(raw: Path, config: InstrumentConfig, day: date) -> dict[int, BinFrames]:
    """The bins of a file's replay, framed, by their number."""
    encoder = FrameEncoder(config.n_rows)
    return {one.bin_seq: one for block in Replay(open_source([raw], config, day), config) for one in encoder.encode(block, ())}
