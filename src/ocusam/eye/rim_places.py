"""Where on each of many lines across a rim its edge is, and which of these places belong together.

Purpose: the rough steps of `rim.py`, before `rim_polish.py`.

Notable choices: a place counts only where both sides of its step look like those of most lines: a lid,
lashes, the picture's border or a reflection lying on the rim look different (a reflection's near edge is a
strong step of the right direction, but what lies behind it is too bright). Sub-pixel places come from a
parabola through the gradient's peak. Which places belong together is tried out: ellipses and circles through
all of them but one stretch, and the one wins that has most places close by.

What it does not know: pictures.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.direct_fit import MIN_POINTS, distances, fit_many, median
from ocusam.eye.rounded import Around, ComplexArray, circles, flatness_cost, unlikeness_cost

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

STEP_PX = 0.5
"""Distance of the levels along a line."""
_FLATTEST = 0.25  # least axis ratio: a circle tilted by 75 degrees
_USUAL = 30.0  # percentile of the steps


def places_on(
    lines: FloatArray, offsets: FloatArray, contrast: float, seen: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """The strongest step of the right direction on each line, its two sides like most other lines'.

    Args:
        lines: (N, K) grey levels from inside to outside, NaN outside the picture.
        offsets: (K,) where they are, px from the line's middle, `STEP_PX` apart.
        contrast: grey levels from the inner to the outer side, of most lines.
        seen: (N,) lines that may cross the rim.

    Returns:
        offset px (N,) from the line's middle, and whether it counts (N,).
    """
    # Of two steps the one nearer to where the edge is expected, unless it is much weaker.
    likely = np.exp(-0.5 * (offsets / offsets[-1]) ** 2) * math.copysign(0.5, contrast)
    slope = np.full_like(lines, -np.inf)
    np.multiply(lines[:, 2:] - lines[:, :-2], likely[1:-1], out=slope[:, 1:-1])
    if not math.isfinite(lines.sum()):
        slope[np.isnan(slope)] = -np.inf
    best = np.argmax(slope, axis=1)
    rows = np.arange(len(lines))
    peak = slope[rows, best]
    before, after = (
        slope[rows, np.maximum(best - 1, 0)],
        slope[rows, np.minimum(best + 1, slope.shape[1] - 1)],
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = 0.5 * (before - after) / (before - 2.0 * peak + after)
    shift = np.where(np.isfinite(shift) & (np.abs(shift) <= 1.0), shift, 0.0)
    near = max(2, round(2.0 / STEP_PX))
    inside = lines[rows, np.maximum(best - near, 0)]
    outside = lines[rows, np.minimum(best + near, lines.shape[1] - 1)]
    valid = seen & np.isfinite(peak) & (peak > 0) & np.isfinite(inside) & np.isfinite(outside)
    if np.count_nonzero(valid) < MIN_POINTS:
        return offsets[best], np.zeros(len(lines), dtype=np.bool_)
    step = (outside - inside) * math.copysign(1.0, contrast)
    steep = valid & (step > 0.15 * abs(contrast))
    if np.count_nonzero(steep) < MIN_POINTS:
        return offsets[best], np.zeros(len(lines), dtype=np.bool_)
    # A lid is brighter than the iris beside it: the usual step is one of the smaller ones.
    usual = _percentile(step[steep], _USUAL)
    usual_inside = median(inside[steep])
    valid = steep & (np.abs(inside - usual_inside) < 0.5 * usual)
    valid &= (step > 0.45 * usual) & (step < 2.0 * usual)
    return offsets[best] + shift * STEP_PX, np.asarray(valid, dtype=np.bool_)


def _percentile(values: FloatArray, percent: float) -> float:
    """As `np.percentile`, of finite values (N,), in a fraction of its time for few of them."""
    ordered = np.sort(values)
    at = (len(values) - 1) * percent / 100.0
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (at - low))


def consensus(places: ComplexArray, valid: BoolArray, near: float, inner: Around | None) -> Ellipse | None:
    """Of fits that each leave out another stretch, the one with most places within `near` px; None: no fit.
    `inner`: what lies within, instead of the wish for roundness."""
    xy = places.view(np.float64).reshape(-1, 2)
    weightings = _leave_out(len(xy)) * valid
    rows = np.concatenate([fit_many(xy, weightings), circles(xy, weightings)])
    rows = rows[np.isfinite(rows).all(axis=1)]
    rows = rows[rows[:, 3] >= _FLATTEST * rows[:, 2]] if len(rows) else rows
    if not len(rows):
        return None
    votes = np.maximum(1.0 - (distances(rows, xy[valid]) / near) ** 2, 0.0).mean(axis=1)
    cost = flatness_cost(rows) if inner is None else unlikeness_cost(rows, inner)
    x, y, major, minor, angle = rows[int(np.argmax(votes - cost))].tolist()
    return Ellipse((x, y), (major, minor), math.degrees(angle) % 180.0)


@lru_cache(maxsize=2)
def _leave_out(n: int) -> FloatArray:
    """Rows of 0/1 weights: all places; then one stretch of three sizes left out in twelve directions."""
    rows = [np.ones(n)]
    for share in (0.2, 0.35, 0.5):
        for start in range(12):
            rows.append((((np.arange(n) / n) - start / 12.0) % 1.0 >= share).astype(np.float64))
    return np.stack(rows)
