"""How good a recording is, in the field's standard terms; and which frames to look at again.

Purpose: one row per eye and object (`quality`), and a ranked list of doubtful frames (`doubtful`).

Notable choices, after Holmqvist, Nyström and Mulvey (2012, DOI 10.1145/2168556.2168563) and the reporting
guideline of Dunn et al. (2023, DOI 10.3758/s13428-023-02187-1). *Data loss* is the share of expected samples
that are missing or not tracked; the *effective frequency* is the number of tracked samples over the duration;
*sampling jitter* is the standard deviation of the time between frames. *Precision* is told in three ways:
RMS-S2S (root mean square of sample-to-sample distances), STD (root of the summed variances) and BCEA
(bivariate contour ellipse area that holds a share P of .68 of a normal cloud; Crossland and Rubin 2002). For
the whole recording they are medians over windows of 200 ms without a gap (nor a hole in the clock), most of
which lie within a fixation; for each fixation they stand in the table of events. All in the unit of the
signal: px here.

A frame is *doubtful* when something about its mask is unlikely: a low predicted IoU, a jump of the centre
that comes straight back, a sudden change of shape or size, a ragged mask (several parts, or an outline far
from its ellipse), little of the rim in sight, or a pupil outside its iris. Each reason has a weight of 1 at
its threshold, the frame the sum of those above it.

What it does not know: accuracy, which needs a calibration (`calibration.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.eye.long_rows import BLOCK, STATES, LongRows, ObjectRows
from ocusam.eye.signals import BLINK, LOST, TRACKED, is_reflection

FloatArray = NDArray[np.float64]
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
    "sampling_jitter_ms": pl.Float64,
    "precision_std_px": pl.Float64,
    "bcea_px2": pl.Float64,
    "doubtful": pl.Int64,
    "doubtful_share": pl.Float64,
    "perclos": pl.Float64,
}
DOUBTFUL_COLUMNS: dict[str, type[pl.DataType]] = {
    "rank": pl.Int64,
    "frame_idx": pl.Int64,
    "timestamp_ns": pl.Int64,
    "view": pl.Int64,
    "object": pl.String,
    "score": pl.Float64,
    "reason": pl.String,
}
WINDOW_MS = 200.0
HOLE = 1.5
"""A step of so many usual ones or more means that a frame is missing."""
BCEA_SHARE = 0.68
# Value at which a reason begins to count.
LOW_IOU, IOU_DROP = 0.5, 0.2
JUMP = 0.25
"""Distance from the frame before and from the one after, in diameters."""
SHAPE = 0.25
"""Change of the logarithm of an axis against the median of half a second."""
RAGGED = 0.04
"""Distance of the outline from its ellipse, in diameters."""
LITTLE_RIM = 0.35
REFLECTION_PX = 8.0
"""What a reflection's diameter counts at least, where its jumps are judged."""


def quality(signals: pl.DataFrame | LongRows, doubts: pl.DataFrame | None = None) -> pl.DataFrame:
    """Quality of every eye and object of a recording.

    Args:
        signals: rows with states, from `blink.classify`.
        doubts: table of `doubtful`, or None to make it here.

    Returns:
        One row per view and object, columns `QUALITY_COLUMNS`; empty where a value cannot be had (one frame
        only). `perclos` stands in the pupil's row (`blink.perclos`).
    """
    signals = LongRows.of(signals)
    doubts = doubtful(signals) if doubts is None else doubts
    rows: list[tuple[object, ...]] = []
    for view, name in _in_order(signals):
        odd = len(doubts.filter((pl.col("view") == view) & (pl.col("object") == name)))
        rows.append((view, name, *_object_quality(signals.rows(view, name), odd)))
    return pl.DataFrame(rows, schema=QUALITY_COLUMNS, orient="row")


def _in_order(signals: LongRows) -> list[tuple[int, str]]:
    return sorted(signals.objects, key=str)


