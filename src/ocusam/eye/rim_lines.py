"""Grey levels across an outline: what the places of an edge are read from.

Purpose: `Smoothed` gives the levels along the normals of an ellipse (`across`), `edge_on` says for each
normal where the edge is and what that place counts.

Notable choices. Across the edge a picture is smoothed as little as pixels allow (`FINE`): a wider smoothing
would mix more of the iris's texture into the edge, and that moves places by a fixed error. Along the edge,
where smoothing costs nothing, each normal is the mean of the lines that fit between it and its neighbours.

The levels are matched with a blurred step as wide as the edge is on average: `level = ground + height *
step(x - place)`, linearised. A step's place, its height and its ground are hard to tell apart on a short
line: with both free the place scatters three times as much as with both known. So where the inside is even (a
pupil), its ground is a plane through levels deep within, and a normal may leave it only as far as the levels
just inside the edge leave it by more than what is noise for certain. Where it is not (an iris, a pupil of few
pixels, the grain of a codec), every normal has its own ground. The height stays free, since an iris is not
even, and lines reach no further out than 1.7 widths: what lies beyond is another part of the iris.

What it does not know: the ellipse's fit; noise that depends on brightness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.eye.pixel_noise import PixelNoise
from ocusam.eye.rim_alike import alike, weighted_median
from ocusam.eye.rounded import ComplexArray, Shape, inverse, jacobian, solved

FloatArray = NDArray[np.float64]
F32 = NDArray[np.float32]

NORMALS = 120
FINE = 0.8
"""Smoothing across an edge, px: what a line through pixels needs."""
_APART_PX, _MOST_LINES = 1.5, 6  # lines that one normal is the mean of
_SAMPLES, _DEEP_SAMPLES = 11, 3  # along a normal, about the edge and deep inside
_LINE, _DEEP_LINE = np.linspace(-1.0, 1.0, _SAMPLES), np.linspace(0.0, 1.0, _DEEP_SAMPLES)
_HALF, _LONGEST = 1.7, 0.35  # how far a line reaches either way, widths and radii
_FOOT, _DEEP, _DEEPEST = 2.2, 4.0, 0.6  # inside: the edge's foot ends, and how deep to look, widths and radii
_UNIT = np.exp(2j * np.pi * np.arange(NORMALS) / NORMALS)
_SHALLOW_PX = 0.8  # less of an inside does not tell its level
_PLANE = np.stack([np.ones(NORMALS), _UNIT.real, _UNIT.imag])
_LITTLE = 1e-6 * np.eye(3)
_BILINEAR = 1.0 / 6.0  # px^2: how much reading between pixels smooths
_FEWEST = 12  # normals that must count
_WIDTH_STEPS = 5
_SHOWN = 2.0  # standard deviations
_BEYOND = (2.5, 3.5)  # where what lies beyond the edge is looked at, widths


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
        places = (rim - complex(*self.origin)).astype(np.complex64)[:, None] + (
            offsets.astype(np.float32) * normals.astype(np.complex64)[:, None]
        )
        xy = places.view(np.float32).reshape(*places.shape, 2)
        levels = cv2.remap(self.levels, xy, None, cv2.INTER_LINEAR)
        h, w = self.levels.shape
        # Lines are straight: where both ends are inside, all of it is.
        ends = xy[:, [0, -1]]
        if ends.min() < 0 or (ends > (w - 1, h - 1)).any():
            x, y = xy[..., 0], xy[..., 1]
            levels[~((x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1))] = np.nan
        return np.asarray(levels, dtype=np.float64)

    def across(self, shape: Shape, offsets: FloatArray, lines: int) -> FloatArray:
        """The same along the normals of an outline, each the mean of so many lines side by side.
        -> (NORMALS, K)."""
        levels = self.along(*rim_of(shape, _between(lines)), offsets)
        if lines == 1:
            return levels
        summed = np.add.reduce(levels.reshape(NORMALS, lines, -1), axis=1)
        return np.asarray(summed / lines)


@dataclass(frozen=True)
class Noise:
    """Noise of a picture's pixels on the lines of one outline.

    Attributes:
        density: variance times the px^2 over which it is shared (`pixel_noise`).
        certain: share of it that is noise for certain, 0..1.
        inside: share of its variance that is left inside, where black may cut it off, 0..1.
        across, along: sigmas of what smooths it across and along the outline, px.
    """

    density: float
    certain: float
    inside: float
    across: float
    along: float

    @property
    def variance(self) -> float:
        """Of one level on a line."""
        return self.density / (4.0 * math.pi * self.across * self.along)

    def together(self, radius: float) -> float:
        """How many neighbouring normals share their noise."""
        return max(1.0, math.sqrt(4.0 * math.pi) * self.along * NORMALS / (2.0 * math.pi * radius))

    def alike(self, x: FloatArray) -> FloatArray:
        """Correlation of the levels at offsets (K,) of a line. -> (K, K)."""
        return np.asarray(np.exp((x[:, None] - x) ** 2 / (-4.0 * self.across**2)))


@dataclass(frozen=True, eq=False)
class Places:
    """Places of an edge along the normals of one outline, and what they count."""

    rim: ComplexArray
    normals: ComplexArray
    slopes: FloatArray  # (N, 5) as of `rounded.jacobian`
    off: FloatArray  # (N,) place of the edge on its normal, px
    weight: FloatArray  # (N,) 0..1, by the grey levels
    used: FloatArray  # (N,) the same, less where a place is far from the ellipse
    residual: FloatArray  # (N,) distance from the ellipse, px
    sd: FloatArray  # (N,) of the places by the pixels' noise, px
    by_ground: FloatArray  # (N, 3) px that the three terms of the ground move them by for a level
    ground: FloatArray  # (3, 3) covariance of those terms by the pixels' noise
    width: float  # of the edge as these lines show it, px


def lines_a_normal(radius: float) -> int:
    """How many lines lie between two normals."""
    return min(max(round(2.0 * math.pi * radius / (NORMALS * _APART_PX)), 1), _MOST_LINES)


def noise_on(pixels: PixelNoise, sigma: float, radius: float) -> Noise:
    """The noise on lines of a picture smoothed by `sigma`."""
    lines = lines_a_normal(radius)
    mean = (2.0 * math.pi * radius / NORMALS) ** 2 / 12.0 if lines > 1 else 0.0
    across = sigma**2 + pixels.grain**2 + _BILINEAR
    certain = pixels.white / max(pixels.density, 1e-9)
    return Noise(pixels.density, certain, pixels.inside, math.sqrt(across), math.sqrt(across + mean))


def rim_of(shape: Shape, unit: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Points that belong to some of the unit circle, and the outline's normals there."""
    turned = shape.q * unit.conj()
    normals = shape.p * unit - turned
    return shape.center + shape.p * unit + turned, normals / np.abs(normals)


