"""The queue between a session and a socket: order, bounds, what is skipped."""

import asyncio

from serve.frames import BinFrames
from serve.send_queue import Close, Item, SendQueue, Text
from serve.wire import Framed, frame


def bin_frames(seq: int) -> Framed:
    return frame(BinFrames(seq, "{", b""))


def queue_of(max_bins: int, *, skips: bool) -> SendQueue:
    """A queue whose taker is told of each item."""
    woken = asyncio.Event()
    queue = SendQueue(max_bins, skips=skips, wake=woken.set)
    queue.woken = woken  # type: ignore[attr-defined]
    return queue


async def get(queue: SendQueue) -> Item:
    """The next item, waited for."""
    while True:
        queue.woken.clear()  # type: ignore[attr-defined]
        if (item := queue.take()) is not None:
            return item
        await queue.woken.wait()  # type: ignore[attr-defined]


async def drain(queue: SendQueue) -> list[Item]:
    items: list[Item] = []
    while True:
        items.append(await get(queue))
        if isinstance(items[-1], Close):
            return items


def test_items_leave_in_the_order_they_came() -> None:
    async def scenario() -> list[Item]:
        queue = queue_of(4, skips=True)
        await queue.put_text(Text("config"))
        await queue.put_bin(bin_frames(0))
        await queue.put_text(Text("other"))
        await queue.put_bin(bin_frames(1))
        queue.close(Close("end", 1000, ""))
        return await drain(queue)

    assert asyncio.run(scenario()) == [
        Text("config"),
        bin_frames(0),
        Text("other"),
        bin_frames(1),
        Close("end", 1000, ""),
    ]


def test_a_full_paced_queue_skips_the_oldest_bins_and_keeps_the_texts() -> None:
    async def scenario() -> tuple[list[Item], int]:
        queue = queue_of(3, skips=True)
        await queue.put_text(Text("config"))
        for seq in range(10):
            await queue.put_bin(bin_frames(seq))
            assert len(queue) <= 4
        queue.close(Close("", 1000, ""))
        return await drain(queue), queue.n_skipped

    items, n_skipped = asyncio.run(scenario())
    assert items == [Text("config"), bin_frames(7), bin_frames(8), bin_frames(9), Close("", 1000, "")]
    assert n_skipped == 7


def test_a_full_unpaced_queue_makes_the_producer_wait_and_loses_nothing() -> None:
    async def scenario() -> list[Item]:
        queue = queue_of(2, skips=False)

        async def produce() -> None:
            for seq in range(50):
                await queue.put_bin(bin_frames(seq))
                assert len(queue) <= 2
            queue.close(Close("", 1000, ""))

        _, items = await asyncio.gather(produce(), drain(queue))
        return items

    items = asyncio.run(scenario())
    assert [item.frames.bin_seq for item in items if isinstance(item, Framed)] == list(range(50))


def test_texts_are_bounded_by_making_the_asker_wait() -> None:
    async def scenario() -> int:
        queue = queue_of(2, skips=True)

        async def ask() -> None:
            for i in range(1000):
                await queue.put_text(Text(str(i)))

        asker = asyncio.create_task(ask())
        for _ in range(2000):
            await asyncio.sleep(0)
        waiting = len(queue)
        asker.cancel()
        return waiting

    assert asyncio.run(scenario()) == 64


def test_of_two_waiting_configs_only_the_last_matters() -> None:
    async def scenario() -> list[Item]:
        queue = queue_of(2, skips=True)
        await queue.put_text(Text("first", "runtime_config"))
        await queue.put_text(Text("second", "runtime_config"))
        await queue.put_bin(bin_frames(0))
        await queue.put_text(Text("third", "runtime_config"))
        queue.close(Close("", 1000, ""))
        return await drain(queue)

    assert asyncio.run(scenario())[:3] == [
        Text("second", "runtime_config"),
        bin_frames(0),
        Text("third", "runtime_config"),
    ]


def test_going_away_overtakes_what_waits_and_frees_a_waiting_producer() -> None:
    async def scenario() -> list[Item]:
        queue = queue_of(1, skips=False)
        await queue.put_bin(bin_frames(0))
        producer = asyncio.create_task(queue.put_bin(bin_frames(1)))
        await asyncio.sleep(0)
        queue.close(Close("bye", 1001, ""), at_once=True)
        await producer
        queue.close(Close("late", 1000, ""))
        return await drain(queue)

    assert asyncio.run(scenario()) == [Close("bye", 1001, "")]


