"""Noise of a picture's pixels, measured inside a pupil.

Purpose: what the standard deviations of `rim_polish` start from.

What it does not know: noise that depends on brightness, or that a codec made.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse

FloatArray = NDArray[np.float64]
F32 = NDArray[np.float32]


def noise_within(raw: F32, ellipse: Ellipse, origin: FloatArray) -> tuple[float, float]:
    """Noise of the pixels within an ellipse.

    A pupil is even inside, so what varies there from pixel to pixel is noise: its strength is the distance of
    the 84th percentile from the median (the lower half may be cut off at black), its grain follows from the
    likeness of neighbours. Where the second difference (Immerkaer 1996, DOI 10.1006/cviu.1996.0060) says much
    less than such noise would show, the inside is not even (an iris); then that difference is all there is,
    and the noise is taken as white.

    Returns:
        Density of the noise (variance times the px^2 over which it is shared; for white noise the variance)
        and its grain, the sigma of a Gaussian in px.
    """
    inside = ellipse.translated(-float(origin[0]), -float(origin[1]))
    inside = inside.scaled(0.8, about=inside.center)
    x0, y0, x1, y1 = inside.bounds
    rows = slice(max(0, math.floor(y0)), math.ceil(y1) + 1)
    cols = slice(max(0, math.floor(x0)), math.ceil(x1) + 1)
    part = raw[rows, cols]
    if min(part.shape, default=0) < 5:
        return 0.0, 0.0
    where = inside.translated(-float(cols.start), -float(rows.start)).mask((part.shape[0], part.shape[1]))
    middle = float(np.median(part[where])) if where.any() else 0.0
    # Reflections: far above the middle, with what they shine on.
    high = float(np.percentile(part[where], 60)) - middle if where.any() else 0.0
    glare = (
        cv2.dilate((part > middle + max(16.0 * high, 4.0)).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    )
    where &= ~glare
    part = np.where(glare, np.float32(middle), part)
    where[[0, -1]] = False
    where[:, [0, -1]] = False
    if np.count_nonzero(where) < 40:
        return 0.0, 0.0
    even = part - cv2.GaussianBlur(part, (0, 0), 4.0)
    low, up = np.percentile(even[where], [50, 84])
    variance = max(float(up - low) ** 2, 1.0 / 12.0)
    a, b = even[:, :-1] - low, even[:, 1:] - low
    both = where[:, :-1] & where[:, 1:]
    alike = float((a * b)[both].mean()) / max(float((even[where] - low).var()), 1e-9)
    grain = math.sqrt(-0.25 / math.log(alike)) if 0.1 < alike < 0.9 else 0.0
    line = np.array([1.0, -2.0, 1.0], dtype=np.float32)
    second = np.abs(cv2.sepFilter2D(part, -1, line, line)[where])
    fine = (1.4826 * float(np.median(second))) ** 2
    shared = [math.exp(-(lag**2) / (4.0 * grain**2)) if grain > 0 else 0.0 for lag in (1, 2)]
    expected = variance * (6.0 - 8.0 * shared[0] + 2.0 * shared[1]) ** 2
    if fine < 0.3 * expected:
        return max(fine / 36.0, 1.0 / 12.0), 0.0
    return variance * max(1.0, 4.0 * math.pi * grain**2), grain
