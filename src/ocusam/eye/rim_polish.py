"""The last step to a rim: an ellipse matched to the edge's own course, and how sure it is.

Purpose: `polish` takes an ellipse that lies on the right edge and moves it to the place that the picture
supports best; it says with which standard deviations.

Notable choices. The grey levels along each normal are matched with a blurred step as wide as the edge is on
average, of free height and ground: `level = ground + height * step(x - place)`, linearised, one small least
squares for all normals at once. Where an edge is blurred this is several times less noisy than the steepest
place. Normals whose height or inner side is unlike most others' count less or not at all (lids, lashes,
reflections), and so do places far from the ellipse; all weights change smoothly, since a place that is in on
one frame and out on the next makes a still eye tremble. The fit goes on until it stands still, so that the
answer does not remember where the mask began.

A weak wish for roundness (`rounded.py`) decides only what a short arc leaves open.

The standard deviations are those of noise: how much the result would scatter if the same still eye were
filmed again. The noise of the pixels is measured inside the pupil, which is even. Smoothing with a Gaussian
of sigma s makes the noise of places at a distance d correlate as exp(-d^2 / 4 s^2); with this the places'
covariance K is carried through the fit: (J'UJ)^-1 J'U K U J (J'UJ)^-1. The fixed texture of the iris, which
pulls places to and fro but stays where it is, does not scatter and is not in it; it is in the fit's residual
(`rms_px`).

What it does not know: whether it is the right edge; noise that depends on brightness or that a codec made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.pixel_noise import noise_within
from ocusam.eye.rounded import (
    ComplexArray,
    Shape,
    as_complex,
    ellipse_of,
    jacobian,
    moved,
    normals_at,
    pull,
    shape_of,
    solved,
    with_wish,
)

FloatArray = NDArray[np.float64]
F32 = NDArray[np.float32]

NORMALS = 120
LOOSEST = 0.03
"""How far a centre may be left open, as a share of the diameter."""
OUTLINE_SD, OUTLINE_TOGETHER = 0.03, 10.0
"""Error of the mask's rim, as a share of the diameter, and how many of its points share one."""
_ROUNDS = 8
_WIDTH_ROUNDS = 2  # of them measure how wide the edge is; going on would let noise and width feed each other
_STILL_PX = 0.01
_REWEIGHTINGS = 4
_SAME_PX = 1e-5  # a reweighting that changes less is the last
_SAMPLES = 13  # along a normal
_HALF = 1.7
_LONGEST = 0.35  # the same, in radii
_TINY = 1e-9 * np.eye(5)
_UNIT = np.exp(2j * np.pi * np.arange(NORMALS) / NORMALS)


@dataclass(frozen=True, eq=False)
class Smoothed:
    """The smoothed part of a picture around one object.

    Attributes:
        levels: (h, w) grey levels, smoothed.
        origin: x, y of its first pixel in the picture.
        sigma: of the smoothing, px.
        raw: (h, w) as it was.
    """

    levels: F32
    origin: FloatArray
    sigma: float
    raw: F32

    def along(self, rim: ComplexArray, normals: ComplexArray, offsets: FloatArray) -> FloatArray:
        """Grey levels along N normals, NaN outside the picture. -> (N, K)."""
        places = (rim - complex(*self.origin))[:, None] + offsets * normals[:, None]
        xy = places.astype(np.complex64).view(np.float32).reshape(*places.shape, 2)
        levels = cv2.remap(self.levels, xy, None, cv2.INTER_LINEAR).astype(np.float64)
        h, w = self.levels.shape
        # Lines are straight: where both ends are inside, all of it is.
        ends = xy[:, [0, -1]]
        if ends.min() < 0 or (ends > (w - 1, h - 1)).any():
            x, y = xy[..., 0], xy[..., 1]
            levels[~((x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1))] = np.nan
        return np.asarray(levels)


@dataclass(frozen=True, eq=False)
class Polished:
    """What `polish` found.

    Attributes:
        ellipse: px of the picture.
        places: (N, 2) places of the edge that carry the fit, px.
        share: weight of the normals that agree, over all, 0..1.
        rms_px: weighted distance of the places from the ellipse.
        center_sd_px, major_sd_px, minor_sd_px, angle_sd_deg: standard deviations by noise; the centre's is
            the mean of both directions, the angle's at most that of an even distribution (52 degrees).
    """

    ellipse: Ellipse
    places: FloatArray
    share: float
    rms_px: float
    center_sd_px: float
    major_sd_px: float
    minor_sd_px: float
    angle_sd_deg: float


