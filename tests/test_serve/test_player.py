"""What a client asks of its stream while it runs, on a real socket: each answered, none at the cost of another client."""

import json
from typing import Any

import pytest

from serve.settings import Limits
from tests.test_serve.server import N_BINS, HandClock, Heard, Running, Serve, closing, hear, listen, listen_more

START_NS = 1_770_387_900_000_000_000  # of the session: 2026-02-06T14:25:00Z


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def running(serve: Serve, clock: HandClock) -> Running:
    """A service whose time passes only when it is told to."""
    return serve(clock, Limits(champion_poll_s=0.05, heartbeat_s=0.2))


@pytest.fixture
def whole(running: Running) -> Heard:
    """Every bin of the session."""
    with running.connect(speed="0") as connection:
        return listen(connection)


def ask(connection: Any, **control: Any) -> dict[str, Any]:
    """Send a control; its answer, and what came before that must be bins."""
    connection.send(json.dumps(control))
    (answer,) = (heard := hear(connection, until="ack")).texts
    assert answer["of"] == control["type"]
    assert set(heard.order) <= {"grid_update", "ack"}
    return dict(answer["state"])


def refused(connection: Any, **control: Any) -> dict[str, Any]:
    connection.send(json.dumps(control))
    (answer,) = hear(connection, until="error").texts
    return dict(answer)


def beat(connection: Any) -> dict[str, Any]:
    """The next frame, which must be a heartbeat: nothing else is on its way."""
    frame = json.loads(connection.recv(timeout=10))
    assert frame["type"] == "heartbeat", frame
    assert int(frame["ts_ns"]) > 1_700_000_000_000_000_000
    return dict(frame["state"])


def seqs(heard: Heard) -> list[int]:
    return [header["bin_seq"] for header in heard.bins]


def require_bins(heard: Heard, whole: Heard, first: int, until: int) -> None:
    """Exactly these bins, to the last bit, and none counted as skipped."""
    assert seqs(heard) == list(range(first, until))
    assert heard.grids == whole.grids[first:until]
    assert heard.bins == whole.bins[first:until]


def test_a_pause_holds_the_one_who_asks_and_no_other(running: Running, clock: HandClock, whole: Heard) -> None:
    with running.connect() as one, running.connect() as other:
        for connection in (one, other):
            listen(connection, n_bins=1)
        clock.advance(1.0)
        for connection in (one, other):
            require_bins(hear(connection, 10), whole, 1, 11)
        assert ask(one, type="pause") == {"paused": True, "speed": 1.0, "next_bin": 11, "shared": False}
        clock.advance(1.0)
        require_bins(hear(other, 10), whole, 11, 21)
        assert beat(one) == beat(one) == {"paused": True, "speed": 1.0, "next_bin": 11, "shared": False}
        assert ask(one, type="pause")["paused"] is True  # again: it is paused
        assert ask(one, type="resume") == {"paused": False, "speed": 1.0, "next_bin": 11, "shared": False}
        require_bins(hear(one, 1), whole, 11, 12)  # due at once
        assert beat(one)["next_bin"] == 12
        clock.advance(0.5)
        require_bins(hear(one, 5), whole, 12, 17)
        require_bins(hear(other, 5), whole, 21, 26)
        assert ask(one, type="resume")["paused"] is False  # it runs
        assert [told["shared"] for told in running.service.health()["pace"]] == [True, False]


def test_steps_send_as_many_bins_as_asked_and_then_it_waits(running: Running, clock: HandClock, whole: Heard) -> None:
    with running.connect() as connection:
        listen(connection, n_bins=1)
        assert ask(connection, type="step", bins=3) == {"paused": True, "speed": 1.0, "next_bin": 1, "shared": False}
        require_bins(hear(connection, 3), whole, 1, 4)
        clock.advance(60.0)
        assert beat(connection) == {"paused": True, "speed": 1.0, "next_bin": 4, "shared": False}
        connection.send('{"type":"step"}')
        connection.send('{"type":"step"}')
        both = hear(connection, 2)  # the first one's bin may come before the second is answered
        assert both.order.count("ack") == 2
        require_bins(both, whole, 4, 6)
        assert beat(connection)["next_bin"] == 6
        ask(connection, type="resume")
        clock.advance(0.2)
        require_bins(hear(connection, 3), whole, 6, 9)


def test_a_speed_of_its_own_goes_on_without_a_hole(running: Running, clock: HandClock, whole: Heard) -> None:
    with running.connect() as connection:
        listen(connection, n_bins=1)
        clock.advance(1.0)
        listen_more(connection, 10)
        assert ask(connection, type="speed", value=1.0) == {"paused": False, "speed": 1.0, "next_bin": 11, "shared": True}
        assert ask(connection, type="speed", value=10) == {"paused": False, "speed": 10.0, "next_bin": 11, "shared": False}
        require_bins(hear(connection, 1), whole, 11, 12)
        clock.advance(0.1)
        require_bins(hear(connection, 10), whole, 12, 22)
        assert beat(connection)["speed"] == 10.0
        connection.send('{"type":"speed","value":0}')
        rest = hear(connection, until="end")
        assert rest.order[0] == "ack"
        require_bins(rest, whole, 22, N_BINS)
        assert rest.texts[-1] == {"type": "end", "bins": N_BINS}
        assert closing(connection) == (1000, "end of the data")