def _object_quality(part: ObjectRows, odd: int) -> tuple[object, ...]:
    """A row of `QUALITY_COLUMNS`, from `frames` on."""
    time = part.time_ns
    counts = [int((part.states == STATES.index(s)).sum()) for s in (TRACKED, BLINK, LOST)]
    step_ns = part.step_ns
    hz = 1e9 / step_ns if step_ns > 0 else None
    expected = samples_due(time, step_ns)
    duration_s = expected * step_ns / 1e9
    jitter = float(np.diff(time).std()) / 1e6 if len(time) > 1 else None
    xy = np.empty((len(time), 2))
    for k, name in enumerate(("center_x_px", "center_y_px")):
        xy[:, k] = part.numbers(name)
    precision = windowed_precision(xy, step_ns, time_ns=time)
    del xy
    iou = _median(part.numbers("predicted_iou"))
    return (
        len(time), *counts, 1.0 - counts[0] / expected, hz,
        counts[0] / duration_s if duration_s > 0 else None, precision[0], iou,
        jitter, precision[1], precision[2], odd, odd / max(counts[0], 1),
        _perclos(part),
    )  # fmt: skip


def samples_due(time_ns: NDArray[np.int64], step_ns: float) -> int:
    """Samples for which there is room from the first to the last at a step of `step_ns`: frames that a camera
    dropped are missing samples too."""
    if not len(time_ns) or step_ns <= 0:
        return len(time_ns)
    return max(len(time_ns), round((int(time_ns[-1]) - int(time_ns[0])) / step_ns) + 1)


def _perclos(part: ObjectRows) -> float | None:
    """Share of time with the lids at least 80 % closed."""
    if "lid_opening" not in part.names:
        return None
    opening = part.read("lid_opening")
    known = np.isfinite(opening)
    return float((opening[known] <= 0.2).sum()) / np.count_nonzero(known) if known.any() else None


def precision_rms_s2s(xy: FloatArray, step_ns: float, *, window_ms: float = WINDOW_MS) -> float | None:
    """Median over sliding windows of the root mean square of sample-to-sample distances.

    Args:
        xy: (N, 2) px, NaN where not tracked.
        step_ns: time between samples.
        window_ms: window length.

    Returns:
        px, or None when no window is free of gaps.
    """
    return windowed_precision(xy, step_ns, window_ms=window_ms)[0]


def windowed_precision(
    xy: FloatArray,
    step_ns: float,
    *,
    time_ns: NDArray[np.int64] | None = None,
    window_ms: float = WINDOW_MS,
) -> tuple[float | None, float | None, float | None]:
    """(RMS-S2S, STD, BCEA), each the median over sliding windows without a gap; arguments as
    `precision_rms_s2s`, and time_ns (N,), the times of the samples: frames missing from them are a gap
    too."""
    n = max(2, round(window_ms * 1e6 / step_ns)) if step_ns > 0 else 0
    if n < 2 or len(xy) < n:
        return None, None, None
    view = np.lib.stride_tricks.sliding_window_view
    factor = n / (n - 1)
    # Sums over windows by means of means: numbers are centred first to keep their digits.
    center = np.nanmean(xy, axis=0) if np.isfinite(xy).any() else np.zeros(2)
    found = np.empty((3, len(xy) - n + 1))
    for first in range(0, found.shape[1], BLOCK):  # columns of hours are large
        part = xy[first : first + BLOCK + n - 1]
        out = found[:, first : first + BLOCK]
        squared = (np.diff(part, axis=0) ** 2).sum(axis=1)
        out[0] = np.sqrt(view(squared, n - 1).mean(axis=1))
        x, y = (part - center).T
        mean_x, mean_y = (view(v, n).mean(axis=1) for v in (x, y))
        pairs = ((x, mean_x), (y, mean_y))
        var_x, var_y = (np.maximum(view(v * v, n).mean(axis=1) - m**2, 0.0) * factor for v, m in pairs)
        cov = (view(x * y, n).mean(axis=1) - mean_x * mean_y) * factor
        out[1] = np.sqrt(var_x + var_y)
        out[2] = _BCEA_FACTOR * np.sqrt(np.maximum(var_x * var_y - cov**2, 0.0))
        if time_ns is not None:
            out[:, _over_holes(time_ns[first : first + BLOCK + n - 1], n, step_ns)] = np.nan
    rms, std, area = (_median(values) for values in found)
    return rms, std, area


