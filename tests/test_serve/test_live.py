"""A live day served: gateway, recorder, follower, stream; the bins are those of the file's replay."""

import argparse
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.config import InstrumentConfig
from engine.errors import ConfigError
from engine.lake import Lake
from serve.control import ControlError, read_control
from serve.live_day import live_day
from serve.live_recorder import Recording, read_recording
from serve.request import read_request
from serve.settings import Limits, ServeSettings, StreamDefaults
from tests.test_serve.live_parts import Market, market, replayed
from tests.test_serve.server import Running, closing, hear, listen, serving

DAY = date(2026, 2, 6)
SPEED = 20.0
LIVE = StreamDefaults(is_live=True)


@pytest.fixture
def empty(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "live lake")


@pytest.fixture
def playing(raw: Path, empty: Lake, config: InstrumentConfig, tmp_path: Path) -> Iterator[Market]:
    with market(raw, empty, config.symbol, SPEED, tmp_path) as found:
        yield found


@pytest.fixture
def live(empty: Lake, config: InstrumentConfig) -> Iterator[Running]:
    with serving(ServeSettings(lake=empty, defaults=LIVE, limits=Limits(champion_poll_s=0.05)), config) as running:
        yield running


def wait_for_day(empty: Lake, config: InstrumentConfig, running: Running) -> None:
    """Until the recorder has its first record and the replica has seen it, which it looks for by itself."""
    until = time.monotonic() + 60
    while running.service.feed.day is None:  # type: ignore[union-attr]
        assert time.monotonic() < until, "nothing was recorded"


def test_bins_on_the_wire_are_those_of_the_file(playing: Market, live: Running, raw: Path, config: InstrumentConfig) -> None:
    want = replayed(raw, config, DAY)
    playing.record()
    wait_for_day(playing.lake, config, live)
    with live.connect(backfill="4096") as client:
        heard = listen(client, n_bins=len(want) - 2)
        feed = live.service.health()["feed"]
    first = heard.texts[0]
    assert (first["type"], first["mode"], "n_bins" in first["session"]) == ("runtime_config", "live", False)
    assert [int(one["bin_seq"]) for one in heard.bins] == list(range(len(want) - 2))
    assert heard.grids == [want[i].grid for i in range(len(want) - 2)]
    assert feed["day"] == "2026-02-06"
    assert feed["records"] > 0


def test_a_clean_end_of_the_recorder_ends_the_stream(playing: Market, live: Running, raw: Path, config: InstrumentConfig) -> None:
    playing.record()
    wait_for_day(playing.lake, config, live)
    with live.connect() as client:
        before = listen(client, n_bins=5)
        playing.end()
        heard = listen(client, after=before)
        assert heard.order[-1] == "end"
        assert closing(client)[0] == 1000


def test_pause_goes_back_and_seek_to_live_returns(playing: Market, live: Running, raw: Path, config: InstrumentConfig) -> None:
    want = replayed(raw, config, DAY)
    playing.record()
    wait_for_day(playing.lake, config, live)
    with live.connect(backfill="4096") as client:
        heard = listen(client, n_bins=60)
        client.send('{"type":"seek","bin_seq":10}')
        ack = hear(client, until="ack").texts[-1]
        assert ack["state"]["live"] is False
        back = hear(client, n_bins=3)
        assert [int(one["bin_seq"]) for one in back.bins][-3:] == [10, 11, 12] or int(back.bins[0]["bin_seq"]) == 10
        assert back.grids[0] == want[int(back.bins[0]["bin_seq"])].grid
        client.send('{"type":"seek","to":"live"}')
        ack = hear(client, until="ack").texts[-1]
        assert (ack["state"]["live"], ack["state"]["paused"]) == (True, False)
        assert len(heard.bins) == 60


def test_nothing_is_faster_than_the_market(playing: Market, live: Running, config: InstrumentConfig) -> None:
    playing.record()
    wait_for_day(playing.lake, config, live)
    with live.connect() as client:
        listen(client, n_bins=1)
        client.send('{"type":"speed","value":4}')
        refusal = hear(client, until="error").texts[-1]
    assert refusal["code"] == "unsupported"
    assert "no faster than the market" in refusal["message"]


def asked(empty: Lake, config: InstrumentConfig, **query: str) -> Any:
    return read_request(list(query.items()), config, empty, LIVE)


def test_what_is_asked_wrongly_is_one_line(empty: Lake, config: InstrumentConfig) -> None:
    with pytest.raises(ConfigError, match=r"dt was 2026-02-05, and live is .* leave dt out"):
        asked(empty, config, dt="2026-02-05")
    with pytest.raises(ConfigError, match=r"speed was 2; a live session goes as fast as the market does"):
        asked(empty, config, speed="2")
    assert asked(empty, config, speed="1").live == live_day(empty, config.symbol)


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"source": "live", "dt": None, "key_file": None, "gateway": None, "detach": False} | given)


def test_a_launch_without_key_or_with_a_past_day_is_refused(
    empty: Lake, config: InstrumentConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="no key was given"):
        read_recording(options(), config.symbol, empty)
    with pytest.raises(ConfigError, match="--dt was 2026-02-05 beside --source live"):
        read_recording(options(dt="2026-02-05"), config.symbol, empty)
    with pytest.raises(ConfigError, match="--gateway was a:1 without --source live"):
        read_recording(options(source="replay", gateway="a:1"), config.symbol, empty)
    assert read_recording(options(source="replay"), config.symbol, empty) is None
    key = tmp_path / "key"
    key.write_text("db-loopbackloopbackloopback-ABCDE")
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="--gateway was '13000'; give HOST:PORT"):
        read_recording(options(key_file=key, gateway="13000"), config.symbol, empty)
    with pytest.raises(ConfigError, match="--detach was given and nobody records MNQH6"):
        read_recording(options(key_file=key, detach=True), config.symbol, empty)
    found = read_recording(options(key_file=key, gateway="127.0.0.1:9"), config.symbol, empty)
    assert found == Recording(empty, config.symbol, key, "127.0.0.1:9")
    assert "db-loopback" not in " ".join(found.command())


def test_seek_takes_live_and_no_other_name() -> None:
    assert read_control('{"type":"seek","to":"live"}').to_live
    with pytest.raises(ControlError, match="the one place with a name is live"):
        read_control('{"type":"seek","to":"now"}')
    with pytest.raises(ControlError, match="seek was sent with bin_seq and to"):
        read_control('{"type":"seek","to":"live","bin_seq":3}')