@pytest.mark.parametrize(
    ("place", "bin_seq"),
    [
        ({"bin_seq": 250}, 250),
        ({"bin_seq": "5"}, 5),
        ({"ts_ns": str(START_NS + 12_345_000_000)}, 123),
        ({"start_time": "09:25:30"}, 300),
    ],
)
def test_a_seek_goes_there_in_either_direction(
    running: Running, clock: HandClock, whole: Heard, place: dict[str, Any], bin_seq: int
) -> None:
    with running.connect() as connection:
        listen(connection, n_bins=1)
        clock.advance(5.0)
        listen_more(connection, 50)
        assert ask(connection, type="seek", **place) == {"paused": False, "speed": 1.0, "next_bin": bin_seq, "shared": False}
        require_bins(hear(connection, 1), whole, bin_seq, bin_seq + 1)
        clock.advance(0.2)
        require_bins(hear(connection, 2), whole, bin_seq + 1, bin_seq + 3)
        ask(connection, type="seek", bin_seq=100, backfill=20)
        require_bins(hear(connection, 21), whole, 80, 101)
        assert beat(connection)["next_bin"] == 101


def test_who_seeks_while_paused_sees_the_place_and_stays_there(running: Running, clock: HandClock, whole: Heard) -> None:
    with running.connect() as connection:
        listen(connection, n_bins=1)
        ask(connection, type="pause")
        assert ask(connection, type="seek", bin_seq=50, backfill=4)["paused"] is True
        require_bins(hear(connection, 5), whole, 46, 51)
        clock.advance(10.0)
        assert beat(connection)["next_bin"] == 51


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ({"type": "seek", "bin_seq": N_BINS}, "lies behind this session"),
        ({"type": "seek", "start_time": "09:24"}, "lies before this session"),
        ({"type": "seek", "ts_ns": START_NS - 1}, "lies before this session"),
        ({"type": "speed", "value": -1}, "value was -1"),
        ({"type": "step", "bins": 0}, "bins was 0"),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_stream_goes_on(
    running: Running, clock: HandClock, whole: Heard, control: dict[str, Any], words: str
) -> None:
    with running.connect() as connection:
        listen(connection, n_bins=1)
        error = refused(connection, **control)
        assert (error["code"], error["of"]) == ("bad_control", control["type"])
        assert words in error["message"]
        clock.advance(0.2)
        require_bins(hear(connection, 2), whole, 1, 3)
        assert [told["shared"] for told in running.service.health()["pace"]] == [True]


def test_replays_of_ones_own_are_bounded(serve: Serve, clock: HandClock) -> None:
    running = serve(clock, Limits(champion_poll_s=0.05, max_private=1))
    with running.connect() as one, running.connect() as two:
        listen(one, n_bins=1)
        listen(two, n_bins=1)
        ask(one, type="seek", bin_seq=10)
        error = refused(two, type="seek", bin_seq=10)
        assert (error["code"], "that is the limit" in error["message"]) == ("busy", True)
        ask(one, type="seek", bin_seq=20)  # instead of the one it has
        with running.connect(speed="0") as third:
            assert listen(third).texts[0]["code"] == "busy"
            assert closing(third)[0] == 1013
        clock.advance(0.1)
        assert seqs(hear(two, 1)) == [1]


@pytest.mark.parametrize(
    ("query", "first", "place"),
    [
        ({"at": "200"}, 0, 200),
        ({"at": "200", "backfill": "50"}, 151, 200),
        ({"at": "200", "backfill": "1"}, 200, 200),
        ({"at": "2026-02-06T14:25:39.95Z", "backfill": "3"}, 397, 399),
        ({"at": "09:25:00", "backfill": "9"}, 0, 0),
    ],
)
def test_a_moment_has_an_address_that_opens_paused_with_its_history(
    running: Running, clock: HandClock, whole: Heard, query: dict[str, str], first: int, place: int
) -> None:
    with running.connect(None, **query) as connection:
        require_bins(listen(connection, n_bins=place - first + 1), whole, first, place + 1)
        clock.advance(60.0)
        assert beat(connection) == {"paused": True, "speed": 1.0, "next_bin": place + 1, "shared": False}
        if place < 398:
            ask(connection, type="resume")
            clock.advance(0.1)
            require_bins(hear(connection, 2), whole, place + 1, place + 3)


def test_an_address_outside_the_session_is_refused(running: Running) -> None:
    for at, side in (("400", "behind"), ("09:24:59", "before")):
        with running.connect(at=at) as connection:
            (error,) = listen(connection).texts
            assert f"lies {side} this session" in error["message"]
            assert closing(connection)[0] == 1008


def test_who_goes_on_at_such_an_address_is_still_paused(running: Running, whole: Heard) -> None:
    with running.connect(at="200", resume_from="201") as connection:
        listen(connection, until="runtime_config")
        assert beat(connection)["next_bin"] == 201
        ask(connection, type="step")
        require_bins(hear(connection, 1), whole, 201, 202)


def test_an_idle_stream_says_each_second_that_it_lives_and_a_busy_one_does_not(running: Running, clock: HandClock) -> None:
    with running.connect() as connection:
        listen(connection, n_bins=1)
        assert beat(connection) == {"paused": False, "speed": 1.0, "next_bin": 1, "shared": True}


def test_a_flood_of_controls_is_answered_in_order(running: Running) -> None:
    with running.connect() as connection:
        listen(connection, n_bins=1)
        for _ in range(200):
            connection.send('{"type":"pause"}')
            connection.send('{"type":"nothing"}')
        answers: list[str] = []
        while len(answers) < 400:
            answers += hear(connection, until="error").order
        assert [kind for kind in answers if kind != "grid_update"] == ["ack", "error"] * 200
