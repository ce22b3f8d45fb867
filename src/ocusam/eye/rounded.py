"""Ellipses with a weak wish for roundness: what decides where only a short arc is in sight.

Purpose: circles as candidates (`circles`), and a refit in which roundness has a small say (`refit_shape`).

Notable choices: the ellipse is `centre + p u + q conj(u)`, u on the unit circle, p real (the mean semi-axis)
and q complex (half the difference of the semi-axes, turned by twice the angle): `Shape`, which is regular at
circles. The wish is a normal prior on q as a share of the radius, of standard deviation `ROUNDNESS`: with the
whole outline in sight it changes nothing, with two short arcs it keeps a pupil from becoming as long as the
eye is wide. A pupil seen from aside by 37 degrees (axis ratio 0.8) lies one standard deviation away.

What lies around something round that is known, as an iris lies around its pupil, has a better prior than
roundness: `Around`, nearly the same centre and nearly the same shape. It too decides only where the outline
leaves something open.

Points are complex numbers here, x + iy: thousands of these fits are made a second, each of a few dozen
points, and what takes time is the number of calls into numpy, not the arithmetic.

What it does not know: which points are rim.
"""

from __future__ import annotations

import cmath
import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
At = tuple[ComplexArray, ComplexArray, FloatArray]
"""What `normals_at` says of points."""

ROUNDNESS = 0.1
OFFSET, LIKENESS = 0.06, 0.06
"""Standard deviations of an iris's centre from its pupil's (in each direction, as a share of the mean
semi-axis; rendered eyes, which have a refracting cornea, stay below .13) and of how their shapes differ."""
FLATTEST = 0.2
_ITERATIONS = 4
_STILL_PX = 3e-3  # what is left after so small a step is a hundred times less
_TINY = 1e-9 * np.eye(5)


class Shape(NamedTuple):
    """An ellipse `center + p u + q conj(u)`, px; `|q| < p`."""

    center: complex
    p: float
    q: complex

    @property
    def determinant(self) -> float:
        """Product of the semi-axes, px^2."""
        return self.p * self.p - abs(self.q) ** 2

    @property
    def major(self) -> float:
        """Full length of the longer axis, px."""
        return 2.0 * (self.p + abs(self.q))

    @property
    def minor(self) -> float:
        """Full length of the shorter axis, px."""
        return 2.0 * (self.p - abs(self.q))

    @property
    def area(self) -> float:
        """Area, px^2."""
        return math.pi * self.determinant

    @property
    def radius(self) -> float:
        """That of the circle of the same area, px."""
        return math.sqrt(abs(self.determinant))


class Around(NamedTuple):
    """What something round says of what lies around it: the centre, px, and `q / p` of its shape."""

    center: complex
    flatness: complex


def around(inner: Ellipse) -> Around:
    """What an ellipse says of one around it."""
    shape = shape_of(inner)
    return Around(shape.center, shape.q / shape.p)


def as_complex(xy: FloatArray) -> ComplexArray:
    """(N, 2) points as complex numbers (N,)."""
    return np.ascontiguousarray(xy, dtype=np.float64).view(np.complex128)[:, 0]


def shape_of(e: Ellipse) -> Shape:
    """The shape of an ellipse."""
    q = cmath.rect(0.25 * (e.major - e.minor), math.radians(2.0 * e.angle))
    return Shape(complex(*e.center), 0.25 * (e.major + e.minor), q)


def ellipse_of(shape: Shape) -> Ellipse:
    """The other way round."""
    angle = math.degrees(0.5 * cmath.phase(shape.q)) % 180.0
    axes = (shape.major, shape.minor)
    return Ellipse((shape.center.real, shape.center.imag), axes, angle)


def jacobian(normals: ComplexArray, unit: ComplexArray) -> FloatArray:
    """How far the outline moves along its normals with the centre's x and y, q's real and imaginary part, p.

    Args:
        normals: (N,) of length 1.
        unit: (N,) points on the unit circle.

    Returns:
        (N, 5).
    """
    out = np.empty((len(normals), 3), dtype=np.complex128)
    out[:, 0] = normals
    np.multiply(normals, unit, out=out[:, 1])
    np.multiply(normals, unit.conj(), out=out[:, 2])
    return out.view(np.float64)[:, :5]


