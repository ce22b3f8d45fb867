"""Ellipses fitted to outlines of which only a part is a true rim.

Purpose: the complete outline of a pupil or an iris, although a lid, lashes, a reflection or the picture's
border hide part of it.

Notable choices: the direct least-squares fit of Fitzgibbon, Pilu and Fisher (1999, DOI 10.1109/34.765658) in
the numerically stable form of Halir and Flusser (1998), on centred and scaled points, with a weight per
point, for many weightings in one go. What hides an eye cuts its outline *from outside*: points that are not
rim lie inside the true ellipse. So several fits are made, each leaving out another stretch of the outline (or
two opposite ones, as the lids cut the iris), and the one wins that explains most points as rim while almost
no outline lies outside it. A last robust refit (Tukey weights) uses all points that agree with the winner.

What it does not know: the picture. The rim is not refined on the picture's own edge, and the other objects'
masks are not consulted except as `ignore`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.contour import Contour

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MIN_POINTS = 6
_STARTS = 16  # directions in which a stretch of the outline is left out on trial
# Plausibility of an eye's ellipse, wide on purpose: a circle tilted by 78 degrees has the axis ratio 0.2.
_MIN_AXIS_RATIO = 0.2
_MAX_GROWTH = 2.5  # area of the completed ellipse over that of its visible part


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
    return _fit_many(xy, w[None])[0]


def _fit_many(xy: FloatArray, weights_kn: FloatArray) -> list[Ellipse | None]:
    """One fit for each row of weights."""
    none: list[Ellipse | None] = [None] * len(weights_kn)
    if len(xy) < _MIN_POINTS:
        return none
    middle = xy.mean(axis=0)
    scale = float(np.sqrt(((xy - middle) ** 2).sum(axis=1).mean()))
    if not math.isfinite(scale) or scale <= 0:
        return none
    x, y = ((xy - middle) / scale).T
    quadratic_n3 = np.stack([x * x, x * y, y * y], axis=-1)
    linear_n3 = np.stack([x, y, np.ones_like(x)], axis=-1)
    s1, s2, s3 = (
        _scatter(weights_kn, u, v)
        for u, v in ((quadratic_n3, quadratic_n3), (quadratic_n3, linear_n3), (linear_n3, linear_n3))
    )
    solvable = (np.count_nonzero(weights_kn > 0, axis=1) >= _MIN_POINTS) & (np.abs(np.linalg.det(s3)) > 1e-12)
    if not solvable.any():
        return none
    inverse_constraint = np.array([[0.0, 0.0, 0.5], [0.0, -1.0, 0.0], [0.5, 0.0, 0.0]])
    to_linear = -np.linalg.solve(s3[solvable], np.swapaxes(s2[solvable], 1, 2))
    _, vectors = np.linalg.eig(inverse_constraint @ (s1[solvable] + s2[solvable] @ to_linear))
    out = none
    for row, k in enumerate(np.flatnonzero(solvable)):
        out[k] = _from_eigenvectors(np.real(vectors[row]), to_linear[row], middle, scale)
    return out


def _scatter(weights_kn: FloatArray, u_n3: FloatArray, v_n3: FloatArray) -> FloatArray:
    """Weighted sums of outer products, one 3 x 3 matrix for each row of weights. -> (K, 3, 3)."""
    products = (u_n3[:, :, None] * v_n3[:, None, :]).reshape(len(u_n3), 9)
    return np.asarray((weights_kn @ products).reshape(-1, 3, 3), dtype=np.float64)


def _from_eigenvectors(
    vectors: FloatArray, to_linear: FloatArray, middle: FloatArray, scale: float
) -> Ellipse | None:
    """The one eigenvector with 4ac - b^2 > 0 is the ellipse."""
    positive = 4.0 * vectors[0] * vectors[2] - vectors[1] ** 2
    best = int(np.argmax(positive))
    if not positive[best] > 1e-12:
        return None
    quadratic = vectors[:, best]
    a, b, c = (float(v) for v in quadratic)
    d, e, f = (float(v) for v in to_linear @ quadratic)
    det = 4.0 * a * c - b * b
    cx, cy = (b * e - 2.0 * c * d) / det, (b * d - 2.0 * a * e) / det
    value = f + (d * cx + e * cy) / 2.0  # of the conic at its centre
    eigenvalues, directions = np.linalg.eigh(np.array([[a, b / 2.0], [b / 2.0, c]]))
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.sqrt(-value / eigenvalues)
    if not np.isfinite(half).all() or (half <= 0).any():
        return None
    long = int(np.argmax(half))
    angle = math.degrees(math.atan2(directions[1, long], directions[0, long]))
    return Ellipse(
        (cx * scale + middle[0], cy * scale + middle[1]),
        (2.0 * scale * float(half[long]), 2.0 * scale * float(half[1 - long])),
        angle,
    )


def fit_rim(contour: Contour, *, ignore: BoolArray | None = None) -> EllipseFit | None:
    """The ellipse of an object's complete outline from a contour of which a part is true rim.

    Args:
        contour: the outline; points on the picture's border are never rim.
        ignore: (N,) True for points known not to be rim (for instance cut by another object), or None.

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
    if np.count_nonzero(usable) < _MIN_POINTS:
        return None
    tolerance = _tolerance(contour)
    best = _best_candidate(contour, usable, tolerance)
    if best is None:
        return None
    best, reach = _refine(best, contour, usable, tolerance)
    distance = best.distance(xy)
    rim = usable & (np.abs(distance) < reach)
    if np.count_nonzero(rim) < _MIN_POINTS:
        return None
    return EllipseFit(best, float(np.sqrt(np.mean(distance[rim] ** 2))), _angular_share(best, xy[rim]), rim)


