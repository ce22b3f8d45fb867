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
from ocusam.eye.rounded import ellipse_of, jacobian, matrix_of, moved, pull, solved, wish

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
_SAMPLES = 13  # along a normal
_HALF = 1.7
_LONGEST = 0.35  # the same, in radii


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

    def along(self, rim: FloatArray, normals: FloatArray, offsets: FloatArray) -> FloatArray:
        """Grey levels along the normals, NaN outside the picture. -> (N, K)."""
        xy = (rim - self.origin)[:, None] + offsets[None, :, None] * normals[:, None]
        x, y = xy[..., 0].astype(np.float32), xy[..., 1].astype(np.float32)
        levels = cv2.remap(self.levels, x, y, cv2.INTER_LINEAR).astype(np.float64)
        h, w = self.levels.shape
        inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
        return np.asarray(np.where(inside, levels, np.nan))


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


def normals_of(ellipse: Ellipse, n: int) -> tuple[FloatArray, FloatArray]:
    """Points at equal parameter angles and unit normals pointing outwards. -> (n, 2), (n, 2)."""
    t = np.arange(n) * (2.0 * math.pi / n)
    a, b, angle = ellipse.major / 2.0, ellipse.minor / 2.0, math.radians(ellipse.angle)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = np.stack([a * np.cos(t), b * np.sin(t)], axis=1) @ turn + np.array(ellipse.center)
    normals = np.stack([b * np.cos(t), a * np.sin(t)], axis=1)
    normals = normals / np.hypot(*normals.T)[:, None] @ turn
    return points, normals


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
    matrix, center = matrix_of(start), np.array(start.center)
    radius = 0.25 * (start.major + start.minor)
    width = max(1.2 * picture.sigma, 0.8)
    weights = np.ones(NORMALS) if seen is None else seen
    known = weights if carriers is None else carriers * weights
    found: _Round | None = None
    for number in range(_ROUNDS):
        found = _match(picture, matrix, center, width, sign, (weights, known))
        if found is None:
            return None
        found, step = _step_of(found, center, matrix, picture.sigma, outline)
        # A step beyond the normals' length is no small correction any more.
        size = float(np.abs(step).max())
        limit = _half(found.width, radius)
        step = step * min(1.0, limit / max(size, 1e-9))
        now = moved(center, matrix, step)
        if now is None:
            return None
        center, matrix = now
        width = found.width if number < _WIDTH_ROUNDS else width
        if size < _STILL_PX and number >= 2:
            break
    assert found is not None
    return _told(picture, found, center, matrix, outline)


@dataclass(frozen=True, eq=False)
class _Round:
    """Places along the normals of one ellipse, and what they count."""

    rim: FloatArray
    normals: FloatArray
    unit: FloatArray  # (N, 2) the points on the unit circle
    off: FloatArray  # (N,) place of the edge on its normal, px
    weight: FloatArray  # (N,) 0..1, by the grey levels
    used: FloatArray  # (N,) the same, less where a place is far from the ellipse
    residual: FloatArray  # (N,) distance from the ellipse, px
    noise_sd: FloatArray  # (N,) of `off`, for unit noise of the smoothed levels
    width: float


