"""Signals as users write them: files, files with a module beside them, and distributions with an entry point."""

from pathlib import Path

from tests.conftest import REPO_ROOT

EXAMPLE = (REPO_ROOT / "engine" / "examples" / "my_signal.py").read_text()

# A signal that adds what a helper of its own makes of a column; kernel, snapshot and parameters are those of any other.
SIGNAL = """\
from typing import Any, NamedTuple

import numpy as np

from engine.jit import kernel
from engine.signals.owner import Signal, SignalParams
{imports}

class Params(SignalParams):
    window_bins: int = 10


class State(NamedTuple):
    seen: Any
    ring: Any


@kernel
def run(state, v_add, out):
    spot, window = v_add.shape[1] // 2, len(state.ring)
    for i in range(len(out)):
        state.seen[0] += 1
        out[i]["sample_count"] = state.seen[0]
        value = {value}
        if np.isfinite(value):
            state.ring[state.seen[1] % window] = value
            state.seen[1] += 1
            out[i]["ready"] = state.seen[1] >= window
            for age in range(window if out[i]["ready"] else 0):
                out[i]["score"] += state.ring[(state.seen[1] + age) % window]


class Mine(Signal):
    name = "{name}"
    required_columns = ("v_add",)
    default_thresholds = (0.1, 0.5, 1.0, 2.0)
    Params = Params

    def _fresh_state(self):
        return State(np.zeros(2, np.int64), np.zeros(self.params.window_bins))

    def _advance(self, x, out):
        run(self._state, x["v_add"], out)

    @property
    def memory_bins(self):
        return self.params.window_bins
"""
PLAIN = "v_add[i, spot - 1] - v_add[i, spot + 1]"
HELPER = """\
from engine.jit import kernel


@kernel
def weigh(below, above):
    return {factor} * (below - above)
"""


def signal_text(name: str = "mine", value: str = PLAIN, imports: str = "") -> str:
    """Source of a signal."""
    return SIGNAL.format(name=name, value=value, imports=imports)


def write_signal(folder: Path, file: str = "mine.py", **changes: str) -> Path:
    """A signal's file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    path.write_text(signal_text(**changes))
    return path


def write_with_helper(folder: Path, factor: str = "1.0", name: str = "mine") -> Path:
    """A signal's file and a module beside it that holds a kernel of it."""
    value = "weigh(v_add[i, spot - 1], v_add[i, spot + 1])"
    path = write_signal(folder, name=name, value=value, imports="from helpers import weigh\n")
    (folder / "helpers.py").write_text(HELPER.format(factor=factor))
    return path


def write_distribution(
    folder: Path, points: dict[str, str], name: str = "outside", version: str = "1.0", files: dict[str, str] | None = None
) -> Path:
    """What an installer leaves: modules, and beside them the ``.dist-info`` of a distribution with entry points."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{signal} = {target}\n" for signal, target in points.items())
    (info / "entry_points.txt").write_text(f"[spymaster.signals]\n{lines}")
    written = files or {}
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in written))
    (info / "top_level.txt").write_text("".join(f"{top}\n" for top in {Path(p).parts[0].removesuffix(".py") for p in written}))
    return folder
