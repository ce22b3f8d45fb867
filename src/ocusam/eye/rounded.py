"""Ellipses with a weak wish for roundness: what decides where only a short arc is in sight.

Purpose: circles as candidates (`circles`), and a refit in which roundness has a small say (`refit`).

Notable choices: the ellipse is `centre + M u`, u on the unit circle and M symmetric, which is regular at
circles. The wish is a normal prior on M's anisotropy, as a share of the radius, of standard deviation
`ROUNDNESS`: with the whole outline in sight it changes nothing, with two short arcs it keeps a pupil from
becoming as long as the eye is wide. A pupil seen from aside by 37 degrees (axis ratio 0.8) lies one standard
deviation away.

What it does not know: which points are rim.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse

FloatArray = NDArray[np.float64]

ROUNDNESS = 0.1
FLATTEST = 0.2
_ITERATIONS = 4
_ANISOTROPY = np.array([[0.0, 0.0, 0.5, -0.5, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
_STIFFNESS = _ANISOTROPY.T @ _ANISOTROPY
_TINY = 1e-9 * np.eye(5)


def matrix_of(e: Ellipse) -> FloatArray:
    """The symmetric matrix that makes the ellipse of the unit circle. -> (2, 2)."""
    angle, middle, away = math.radians(2.0 * e.angle), 0.25 * (e.major + e.minor), 0.25 * (e.major - e.minor)
    slant = away * math.sin(angle)
    return np.array(
        [[middle + away * math.cos(angle), slant], [slant, middle - away * math.cos(angle)]], dtype=np.float64
    )


def ellipse_of(center: FloatArray, matrix: FloatArray) -> Ellipse:
    """The other way round."""
    (m11, m12), (_, m22) = matrix.tolist()
    middle, away = 0.5 * (m11 + m22), math.hypot(0.5 * (m11 - m22), m12)
    angle = math.degrees(0.5 * math.atan2(2.0 * m12, m11 - m22)) % 180.0
    return Ellipse(
        (float(center[0]), float(center[1])), (2.0 * (middle + away), 2.0 * (middle - away)), angle
    )


def jacobian(normals: FloatArray, unit: FloatArray) -> FloatArray:
    """How far the outline moves along its normals with centre x, y and with m11, m22, m12.

    Args:
        normals: (N, 2) of length 1.
        unit: (N, 2) the points on the unit circle.

    Returns:
        (N, 5).
    """
    return _slopes(*normals.T, *unit.T)


def _slopes(nx: FloatArray, ny: FloatArray, ux: FloatArray, uy: FloatArray) -> FloatArray:
    # Thousands of these are made a second: filling one array is much quicker than stacking five.
    out = np.empty((5, len(nx)))
    out[0], out[1], out[2], out[3] = nx, ny, nx * ux, ny * uy
    out[4] = nx * uy + ny * ux
    return out.T


def wish(matrix: FloatArray, variance: float) -> tuple[FloatArray, FloatArray]:
    """The wish for roundness beside points of weight 1 and this variance (px^2).

    Returns:
        What it adds to the left (5, 5) and to the right side (5,) of the normal equations.
    """
    (m11, m12), (_, m22) = matrix.tolist()
    strength = variance / (ROUNDNESS**2 * abs(m11 * m22 - m12 * m12))
    quarter = 0.25 * (m11 - m22)
    return strength * _STIFFNESS, -strength * np.array([0.0, 0.0, quarter, -quarter, m12])


def moved(center: FloatArray, matrix: FloatArray, step: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Centre and matrix after a step of the five parameters; None where that is no ellipse any more."""
    new = matrix + np.array([[step[2], step[4]], [step[4], step[3]]])
    (m11, m12), (_, m22) = new.tolist()
    middle, away = 0.5 * (m11 + m22), math.hypot(0.5 * (m11 - m22), m12)
    minor, major = middle - away, middle + away
    if not minor > max(0.5, FLATTEST * major) or major > 3.0 * float(np.abs(matrix).max()):
        return None
    return center + step[:2], new