def _best_candidate(contour: Contour, usable: BoolArray, tolerance: float) -> Ellipse | None:
    """The weighting whose ellipse explains the outline best; at once the plain fit where it explains nearly
    all of it."""
    xy = contour.points
    plain = _fit_many(xy, usable[None].astype(np.float64))[0]
    if plain is not None and _plausible(plain, contour):
        off = np.abs(plain.distance(xy))[usable]
        if np.mean(off < tolerance / 2.0) > 0.97 and usable.all():
            return plain
    best: Ellipse | None = None
    best_score = -math.inf
    for candidate in _fit_many(xy, _weightings(len(xy)) * usable):
        if candidate is None or not _plausible(candidate, contour):
            continue
        score = _score(candidate.distance(xy), usable, tolerance, candidate.area / contour.area_px)
        if score > best_score + 1e-9:
            best, best_score = candidate, score
    return best


def _tolerance(contour: Contour) -> float:
    """How far a rim point may lie from the ellipse, px: 1.5 % of the object's diameter (a pupil is not an
    exact ellipse) or a fifth of a logit sample, whichever is more."""
    diameter = 2.0 * math.sqrt(max(contour.area_px, 1.0) / math.pi)
    return max(0.015 * diameter, 0.2 * contour.spacing_px, 0.3)


def _plausible(ellipse: Ellipse, contour: Contour) -> bool:
    return (
        ellipse.minor >= _MIN_AXIS_RATIO * ellipse.major
        and ellipse.area <= _MAX_GROWTH * max(contour.area_px, 1.0)
        and bool(np.isfinite(ellipse.area))
    )


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


def _score(distance: FloatArray, usable: BoolArray, tolerance: float, growth: float) -> float:
    """Rim points count for the fit; outline outside the ellipse counts against it (nothing can add to a
    pupil), outline inside it (hidden by something) hardly; needless growth counts a little."""
    relative = distance / tolerance
    rim = np.clip(1.0 - relative**2, 0.0, None) * usable
    outside = np.clip(relative - 1.0, 0.0, 1.0)
    inside = np.clip(-relative - 1.0, 0.0, 1.0)
    return float((rim - outside - 0.2 * inside * usable).mean()) - 0.1 * max(0.0, growth - 1.0)


def _refine(start: Ellipse, contour: Contour, usable: BoolArray, tolerance: float) -> tuple[Ellipse, float]:
    """Robust refit with a reach that shrinks to 4 robust standard deviations of the rim points, so that the
    ends of a lid's edge, which nearly touch the ellipse, lose their say. -> (ellipse, reach px)."""
    best, reach = start, tolerance
    floor = max(0.05 * contour.spacing_px, 0.05)
    for _ in range(5):
        distance = best.distance(contour.points)
        near = usable & (np.abs(distance) < reach)
        if np.count_nonzero(near) < _MIN_POINTS:
            break
        spread = 1.4826 * float(np.median(np.abs(distance[near])))
        next_reach = min(reach, max(4.0 * spread, floor))
        relative = distance / next_reach
        weights = np.where(np.abs(relative) < 1.0, (1.0 - relative**2) ** 2, 0.0) * usable
        fitted = fit_ellipse(contour.points, weights)
        if fitted is None or not _plausible(fitted, contour):
            break
        best, reach = fitted, next_reach
    return best, reach


def _angular_share(ellipse: Ellipse, rim: FloatArray, sectors: int = 36) -> float:
    """Share of equal sectors of the ellipse's parameter angle that hold a rim point."""
    cos, sin = math.cos(math.radians(ellipse.angle)), math.sin(math.radians(ellipse.angle))
    dx, dy = rim[:, 0] - ellipse.center[0], rim[:, 1] - ellipse.center[1]
    t = np.arctan2((dy * cos - dx * sin) / ellipse.minor, (dx * cos + dy * sin) / ellipse.major)
    index = np.floor((t + math.pi) / (2.0 * math.pi) * sectors).astype(int) % sectors
    return len(np.unique(index)) / sectors
