"""How good a recording is, in the field's standard terms, first version.

Purpose: one row per eye and object: data loss, effective frequency, precision.

Notable choices, after Holmqvist et al. 2012 (DOI 10.1145/2168556.2168563): *data loss* is the share of
expected samples that are missing or not tracked; the *effective frequency* is the number of tracked samples
over the duration; *precision* RMS-S2S is the root mean square of the distances between successive samples,
taken in sliding windows of 200 ms without a gap, of which the median is reported (most windows of an ordinary
recording lie within a fixation). It is in px of the picture, not in degrees.

What it does not know: fixations, calibration, accuracy.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.eye.signals import BLINK, LOST, TRACKED

QUALITY_COLUMNS: dict[str, type[pl.DataType]] = {
    "view": pl.Int64,
    "object": pl.String,
    "frames": pl.Int64,
    "tracked": pl.Int64,
    "blink": pl.Int64,
    "lost": pl.Int64,
    "data_loss": pl.Float64,
    "sampling_hz": pl.Float64,
    "effective_frequency_hz": pl.Float64,
    "precision_rms_s2s_px": pl.Float64,
    "median_predicted_iou": pl.Float64,
}
WINDOW_MS = 200.0


def quality(signals: pl.DataFrame) -> pl.DataFrame:
    """Quality of every eye and object of a recording.

    Args:
        signals: table with states, from `blink.classify`.

    Returns:
        One row per view and object, columns `QUALITY_COLUMNS`; empty where a value cannot be had (one frame
        only).
    """
    rows: list[tuple[object, ...]] = []
    for (view, name), part in sorted(signals.group_by("view", "object"), key=lambda item: str(item[0])):
        part = part.sort("frame_idx")
        time = part["timestamp_ns"].to_numpy().astype(np.int64)
        states = part["state"]
        counts = [int((states == s).sum()) for s in (TRACKED, BLINK, LOST)]
        steps = np.diff(time)
        step_ns = float(np.median(steps)) if len(steps) else 0.0
        hz = 1e9 / step_ns if step_ns > 0 else None
        # Frames that the clock says should have been there count as missing samples.
        expected = max(
            len(time), round((int(time[-1]) - int(time[0])) / step_ns) + 1 if step_ns > 0 else len(time)
        )
        duration_s = expected * step_ns / 1e9
        xy = part.select("center_x_px", "center_y_px").to_numpy().astype(np.float64)
        xy[(states != TRACKED).to_numpy()] = np.nan
        iou = part.filter(pl.col("state") == TRACKED)["predicted_iou"].median()
        rows.append(
            (
                view,
                name,
                len(time),
                *counts,
                1.0 - counts[0] / expected,
                hz,
                counts[0] / duration_s if duration_s > 0 else None,
                precision_rms_s2s(xy, step_ns),
                iou,
            )
        )
    return pl.DataFrame(rows, schema=QUALITY_COLUMNS, orient="row")


def precision_rms_s2s(
    xy: NDArray[np.float64], step_ns: float, *, window_ms: float = WINDOW_MS
) -> float | None:
    """Median over sliding windows of the root mean square of sample-to-sample distances.

    Args:
        xy: (N, 2) px, NaN where not tracked.
        step_ns: time between samples.
        window_ms: window length.

    Returns:
        px, or None when no window is free of gaps.
    """
    n = max(2, round(window_ms * 1e6 / step_ns)) if step_ns > 0 else 0
    if n < 2 or len(xy) < n:
        return None
    squared = (np.diff(xy, axis=0) ** 2).sum(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(squared, n - 1).mean(axis=1)
    windows = windows[np.isfinite(windows)]
    return float(np.median(np.sqrt(windows))) if len(windows) else None
