"""Runs of flagged frames, and closing short openings between them.

Purpose: a blink is a run of frames on which the lids are low.

Notable choices: what is short is told by time, so that frames missing from the clock do not shorten it.

What it does not know: what the flags mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocusam.eye.blink.openness import BoolArray


def joined(low: BoolArray, time: NDArray[np.int64], merge_ms: float) -> BoolArray:
    """(N,) `low` flags, set too where fewer than `merge_ms` lie between two runs of them; `time` in ns."""
    out = low.copy()
    for first, last in runs(~low):
        if first > 0 and last < len(low) - 1 and (int(time[last + 1]) - int(time[first])) / 1e6 < merge_ms:
            out[first : last + 1] = True
    return out


def runs(flags: BoolArray) -> list[tuple[int, int]]:
    """First and last index of every run of True, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