def half(width: float, radius: float) -> float:
    """How far lines reach outwards, px."""
    return float(min(max(_HALF * width, 2.5), max(_LONGEST * radius, 2.0)))


def edge_on(
    picture: Smoothed,
    shape: Shape,
    width: float,
    sign: float,
    weights: tuple[FloatArray, FloatArray],
    noise: Noise,
) -> Places | None:
    """Places of the edge on the normals of an outline that lies near it.

    Args:
        picture: smoothed by little.
        shape: the outline.
        width: of the edge, sigma in px.
        sign: 1 where inside is darker, -1 where it is brighter.
        weights: (NORMALS,) each: what each normal counts at most, and those known to cross the right edge.
        noise: on the lines.

    Returns:
        The places, or None where too few normals show such an edge.
    """
    seen, known = weights
    read = _read(picture, shape, width, sign, known, noise)
    x, lines, taps, share = read.x, read.lines, read.taps, read.share
    if np.count_nonzero(read.whole & (seen > 0)) < _FEWEST:
        return None
    height, shifted = taps[1:] @ lines.T
    usable = read.whole & (seen > 0) & (height > 0)
    # What is usual is said by the normals that carried the fit so far: others may be lids, and the majority.
    known = known * usable * tukey(shifted / (x[-1] * np.maximum(height, 1e-6)))
    usual = weighted_median(height, known)
    if usual <= 0:
        return None
    weight = seen * read.whole * alike(read, height, (usual, known), width, noise.variance)
    # A step's height is known better from its neighbours too; what divides must not scatter.
    smooth = _ring(weight * np.minimum(np.maximum(height, 0.0), 2.0 * usual))
    smooth = np.maximum(smooth / np.maximum(_ring(weight), 1e-6), 0.3 * usual)
    weight *= np.minimum(smooth / usual, 1.0) ** 2
    # As far as a linear step can be trusted.
    off = np.minimum(np.maximum(shifted / -smooth, -0.6 * x[-1]), 0.6 * x[-1])
    # The start is known to lie on the edge to within a tenth of the radius.
    weight *= tukey(off / max(0.15 * shape.radius, 2.5))
    if np.count_nonzero(weight > 0.1) < _FEWEST:
        return None
    total = float(weight.sum())
    course = (weight @ lines + float(weight @ (off * smooth)) * read.basis[2]) / total
    # An edge that is not quite such a step answers a shift by more or less than 1: both the places and their
    # noise are told in its own measure.
    climb = _gradient(course, x[1] - x[0])
    answer = float(taps[2] @ climb) / max(float(weight @ smooth) / total, 1e-6)
    answer = min(max(answer, 0.4), 1.6)
    off /= answer
    sd = math.sqrt(float(taps[2] @ share @ taps[2])) / (answer * smooth)
    by_ground = _PLANE.T * (float(taps[2].sum()) / (answer * smooth))[:, None]
    now = _width(course, x, width)
    now = min(max(now, picture.sigma), max(picture.sigma, 0.18 * shape.radius))
    rim, normals = rim_of(shape, _UNIT)
    slopes = jacobian(normals, _UNIT)
    return Places(rim, normals, slopes, off, weight, weight, off, sd, by_ground, read.ground, now)


