"""A bell in shared memory: the writer rings it, everybody who waits wakes at once.

A futex on one word of a file. The word is read and written through the descriptor, never through the mapping, which only gives
the kernel an address: a file that somebody shortens is an error of a call then, and no SIGBUS.

Source: futex(2).
"""

import ctypes
import errno
import mmap
import os
import platform
from typing import Final

from engine.errors import ConfigError

_CALLS: Final = {"x86_64": 202, "aarch64": 98}  # number of the call
_WAIT: Final = 0
_WAKE: Final = 1
_EVERYBODY: Final = 2**31 - 1
_WORD_BYTES: Final = 4
_NS_PER_S: Final = 1_000_000_000
_LIBRARY: Final = ctypes.CDLL(None, use_errno=True)


class _Span(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Bell:
    """The word at ``at`` (bytes, within the first page) of an open file.

    Raises
    ------
    ConfigError
        This is no Linux machine, or of a kind that has not been tried.
    """

    def __init__(self, descriptor: int, at: int) -> None:
        call = _CALLS.get(platform.machine())
        if call is None or platform.system() != "Linux":
            raise ConfigError(
                f"this machine is {platform.system()} on {platform.machine()}; a live feed needs Linux on x86_64 or aarch64"
            )
        self._call, self._descriptor, self._at = call, descriptor, at
        self._rung = self.count()
        # Private to nobody; copy-on-write would give the kernel another page than the writer's.
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(self._page)) + at)

    def count(self) -> int:
        """How often it was rung, modulo 2**32."""
        return int.from_bytes(os.pread(self._descriptor, _WORD_BYTES, self._at), "little")

    def ring(self) -> None:
        """Wake everybody."""
        self._rung = (self._rung + 1) & 0xFFFFFFFF
        os.pwrite(self._descriptor, self._rung.to_bytes(_WORD_BYTES, "little"), self._at)
        _LIBRARY.syscall(self._call, self._address, _WAKE, _EVERYBODY, None, None, 0)

    def wait(self, count: int, timeout_s: float) -> bool:
        """Wait until it is rung; at once where it was since ``count``. False where nobody can ring it any more."""
        span = _Span(int(timeout_s), int(timeout_s % 1 * _NS_PER_S))
        if _LIBRARY.syscall(self._call, self._address, _WAIT, ctypes.c_uint32(count), ctypes.byref(span), None, 0) == 0:
            return True
        return ctypes.get_errno() in (errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR)