def wish(
    shape: Shape, variance: float, around: Around | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The wish for roundness, or for lying around something, beside points of weight 1 and this variance
    (px^2).

    Returns:
        What it adds to the normal equations: to the first four of the diagonal, and to the right side there.
    """
    unit = variance / abs(shape.determinant)
    if around is None:
        strength = unit / ROUNDNESS**2
        return (0.0, 0.0, strength, strength), (0.0, 0.0, -strength * shape.q.real, -strength * shape.q.imag)
    place, like = unit / OFFSET**2, unit / LIKENESS**2
    off, unlike = around.center - shape.center, around.flatness * shape.p - shape.q
    return (place, place, like, like), (
        place * off.real,
        place * off.imag,
        like * unlike.real,
        like * unlike.imag,
    )


def with_wish(
    left: FloatArray, right: FloatArray, shape: Shape, variance: float, around: Around | None = None
) -> tuple[FloatArray, FloatArray]:
    """Add the wish to normal equations, in place."""
    diagonal, pulls = wish(shape, variance, around)
    for k in range(4):
        left[k, k] += diagonal[k]
        right[k] += pulls[k]
    return left, right


def moved(shape: Shape, step: FloatArray) -> Shape | None:
    """The shape after a step of the five parameters; None where that is no ellipse any more."""
    x, y, real, imaginary, along = step.tolist()
    p, q = shape.p + along, shape.q + complex(real, imaginary)
    away = abs(q)
    if not p - away > max(0.5, FLATTEST * (p + away)) or p + away > 3.0 * (shape.p + abs(shape.q.real)):
        return None
    return Shape(shape.center + complex(x, y), p, q)


def normals_at(points: ComplexArray, shape: Shape) -> At:
    """For points anywhere but the centre: the point of the unit circle that belongs to each, the outline's
    normal there, and the distance from the outline (first order, positive outside) px. -> (N,) each."""
    center, p, q = shape
    det = shape.determinant
    away = points - center
    unit = p * away
    unit -= q * away.conj()
    length = np.maximum(np.abs(unit), 1e-9)
    unit /= length
    normal = p * unit
    normal -= q * unit.conj()
    slope = np.abs(normal)
    normal /= slope
    return unit, normal, (length - det) / slope


def pull(at: At, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What weighted points (N,), seen from a shape, add to the normal equations: left (5, 5), right (5,)."""
    unit, normal, away = at
    slopes = jacobian(normal, unit)
    weighted = slopes.T * weights
    return weighted @ slopes, weighted @ away


def solved(left: FloatArray, right: FloatArray) -> FloatArray | None:
    """What a few normal equations say; None where they have no answer. (OpenCV takes a fifth of the time that
    numpy takes for five unknowns.)"""
    found, values = cv2.solve(left, right[:, None], flags=cv2.DECOMP_LU)
    return np.asarray(values[:, 0], dtype=np.float64) if found else None


def inverse(matrix: FloatArray) -> FloatArray:
    """Of a small matrix; zeros where there is none. (OpenCV again.)"""
    return np.asarray(cv2.invert(matrix, flags=cv2.DECOMP_LU)[1], dtype=np.float64)


def refit_shape(
    points: ComplexArray,
    weights: FloatArray,
    start: Shape,
    variance: float,
    at: At | None = None,
    *,
    inner: Around | None = None,
) -> Shape | None:
    """The shape that lies best between weighted points.

    Args:
        points: (N,) px.
        weights: (N,) not negative; places without weight have no say.
        start: near the answer.
        variance: of the distance of points of weight 1 from the outline, px^2; where k neighbours share
            their error, k times that of one.
        at: the points seen from the start (`normals_at`), where that is known already.
        inner: what lies within, instead of the wish for roundness.
    """
    used = weights > 0
    points, weights = points[used], weights[used]
    at = normals_at(points, start) if at is None else (at[0][used], at[1][used], at[2][used])
    shape = start
    for number in range(_ITERATIONS):
        if number:
            at = normals_at(points, shape)
        left, right = with_wish(*pull(at, weights), shape, variance, inner)
        step = solved(left + _TINY, right)
        now = None if step is None else moved(shape, step)
        if step is None or now is None:
            return None
        shape = now
        if np.abs(step).max() < _STILL_PX:
            break
    return shape


def circles(xy: FloatArray, weights_kn: FloatArray) -> FloatArray:
    """One circle for each row of weights (Kasa's linear fit).

    Returns:
        (K, 5) rows as of `direct_fit.fit_many`, NaN where there is no circle.
    """
    out = np.full((len(weights_kn), 5), np.nan)
    middle = xy.mean(axis=0)
    x, y = (xy - middle).T
    one = np.ones_like(x)
    terms = np.stack([x, y, one], axis=1)
    square = x * x + y * y
    products = np.concatenate(
        [(terms[:, :, None] * terms[:, None, :]).reshape(-1, 9), terms * square[:, None]], axis=1
    )
    sums = weights_kn @ products
    left, right = sums[:, :9].reshape(-1, 3, 3), sums[:, 9:]
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


def unlikeness_cost(rows_k5: FloatArray, inner: Around) -> FloatArray:
    """What speaks against candidates (`direct_fit.fit_many`) around something known: 0 up to twice the usual
    offset and difference of shapes, .35 for each from five times on. -> (K,)."""
    x, y, major, minor, angle = rows_k5.T
    mean = 0.25 * (major + minor)
    off = np.hypot(x - inner.center.real, y - inner.center.imag) / mean
    unlike = np.abs(0.25 * (major - minor) / mean * np.exp(2j * angle) - inner.flatness)
    return np.asarray(
        0.35 * np.clip((off / OFFSET - 2.0) / 3.0, 0.0, 1.0)
        + 0.35 * np.clip((unlike / LIKENESS - 2.0) / 3.0, 0.0, 1.0)
    )


def concentric(xy: FloatArray, inner: Around) -> FloatArray:
    """Candidates of exactly that centre and shape, through points (N, 2) nearer and farther away. -> (K, 5)
    rows as of `direct_fit.fit_many`."""
    flatness = abs(inner.flatness)
    unit = Shape(inner.center, 1.0, inner.flatness)
    away = as_complex(xy) - unit.center
    # The ellipse of this centre and shape through a point: its mean semi-axis.
    scale = np.abs(away - unit.q * away.conj()) / unit.determinant
    scale.sort()
    at = np.linspace(0.3, 1.0, 15) * (len(scale) - 1)
    p = np.interp(at, np.arange(len(scale)), scale)  # as `np.percentile`, in a tenth of its time
    out = np.empty((len(p), 5))
    out[:, 0], out[:, 1] = inner.center.real, inner.center.imag
    out[:, 2], out[:, 3] = 2.0 * p * (1.0 + flatness), 2.0 * p * (1.0 - flatness)
    out[:, 4] = 0.5 * cmath.phase(inner.flatness)
    return out
