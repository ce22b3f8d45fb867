"""Noise of a picture's pixels, measured inside a pupil.

Purpose: what the standard deviations of `rim_polish` start from.

What it does not know: noise that depends on brightness, or that a codec made.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse

FloatArray = NDArray[np.float64]
F32 = NDArray[np.float32]


class PixelNoise(NamedTuple):
    """Noise of a picture's pixels.

    Attributes:
        density: variance times the px^2 over which it is shared; for white noise the variance.
        grain: sigma of a Gaussian that smooths it, px.
        white: the density by the second difference alone, of which nothing can be the picture itself.
        inside: share of the variance that black, which cuts it off, leaves inside.
    """

    density: float
    grain: float
    white: float
    inside: float


_NONE = PixelNoise(0.0, 0.0, 0.0, 1.0)


def noise_within(raw: F32, ellipse: Ellipse, origin: FloatArray) -> PixelNoise:
    """Noise of the pixels within an ellipse.

    A pupil is even inside, so what varies there from pixel to pixel is noise: its strength is the distance of
    the 84th percentile from the median (the lower half may be cut off at black), its grain follows from the
    likeness of neighbours. Where the second difference (Immerkaer 1996, DOI 10.1006/cviu.1996.0060) says much
    less than such noise would show, the inside is not even (an iris); then that difference is all there is,
    and the noise is taken as white.

    Args:
        raw: (h, w) picture or a part of it, grey levels.
        ellipse: px of the picture.
        origin: x, y of the part's first pixel.
    """
    inside = ellipse.translated(-float(origin[0]), -float(origin[1]))
    inside = inside.scaled(0.8, about=inside.center)
    x0, y0, x1, y1 = inside.bounds
    rows = slice(max(0, math.floor(y0)), math.ceil(y1) + 1)
    cols = slice(max(0, math.floor(x0)), math.ceil(x1) + 1)
    part = raw[rows, cols]
    if min(part.shape, default=0) < 5:
        return _NONE
    where = _mask(inside.translated(-float(cols.start), -float(rows.start)), part.shape[0], part.shape[1])
    levels = part[where]
    # Reflections: far above the middle, with what they shine on.
    middle, high = _percentiles(levels, 50.0, 60.0) if len(levels) else (0.0, 0.0)
    bright = part > middle + max(16.0 * (high - middle), 4.0)
    if bright.any():
        glare = cv2.dilate(bright.view(np.uint8), np.ones((7, 7), np.uint8)).view(np.bool_)
        where &= ~glare
        part = np.where(glare, np.float32(middle), part)
    where[[0, -1]] = False
    where[:, [0, -1]] = False
    if np.count_nonzero(where) < 40:
        return _NONE
    even = part - cv2.GaussianBlur(part, (0, 0), 4.0)
    levels = even[where]
    down, low, up = _percentiles(levels, 16.0, 50.0, 84.0)
    variance = max((up - low) ** 2, 1.0 / 12.0)
    left = min(0.5 + 0.5 * (low - down) ** 2 / variance, 1.0)
    even -= np.float32(low)
    both = where[:, :-1] & where[:, 1:]
    alike = float((even[:, :-1] * even[:, 1:])[both].mean()) / max(float(levels.var()), 1e-9)
    grain = math.sqrt(-0.25 / math.log(alike)) if 0.1 < alike < 0.9 else 0.0
    line = np.array([1.0, -2.0, 1.0], dtype=np.float32)
    second = np.abs(cv2.sepFilter2D(part, -1, line, line)[where])
    fine = (1.4826 * _percentiles(second, 50.0)[0]) ** 2
    shared = [math.exp(-(lag**2) / (4.0 * grain**2)) if grain > 0 else 0.0 for lag in (1, 2)]
    expected = variance * (6.0 - 8.0 * shared[0] + 2.0 * shared[1]) ** 2
    white = max(fine / 36.0, 1.0 / 12.0)
    if fine < 0.3 * expected:
        return PixelNoise(white, 0.0, white, 1.0)
    density = variance * max(1.0, 4.0 * math.pi * grain**2)
    return PixelNoise(density, grain, min(white, density), left)


def _mask(ellipse: Ellipse, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside, row by row and column by column. -> bool (h, w)."""
    angle = math.radians(ellipse.angle)
    (cx, cy), cos, sin = ellipse.center, math.cos(angle), math.sin(angle)
    dx, dy = np.arange(width) - cx, np.arange(height)[:, None] - cy
    u = dx * (2.0 * cos / ellipse.major) + dy * (2.0 * sin / ellipse.major)
    v = dy * (2.0 * cos / ellipse.minor) - dx * (2.0 * sin / ellipse.minor)
    u *= u
    v *= v
    u += v
    return np.asarray(u <= 1.0)


def _percentiles(values: F32, *percents: float) -> tuple[float, ...]:
    """As `np.percentile`, of finite values (N,), N at least 1, without its detours."""
    places = [(len(values) - 1) * percent / 100.0 for percent in percents]
    lows = [math.floor(place) for place in places]
    highs = [min(low + 1, len(values) - 1) for low in lows]
    parted = np.partition(values, sorted({*lows, *highs}))
    return tuple(
        float(parted[low]) + float(parted[high] - parted[low]) * (place - low)
        for place, low, high in zip(places, lows, highs, strict=True)
    )