def _match(
    picture: Smoothed,
    matrix: FloatArray,
    center: FloatArray,
    width: float,
    sign: float,
    weights: tuple[FloatArray, FloatArray],
) -> _Round | None:
    """Places along the normals; `weights` are `seen` and `carriers` of `polish`."""
    seen, known = weights
    t = np.arange(NORMALS) * (2.0 * math.pi / NORMALS)
    unit = np.stack([np.cos(t), np.sin(t)], axis=1)
    rim = center + unit @ matrix
    normals = unit @ np.linalg.inv(matrix)
    normals = normals / np.hypot(*normals.T)[:, None]
    radius = math.sqrt(abs(float(np.linalg.det(matrix))))
    half = _half(width, radius)
    x = np.linspace(-half, half, _SAMPLES)
    lines = picture.along(rim, normals, x) * sign
    whole = np.asarray(np.isfinite(lines).all(axis=1))
    if np.count_nonzero(whole & (seen > 0)) < 12:
        return None
    lines = np.where(whole[:, None], lines, 0.0)
    step, slope = _step(x / width), np.exp(-0.5 * (x / width) ** 2) / (math.sqrt(2.0 * math.pi) * width)
    inverse = np.linalg.pinv(np.stack([np.ones_like(x), step, slope], axis=1))
    ground, height, shifted = inverse @ lines.T
    usable = whole & (seen > 0) & (height > 0)
    if np.count_nonzero(usable) < 12:
        return None
    # What is usual is said by the normals that carried the fit so far: others may be lids, and the majority.
    known = known * usable * _tukey(np.clip(shifted / np.maximum(height, 1e-6) / half, -1.0, 1.0))
    usual = _weighted_median(height, known)
    if usual <= 0:
        return None
    off = -shifted / np.maximum(height, 0.3 * usual)
    # Half of the normal is as far as a linear step can be trusted.
    off = np.clip(off, -0.6 * half, 0.6 * half)
    inner = _weighted_median(ground, known)
    weight = seen * whole * _fade(np.abs(np.log(np.maximum(height / usual, 1e-3))), 0.5, 1.0)
    weight = weight * _fade(np.abs(ground - inner) / usual, 0.35, 0.7)
    if np.count_nonzero(weight > 0.1) < 12:
        return None
    # The start is known to lie on the edge to within a tenth of the radius.
    weight = weight * _tukey(off / max(0.15 * radius, 2.5))
    if np.count_nonzero(weight > 0.1) < 12:
        return None
    # How wide the edge is, by the mean course of the normals that count.
    course = np.average(lines - _off_course(off, slope, height), axis=0, weights=weight)
    climb = np.gradient(course, x)
    rise = float(np.max(climb))
    # An edge that is not quite such a step answers a shift by more or less than 1: both the places and their
    # noise are told in its own measure.
    answer = float(inverse[2] @ climb) / max(float(np.average(height, weights=weight)), 1e-6)
    answer = float(np.clip(answer, 0.4, 1.6))
    off = off / answer
    new = usual / (math.sqrt(2.0 * math.pi) * max(rise, 1e-6))
    new = float(np.clip(new, picture.sigma, max(picture.sigma, 0.18 * radius)))
    lag = np.exp(-((x[:, None] - x[None, :]) ** 2) / (4.0 * picture.sigma**2))
    unit_sd = math.sqrt(float(inverse[2] @ lag @ inverse[2]))
    noise_sd = unit_sd / (answer * np.maximum(height, 0.3 * usual))
    return _Round(rim, normals, unit, off, weight, weight, off, noise_sd, new)


def _off_course(off: FloatArray, slope: FloatArray, height: FloatArray) -> FloatArray:
    """What the shift of its edge adds to each line, to first order. -> (N, K)."""
    return -(off * height)[:, None] * slope[None, :]


def _step_of(
    found: _Round, center: FloatArray, matrix: FloatArray, sigma: float, outline: FloatArray | None
) -> tuple[_Round, FloatArray]:
    """Change of the five parameters, places far from it set aside smoothly; the round with these weights and
    the residuals that are left."""
    slopes = jacobian(found.normals, found.unit)
    weight, residual = found.weight, found.off
    step = np.zeros(5)
    hold = _hold(center, matrix, outline)
    for _ in range(4):
        found = replace(found, used=weight, residual=residual)
        left, right = _equations(found, slopes, matrix, sigma, hold)
        found_step = solved(left, right)
        step = step if found_step is None else found_step
        residual = found.off - slopes @ step
        spread = 1.4826 * _weighted_median(np.abs(residual), found.weight)
        weight = found.weight * _tukey(residual / max(4.0 * spread, 0.15))
    return replace(found, used=weight, residual=residual), step


