"""Filters of signals, all of them off unless asked for, with a mark on every sample.

Purpose: what a pupil trace goes through before it is averaged: gaps bridged, noise smoothed, and for each
sample whether it was measured.

Notable choices: the order is median, then Savitzky-Golay (1964, DOI 10.1021/ac60214a047), each within
stretches without a gap, then interpolation, so that no filter ever sees an invented value. Savitzky-Golay is
the convolution with the weights of a local least-squares polynomial; within half a window of an end of a
stretch the polynomial is fitted to what there is. Only short gaps are bridged, by straight lines (Kret and
Sjak-Shie 2019, DOI 10.3758/s13428-018-1075-y), and what is bridged is marked. The column `<name>_validity`
says of each sample "measured", "interpolated" or "missing".

What it does not know: what a gap is due to; leave out blinks by their table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.signals import TRACKED

FloatArray = NDArray[np.float64]
FILTERED = ("center_x_px", "center_y_px", "major_px")
MEASURED, INTERPOLATED, MISSING = "measured", "interpolated", "missing"


@dataclass(frozen=True)
class Filters:
    """Options; the defaults change nothing.

    Attributes:
        median_samples: odd width of a running median, 0: off.
        savgol_samples: odd width of a Savitzky-Golay filter, 0: off.
        savgol_degree: degree of its polynomial.
        interpolate_ms: longest gap that is bridged, 0: none.
        margin_ms: measured samples this close to a gap count as missing first (a lid on its way).
    """

    median_samples: int = 0
    savgol_samples: int = 0
    savgol_degree: int = 2
    interpolate_ms: float = 0.0
    margin_ms: float = 0.0

    def __post_init__(self) -> None:
        for name in ("median_samples", "savgol_samples"):
            value = getattr(self, name)
            if value < 0 or (value and value % 2 == 0):
                raise InputError(f"{name} is 0 (off) or an odd number of samples, got {value}.")
        if self.savgol_samples and not 0 <= self.savgol_degree < self.savgol_samples:
            raise InputError(
                f"A Savitzky-Golay filter over {self.savgol_samples} samples takes a degree from 0 to "
                f"{self.savgol_samples - 1}, got {self.savgol_degree}."
            )
        if self.interpolate_ms < 0 or self.margin_ms < 0:
            raise InputError("interpolate_ms and margin_ms are 0 (off) or a time in ms.")


def apply_filters(
    signals: pl.DataFrame,
    filters: Filters,
    columns: tuple[str, ...] = FILTERED,
) -> pl.DataFrame:
    """Filter columns of a table of signals, each object of each view on its own.

    Args:
        signals: table of `blink.classify`.
        filters: options.
        columns: numeric columns.

    Returns:
        The table with the columns filtered in place and `<column>_validity` added for each.

    Raises:
        InputError: an unknown column.
    """
    for name in columns:
        if name not in signals.columns:
            raise InputError(f"No column {name!r} in the signals; known: {', '.join(signals.columns)}.")
    parts = []
    for _, part in sorted(signals.group_by("view", "object"), key=lambda item: str(item[0])):
        part = part.sort("frame_idx")
        time = part["timestamp_ns"].to_numpy().astype(np.float64) / 1e6
        for name in columns:
            tracked = pl.when(pl.col("state") == TRACKED).then(pl.col(name)).cast(pl.Float64)
            raw = part.select(tracked.fill_null(float("nan")).alias("v"))["v"].to_numpy()
            values, validity = filter_signal(time, raw, filters)
            part = part.with_columns(
                pl.Series(name, values).fill_nan(None),
                pl.Series(f"{name}_validity", validity, dtype=pl.String),
            )
        parts.append(part)
    return pl.concat(parts).sort("frame_idx", "view", "object") if parts else signals


def filter_signal(time_ms: FloatArray, values: FloatArray, filters: Filters) -> tuple[FloatArray, list[str]]:
    """Filter one signal.

    Args:
        time_ms: (N,) increasing.
        values: (N,), NaN where missing.
        filters: options.

    Returns:
        ((N,) filtered values, NaN where missing; validity of each sample).
    """
    out = values.astype(np.float64).copy()
    if filters.margin_ms > 0:
        out[_near_gaps(time_ms, out, filters.margin_ms)] = np.nan
    measured = np.isfinite(out)
    for first, last in _runs(measured):
        stretch = out[first : last + 1]
        if filters.median_samples:
            stretch = _median(stretch, filters.median_samples)
        if filters.savgol_samples:
            stretch = savitzky_golay(stretch, filters.savgol_samples, filters.savgol_degree)
        out[first : last + 1] = stretch
    bridged = np.zeros(len(out), dtype=bool)
    if filters.interpolate_ms > 0:
        for first, last in _runs(~measured):
            inner = first > 0 and last < len(out) - 1
            if inner and time_ms[last + 1] - time_ms[first - 1] <= filters.interpolate_ms:
                ends = [first - 1, last + 1]
                gap = slice(first, last + 1)
                out[gap] = np.interp(time_ms[gap], time_ms[ends], out[ends])
                bridged[gap] = True
    validity = np.where(measured, MEASURED, np.where(bridged, INTERPOLATED, MISSING))
    return out, [str(v) for v in validity]


def savitzky_golay(values: FloatArray, width: int, degree: int) -> FloatArray:
    """Local polynomial of `degree` over `width` samples (odd), values without gaps; short ones stay."""
    if len(values) < width:
        return values
    half = width // 2
    x = np.arange(width) - half
    design = np.vander(x.astype(np.float64), degree + 1, increasing=True)
    # Rows of this matrix give the fitted value at each place of a window.
    hat = design @ np.linalg.pinv(design)
    out = np.convolve(values, hat[half][::-1], mode="same")
    out[:half] = hat[:half] @ values[:width]
    out[-half:] = hat[-half:] @ values[-width:]
    return np.asarray(out)


def _median(values: FloatArray, width: int) -> FloatArray:
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return np.asarray(np.nanmedian(windows, axis=1))


def _near_gaps(time_ms: FloatArray, values: FloatArray, margin_ms: float) -> NDArray[np.bool_]:
    near = np.zeros(len(values), dtype=bool)
    for first, last in _runs(~np.isfinite(values)):
        near |= (time_ms >= time_ms[first] - margin_ms) & (time_ms <= time_ms[last] + margin_ms)
    return near


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
