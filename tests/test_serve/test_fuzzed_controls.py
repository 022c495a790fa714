"""Clients that come, ask for this and that, and leave in the middle of it: each bin is the session's, and nothing stays."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from websockets.exceptions import ConnectionClosed

from serve.settings import Limits
from tests.test_serve.server import N_BINS, Heard, Running, Serve, finished, listen

SEEDS = range(4)
VISITS = 6
FRAMES = 60  # of a visit


def query_of(chance: random.Random) -> dict[str, str]:
    """Any way to begin."""
    begins = [
        {},
        {"backfill": str(chance.randrange(100))},
        {"resume_from": str(chance.randrange(N_BINS + 2))},
        {"at": str(chance.randrange(N_BINS)), "backfill": str(chance.randrange(50))},
    ]
    return {**chance.choice(begins), "speed": chance.choice(["0", "20", "20", "50"])}


def control_of(chance: random.Random) -> dict[str, Any]:
    """Anything a client may ask, or may not."""
    controls: list[dict[str, Any]] = [
        {"type": "pause"},
        {"type": "resume"},
        {"type": "step", "bins": chance.randrange(0, 20)},
        {"type": "speed", "value": chance.choice([0, 1, 20, 100])},
        {"type": "seek", "bin_seq": chance.randrange(N_BINS + 9), "backfill": chance.randrange(30)},
        {"type": "dance"},
    ]
    return chance.choice(controls)


def visit(running: Running, whole: Heard, chance: random.Random) -> None:
    """One connection; what it is sent is held against the whole session."""
    last: int | None = None
    bin_seq = -1
    query = query_of(chance)
    with running.connect(None, **query) as connection:
        for _ in range(FRAMES):
            if chance.random() < 0.08:
                connection.send(json.dumps(control_of(chance)))
            try:
                frame = connection.recv(timeout=20)
            except ConnectionClosed:
                break
            if isinstance(frame, bytes):
                assert frame == whole.grids[bin_seq], (query, bin_seq)
                continue
            values = json.loads(frame)
            if values["type"] == "grid_update":
                bin_seq = values["bin_seq"]
                assert last is None or bin_seq == last + 1 + values["dropped_bins"], (query, last, bin_seq)
                last = bin_seq
            elif values["type"] == "ack" and values["of"] == "seek":
                last = None
            elif values["type"] == "error":
                assert values["code"] in ("bad_control", "unsupported", "bad_request"), (query, values)
            elif values["type"] == "heartbeat":
                break  # it is paused; nothing more would come of its own
        assert connection.protocol.close_code in (None, 1000, 1008), query


def test_whatever_clients_ask_each_sees_the_sessions_bins_and_nothing_stays(serve: Serve) -> None:
    running = serve(limits=Limits(champion_poll_s=0.05, linger_s=0.0, heartbeat_s=0.2, max_sessions=64))
    with running.connect(speed="0") as connection:
        whole = listen(connection)

    def client(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(VISITS):
            visit(running, whole, chance)

    with ThreadPoolExecutor(len(SEEDS)) as clients:
        list(clients.map(client, SEEDS))
    shared = list(running.service.hub._shared)
    for stream in list(running.service.streams):
        running.call(finished(stream))
    for one in shared:
        running.call(one.stopped())
    assert running.service.hub.n_sessions == 0
    assert running.service.health()["pace"] == []
