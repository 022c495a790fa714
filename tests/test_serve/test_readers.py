"""Strangers read the stream: other languages and libraries see the very values that ours does."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from websockets.asyncio.client import connect

from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.simulate.session import simulate
from serve.frames import decode_grid
from serve.settings import ServeSettings
from tests.conftest import REPO_ROOT
from tests.test_serve.server import serving

pytestmark = pytest.mark.slow

BINS = 1000
PAGE = REPO_ROOT / "frontend"

Columns = dict[str, bytes]
Read = Callable[[bytes], Columns]


def by_pyarrow(data: bytes) -> Columns:
    with pa.ipc.open_stream(data) as reader:
        (batch,) = list(reader)
    return {name: batch.column(name).to_numpy().tobytes() for name in batch.schema.names}


def by_ours(data: bytes) -> Columns:
    return {name: column.tobytes() for name, column in decode_grid(data).items()}


def by_nanoarrow(data: bytes) -> Columns:
    import nanoarrow.ipc

    with nanoarrow.ipc.InputStream.from_readable(data) as source:
        rows = nanoarrow.ArrayStream(source).read_all()
    assert rows.n_chunks == 1
    return {field.name: bytes(memoryview(rows.child(i).buffers[1])) for i, field in enumerate(rows.schema.fields)}


def line_of(header: str, columns: Columns) -> str:
    digest = hashlib.sha256(header.encode())
    for name, values in columns.items():
        digest.update(name.encode() + values)
    return f"{json.loads(header)['bin_seq']} {digest.hexdigest()}"


async def recorded(url: str) -> list[tuple[str, bytes]]:
    """Header and grid of every bin, as the library `websockets` reads them."""
    bins, header = [], ""
    async with connect(url, compression=None, max_size=None, proxy=None) as stream:
        async for frame in stream:
            if isinstance(frame, bytes):
                bins.append((header, frame))
            else:
                header = frame
    return bins


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, config: InstrumentConfig) -> "tuple[list[tuple[str, bytes]], list[str]]":
    """The bins of a session as Python received them, and Node's line for each."""
    lake = Lake.open(tmp_path_factory.mktemp("lake"))
    raw = lake.raw_dir("MNQ")
    raw.mkdir(parents=True)
    simulate(raw / "glbx-mdp3-20260206.mbo.dbn", seed=5, seconds=BINS // 10, rate=400.0, start="2026-02-06T09:25")
    node = shutil.which("node")
    if node is None or not (PAGE / "node_modules" / "apache-arrow").is_dir():
        pytest.skip("Node's reader needs Node and the page's packages, and make installs those only where Node is")
    with serving(ServeSettings(lake=lake), config) as running:
        url = running.url(speed="0")
        bins = asyncio.run(recorded(url))
        script = Path("tests") / "support" / "read_stream.mjs"
        heard = subprocess.run([node, str(script), url], cwd=PAGE, capture_output=True, text=True, timeout=120, check=True)
    return bins, heard.stdout.splitlines()


def test_node_reads_what_python_reads(session: tuple[list[tuple[str, bytes]], list[str]]) -> None:
    bins, lines = session
    assert len(bins) == BINS
    assert lines == [line_of(header, by_pyarrow(grid)) for header, grid in bins]


def test_our_own_decoder_reads_what_pyarrow_reads(session: tuple[list[tuple[str, bytes]], list[str]]) -> None:
    assert all(by_ours(grid) == by_pyarrow(grid) for _, grid in session[0])


def test_nanoarrow_reads_what_pyarrow_reads(session: tuple[list[tuple[str, bytes]], list[str]]) -> None:
    pytest.importorskip("nanoarrow")
    assert all(by_nanoarrow(grid) == by_pyarrow(grid) for _, grid in session[0])
