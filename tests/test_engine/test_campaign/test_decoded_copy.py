"""The node's one decoded copy of a campaign's raw file."""

from pathlib import Path

import numpy as np

from engine.source.decoded import decode_once
from engine.source.records import open_source
from tests.streams import DAY


def test_decoded_records_are_the_sources_up_to_the_end_of_the_capture(simulated_file: Path, tmp_path: Path) -> None:
    from engine.config import load_instrument

    source = open_source([simulated_file], load_instrument(), DAY)
    whole = np.concatenate(list(source.records()))
    until = int(whole["ts_event"][-1]) - 10 * 10**9
    decoded = decode_once(source, tmp_path, until)
    kept = np.concatenate(list(decoded.records(1000)))
    assert kept.tobytes() == whole[: len(kept)].tobytes()
    assert int(kept["ts_event"][-1]) >= until > int(kept["ts_event"][-2])
    assert decoded.provenance() == source.provenance()
    assert decoded.end_ns == source.end_ns


def test_source_is_decoded_once(simulated_file: Path, tmp_path: Path) -> None:
    from engine.config import load_instrument

    made = []
    for _ in range(3):
        decode_once(open_source([simulated_file], load_instrument(), DAY), tmp_path, 2**62)
        made.append({path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.glob("*.mbo")})
    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 1


def test_decoding_that_was_killed_midway_is_done_again(simulated_file: Path, tmp_path: Path) -> None:
    from engine.config import load_instrument

    def decode() -> bytes:
        source = open_source([simulated_file], load_instrument(), DAY)
        return np.concatenate(list(decode_once(source, tmp_path, 2**62).records())).tobytes()

    whole = decode()
    (facts,) = tmp_path.glob("*.json")
    (data,) = tmp_path.glob("*.mbo")
    facts.unlink()
    data.write_bytes(whole[:1000])
    assert decode() == whole


def test_damage_found_while_decoding_is_told_by_every_reader(simulated_file: Path, tmp_path: Path) -> None:
    from engine.config import load_instrument

    cut = tmp_path / "cut-20260206.dbn.zst"
    cut.write_bytes(simulated_file.read_bytes()[:-5000])
    for _ in range(2):
        decoded = decode_once(open_source([cut], load_instrument(), DAY), tmp_path / "cache", 2**62)
        assert "breaks off" in decoded.notices[0]
        assert decoded.end_ns is None