def _over_holes(time_ns: NDArray[np.int64], n: int, step_ns: float) -> NDArray[np.bool_]:
    """(N - n + 1,) whether frames are missing within a window of n samples: one step is too long, and so is
    the window as a whole. A late time stamp makes one long step too, but is made up for by the next."""
    long = np.diff(time_ns) > HOLE * step_ns
    lasts = time_ns[n - 1 :] - time_ns[: len(time_ns) - n + 1]
    some = np.lib.stride_tricks.sliding_window_view(long, n - 1).any(axis=1)
    return np.asarray(some & (lasts > (n - 1 + HOLE - 1.0) * step_ns))


def _median(values: FloatArray) -> float | None:
    values = values[np.isfinite(values)]
    return float(np.median(values, overwrite_input=True)) if len(values) else None


# Area of the ellipse that holds a share P of a normal cloud: 2 k pi sx sy sqrt(1 - r^2), P = 1 - e^-k.
_BCEA_FACTOR = -2.0 * math.log(1.0 - BCEA_SHARE) * math.pi


def rms_s2s(xy: FloatArray) -> float | None:
    """Root mean square of sample-to-sample distances of one event, (N, 2), NaN skipped; None without a
    pair."""
    squared = (np.diff(xy, axis=0) ** 2).sum(axis=1)
    squared = squared[np.isfinite(squared)]
    return float(np.sqrt(squared.mean())) if len(squared) else None


def spread(xy: FloatArray) -> float | None:
    """STD: root of the summed variances of x and y of one event, (N, 2); None below three samples."""
    seen = xy[np.isfinite(xy).all(axis=1)]
    return float(np.sqrt(seen.var(axis=0, ddof=1).sum())) if len(seen) > 2 else None


def bcea(xy: FloatArray) -> float | None:
    """Bivariate contour ellipse area (P = .68) of one event, (N, 2); None below three samples."""
    seen = xy[np.isfinite(xy).all(axis=1)]
    if len(seen) < 3:
        return None
    return _BCEA_FACTOR * math.sqrt(max(float(np.linalg.det(np.cov(seen.T))), 0.0))


def doubtful(signals: pl.DataFrame | LongRows) -> pl.DataFrame:
    """Frames whose mask deserves a look, most doubtful first.

    Args:
        signals: rows with states, from `blink.classify`.

    Returns:
        Columns `DOUBTFUL_COLUMNS`: `score` is the sum over the reasons, each 1 at its threshold; `reason`
        names them, strongest first, separated by "; ". Frames that are lost have no mask to doubt and are not
        listed.
    """
    signals = LongRows.of(signals)
    tables = []
    for view, name in _in_order(signals):
        if name == "sclera":
            continue
        part, iris = signals.rows(view, name), None
        if name == "pupil" and (view, "iris") in signals.objects:
            other = signals.rows(view, "iris")
            iris = other.on(part.frame_idx) if len(other) else None
        found = _doubts(part, iris, reflection=is_reflection(name))
        about = (pl.lit(view, dtype=pl.Int64).alias("view"), pl.lit(name).alias("object"))
        tables.append(found.select("frame_idx", "timestamp_ns", *about, "score", "reason"))
    found = pl.concat(tables) if tables else pl.DataFrame(schema=dict(list(DOUBTFUL_COLUMNS.items())[1:]))
    found = found.sort(["score", "view", "object", "frame_idx"], descending=[True, False, False, False])
    return found.with_row_index("rank", offset=1).cast(DOUBTFUL_COLUMNS)  # type: ignore[arg-type]


