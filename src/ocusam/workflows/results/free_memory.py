"""Freed memory goes back to the system.

Purpose: the columns of a long recording are made and dropped one after the other. The C library keeps what
was freed for later, in pieces that the next columns do not always fit; called between steps, `give_back`
keeps a process as small as what it holds.

What it does not know: C libraries other than GNU's; there it does nothing.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


def give_back() -> None:
    """Return freed memory to the system, where the C library can."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # macOS, Windows, musl
        return None
