"""The kinds of load, each with its figures."""

import argparse
import asyncio
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from serve.settings import STREAM_PATH
from tests.bench.serving.client import Client
from tests.bench.serving.measure import Process, lags_ms, quantiles, served, used
from tests.bench.serving.session import PERIOD_S, Target

_SETTLE_S = 2.0  # after the last client got in
_RECORDED_BINS = 20
_ECHO_S = 30.0  # at most
_CHURN_AT_ONCE = 8
_RECONNECTS_PER_HOUR = 1000

Figures = dict[str, Any]


async def steady(target: Target, args: argparse.Namespace) -> Figures:
    """Clients on one session, then as many on a bare echo of the same frames."""
    ours = await stay(target, args.clients, args.seconds, private=args.private)
    with tempfile.TemporaryDirectory() as folder:
        echo = await _sent("echo", await _recorded(target, Path(folder)), args)
    return _beside(ours, echo)


async def fanout(target: Target, args: argparse.Namespace) -> Figures:
    """The same frames through our listener and through a bare uvicorn, nothing computed."""
    with tempfile.TemporaryDirectory() as folder:
        frames = await _recorded(target, Path(folder))
        return _beside(await _sent("fanout", frames, args), await _sent("echo", frames, args))


async def _recorded(target: Target, folder: Path) -> Path:
    frames = folder / "frames"
    frames.write_bytes(pickle.dumps(await record(target)))
    return frames


async def _sent(kind: str, frames: Path, args: argparse.Namespace) -> Figures:
    with served(kind, frames, PERIOD_S) as process:
        return await stay(Target(process, "127.0.0.1", ""), args.clients, min(args.seconds, _ECHO_S), private=False)


def _beside(ours: Figures, echo: Figures) -> Figures:
    ratios = {
        f"x_echo_{name}": round(ours[name] / echo[name], 3)
        for name in ("cpu", "cpu_us_per_bin", "lag_p50_ms", "lag_p99_ms")
        if echo[name]
    }
    return ours | {f"echo_{name}": value for name, value in echo.items()} | ratios


async def storm(target: Target, args: argparse.Namespace) -> Figures:
    """One client keeps the session alive; the others come back to one bin at once."""
    (watcher,) = await target.connect_all(1)
    figures: Figures = {"clients": args.clients, "resume_from": args.bin}
    clients = await target.connect_all(args.clients, f"resume_from={args.bin}")
    figures |= _first_frames(clients)
    figures["first_bins"] = sorted({client.bins[0] for client in clients if client.bins})
    figures["errors"] = sorted({client.error.decode() for client in clients if client.error})
    await _leave([watcher, *clients])
    return figures


async def rush(target: Target, _: argparse.Namespace) -> Figures:
    """One client without a pace, from a session's first bin to its last; the first of two pays for what is made once."""
    figures: Figures = {}
    for _ in range(2):
        shares: dict[str, float] = {}
        with used(target.process, shares):
            client = await target.connect("speed=0")
            await client.ended
        n_bins, took_s = len(client.bins), client.arrivals[-1] - client.begun_at
        figures = {"bins": n_bins, "dropped": client.n_dropped, "broken": client.n_broken}
        figures["first_frame_s"] = round(client.arrivals[0] - client.begun_at, 3)
        figures["bins_per_s"] = round(n_bins / (client.arrivals[-1] - client.arrivals[0]), 1)
        figures["cpu_us_per_bin"] = round(1e6 * shares["cpu"] * took_s / n_bins, 1)
        figures["generator_us_per_bin"] = round(1e6 * shares["generator_cpu"] * took_s / n_bins, 1)
    return figures


