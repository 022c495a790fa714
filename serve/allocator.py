"""How the C library keeps memory that was freed, in a process that lives for weeks."""

import ctypes
import platform
from typing import Final

# malloc.h of glibc
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_THRESHOLD_BYTES: Final = 128 << 10  # glibc's own first value
_MAX_ARENAS: Final = 4


def return_freed_memory() -> bool:
    """Keep glibc from holding what streams that have ended left behind; whether this system's allocator is such a one.

    A stream's books and grids are blocks of some megabytes. glibc takes them from the system one by one at first and gives them
    back when they are freed, but each such free raises the size from which it does so, up to 32 MB: from then on they come from
    heaps that can only shrink at their end, one heap for each of up to eight threads a core. After 2,000 connects a replica held
    several times what was in use. Setting the threshold ends its rise; fewer arenas bound what small blocks leave scattered.
    Both hold for blocks taken later, so this is called before the first stream.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value) == 1
        for option, value in (
            (_M_MMAP_THRESHOLD, _THRESHOLD_BYTES),
            (_M_TRIM_THRESHOLD, _THRESHOLD_BYTES),
            (_M_ARENA_MAX, _MAX_ARENAS),
        )
    )
