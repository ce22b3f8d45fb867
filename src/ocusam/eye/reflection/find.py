"""Bright spots around a pupil, found on one picture without masks or clicks.

Purpose: `find_spots` names every place near the pupil that could be a corneal reflection; which of them are
reflections, and which lamp each belongs to, is decided over time (`follow`, `link`).

Notable choices: peaks of differences of Gaussians at three or four sizes (spots from about 1 px to a fifth of
the pupil), the strongest first. Two peaks between which the light hardly falls are one spot; where it does,
every pixel belongs to the nearest peak, so lamps that touch stay apart. A spot is what hangs together around
a peak (`areas`); its centre is that of its light over the ground around it (`light`), as in
`spot.locate_reflection`. A large pupil is looked at on a smaller picture made of the brightest pixel of every
block, so that a spot of few pixels keeps its light. No state: the same picture and pupil give the same spots,
whatever came before, so a run that is stopped and goes on finds the same.

What it does not know: other frames. Highlights of a wet lid or of an iris' texture are spots too.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection.areas import LARGE_PX, LEAST_CONTRAST, Area, Peak, bright_areas
from ocusam.eye.reflection.light import SATURATED, centers_of_light
from ocusam.eye.reflection.spot import Spot, noise_of

__all__ = ["LEAST_CONTRAST", "LIMIT", "REACH", "find_spots"]

F32 = NDArray[np.float32]
REACH = 1.8
"""How far from the pupil's centre spots are looked for, in diameters of the pupil."""
LIMIT = 20
_SMALL_PUPIL = 0.08  # of the picture's shorter side: a smaller pupil counts as one of this size
_SMALLEST = 0.8  # standard deviation of the smallest spot, px of the reduced picture
_LARGEST = 0.09  # of the pupil's diameter
_REDUCED = 56.0  # px of the pupil's diameter from which on the picture is reduced
_LEAST = 2.5  # grey levels of a difference of Gaussians; a spot of its own size gives 0.3 of its contrast
_DIP = 0.85  # of the lower of two peaks: less light between them than this makes two spots
_TRIES = 1.4  # as many peaks are looked at as spots are asked for


def find_spots(
    picture: NDArray[np.uint8] | F32,
    pupil: Ellipse,
    *,
    within: Ellipse | None = None,
    reach: float = REACH,
    limit: int = LIMIT,
) -> list[Spot]:
    """Spots around the pupil's centre, the strongest first.

    Args:
        picture: (H, W) grey or (H, W, 3) RGB.
        pupil: on this picture, px.
        within: the middle of a spot lies in this, px, if it is known: what shines farther out is no cornea,
            and most of the time goes into the measuring of spots.
        reach: how far, in diameters of the pupil.
        limit: at most so many.
    """
    size = max(pupil.major, _SMALL_PUPIL * min(picture.shape[:2]), 6.0)
    x0, y0 = (max(0, math.floor(c - reach * size)) for c in pupil.center)
    x1, y1 = (max(0, math.ceil(c + reach * size) + 1) for c in pupil.center)
    part = picture[y0:y1, x0:x1]
    if min(part.shape[:2], default=0) < 5:
        return []
    if part.ndim == 3:
        part = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    middle = (pupil.center[0] - x0, pupil.center[1] - y0)
    peaks = _near(_peaks(part, size, max(1, math.ceil(size / _REDUCED))), middle, reach * size)
    tries = math.ceil(_TRIES * (limit if within is None else max(limit, LIMIT)))
    grey = part.astype(np.float32)
    peaks = _distinct(cv2.GaussianBlur(grey, (0, 0), _SMALLEST), peaks[: 2 * tries], 0.3 * size + 3.0)[:tries]
    half = round(0.6 * size)  # around the pupil is enough to know it
    i, j = max(0, round(middle[1]) - half), max(0, round(middle[0]) - half)
    noise = noise_of(part[i : i + 2 * half, j : j + 2 * half])
    asked = None if within is None or not peaks else within.translated(-x0, -y0).contains(_places(peaks))
    areas = [area for area in bright_areas(grey, peaks, size, asked) if area is not None]
    return _spots(grey, areas[:limit], noise, (x0, y0))


def _places(peaks: list[Peak]) -> NDArray[np.float64]:
    """x, y of each. -> (N, 2)."""
    return np.array(peaks)[:, :2]


def _near(peaks: list[Peak], middle: tuple[float, float], reach: float) -> list[Peak]:
    """Those within reach, the strongest first, but nearer ones before others: what glistens on lids and
    lashes is farther away than a reflection."""
    if not peaks:
        return []
    far = np.hypot(*(_places(peaks) - middle).T) / reach
    order = np.argsort(np.arange(len(peaks)) * (1.0 + far**2), kind="stable")
    return [peaks[k] for k in order[far[order] <= 1.0].tolist()]


