"""Ellipses fitted to outlines of which only a part is a true rim.

Purpose: the complete outline of a pupil or an iris, although a lid, lashes, a reflection or the picture's
border hide part of it.

Notable choices: direct least-squares fits (`direct_fit.py`), many at a time. What hides an eye cuts its
outline *from outside*: points that are not rim lie inside the true ellipse. So several fits are made, each
leaving out another stretch of the outline (or two opposite ones, as the lids cut the iris), ellipses and
circles, and the one wins that explains most points as rim while almost no outline lies outside it; a flat one
has to explain more (two lids make a lying lens of a pupil). A last robust refit (Tukey weights, a weak wish
for roundness: `rounded.py`) uses all points that agree with the winner. An outline of which too little can be
explained so (a ragged mask) is fitted as a whole.

What it does not know: the picture. The rim is not refined on the picture's own edge, and the other objects'
masks are not consulted except as `ignore`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.contour import Contour
from ocusam.eye.direct_fit import MIN_POINTS, distances, fit_many, median
from ocusam.eye.rounded import (
    Around,
    Shape,
    around,
    as_complex,
    circles,
    concentric,
    ellipse_of,
    flatness_cost,
    normals_at,
    refit_shape,
    shape_of,
    unlikeness_cost,
)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# A circle cut by one straight lid keeps more than half of its outline as rim, however little is in sight;
# less than that is no cut circle. Two lids leave less.
_MAJORITY, _MAJORITY_BOTH, _MAJORITY_AROUND = 0.5, 1.0 / 3.0, 0.2  # around something known, least
_STARTS = 16  # directions in which a stretch of the outline is left out on trial
# Plausibility of an eye's ellipse, wide on purpose: a circle tilted by 78 degrees has the axis ratio 0.2.
_MIN_AXIS_RATIO = 0.2
_ROUND = 0.7  # least axis ratio of which nothing more is asked
_STRETCHES = 4  # of rim, at most, where lids cut it
_MAX_GROWTH, _MAX_GROWTH_AROUND = 2.5, 4.0  # area of the completed ellipse over that of its visible part


@dataclass(frozen=True, eq=False)
class EllipseFit:
    """A fitted ellipse and how well it is founded.

    Attributes:
        ellipse: the complete outline, px.
        rms_px: root mean square distance of the rim points from it.
        rim_share: share of the ellipse's outline (by angle at the centre) that has rim points, 0..1.
        rim: (N,) True for the points of the outline taken as true rim.
    """

    ellipse: Ellipse
    rms_px: float
    rim_share: float
    rim: BoolArray


def fit_ellipse(points: ArrayLike, weights: ArrayLike | None = None) -> Ellipse | None:
    """Direct least-squares ellipse through points.

    Args:
        points: (N, 2) x, y px, at least 6 of them with weight.
        weights: (N,) not negative, or None for equal weights.

    Returns:
        The ellipse, or None when the points do not determine one (too few, on a line).

    Raises:
        InputError: if shapes disagree.
    """
    xy = np.asarray(points, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise InputError(f"Points must be (N, 2), got shape {xy.shape}.")
    w = np.ones(len(xy)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (len(xy),):
        raise InputError(f"Weights must be ({len(xy)},) for {len(xy)} points, got shape {w.shape}.")
    return _as_ellipse(fit_many(xy, w[None])[0])


def _as_ellipse(row: FloatArray) -> Ellipse | None:
    if not np.isfinite(row).all():
        return None
    x, y, major, minor, angle = row.tolist()
    return Ellipse((x, y), (major, minor), math.degrees(angle))


def fit_rim(
    contour: Contour,
    *,
    both_lids: bool = False,
    ignore: BoolArray | None = None,
    inner: Ellipse | None = None,
) -> EllipseFit | None:
    """The ellipse of an object's complete outline from a contour of which a part is true rim.

    Args:
        contour: the outline; points on the picture's border are never rim.
        both_lids: the object may be cut on two opposite sides (an iris nearly always is, a pupil hardly
            ever).
        ignore: (N,) True for points known not to be rim (for instance cut by another object), or None.
        inner: what is known to lie in its middle (an iris's pupil), px, or None: then its centre and shape
            are expected where the outline leaves them open.

    Returns:
        The fit, or None in degenerate cases (hardly any rim, a line, an implausible shape).

    Raises:
        InputError: if `ignore` does not have one value per point.
    """
    xy = contour.points
    usable = ~contour.on_border
    if ignore is not None:
        if ignore.shape != usable.shape:
            raise InputError(f"`ignore` must be {usable.shape} like the contour, got {ignore.shape}.")
        usable = usable & ~ignore
    if np.count_nonzero(usable) < MIN_POINTS:
        return None
    tolerance = _tolerance(contour)
    within = None if inner is None else around(inner)
    best = _best_candidate(contour, usable, tolerance, within)
    if best is None:
        return None
    rim = (np.abs(best.distance(xy)) < tolerance)[usable]
    # Two lids leave a round pupil two stretches of rim; a ragged mask agrees with anything here and there.
    stretches = np.count_nonzero(rim & ~np.roll(rim, 1))
    cut_twice = both_lids or (best.minor > _ROUND * best.major and stretches <= _STRETCHES)
    least = _MAJORITY_AROUND if inner is not None else _MAJORITY_BOTH if cut_twice else _MAJORITY
    if np.mean(rim) < least:
        return _fit_all(contour, usable)
    best, reach = _refine(best, contour, usable, tolerance, within)
    distance = best.distance(xy)
    rim = usable & (np.abs(distance) < reach)
    if np.count_nonzero(rim) < MIN_POINTS:
        return None
    return EllipseFit(best, float(np.sqrt(np.mean(distance[rim] ** 2))), _angular_share(best, xy[rim]), rim)


def _fit_all(contour: Contour, usable: BoolArray) -> EllipseFit | None:
    """An outline too irregular to tell rim from lid: the plain fit to all of it, with few points called
    rim."""
    plain = _as_ellipse(fit_many(contour.points, usable[None].astype(np.float64))[0])
    if plain is None or not _plausible(plain, contour):
        return None
    distance = plain.distance(contour.points)
    rim = usable & (np.abs(distance) < _tolerance(contour))
    rms = float(np.sqrt(np.mean(distance[usable] ** 2)))
    return EllipseFit(plain, rms, _angular_share(plain, contour.points[rim]), rim)


def _best_candidate(
    contour: Contour, usable: BoolArray, tolerance: float, inner: Around | None
) -> Ellipse | None:
    """The weighting whose ellipse explains the outline best; at once the plain fit where it explains nearly
    all of it."""
    xy = contour.points
    plain = _as_ellipse(fit_many(xy, usable[None].astype(np.float64))[0])
    if (
        plain is not None
        and _plausible(plain, contour)
        and usable.all()
        and plain.minor > _ROUND * plain.major
    ):
        off = np.abs(plain.distance(xy))
        if np.mean(off < tolerance / 2.0) > 0.97:
            return plain
    weightings = _weightings(len(xy)) * usable
    rows = np.concatenate([fit_many(xy, weightings), circles(xy, weightings)])
    if inner is not None:
        rows = np.concatenate([rows, concentric(xy[usable], inner)])
    growth = math.pi / 4.0 * rows[:, 2] * rows[:, 3] / max(contour.area_px, 1.0)
    rows = rows[(growth <= _most(inner)) & (rows[:, 3] >= _MIN_AXIS_RATIO * rows[:, 2])]
    if not len(rows):
        return None
    growth = math.pi / 4.0 * rows[:, 2] * rows[:, 3] / max(contour.area_px, 1.0)
    cost = flatness_cost(rows) if inner is None else unlikeness_cost(rows, inner)
    scores = _scores(distances(rows, xy), usable, tolerance, growth) - cost
    return _as_ellipse(rows[int(np.argmax(scores))])


def _most(inner: Around | None) -> float:
    return _MAX_GROWTH if inner is None else _MAX_GROWTH_AROUND


def _tolerance(contour: Contour) -> float:
    """How far a rim point may lie from the ellipse, px: 1.5 % of the object's diameter (a pupil is not an
    exact ellipse) or a fifth of a logit sample, whichever is more."""
    diameter = 2.0 * math.sqrt(max(contour.area_px, 1.0) / math.pi)
    return max(0.015 * diameter, 0.2 * contour.spacing_px, 0.3)


def _plausible(ellipse: Ellipse | Shape, contour: Contour, inner: Around | None = None) -> bool:
    return (
        ellipse.minor >= _MIN_AXIS_RATIO * ellipse.major
        and ellipse.area <= _most(inner) * max(contour.area_px, 1.0)
        and math.isfinite(ellipse.area)
    )


@lru_cache(maxsize=4)
def _weightings(n: int) -> FloatArray:
    """Rows of 0/1 weights: all points; one stretch left out; two opposite stretches left out."""
    rows = [np.ones(n)]
    for share in (0.2, 0.35, 0.5):
        for start in range(_STARTS):
            rows.append(_without(n, start / _STARTS, share))
    for share in (0.15, 0.25, 0.35):
        for start in range(_STARTS // 2):
            rows.append(_without(n, start / _STARTS, share) * _without(n, start / _STARTS + 0.5, share))
    return np.stack(rows)


def _without(n: int, start: float, share: float) -> FloatArray:
    position = (np.arange(n) / n - start) % 1.0
    return np.asarray(position >= share, dtype=np.float64)


def _scores(distance_kn: FloatArray, usable: BoolArray, tolerance: float, growth_k: FloatArray) -> FloatArray:
    """Rim points count for the fit; outline outside the ellipse counts against it (nothing can add to a
    pupil), outline inside it (hidden by something) hardly; needless growth counts a little. -> (K,)."""
    relative = distance_kn / tolerance
    rim = np.maximum(1.0 - relative * relative, 0.0)
    outside = np.minimum(np.maximum(relative - 1.0, 0.0), 1.0)
    inside = np.minimum(np.maximum(-relative - 1.0, 0.0), 1.0)
    scores = ((rim - 0.2 * inside) @ usable - outside.sum(axis=1)) / distance_kn.shape[1]
    return np.asarray(scores - 0.1 * np.maximum(0.0, growth_k - 1.0))


def _refine(
    start: Ellipse, contour: Contour, usable: BoolArray, tolerance: float, inner: Around | None
) -> tuple[Ellipse, float]:
    """Robust refit with a reach that shrinks to 4 robust standard deviations of the rim points, so that the
    ends of a lid's edge, which nearly touch the ellipse, lose their say. -> (ellipse, reach px)."""
    points = as_complex(contour.points)
    best, reach = shape_of(start), tolerance
    floor = max(0.05 * contour.spacing_px, 0.05)
    for _ in range(5):
        at = normals_at(points, best)
        distance = np.abs(at[2])
        near = distance[usable & (distance < reach)]
        if len(near) < MIN_POINTS:
            break
        spread = 1.4826 * median(near)
        next_reach = min(reach, max(4.0 * spread, floor))
        weights = np.maximum(1.0 - (distance / next_reach) ** 2, 0.0) ** 2 * usable
        # Neighbouring points of an outline share their error over about a logit sample.
        step = 2.0 * math.pi * best.p / len(weights)
        together = max(1.0, 2.0 * contour.spacing_px / max(step, 1e-6))
        variance = max(spread, 0.05 * contour.spacing_px) ** 2 * together
        fitted = refit_shape(points, weights, best, variance, at, inner=inner)
        if fitted is None or not _plausible(fitted, contour, inner):
            break
        best, reach = fitted, next_reach
    return ellipse_of(best), reach


def _angular_share(ellipse: Ellipse, rim: FloatArray, sectors: int = 36) -> float:
    """Share of equal sectors of the ellipse's parameter angle that hold a rim point."""
    cos, sin = math.cos(math.radians(ellipse.angle)), math.sin(math.radians(ellipse.angle))
    dx, dy = rim[:, 0] - ellipse.center[0], rim[:, 1] - ellipse.center[1]
    t = np.arctan2((dy * cos - dx * sin) / ellipse.minor, (dx * cos + dy * sin) / ellipse.major)
    index = np.floor((t + math.pi) / (2.0 * math.pi) * sectors).astype(int) % sectors
    return len(set(index.tolist())) / sectors
