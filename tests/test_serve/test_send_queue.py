"""The queue between a session and a socket: order, bounds, what is skipped."""

import asyncio

from serve.frames import BinFrames
from serve.send_queue import Close, Item, SendQueue, Text


def bin_frames(seq: int) -> BinFrames:
    return BinFrames(seq, "{", b"")


async def drain(queue: SendQueue) -> list[Item]:
    items: list[Item] = []
    while True:
        items.append(await queue.get())
        if isinstance(items[-1], Close):
            return items


def test_items_leave_in_the_order_they_came() -> None:
    async def scenario() -> list[Item]:
        queue = SendQueue(4, skips=True)
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
        queue = SendQueue(3, skips=True)
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
        queue = SendQueue(2, skips=False)

        async def produce() -> None:
            for seq in range(50):
                await queue.put_bin(bin_frames(seq))
                assert len(queue) <= 2
            queue.close(Close("", 1000, ""))

        _, items = await asyncio.gather(produce(), drain(queue))
        return items

    items = asyncio.run(scenario())
    assert [item.bin_seq for item in items if isinstance(item, BinFrames)] == list(range(50))


def test_texts_are_bounded_by_making_the_asker_wait() -> None:
    async def scenario() -> int:
        queue = SendQueue(2, skips=True)

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
        queue = SendQueue(2, skips=True)
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
        queue = SendQueue(1, skips=False)
        await queue.put_bin(bin_frames(0))
        producer = asyncio.create_task(queue.put_bin(bin_frames(1)))
        await asyncio.sleep(0)
        queue.close(Close("bye", 1001, ""), at_once=True)
        await producer
        queue.close(Close("late", 1000, ""))
        return await drain(queue)

    assert asyncio.run(scenario()) == [Close("bye", 1001, "")]