def n_bins(n_put: int, *, skips: bool) -> tuple[list[int], int, bool]:
    """Bins that wait in a queue for three after so many were put, bins skipped, and whether the last of them still waits."""

    async def scenario() -> tuple[list[int], int, bool]:
        queue = queue_of(3, skips=skips)
        for seq in range(n_put - 1):
            await queue.put_bin(bin_frames(seq))
        last = asyncio.create_task(queue.put_bin(bin_frames(n_put - 1)))
        for _ in range(5):
            await asyncio.sleep(0)
        waits = not last.done()
        last.cancel()
        queue.close(Close("", 1000, ""))
        return [item.frames.bin_seq for item in await drain(queue) if isinstance(item, Framed)], queue.n_skipped, waits

    return asyncio.run(scenario())


def test_a_queue_holds_as_many_bins_as_it_says_and_not_one_more() -> None:
    for skips in (True, False):
        assert n_bins(2, skips=skips) == ([0, 1], 0, False)
        assert n_bins(3, skips=skips) == ([0, 1, 2], 0, False)
    assert n_bins(4, skips=True) == ([1, 2, 3], 1, False)
    assert n_bins(4, skips=False) == ([0, 1, 2], 0, True)


def test_a_bin_that_is_taken_makes_room_for_one() -> None:
    async def scenario() -> tuple[list[Item], int]:
        queue = queue_of(2, skips=True)
        for seq in range(2):
            await queue.put_bin(bin_frames(seq))
        taken = [await get(queue)]
        await queue.put_bin(bin_frames(2))
        assert queue.n_skipped == 0
        await queue.put_bin(bin_frames(3))
        queue.close(Close("", 1000, ""))
        return taken + await drain(queue), queue.n_skipped

    items, n_skipped = asyncio.run(scenario())
    assert items == [bin_frames(0), bin_frames(2), bin_frames(3), Close("", 1000, "")]
    assert n_skipped == 1


def test_texts_wait_from_the_65th_on_until_one_is_taken() -> None:
    async def scenario() -> tuple[int, int, bool]:
        queue = queue_of(2, skips=True)
        for i in range(64):
            await queue.put_text(Text(str(i)))
        held = len(queue)
        last = asyncio.create_task(queue.put_text(Text("64")))
        for _ in range(5):
            await asyncio.sleep(0)
        waits = not last.done()
        assert await get(queue) == Text("0")
        await last
        return held, len(queue), waits

    assert asyncio.run(scenario()) == (64, 64, True)


def test_bins_are_no_texts_and_texts_no_bins_to_the_bounds() -> None:
    async def scenario() -> int:
        queue = queue_of(2, skips=True)
        for i in range(64):
            await queue.put_text(Text(str(i)))
        for seq in range(2):
            await queue.put_bin(bin_frames(seq))
        return queue.n_skipped + len(queue)

    assert asyncio.run(scenario()) == 66


def test_a_config_replaces_no_other_text_and_counts_once() -> None:
    async def scenario() -> list[Item]:
        queue = queue_of(2, skips=True)
        await queue.put_text(Text("plain"))
        await queue.put_text(Text("plain"))
        await queue.put_text(Text("beat", "heartbeat"))
        for i in range(200):  # far more than texts may wait
            await queue.put_text(Text(f"config {i}", "runtime_config"))
        await queue.put_text(Text("beat", "heartbeat"))
        queue.close(Close("", 1000, ""))
        return await drain(queue)

    items = asyncio.run(asyncio.wait_for(scenario(), 10))
    beat = Text("beat", "heartbeat")
    assert items[:-1] == [Text("plain"), Text("plain"), beat, Text("config 199", "runtime_config"), beat]


def test_a_plain_close_comes_after_what_waits_and_nothing_after_it() -> None:
    async def scenario() -> list[Item]:
        queue = queue_of(1, skips=False)
        await queue.put_text(Text("config"))
        await queue.put_bin(bin_frames(0))
        late = asyncio.create_task(queue.put_bin(bin_frames(1)))  # it waits for room
        await asyncio.sleep(0)
        queue.close(Close("end", 1000, ""))
        await late
        await queue.put_bin(bin_frames(2))
        await queue.put_text(Text("late"))
        queue.close(Close("again", 1001, ""), at_once=True)
        return [*await drain(queue), *queue._items]

    assert asyncio.run(scenario()) == [Text("config"), bin_frames(0), Close("end", 1000, "")]


def test_a_close_frees_an_asker_that_waits() -> None:
    async def scenario() -> list[Item]:
        queue = queue_of(1, skips=True)
        for i in range(64):
            await queue.put_text(Text(str(i)))
        asker = asyncio.create_task(queue.put_text(Text("64")))
        await asyncio.sleep(0)
        queue.close(Close("bye", 1001, ""), at_once=True)
        await asker
        return await drain(queue)

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) == [Close("bye", 1001, "")]