async def churn(target: Target, args: argparse.Namespace) -> Figures:
    """Connect, read a bin, leave; memory after the first hundred against memory at the end."""
    doors, looks_each = asyncio.Semaphore(_CHURN_AT_ONCE), max(1, min(100, args.connects // 4))
    n_done, n_failed, rss, files = 0, 0, [], []

    async def one() -> None:
        nonlocal n_done, n_failed
        async with doors:
            (client,) = await target.connect_all(1)
            await _leave([client])
        n_failed += client.first_bin_at is None
        n_done += 1
        if n_done % looks_each == 0:
            rss.append(round(target.process.rss_mb(), 1))
            files.append(target.process.n_files())
            print(f"{n_done} connects, {rss[-1]} MB, {files[-1]} descriptors", file=sys.stderr)

    await asyncio.gather(*(one() for _ in range(args.connects)))
    return {
        "connects": n_done,
        "failed": n_failed,
        "rss_mb": rss,
        "x_rss": round(max(rss) / rss[0], 3),
        "descriptors": [files[0], files[-1]],
    }


async def soak(target: Target, args: argparse.Namespace) -> Figures:
    """Hours of viewers, some of whom leave and come back."""
    loop = asyncio.get_running_loop()
    clients = await target.connect_all(args.clients)
    until = loop.time() + args.hours * 3600
    figures: Figures = {"clients": args.clients, "reconnects": 0, "gone": 0, "dropped": 0, "broken": 0, "rss_mb": []}
    minute = loop.time()
    while loop.time() < until:
        await asyncio.sleep(3600 / _RECONNECTS_PER_HOUR)
        old = clients.pop(0)
        figures["gone"] += old.close_code is not None
        figures["dropped"] += old.n_dropped
        figures["broken"] += old.n_broken
        await _leave([old])
        clients += await target.connect_all(1)
        figures["reconnects"] += 1
        if loop.time() >= minute:
            minute += 60.0
            figures["rss_mb"].append(round(target.process.rss_mb(), 1))
            print(f"{figures} {target.process.n_files()} descriptors", file=sys.stderr)
    await _leave(clients)
    return figures


async def record(target: Target) -> list[tuple[str, bytes]]:
    """Some bins as they are sent, with a place for another number in the header."""
    frames = []
    url = f"ws://{target.host}:{target.process.port}{STREAM_PATH}?{target.query}"
    async with connect(url, compression=None, max_size=None, proxy=None) as stream:
        text = ""
        async for frame in stream:
            if isinstance(frame, bytes):
                head, _, tail = text.partition('"bin_seq":')
                _, comma, rest = tail.partition(",")
                frames.append((f'{head}"bin_seq":BIN_SEQ{comma}{rest}', frame))
                if len(frames) == _RECORDED_BINS:
                    break
            else:
                text = frame
    return frames


async def stay(target: Target, n_clients: int, seconds: float, *, private: bool) -> Figures:
    """Let so many clients in, then measure for a while."""
    process: Process = target.process
    figures: Figures = {"clients": n_clients, "rss_before_mb": round(process.rss_mb(), 1)}
    clients = await target.connect_all(n_clients)
    figures |= _first_frames(clients)
    await asyncio.sleep(_SETTLE_S)
    since = asyncio.get_running_loop().time()
    n_bins = sum(len(client.bins) for client in clients)
    shares: dict[str, float] = {}
    with used(process, shares):
        await asyncio.sleep(seconds)
    n_bins = sum(len(client.bins) for client in clients) - n_bins
    figures |= {name: round(value, 3) for name, value in shares.items()}
    figures["bins_per_s"] = round(n_bins / seconds, 1)
    figures["cpu_us_per_bin"] = round(1e6 * shares["cpu"] * seconds / n_bins, 1) if n_bins else None
    figures["lag_p50_ms"], figures["lag_p99_ms"] = quantiles(lags_ms(clients, since, PERIOD_S, private=private), 0.5, 0.99)
    figures["rss_mb"] = round(process.rss_mb(), 1)
    figures["dropped"] = sum(client.n_dropped for client in clients)
    figures["broken"] = sum(client.n_broken for client in clients)
    figures["gone"] = sum(client.transport is None or client.transport.is_closing() for client in clients)
    await _leave(clients)
    return figures


def _first_frames(clients: list[Client]) -> Figures:
    times = [client.first_bin_at - client.begun_at for client in clients if client.first_bin_at is not None]
    p50, p99, last = quantiles(times, 0.5, 0.99, 1.0)
    return {
        "first_frame_p50_s": p50,
        "first_frame_p99_s": p99,
        "first_frame_max_s": last,
        "without_frame": len(clients) - len(times),
    }


async def _leave(clients: list[Client]) -> None:
    for client in clients:
        client.leave()
    await asyncio.gather(*(client.ended for client in clients))