def pull(
    xy: FloatArray, weights: FloatArray, center: FloatArray, matrix: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What weighted points (N, 2) add to the normal equations: left (5, 5), right (5,)."""
    (m11, m12), (_, m22) = matrix.tolist()
    determinant = m11 * m22 - m12 * m12
    i11, i12, i22 = m22 / determinant, -m12 / determinant, m11 / determinant
    dx, dy = xy[:, 0] - center[0], xy[:, 1] - center[1]
    ux, uy = i11 * dx + i12 * dy, i12 * dx + i22 * dy
    length = np.maximum(np.hypot(ux, uy), 1e-9)
    ux, uy = ux / length, uy / length
    nx, ny = i11 * ux + i12 * uy, i12 * ux + i22 * uy
    slope = np.hypot(nx, ny)
    j = _slopes(nx / slope, ny / slope, ux, uy)
    return (j.T * weights) @ j, j.T @ (weights * (length - 1.0) / slope)


def solved(left: FloatArray, right: FloatArray) -> FloatArray | None:
    """The five parameters of normal equations; None where they have no answer. (OpenCV takes a fifth of the
    time that numpy takes for five unknowns.)"""
    found, values = cv2.solve(left, right[:, None], flags=cv2.DECOMP_LU)
    return np.asarray(values[:, 0], dtype=np.float64) if found else None


def refit(xy: FloatArray, weights: FloatArray, start: Ellipse, *, variance: float) -> Ellipse | None:
    """The ellipse that lies best between weighted points, from a start nearby.

    Args:
        xy: (N, 2) px.
        weights: (N,) not negative.
        start: near the answer.
        variance: of the distance of points of weight 1 from the outline, px^2; where k neighbours share
            their error, k times that of one.
    """
    center, matrix = np.array(start.center), matrix_of(start)
    used = weights > 0
    xy, weights = xy[used], weights[used]
    for _ in range(_ITERATIONS):
        left, right = wish(matrix, variance)
        more, towards = pull(xy, weights, center, matrix)
        step = solved(left + more + _TINY, right + towards)
        now = None if step is None else moved(center, matrix, step)
        if now is None:
            return None
        center, matrix = now
    return ellipse_of(center, matrix)


def circles(xy: FloatArray, weights_kn: FloatArray) -> FloatArray:
    """One circle for each row of weights (Kasa's linear fit).

    Returns:
        (K, 5) rows as of `direct_fit.fit_many`, NaN where there is no circle.
    """
    out = np.full((len(weights_kn), 5), np.nan)
    middle = xy.mean(axis=0)
    x, y = (xy - middle).T
    terms = np.stack([x, y, np.ones_like(x)], axis=1)
    left = np.einsum("kn,ni,nj->kij", weights_kn, terms, terms)
    right = np.einsum("kn,ni,n->ki", weights_kn, terms, x * x + y * y)
    good = np.abs(np.linalg.det(left)) > 1e-6
    if not good.any():
        return out
    a, b, c = np.linalg.solve(left[good], right[good][..., None])[..., 0].T
    squared = c + (a * a + b * b) / 4.0
    radius = np.sqrt(np.where(squared > 0, squared, np.nan))
    zero = np.zeros_like(radius)
    out[good] = np.stack([a / 2.0 + middle[0], b / 2.0 + middle[1], 2.0 * radius, 2.0 * radius, zero], axis=1)
    return np.where(np.isfinite(out).all(axis=1)[:, None], out, np.nan)


def flatness_cost(rows_k5: FloatArray) -> FloatArray:
    """What speaks against flat candidates: 0 from an axis ratio of 0.8 on, 0.35 at 0.4 and below. -> (K,)."""
    return np.asarray(0.35 * np.clip((0.8 - rows_k5[:, 3] / rows_k5[:, 2]) / 0.4, 0.0, 1.0))