@dataclass(frozen=True, eq=False)
class Lines:
    """Levels across the edge and how a step is told from them."""

    x: FloatArray  # (K,) px
    lines: FloatArray  # (N, K) levels above the ground; 0 where one lies outside the picture
    whole: NDArray[np.bool_]  # (N,) none does
    share: FloatArray  # (K, K) covariance of the levels of a line by noise
    basis: FloatArray  # (3, K) ground, step, slope
    taps: FloatArray  # (3, K) what tells how much of each is in a line
    ground: FloatArray  # (3, 3) covariance of the terms of the ground by noise
    deep: FloatArray | None  # (N,) level deep within above the ground; None where that is not known
    beyond: FloatArray  # (N,) the brighter one of two levels beyond the edge, NaN outside the picture


def _read(
    picture: Smoothed, shape: Shape, width: float, sign: float, known: FloatArray, noise: Noise
) -> Lines:
    """The levels on the normals, with the ground taken off that the inside tells."""
    radius = shape.radius
    reach = half(width, radius)
    x = reach * _LINE
    deepest = -min(_DEEP * width, _DEEPEST * radius)
    deep = deepest + (-_FOOT * width - deepest) * _DEEP_LINE
    n = _DEEP_SAMPLES if deep[-1] - deep[0] > _SHALLOW_PX else 0
    at = np.concatenate([deep[:n], x, np.multiply(_BEYOND, width)])
    lines = picture.across(shape, at, lines_a_normal(radius)) * sign
    inner, lines, beyond = lines[:, :n], lines[:, n:-2], lines[:, -2:].max(axis=1)
    whole = np.isfinite(lines.sum(axis=1)) & np.isfinite(inner.sum(axis=1))
    if not whole.all():
        lines[~whole], inner[~whole] = 0.0, 0.0
    slope = np.exp(-0.5 * (x / width) ** 2) / (math.sqrt(2.0 * math.pi) * width)
    basis = np.stack([np.ones(_SAMPLES), _step(x / width), slope])
    part = np.sqrt(noise.inside + (1.0 - noise.inside) * basis[1])
    share = noise.variance * noise.alike(x) * part[:, None] * part
    left, ground = basis @ basis.T, np.zeros((3, 3))
    if n:
        plane, ground = _plane(inner, known * whole, noise, deep, radius)
        lines -= plane[:, None]
        inner -= plane[:, None]
        beyond -= plane
        certain = noise.certain * share
        own = _uneven(lines, basis, x, known * whole, (certain, noise.together(radius)))
        left[0, 0] += min(float(certain.sum(axis=1).max()) / max(own, 1e-9), 1e6)
    taps = inverse(left) @ basis
    if not n:
        level = weighted_median(lines @ taps[0], known * whole)
        lines -= level
        beyond -= level
    return Lines(x, lines, whole, share, basis, taps, ground, inner.mean(axis=1) if n else None, beyond)


