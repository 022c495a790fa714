"""One session, many viewers: computed once, joined where it stands, gone on with where a client was cut off."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serve.settings import Limits
from serve.shared import SharedSession
from tests.test_serve.server import N_BINS, HandClock, Running, Serve, closing, finished, hear, listen, listen_more

POLL = 0.05


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def running(serve: Serve, clock: HandClock) -> Running:
    """A service whose time passes only when it is told to."""
    return serve(clock, Limits(champion_poll_s=POLL))


def sessions(running: Running) -> list[dict[str, Any]]:
    async def told() -> list[dict[str, Any]]:
        return running.service.hub.told()

    found: list[dict[str, Any]] = running.call(told())
    return found


def shared_of(running: Running) -> list[SharedSession]:
    return list(running.service.hub._shared)


def seqs(heard: Any) -> list[int]:
    return [header["bin_seq"] for header in heard.bins]


def test_who_comes_later_joins_the_clock_where_it_stands(running: Running, clock: HandClock) -> None:
    with running.connect() as first:
        assert seqs(one := listen(first, n_bins=1)) == [0]
        clock.advance(2.0)
        one = listen(first, n_bins=20, after=one)
        with running.connect() as second:
            assert seqs(two := listen(second, n_bins=1)) == [20]  # the bin that is shown now
            assert two.of("runtime_config")[0].get("reason") is None
            (told,) = sessions(running)
            assert (told["shared"], told["clients"], told["next_bin"], told["state"]) == (True, 2, 21, "running")
            clock.advance(1.0)
            later, also = listen(first, n_bins=10, after=one), listen(second, n_bins=10, after=two)
            assert seqs(later) == seqs(also) == list(range(21, 31))
            assert later.grids == also.grids
            assert later.bins == also.bins
    assert running.service.figures.bins_dropped == 0


def test_backfill_gives_the_bins_before_that_first(running: Running, clock: HandClock) -> None:
    with running.connect() as first:
        listen(first, n_bins=1)
        clock.advance(5.0)
        listen_more(first, 50)
        for n_bins, begins in (("0", None), ("1", 50), ("30", 21), ("51", 0), ("4096", 0)):
            with running.connect(backfill=n_bins) as late:
                if begins is None:
                    assert listen(late, until="runtime_config").order == ["runtime_config"]
                else:
                    assert seqs(listen(late, n_bins=51 - begins)) == list(range(begins, 51))
        with running.connect(backfill="0") as late:
            listen(late, until="runtime_config")
            clock.advance(0.1)
            assert seqs(hear(late, 1)) == [51]
    assert len(sessions(running)) == 1


def test_a_resumed_client_is_given_what_it_missed_at_once(running: Running, clock: HandClock) -> None:
    with running.connect() as first:
        whole = listen(first, n_bins=1)
        clock.advance(5.0)
        more = listen(first, n_bins=50, after=whole)
        with running.connect(resume_from="11") as again:
            back = listen(again, n_bins=40)
            assert seqs(back) == list(range(11, 51))
            assert back.grids == more.grids[10:]
        with running.connect(resume_from="51") as again:  # it had everything: the next bin is the next to come
            listen(again, until="runtime_config")
            clock.advance(0.1)
            assert seqs(hear(again, 1)) == [51]
        assert len(sessions(running)) == 1


def test_a_place_a_little_ahead_is_waited_for_and_one_far_ahead_gets_a_clock_of_its_own(
    running: Running, clock: HandClock
) -> None:
    with running.connect() as first:
        listen(first, n_bins=1)
        with running.connect(resume_from="51") as near:  # five seconds: as much as is waited for
            listen(near, until="runtime_config")
            assert len(sessions(running)) == 1
            with running.connect(resume_from="52") as far:
                assert seqs(listen(far, n_bins=1)) == [52]
                assert [told["next_bin"] for told in sessions(running)] == [1, 53]
            clock.advance(5.1)
            assert seqs(hear(near, 1)) == [51]


@pytest.mark.parametrize("n_watching", [0, 1])
def test_the_last_bin_is_followed_by_the_end_and_what_lies_behind_it_is_refused(
    running: Running, clock: HandClock, n_watching: int
) -> None:
    with running.connect() as first:
        if n_watching:
            listen(first, n_bins=1)
        with running.connect(resume_from=str(N_BINS)) as done:
            heard = listen(done)
            assert heard.order == ["runtime_config", "end"]
            assert heard.of("end")[0]["bins"] == N_BINS
            assert closing(done)[0] == 1000
        with running.connect(resume_from=str(N_BINS + 1)) as beyond:
            (error,) = listen(beyond).of("error")
            assert closing(beyond)[0] == 1008
        assert "bin 401 was asked for; this session has 400 bins" in error["message"]


def test_a_storm_of_reconnects_costs_one_computation(serve: Serve, clock: HandClock) -> None:
    running = serve(clock, Limits(champion_poll_s=POLL))
    asked = [300, 299, 301, 280, 310] * 4

    def come_back(bin_seq: int) -> tuple[list[int], list[bytes]]:
        with running.connect(resume_from=str(bin_seq)) as connection:
            came.append(bin_seq)
            if len(came) == len(asked):
                clock.advance(2.0)
            heard = listen(connection, n_bins=320 - bin_seq)
            return seqs(heard), heard.grids

    came: list[int] = []
    with running.connect(resume_from="300") as holds, ThreadPoolExecutor(len(asked)) as clients:
        listen(holds, n_bins=1)
        found = list(clients.map(come_back, asked))
        (told,) = sessions(running)
    assert running.service.hub._n_begun == 1
    assert told["session"] == 1
    grids = dict(zip(*max(found, key=lambda one: len(one[0])), strict=True))
    for bin_seq, (numbers, theirs) in zip(asked, found, strict=True):
        assert numbers == list(range(bin_seq, 320))
        assert theirs == [grids[seq] for seq in numbers]


def test_a_session_goes_on_for_a_while_without_viewers_and_then_ends(serve: Serve, clock: HandClock) -> None:
    running = serve(clock, Limits(champion_poll_s=POLL, linger_s=300.0))

    def watch() -> list[int]:
        with running.connect() as connection:
            heard = listen(connection, n_bins=1)
            (stream,) = running.service.streams
        running.call(finished(stream))
        return seqs(heard)

    assert watch() == [0]
    (told,) = sessions(running)
    assert (told["clients"], told["state"]) == (0, "lingering")
    clock.advance(3.0)
    with running.connect(resume_from="30") as again:
        assert seqs(listen(again, n_bins=1)) == [30]
        assert [told["session"] for told in sessions(running)] == [1]
        (stream,) = running.service.streams
    running.call(finished(stream))
    (shared,) = shared_of(running)
    running.loop.call_soon_threadsafe(shared.stop)  # as the timer does
    running.call(shared.stopped())
    assert sessions(running) == []
    assert watch() == [0]  # a new clock


def test_without_lingering_the_last_viewer_takes_the_session_with_it(serve: Serve, clock: HandClock) -> None:
    running = serve(clock, Limits(champion_poll_s=POLL, linger_s=0.0))
    with running.connect() as connection:
        listen(connection, n_bins=1)
        (shared,) = shared_of(running)
    running.call(shared.stopped())
    assert sessions(running) == []


def test_sessions_are_bounded_and_one_that_nobody_watches_gives_way(serve: Serve, clock: HandClock) -> None:
    running = serve(clock, Limits(champion_poll_s=POLL, max_sessions=1))
    with running.connect() as first:
        listen(first, n_bins=1)
        (stream,) = running.service.streams
        with running.connect(speed="2") as other:
            (error,) = listen(other).texts
            assert (error["code"], closing(other)[0]) == ("busy", 1013)
            assert "1 different sessions are being watched" in error["message"]
        with running.connect(resume_from="300") as back:  # who was watching is served all the same
            assert seqs(listen(back, n_bins=1)) == [300]
            assert [told["shared"] for told in sessions(running)] == [True, False]
            (own,) = [one for one in running.service.streams if one is not stream]
        running.call(finished(own))
    running.call(finished(stream))
    with running.connect(speed="2") as other:
        assert seqs(listen(other, n_bins=1)) == [0]
    assert [told["speed"] for told in sessions(running)] == [2.0]


@pytest.mark.parametrize("query", [{"speed": "2"}, {"model": "instrument"}, {"perm_d1_weight": "0.5"}, {"start_time": "09:25"}])
def test_what_changes_bits_or_pace_is_another_session(running: Running, query: dict[str, str]) -> None:
    with running.connect() as first, running.connect(None, **query) as second:
        listen(first, n_bins=1)
        listen(second, n_bins=1)
        assert [told["clients"] for told in sessions(running)] == [1, 1]


def test_a_session_that_cannot_be_opened_is_tried_anew_by_the_next_client(running: Running) -> None:
    for _ in range(2):
        with running.connect(start_time="10:00") as connection:
            assert "holds no event" in listen(connection).texts[0]["message"]
            assert closing(connection)[0] == 1008
    assert running.service.hub._n_begun == 2
    assert sessions(running) == []


def test_the_pace_is_told_per_session(running: Running, clock: HandClock) -> None:
    with running.connect() as first:
        listen(first, n_bins=1)
        clock.advance(2.0)
        listen_more(first, 20)
        (stream,) = running.service.streams
        with running.connect(speed="0") as own:
            listen(own, n_bins=1)
            body = running.service.health()
            one, two = body["pace"]
            assert (one["shared"], one["clients"], one["next_bin"], one["lag_ms"] is None) == (True, 1, 21, False)
            assert one["lag_p99_ms"] <= 2000.0  # the clock stood, then leapt by two seconds: bin 1 was 1.9 s late
            assert one["jitter_ms"] > 0
            assert (two["shared"], two["lag_ms"]) == (False, None)
            assert body["sessions"] == 2
            figures = running.service.figures.sessions()
            assert [(one.is_shared, one.clients, one.ring_bytes > 20 * 30_000) for one in figures] == [
                (True, 1, True),
                (False, 1, False),
            ]
