"""Runs of flagged frames, closing short openings between them, and the pupil's size in them.

Purpose: a blink is a run of frames on which the lids are low.

Notable choices: what is short is told by time, so that frames missing from the clock do not shorten it. What
the lids leave of a pupil is often round, but smaller or longer than it: no iris changes so much in so short a
time.

What it does not know: what the flags mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocusam.eye.blink.openness import BoolArray, FloatArray

AROUND_NS = 400_000_000
"""How long before and after a run the usual size is asked for."""


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


def size_change(size: FloatArray, time: NDArray[np.int64], first: int, last: int) -> FloatArray:
    """How far sizes (N,) on the frames of a run are from the median of those around it, as a share of that;
    NaN where one of both is missing. `time` in ns. -> (last + 1 - first,)."""
    ends = (int(time[first]) - AROUND_NS, int(time[last]) + AROUND_NS)
    low, high = np.searchsorted(time, ends).tolist()
    around = np.concatenate([size[low:first], size[last + 1 : high]])
    around = around[np.isfinite(around)]
    usual = float(np.median(around)) if len(around) else np.nan
    return np.asarray(np.abs(size[first : last + 1] / usual - 1.0))
