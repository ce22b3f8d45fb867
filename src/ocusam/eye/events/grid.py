"""Positions of an eye on a regular grid of time, gaps left empty.

Purpose: detectors take samples at equal steps. Frames missing from the clock, frames that are not tracked,
and some time around blinks have no position.

What it does not know: filters; nothing is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grid:
    """Positions on a regular grid.

    Attributes:
        time_ns: (M,) time of each point.
        xy: (M, 2), NaN where there is no sample.
        sample: (M,) index of the sample, -1 where none falls.
        hz: sampling rate.
    """

    time_ns: NDArray[np.int64]
    xy: FloatArray
    sample: NDArray[np.int64]
    hz: float


def regular(samples: pl.DataFrame, blinks: pl.DataFrame | None = None, pad_ms: float = 0.0) -> Grid | None:
    """Samples on a grid of their median time step; None with fewer than two."""
    time = samples["timestamp_ns"].to_numpy().astype(np.int64, copy=False)
    if len(time) < 2 or (step := int(np.median(np.diff(time), overwrite_input=True))) <= 0:
        return None
    xy = np.empty((len(time), 2))  # and no copies: columns of hours are large
    for k, name in enumerate(("x", "y")):
        xy[:, k] = samples[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    for row in (blinks if blinks is not None else pl.DataFrame()).iter_rows(named=True):
        pad = int(pad_ms * 1e6)
        ends = (row["onset_ns"] - pad, row["offset_ns"] + pad)
        xy[np.searchsorted(time, ends[0]) : np.searchsorted(time, ends[1], side="right")] = np.nan
    steps = (time - time[0]) / step
    place = np.round(steps, out=steps).astype(np.int64)
    del steps
    if (np.diff(place) == 1).all():  # nothing is missing, nothing moves
        return Grid(time, xy, place, 1e9 / step)
    sample = np.full(int(place[-1]) + 1, -1, dtype=np.int64)
    sample[place] = np.arange(len(time))
    on_grid = np.where((sample >= 0)[:, None], xy[np.maximum(sample, 0)], np.nan)
    times = np.where(sample >= 0, time[np.maximum(sample, 0)], time[0] + np.arange(len(sample)) * step)
    return Grid(times, on_grid, sample, 1e9 / step)