def _peaks(part: NDArray[np.uint8] | F32, size: float, step: int) -> list[Peak]:
    """Places that are brighter than what is around them, the strongest first."""
    small = part
    if step > 1:
        # The brightest pixel of each block; the anchor puts it on the block's first pixel.
        small = cv2.dilate(part, np.ones((step, step), np.uint8), anchor=(0, 0))[::step, ::step]
    level = cv2.GaussianBlur(small.astype(np.float32), (0, 0), _SMALLEST)
    ones = np.ones((3, 3), np.uint8)
    rows: list[NDArray[np.float64]] = []
    sigma = _SMALLEST
    while sigma <= max(_LARGEST * size / step, 1.0):
        # Blurring what is blurred: variances add up.
        wider = cv2.GaussianBlur(level, (0, 0), sigma * math.sqrt(3.0))
        blob = level - wider
        y, x = np.divmod(np.flatnonzero((blob > _LEAST) & (blob >= cv2.dilate(blob, ones))), blob.shape[1])
        rows.append(np.stack([blob[y, x], x, y, np.full(len(x), sigma)], axis=1))
        level, sigma = wider, 2.0 * sigma
    table = np.concatenate(rows)
    table = table[np.argsort(-table[:, 0], kind="stable")]
    offset = 0.5 * (step - 1)
    return [(x * step + offset, y * step + offset, s * step, v) for v, x, y, s in table.tolist()]


def _distinct(grey: F32, peaks: list[Peak], longest: float) -> list[Peak]:
    """Without those that are a stronger one's, or on the way to which the light hardly falls; `longest`: of a
    spot, px."""
    if not peaks:
        return []
    table = np.array(peaks)
    way = table[:, None, :2] - table[None, :, :2]
    away = np.hypot(way[..., 0], way[..., 1])
    same = away < 1.2 * np.minimum(table[:, None, 2], table[None, :, 2]) + 0.8
    later, earlier = np.nonzero(np.tri(len(peaks), k=-1, dtype=np.bool_) & (away < longest) & ~same)
    if len(later):
        steps = np.maximum(np.ceil(away[later, earlier]), 2.0).astype(np.intp)
        same[later, earlier] = ~_falls(grey, table[later, :2], table[earlier, :2], steps)
    kept: list[int] = []
    for k in range(len(peaks)):
        if not same[k, kept].any():
            kept.append(k)
    return [peaks[k] for k in kept]


def _falls(
    grey: F32, a: NDArray[np.float64], b: NDArray[np.float64], steps: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether the light falls on the ways between pairs of peaks (n, 2), each in so many steps. -> (n,)."""
    height, width = grey.shape
    ground = cv2.erode(grey, np.ones((13, 13), np.uint8))
    ends = (steps + 1).cumsum()
    starts = ends - steps - 1
    of = np.repeat(np.arange(len(steps)), steps + 1)
    t = (np.arange(ends[-1]) - starts[of]) * (1.0 / steps)[of]
    t[ends - 1] = 1.0
    at = a[of] + t[:, None] * (b - a)[of] + 0.5
    last = (width - 1, height - 1)
    x, y = np.minimum(at.astype(np.intp), last).T
    along = grey[y, x].astype(np.float64)
    x, y = np.minimum(np.rint(a).astype(np.intp), last).T
    below = ground[y, x].astype(np.float64)
    lower = np.minimum(along[starts], along[ends - 1]) - below
    return np.asarray(np.minimum.reduceat(along, starts) - below < _DIP * lower)


def _spots(grey: F32, areas: list[Area], noise: float, origin: tuple[int, int]) -> list[Spot]:
    """The spots that some areas are; `origin`: the picture's first pixel."""
    large = [len(area.pixels[0]) >= LARGE_PX for area in areas]
    centers = iter(
        centers_of_light(grey, [a.pixels for a, big in zip(areas, large, strict=True) if big], noise)
    )
    spots = []
    for area, big in zip(areas, large, strict=True):
        rows, cols = area.pixels
        light = grey[rows, cols]
        x, y, sd = (next(centers) if big else None) or _mean_of(area, light, noise)
        ellipse = Ellipse((x + origin[0], y + origin[1]), area.axes, area.angle)
        spots.append(Spot(ellipse, float(len(rows)), bool(light.max() >= SATURATED), sd, area.height))
    return spots


def _mean_of(area: Area, light: F32, noise: float) -> tuple[float, float, float]:
    """Centre and its standard deviation where the slope of a spot cannot be told from the ground."""
    rows, cols = area.pixels
    weight = light - (area.level if len(rows) >= LARGE_PX else area.level - 0.5 * area.height)
    total = max(float(weight.sum()), 1e-9)
    x, y = float(weight @ cols) / total, float(weight @ rows) / total
    squares = float((((cols - x) ** 2 + (rows - y) ** 2) * (light < SATURATED)).sum())
    return x, y, noise * math.sqrt(0.5 * squares) / total