def normals_of(ellipse: Ellipse, n: int) -> tuple[ComplexArray, ComplexArray]:
    """Points at equal parameter angles from the end of the major axis on, and unit normals pointing outwards.
    -> (n,), (n,)."""
    shape = shape_of(ellipse)
    turned = np.exp(2j * np.pi * np.arange(n) / n + 1j * math.radians(ellipse.angle))
    return _rim(shape, turned)


def _rim(shape: Shape, unit: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Points that belong to some of the unit circle, and the outline's normals there."""
    turned = shape.q * unit.conj()
    normals = shape.p * unit - turned
    return shape.center + shape.p * unit + turned, normals / np.abs(normals)


def polish(
    picture: Smoothed,
    start: Ellipse,
    sign: float,
    *,
    seen: FloatArray | None = None,
    carriers: FloatArray | None = None,
    outline: FloatArray | None = None,
) -> Polished | None:
    """Move an ellipse to where the picture's edge supports it best.

    Args:
        picture: around the object.
        start: on the edge within a few px.
        sign: 1 where inside is darker, -1 where it is brighter.
        seen: (NORMALS,) weights 0..1 by angle on the unit circle from +x, or None for all alike.
        carriers: (NORMALS,) weights of those normals that are known to cross the right edge: they say what
            is usual there; None: those of `seen`.
        outline: (M, 2) points of the rim by the mask, px: a weak hold where the picture has none.

    Returns:
        The ellipse with its standard deviations, or None where too little of an edge carries it.
    """
    shape = shape_of(start)
    radius = shape.p
    width = max(1.2 * picture.sigma, 0.8)
    weights = np.ones(NORMALS) if seen is None else seen
    known = weights if carriers is None else carriers * weights
    rim = None if outline is None or not len(outline) else as_complex(outline)
    found: _Round | None = None
    for number in range(_ROUNDS):
        found = _match(picture, shape, width, sign, (weights, known))
        if found is None:
            return None
        found, step = _step_of(found, shape, picture.sigma, rim)
        # A step beyond the normals' length is no small correction any more.
        size = _size(step)
        limit = _half(found.width, radius)
        now = moved(shape, step * min(1.0, limit / max(size, 1e-9)))
        if now is None:
            return None
        shape = now
        width = found.width if number < _WIDTH_ROUNDS else width
        if size < _STILL_PX and number >= 2:
            break
    assert found is not None
    return _told(picture, found, shape, rim)


@dataclass(frozen=True, eq=False)
class _Round:
    """Places along the normals of one ellipse, and what they count."""

    rim: ComplexArray
    normals: ComplexArray
    slopes: FloatArray  # (N, 5) as of `jacobian`
    off: FloatArray  # (N,) place of the edge on its normal, px
    weight: FloatArray  # (N,) 0..1, by the grey levels
    used: FloatArray  # (N,) the same, less where a place is far from the ellipse
    residual: FloatArray  # (N,) distance from the ellipse, px
    height: FloatArray  # (N,) of the step that an edge's place is told by, grey levels
    filter: tuple[FloatArray, FloatArray]  # (K,) offsets px, and weights of the levels there in the place
    width: float


def _match(
    picture: Smoothed, shape: Shape, width: float, sign: float, weights: tuple[FloatArray, FloatArray]
) -> _Round | None:
    """Places along the normals; `weights` are `seen` and `carriers` of `polish`."""
    seen, known = weights
    rim, normals = _rim(shape, _UNIT)
    radius = shape.radius
    half = _half(width, radius)
    x = np.linspace(-half, half, _SAMPLES)
    lines = picture.along(rim, normals, x) * sign
    whole = np.isfinite(lines.sum(axis=1))
    if np.count_nonzero(whole & (seen > 0)) < 12:
        return None
    if not whole.all():
        lines[~whole] = 0.0
    edge, slope = _step(x / width), np.exp(-0.5 * (x / width) ** 2) / (math.sqrt(2.0 * math.pi) * width)
    basis = np.stack([np.ones(_SAMPLES), edge, slope])
    inverse = np.linalg.solve(basis @ basis.T, basis)
    ground, height, shifted = inverse @ lines.T
    usable = whole & (seen > 0) & (height > 0)
    if np.count_nonzero(usable) < 12:
        return None
    # What is usual is said by the normals that carried the fit so far: others may be lids, and the majority.
    known = known * usable * _tukey(shifted / (half * np.maximum(height, 1e-6)))
    usual = _weighted_median(height, known)
    if usual <= 0:
        return None
    least = np.maximum(height, 0.3 * usual)
    # Half of the normal is as far as a linear step can be trusted.
    off = np.minimum(np.maximum(shifted / -least, -0.6 * half), 0.6 * half)
    inner = _weighted_median(ground, known)
    weight = seen * whole * _fade(np.abs(np.log(np.maximum(height / usual, 1e-3))), 0.5, 1.0)
    weight *= _fade(np.abs(ground - inner) / usual, 0.35, 0.7)
    if np.count_nonzero(weight > 0.1) < 12:
        return None
    # The start is known to lie on the edge to within a tenth of the radius.
    weight *= _tukey(off / max(0.15 * radius, 2.5))
    if np.count_nonzero(weight > 0.1) < 12:
        return None
    # How wide the edge is, by the mean course of the normals that count, each moved to its place.
    total = float(weight.sum())
    course = (weight @ lines + float(weight @ (off * height)) * slope) / total
    climb = _gradient(course, 2.0 * half / (_SAMPLES - 1))
    rise = float(climb.max())
    # An edge that is not quite such a step answers a shift by more or less than 1: both the places and their
    # noise are told in its own measure.
    answer = float(inverse[2] @ climb) / max(float(weight @ height) / total, 1e-6)
    answer = min(max(answer, 0.4), 1.6)
    off /= answer
    new = usual / (math.sqrt(2.0 * math.pi) * max(rise, 1e-6))
    new = min(max(new, picture.sigma), max(picture.sigma, 0.18 * radius))
    slopes = jacobian(normals, _UNIT)
    return _Round(rim, normals, slopes, off, weight, weight, off, answer * least, (x, inverse[2]), new)


def _gradient(values: FloatArray, step: float) -> FloatArray:
    """Slope of equally spaced values, one-sided at both ends."""
    out = np.empty_like(values)
    out[1:-1] = (values[2:] - values[:-2]) * (0.5 / step)
    out[0], out[-1] = (values[1] - values[0]) / step, (values[-1] - values[-2]) / step
    return out


Hold = tuple[FloatArray, FloatArray]


def _step_of(
    found: _Round, shape: Shape, sigma: float, outline: ComplexArray | None
) -> tuple[_Round, FloatArray]:
    """Change of the five parameters, places far from it set aside smoothly; the round with these weights and
    the residuals that are left."""
    weight, residual = found.weight, found.off
    step = np.zeros(5)
    hold = _hold(shape, outline)
    for _ in range(_REWEIGHTINGS):
        now = solved(*_equations(found, weight, _variance(weight, residual, shape, sigma), shape, hold))
        change = math.inf if now is None else float(np.abs(now - step).max())
        step = step if now is None else now
        residual = found.off - found.slopes @ step
        away = np.abs(residual)
        spread = 1.4826 * _weighted_median(away, found.weight)
        weight = found.weight * _tukey(away / max(4.0 * spread, 0.15))
        if change < _SAME_PX:
            break
    return replace(found, used=weight, residual=residual), step


def _hold(shape: Shape, outline: ComplexArray | None) -> Hold:
    """What the mask's rim adds to the normal equations beside places of variance 1 px^2. -> (5, 5), (5,)."""
    if outline is None:
        return np.zeros((5, 5)), np.zeros(5)
    sd = OUTLINE_SD * 2.0 * shape.radius
    away = normals_at(outline, shape)[2]
    return pull(outline, _tukey(away / (3.0 * sd)) / (sd**2 * OUTLINE_TOGETHER), shape)


def _equations(
    found: _Round, used: FloatArray, variance: float, shape: Shape, hold: Hold
) -> tuple[FloatArray, FloatArray]:
    """Normal equations for the change of the five parameters. -> (5, 5), (5,)."""
    weighted = found.slopes.T * used
    left = weighted @ found.slopes + variance * hold[0] + _TINY
    return with_wish(left, weighted @ found.off + variance * hold[1], shape, variance)


def _variance(used: FloatArray, residual: FloatArray, shape: Shape, sigma: float) -> float:
    """Scatter of the places, px^2, times the number of neighbours that say the same."""
    variance = float((residual * residual) @ used) / max(float(used.sum()), 1e-9)
    together = max(1.0, math.sqrt(4.0 * math.pi) * sigma / (2.0 * math.pi * shape.radius / NORMALS))
    return max(variance, 0.05**2) * together


def _told(picture: Smoothed, found: _Round, shape: Shape, outline: ComplexArray | None) -> Polished | None:
    ellipse = ellipse_of(shape)
    total = float(found.used.sum())
    if total <= 0:
        return None
    places = found.rim + found.off * found.normals
    variance = _variance(found.used, found.residual, shape, picture.sigma)
    left, _ = _equations(found, found.used, variance, shape, _hold(shape, outline))
    inverse = np.linalg.inv(left)
    # How far the scatter of the places, which holds the iris's texture too, leaves the centre open.
    open_px = math.sqrt(max(0.5 * variance * float(inverse[0, 0] + inverse[1, 1]), 0.0))
    if open_px > LOOSEST * ellipse.major:
        return None
    density, grain = noise_within(picture.raw, ellipse, picture.origin)
    reach = math.hypot(picture.sigma, grain)
    # White noise of this density, smoothed: the variance of one level, then of one place.
    x, taps = found.filter
    lag = np.exp(-((x[:, None] - x) ** 2) / (4.0 * picture.sigma**2))
    level_sd = math.sqrt(float(taps @ lag @ taps) * density / (4.0 * math.pi)) / reach
    sd = level_sd / found.height
    apart = places[:, None] - places
    covariance = np.exp((apart.real**2 + apart.imag**2) / (-4.0 * reach**2))
    gain = inverse @ (found.slopes.T * (found.used * sd))
    spread = gain @ covariance @ gain.T
    center_sd = math.sqrt(0.5 * float(spread[0, 0] + spread[1, 1]))
    # The major axis is 2 (p + |q|), the minor one 2 (p - |q|), and q turns by twice the angle.
    turn = shape.q / abs(shape.q) if shape.q else 1.0 + 0.0j
    rows = 2.0 * np.array(
        [
            [turn.real, turn.imag, 1.0],
            [-turn.real, -turn.imag, 1.0],
            [-0.5 * turn.imag, 0.5 * turn.real, 0.0],
        ]
    )
    scatter = np.diag(rows @ spread[2:, 2:] @ rows.T)
    major_sd, minor_sd, across = np.sqrt(np.maximum(scatter, 0.0)).tolist()
    angle_sd = min(math.degrees(across / max(2.0 * abs(shape.q), 1e-9)), 180.0 / math.sqrt(12.0))
    rms = math.sqrt(float(found.used @ (found.residual * found.residual)) / total)
    used = found.used > 0.2
    kept = np.ascontiguousarray(places[used]).view(np.float64).reshape(-1, 2)
    return Polished(ellipse, kept, float(used.mean()), rms, center_sd, major_sd, minor_sd, angle_sd)


def _size(step: FloatArray) -> float:
    """How far a step moves the centre or a point of the outline on the picture's axes, px, at most."""
    x, y, real, imaginary, along = np.abs(step).tolist()
    return float(max(x, y, along + real, imaginary))


def _half(width: float, radius: float) -> float:
    return float(min(max(_HALF * width, 2.5), max(_LONGEST * radius, 2.0)))


def _step(x: FloatArray) -> FloatArray:
    """The normal distribution's integral."""
    return np.array([0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x.tolist()])


def _fade(x: FloatArray, full: float, none: float) -> FloatArray:
    """1 up to `full`, smoothly to 0 at `none`."""
    t = np.minimum(np.maximum((none - x) / (none - full), 0.0), 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def _tukey(x: FloatArray) -> FloatArray:
    """1 at 0, smoothly to 0 at 1."""
    rest = np.maximum(1.0 - x * x, 0.0)
    return np.asarray(rest * rest)


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = values.argsort()
    total = weights[order].cumsum()
    return float(values[order[total.searchsorted(0.5 * total[-1])]]) if total[-1] > 0 else 0.0
