"""What a viewer leaves behind: nothing, and not only once the garbage collector gets to it."""

import gc
import platform
import subprocess
import sys
import time

import pytest

from serve.session import Session
from tests.conftest import REPO_ROOT
from tests.test_serve.server import TIMEOUT_S, Running, Serve, listen


def n_sessions() -> int:
    return sum(type(one) is Session for one in gc.get_objects())


def visit(running: Running, **query: str) -> None:
    with running.connect(**query) as connection:
        listen(connection, n_bins=1)


def test_replays_of_clients_that_left_are_freed_at_once(serve: Serve) -> None:
    running = serve()
    visit(running, at="5")
    gc.collect()
    gc.disable()
    try:
        for _ in range(8):
            visit(running, at="5")
        until = time.monotonic() + TIMEOUT_S
        while (left := n_sessions()) and time.monotonic() < until:
            visit(running, product_type="none")  # refused; the loop and its threads go round
        assert left == 0
    finally:
        gc.enable()


MAPPED = """
import ctypes, sys
from serve.allocator import return_freed_memory

class Info(ctypes.Structure):
    _fields_ = [(f"field{i}", ctypes.c_size_t) for i in range(10)]  # struct mallinfo2; the fifth is what is mapped block by block

libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
if sys.argv[1:]:
    assert return_freed_memory()
def block(n_bytes):
    return ctypes.c_void_p(libc.malloc(ctypes.c_size_t(n_bytes)))
libc.free(block(24 << 20))  # raises the threshold where it is free to rise
before = libc.mallinfo2().field4
kept = block(20 << 20)
print(libc.mallinfo2().field4 - before >= 20 << 20)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the threshold is one of glibc's allocator, and others have none to set"
)
@pytest.mark.parametrize(("argument", "expected"), [([], "False"), (["set"], "True")])
def test_blocks_of_an_engines_size_are_mapped_one_by_one_for_good(argument: list[str], expected: str) -> None:
    """Only such a block is given back whole when it is freed."""
    told = subprocess.run([sys.executable, "-c", MAPPED, *argument], cwd=REPO_ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == expected
