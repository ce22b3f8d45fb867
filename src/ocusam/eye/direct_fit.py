"""Direct least-squares ellipse fits, many weightings of the same points in one go.

Purpose: the algebra under `ellipse.py`: the fit of Fitzgibbon, Pilu and Fisher (1999, DOI 10.1109/34.765658)
in the numerically stable form of Halir and Flusser (1998), on centred and scaled points.

Notable choices: everything is vectorised over the weightings; an ellipse is a row (center x, center y, major,
minor, angle in radians), full axes, NaN where the points do not determine one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
MIN_POINTS = 6
_INVERSE_CONSTRAINT = np.array([[0.0, 0.0, 0.5], [0.0, -1.0, 0.0], [0.5, 0.0, 0.0]])


def fit_many(xy: FloatArray, weights_kn: FloatArray) -> FloatArray:
    """Fit one ellipse for each row of weights.

    Args:
        xy: (N, 2) points, px.
        weights_kn: (K, N), not negative.

    Returns:
        (K, 5) rows (center x, center y, major, minor, angle rad); NaN rows where there is no ellipse.
    """
    out = np.full((len(weights_kn), 5), np.nan)
    if len(xy) < MIN_POINTS:
        return out
    middle = xy.mean(axis=0)
    scale = float(np.sqrt(((xy - middle) ** 2).sum(axis=1).mean()))
    if not math.isfinite(scale) or scale <= 0:
        return out
    x, y = ((xy - middle) / scale).T
    terms_n6 = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)], axis=-1)
    products = (terms_n6[:, :, None] * terms_n6[:, None, :]).reshape(len(xy), 36)
    scatter = (weights_kn @ products).reshape(-1, 6, 6)
    s1, s2, s3 = scatter[:, :3, :3], scatter[:, :3, 3:], scatter[:, 3:, 3:]
    enough = (weights_kn > 0).sum(axis=1) >= MIN_POINTS
    solvable = np.flatnonzero(enough & (np.abs(np.linalg.det(s3)) > 1e-12))
    if not len(solvable):
        return out
    to_linear: FloatArray = np.asarray(
        -np.linalg.solve(s3[solvable], np.swapaxes(s2[solvable], 1, 2)), np.float64
    )
    _, vectors = np.linalg.eig(_INVERSE_CONSTRAINT @ (s1[solvable] + s2[solvable] @ to_linear))
    out[solvable] = _parameters(np.asarray(np.real(vectors), dtype=np.float64), to_linear, middle, scale)
    return out


def median(values: NDArray[Any]) -> float:
    """Median of finite values (N,), N at least 1: numpy's own takes several times as long for few of them."""
    half = len(values) // 2
    parted = np.partition(values, half)
    upper = float(parted[half])
    return upper if len(values) % 2 else 0.5 * (float(parted[:half].max()) + upper)


def fit_each(xy_kn2: FloatArray, weights_kn: FloatArray) -> FloatArray:
    """Fit one ellipse to each of K sets of N points (`fit_many` is for many weightings of one set).

    Args:
        xy_kn2: (K, N, 2) points, px.
        weights_kn: (K, N), not negative.

    Returns:
        (K, 5) rows as of `fit_many`; NaN rows where there is no ellipse.
    """
    out = np.full((len(weights_kn), 5), np.nan)
    middle = xy_kn2.mean(axis=1)
    scale = np.sqrt(((xy_kn2 - middle[:, None]) ** 2).sum(axis=2).mean(axis=1))
    good = np.flatnonzero(
        (np.count_nonzero(weights_kn > 0, axis=1) >= MIN_POINTS) & np.isfinite(scale) & (scale > 0)
    )
    if not len(good):
        return out
    x, y = np.moveaxis((xy_kn2[good] - middle[good, None]) / scale[good, None, None], 2, 0)
    quadratic = np.stack([x * x, x * y, y * y], axis=-1)
    linear = np.stack([x, y, np.ones_like(x)], axis=-1)
    weighed = weights_kn[good, :, None]
    s1 = np.swapaxes(quadratic * weighed, 1, 2) @ quadratic
    s2 = np.swapaxes(quadratic * weighed, 1, 2) @ linear
    s3 = np.swapaxes(linear * weighed, 1, 2) @ linear
    solvable = np.flatnonzero(np.abs(np.linalg.det(s3)) > 1e-12)
    if not len(solvable):
        return out
    s1, s2, s3, good = s1[solvable], s2[solvable], s3[solvable], good[solvable]
    to_linear = np.asarray(-np.linalg.solve(s3, np.swapaxes(s2, 1, 2)), dtype=np.float64)
    _, vectors = np.linalg.eig(_INVERSE_CONSTRAINT @ (s1 + s2 @ to_linear))
    unit = _parameters(np.asarray(np.real(vectors), dtype=np.float64), to_linear, np.zeros(2), 1.0)
    unit[:, :4] *= scale[good, None]
    unit[:, :2] += middle[good]
    out[good] = unit
    return out


def distances(ellipses_k5: FloatArray, xy: FloatArray) -> FloatArray:
    """Signed distances (first order, positive outside) of N points from K ellipses. -> (K, N) px."""
    cx, cy, major, minor, angle = (column[:, None] for column in ellipses_k5.T)
    cos, sin, a, b = np.cos(angle), np.sin(angle), major / 2.0, minor / 2.0
    dx, dy = xy[:, 0] - cx, xy[:, 1] - cy
    u, v = dx * (cos / a) + dy * (sin / a), dy * (cos / b) - dx * (sin / b)
    # Roots of sums of squares: `np.hypot` takes many times as long, and nothing here can overflow.
    squared = u * u + v * v
    u /= a
    v /= b
    value = np.sqrt(squared)
    slope = np.sqrt(u * u + v * v) / np.maximum(value, 1e-12)
    return np.asarray((value - 1.0) / np.maximum(slope, 1e-12), dtype=np.float64)


def _parameters(vectors: FloatArray, to_linear: FloatArray, middle: FloatArray, scale: float) -> FloatArray:
    """Of each matrix's eigenvectors the one with 4ac - b^2 > 0 is the ellipse. -> (K, 5)."""
    determinants = 4.0 * vectors[:, 0] * vectors[:, 2] - vectors[:, 1] ** 2
    best = np.argmax(determinants, axis=1)
    rows = np.arange(len(vectors))
    det = determinants[rows, best]
    quadratic = vectors[rows, :, best]
    quadratic = quadratic * np.where(quadratic[:, 0] + quadratic[:, 2] < 0, -1.0, 1.0)[:, None]
    a, b, c = quadratic.T
    d, e, f = (to_linear @ quadratic[:, :, None])[:, :, 0].T
    with np.errstate(divide="ignore", invalid="ignore"):
        cx, cy = (b * e - 2.0 * c * d) / det, (b * d - 2.0 * a * e) / det
        value = f + (d * cx + e * cy) / 2.0  # of the conic at its centre, negative for a real ellipse
        spread = np.hypot((a - c) / 2.0, b / 2.0)
        minor = 2.0 * np.sqrt(-value / ((a + c) / 2.0 + spread))
        major = 2.0 * np.sqrt(-value / ((a + c) / 2.0 - spread))
    angle = (np.arctan2(b, a - c) / 2.0 + math.pi / 2.0) % math.pi
    out = np.stack(
        [cx * scale + middle[0], cy * scale + middle[1], major * scale, minor * scale, angle], axis=1
    )
    good = np.isfinite(out).all(axis=1) & (det > 1e-12) & (minor > 0)
    return np.asarray(np.where(good[:, None], out, np.nan), dtype=np.float64)
