"""Freed memory goes back to the system.

Purpose: the columns of a long recording are made and dropped one after the other. The C library keeps what
was freed for later, in pieces that the next columns do not always fit; called between steps, `give_back`
keeps a process as small as what it holds, and within `lean` large pieces go back the moment they are freed.

Notable choices: the C library decides by itself from which size on it asks the system for a piece of its own,
and raises that size with every one that is freed, up to 32 MB. `lean` fixes it below the size of a column. It
cannot be left to itself again; afterwards it stays at what it comes to by itself where large arrays are used.

What it does not know: C libraries other than GNU's; there it does nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h


def give_back() -> None:
    """Return freed memory to the system, where the C library can."""
    library = _gnu()
    if library is not None:
        library.malloc_trim(0)


@contextmanager
def lean() -> Iterator[None]:
    """Large pieces of memory go back to the system as soon as they are free, where the C library can."""
    library = _gnu()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, 1 << 18)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, 32 << 20)
        library.mallopt(_TRIM_THRESHOLD, 64 << 20)
        library.malloc_trim(0)


@cache
def _gnu() -> Any:
    try:
        library = ctypes.CDLL(None)
        return library if library.malloc_trim and library.mallopt else None
    except (OSError, AttributeError, TypeError):  # macOS, Windows, musl
        return None