def _plane(
    inner: FloatArray, known: FloatArray, noise: Noise, x: FloatArray, radius: float
) -> tuple[FloatArray, FloatArray]:
    """A plane through the levels (N, K) deep within: its value on each normal, and the covariance of its
    three terms by noise."""
    level = inner.mean(axis=1)
    plane = np.array([weighted_median(level, known), 0.0, 0.0])
    for _ in range(2):
        away = np.abs(level - plane @ _PLANE)
        spread = max(1.4826 * weighted_median(away, known), 1e-3)
        weighted = _PLANE * (known * tukey(away / (4.0 * spread)))
        covariance = inverse(weighted @ _PLANE.T + _LITTLE)
        plane = covariance @ (weighted @ level)
    covariance *= noise.inside * noise.variance * float(noise.alike(x).mean()) * noise.together(radius)
    # A tilt counts as far as it is clearly more than its noise: what comes and goes makes a still eye
    # tremble.
    tilt = float(plane[1] ** 2 + plane[2] ** 2)
    by_noise = _SHOWN**2 * float(covariance[1, 1] + covariance[2, 2])
    kept = max(1.0 - by_noise / max(tilt, 1e-12), 0.0)
    plane[1:] *= kept
    # So cut down, it still scatters as much as before: less across its direction, more along it.
    each = np.array([1.0, 1.0, 1.0]) if kept > 0 else np.array([1.0, 0.0, 0.0])
    return plane @ _PLANE, covariance * each[:, None] * each


def _uneven(
    lines: FloatArray, basis: FloatArray, x: FloatArray, known: FloatArray, noise: tuple[FloatArray, float]
) -> float:
    """How much the levels just inside the edge, their ground taken off, vary beyond their noise: a variance.
    `noise`: covariance of the levels of a line, and how many normals share it."""
    share, together = noise
    n = max(int(np.searchsorted(x, 0.5 * x[0])), 2)
    foot = float(basis[1, :n].mean())
    rise = lines[:, -n:].mean(axis=1)
    level = lines[:, :n].mean(axis=1) - foot * rise
    spread = 1.4826 * weighted_median(np.abs(level), known)
    by_noise = float(share[:n, :n].mean()) + foot**2 * float(share[-n:, -n:].mean())
    # The spread of so many normals is itself known to so much only: even is what is shown to be.
    return float(max(spread**2 - by_noise * max(1.0 - 2.0 * math.sqrt(2.0 * together / NORMALS), 0.0), 0.0))


def _gradient(values: FloatArray, step: float) -> FloatArray:
    """Slope of equally spaced values, one-sided at both ends."""
    out = np.empty_like(values)
    out[1:-1] = (values[2:] - values[:-2]) * (0.5 / step)
    out[0], out[-1] = (values[1] - values[0]) / step, (values[-1] - values[-2]) / step
    return out


def _width(course: FloatArray, x: FloatArray, width: float) -> float:
    """The width of the step that fits the mean course of the normals best, at most twice or half as wide."""
    low, high, one = 0.5 * width, 2.0 * width, np.ones_like(x)
    for _ in range(_WIDTH_STEPS):
        at = x / width
        slope = np.exp(-0.5 * at * at) / math.sqrt(2.0 * math.pi)
        terms = np.stack([one, _step(at), slope, -at * slope])
        found = solved(terms @ terms.T, terms @ course)
        if found is None:
            break
        _, height, _, wider = found.tolist()
        change = width * wider / height if height > 0 else 0.0
        change = min(max(change, -0.4 * width), 0.8 * width)
        width = min(max(width + change, low), high)
        if abs(change) < 0.01 * width:
            break
    return width


@lru_cache(maxsize=_MOST_LINES)
def _between(lines: int) -> ComplexArray:
    """Points of the unit circle, so many for each normal, which is in their middle."""
    n = NORMALS * lines
    return np.asarray(np.exp(2j * np.pi * (np.arange(n) - 0.5 * (lines - 1)) / n))


def _ring(values: FloatArray) -> FloatArray:
    """Running sum over seven neighbours of a ring."""
    around = np.concatenate([values[-3:], values, values[:3]]).cumsum()
    return np.asarray(around[6:] - np.append(0.0, around[:-7]))


def _step(x: FloatArray) -> FloatArray:
    """The normal distribution's integral."""
    return np.array([0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x.tolist()])


def tukey(x: FloatArray) -> FloatArray:
    """1 at 0, smoothly to 0 at 1."""
    rest = np.maximum(1.0 - x * x, 0.0)
    return np.asarray(rest * rest)