def _doubts(part: ObjectRows, iris: ObjectRows | None, *, reflection: bool = False) -> pl.DataFrame:
    """Doubtful frames of one object (and the iris on the same frames): frame_idx, timestamp_ns, score,
    reason."""
    window = max(5, round(0.5 / max(part.step_ns / 1e9 if len(part) > 1 else 1.0, 1e-6)))
    # Some frames at a time, with as many around them as a reason looks at: columns of hours are large.
    found: dict[str, tuple[list[NDArray[np.int64]], list[FloatArray]]] = {}
    for first in range(0, max(len(part), 1), BLOCK):
        start = max(0, first - window)
        near = part.block(start, first + BLOCK + window)
        other = iris.block(start, first + BLOCK + window) if iris is not None else None
        mine = slice(first - start, first - start + BLOCK)
        for name, values in _reasons(near, other, window, reflection):
            weight = np.nan_to_num(values[mine], nan=0.0, posinf=9.0)
            flagged = np.flatnonzero(near.tracked[mine] & (weight >= 1.0))
            places, weights = found.setdefault(name, ([], []))
            places.append(flagged + first)
            weights.append(np.minimum(weight[flagged], 3.0))
    names = list(found)
    at = np.unique(np.concatenate([p for places, _ in found.values() for p in places]))
    table = np.zeros((len(names), len(at)))
    for row, (places, weights) in zip(table, found.values(), strict=True):
        for place, weight in zip(places, weights, strict=True):
            row[np.searchsorted(at, place)] = weight
    reasons = np.array(names)
    texts = [
        "; ".join(reasons[np.argsort(-w, kind="stable")][: np.count_nonzero(w)].tolist()) for w in table.T
    ]
    return pl.DataFrame(
        {
            "frame_idx": pl.Series(part.frame_idx[at], dtype=pl.Int64),
            "timestamp_ns": pl.Series(part.time_ns[at], dtype=pl.Int64),
            "score": table.sum(axis=0),
            "reason": pl.Series(texts, dtype=pl.String),
        }
    )


def _reasons(
    part: ObjectRows, iris: ObjectRows | None, window: int, reflection: bool
) -> Iterator[tuple[str, FloatArray]]:
    """(name, weight of every frame) of each reason."""
    iou = part.numbers("predicted_iou")
    yield "low predicted IoU", np.maximum(_below(iou, LOW_IOU), (_around(iou, window) - iou) / IOU_DROP)
    del iou
    size = part.numbers("major_px")
    usual = _around(size, window)
    xy = np.stack([part.numbers("center_x_px"), part.numbers("center_y_px")], axis=-1)
    # Far from the frame before and from the one after: a step of a saccade is near one of the two.
    steps = np.concatenate([[np.nan], np.hypot(*np.diff(xy, axis=0).T), [np.nan]])
    scale = np.maximum(usual, REFLECTION_PX) if reflection else usual
    yield "jump", np.minimum(steps[:-1], steps[1:]) / (JUMP * scale)
    del steps, scale
    if reflection:  # a spot of few pixels changes its shape with every step of the eye
        return
    minor = part.numbers("minor_px")
    longer, wider = size / usual, minor / _around(minor, window)
    del minor, usual
    yield "shape change", np.maximum(np.abs(np.log(longer)), np.abs(np.log(wider))) / SHAPE
    del longer, wider
    several = (part.numbers("parts") - 1.0).clip(0, 6) / 2.0
    yield "ragged mask", np.maximum(part.numbers("fit_rms_px") / (RAGGED * size), several)
    del several, size
    yield "little rim in sight", _below(part.numbers("rim_share"), LITTLE_RIM)
    if iris is not None:
        x, y, a = (iris.numbers(c) for c in ("center_x_px", "center_y_px", "major_px"))
        # Distance of the pupil's centre from the iris's, 1 at a third of the iris's major axis.
        yield "pupil outside iris", np.hypot(xy[:, 0] - x, xy[:, 1] - y) / (a / 3.0)


def _below(values: FloatArray, limit: float) -> FloatArray:
    """0 above the limit, 1 at it, 2 at zero."""
    return np.where(values < limit, 2.0 - values / limit, 0.0)


def _around(values: FloatArray, window: int) -> FloatArray:
    """Centred running median over the values there are."""
    series = pl.Series(values).fill_nan(None)
    out = series.rolling_median(window_size=window, min_samples=1, center=True)
    return out.cast(pl.Float64).fill_null(float("nan")).to_numpy()