def _hold(
    center: FloatArray, matrix: FloatArray, outline: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """What the mask's rim adds to the normal equations beside places of variance 1 px^2. -> (5, 5), (5,)."""
    if outline is None or not len(outline):
        return np.zeros((5, 5)), np.zeros(5)
    sd = OUTLINE_SD * 2.0 * math.sqrt(abs(float(np.linalg.det(matrix))))
    away = ellipse_of(center, matrix).distance(outline) / (3.0 * sd)
    weights = np.clip(1.0 - away**2, 0.0, None) ** 2 / (sd**2 * OUTLINE_TOGETHER)
    return pull(outline, weights, center, matrix)


def _equations(
    found: _Round, slopes: FloatArray, matrix: FloatArray, sigma: float, hold: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Normal equations for the change of the five parameters; `slopes` as of `jacobian`. -> (5, 5), (5,)."""
    variance = _variance(found, matrix, sigma)
    left, right = wish(matrix, variance)
    left = left + (slopes.T * found.used) @ slopes + 1e-9 * np.eye(5) + variance * hold[0]
    return left, right + slopes.T @ (found.used * found.off) + variance * hold[1]


def _variance(found: _Round, matrix: FloatArray, sigma: float) -> float:
    """Scatter of the places, px^2, times the number of neighbours that say the same."""
    radius = math.sqrt(abs(float(np.linalg.det(matrix))))
    weights = np.maximum(found.used, 1e-9)
    variance = float(found.residual**2 @ weights) / float(weights.sum())
    together = max(1.0, math.sqrt(4.0 * math.pi) * sigma / (2.0 * math.pi * radius / NORMALS))
    return max(variance, 0.05**2) * together


def _told(
    picture: Smoothed, found: _Round, center: FloatArray, matrix: FloatArray, outline: FloatArray | None
) -> Polished | None:
    values, vectors = np.linalg.eigh(matrix)
    ellipse = ellipse_of(center, matrix)
    places = found.rim + found.off[:, None] * found.normals
    density, grain = noise_within(picture.raw, ellipse, picture.origin)
    reach = math.hypot(picture.sigma, grain)
    # White noise of this density, smoothed: the variance of one level, then of one place.
    sd = found.noise_sd * math.sqrt(density / (4.0 * math.pi)) / reach
    away = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    covariance = sd[:, None] * sd[None] * np.exp(-(away**2) / (4.0 * reach**2))
    slopes = jacobian(found.normals, found.unit)
    left, _ = _equations(found, slopes, matrix, picture.sigma, _hold(center, matrix, outline))
    gain = np.linalg.solve(left, (slopes * found.used[:, None]).T)
    spread = gain @ covariance @ gain.T
    # How far the scatter of the places, which holds the iris's texture too, leaves the centre open.
    open_px = math.sqrt(
        0.5 * _variance(found, matrix, picture.sigma) * float(np.trace(np.linalg.inv(left)[:2, :2]))
    )
    if open_px > LOOSEST * ellipse.major:
        return None
    center_sd = math.sqrt(0.5 * float(spread[0, 0] + spread[1, 1]))
    shape = spread[2:, 2:]
    (lx, ly), (sx, sy) = vectors[:, 1], vectors[:, 0]
    rows = np.array(
        [
            [2 * lx * lx, 2 * ly * ly, 4 * lx * ly],
            [2 * sx * sx, 2 * sy * sy, 4 * sx * sy],
            [lx * sx, ly * sy, lx * sy + ly * sx],
        ]
    )
    major_sd, minor_sd, across = np.sqrt(np.maximum(np.diag(rows @ shape @ rows.T), 0.0)).tolist()
    angle_sd = min(math.degrees(across / max(float(values[1] - values[0]), 1e-9)), 180.0 / math.sqrt(12.0))
    total = float(found.used.sum())
    if total <= 0:
        return None
    rms = math.sqrt(float((found.used * found.residual**2).sum()) / total)
    used = found.used > 0.2
    return Polished(ellipse, places[used], float(used.mean()), rms, center_sd, major_sd, minor_sd, angle_sd)


def _half(width: float, radius: float) -> float:
    return float(min(max(_HALF * width, 2.5), max(_LONGEST * radius, 2.0)))


def _step(x: FloatArray) -> FloatArray:
    """The normal distribution's integral."""
    return np.array([0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x])


def _fade(x: FloatArray, full: float, none: float) -> FloatArray:
    """1 up to `full`, smoothly to 0 at `none`."""
    t = np.clip((none - x) / (none - full), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _tukey(x: FloatArray) -> FloatArray:
    """1 at 0, smoothly to 0 at 1."""
    return np.asarray(np.clip(1.0 - x * x, 0.0, None) ** 2)


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])]) if total[-1] > 0 else 0.0
