"""What the browser test asks of the real parts: a lake with one simulated day, and a promotion.

python real_server.py simulate LAKE SECONDS
python real_server.py promote LAKE VERSION
"""

import sys
from pathlib import Path

from engine.champion import Champion, move_pointer, write_champion
from engine.config import load_instrument
from engine.front import main as engine_main
from engine.lake import Lake
from engine.signals.base import SignalContext
from engine.signals.registry import make_signal

SIGNAL = "perm_derivative"


def simulate(lake: Lake, seconds: str) -> int:
    """One day of the instrument, starting at 09:00 New York."""
    folder = lake.raw_dir(load_instrument().symbol_root)
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "glbx-mdp3-20260206.mbo.dbn.zst"
    return engine_main(["simulate", str(out), "--seed", "7", "--seconds", seconds, "--rate", "600"])


def promote(lake: Lake, version: int) -> int:
    """Another setting of the served signal becomes champion, through the files that `tune promote` writes."""
    config = load_instrument()
    context = SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    model = make_signal(SIGNAL, {"zscore_window_bins": 200, "zscore_min_periods": 40, "d2_weight": 0.5}, context)
    write_champion(
        lake,
        Champion(
            version=version,
            signal=SIGNAL,
            parameters=model.params.model_dump(mode="json"),
            thresholds=(0.2,),
            cooldown_bins=30,
            dataset_id="browser-test",
            dataset_checksum="0" * 64,
            evaluation={},
            metrics={},
            sweep="browser-test",
            run_id="browser-test",
            config_version=config.config_version,
            state5_table=config.state5_table,
            cell_width_ms=config.cell_width_ms,
            grid_radius_ticks=config.grid_radius_ticks,
            code_version="browser-test",
            created_at="2026-02-06T15:00:00Z",
        ),
    )
    move_pointer(lake, version)
    return 0


if __name__ == "__main__":
    command, root, argument = sys.argv[1:]
    lake = Lake.open(str(Path(root)))
    raise SystemExit(simulate(lake, argument) if command == "simulate" else promote(lake, int(argument)))
