"""Bright spots around a pupil, found on one picture without masks or clicks.

Purpose: `find_spots` names every place near the pupil that could be a corneal reflection; which of them are
reflections, and which lamp each belongs to, is decided over time (`follow`, `link`).

Notable choices: peaks of differences of Gaussians at three or four sizes (spots from about 1 px to a fifth of
the pupil), the strongest first. Two peaks between which the light hardly falls are one spot; where it does,
every pixel belongs to the nearest peak, so lamps that touch stay apart. A spot is what hangs together above
half of its height, or above more of it where it stands beside something as bright (the sclera, a lid); its
centre is that of its light over the ground around it (`light`), as in `spot.locate_reflection`. A large pupil
is looked at on a smaller picture made of the brightest pixel of every block, so that a spot of few pixels
keeps its light. No state: the same picture and pupil give the same spots, whatever came before, so a run that
is stopped and goes on finds the same.

What it does not know: other frames; the iris. Highlights of a wet lid or of an iris' texture are spots too.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection.light import SATURATED, center_of_light
from ocusam.eye.reflection.spot import Spot, noise_of

F32 = NDArray[np.float32]
REACH = 1.8
"""How far from the pupil's centre spots are looked for, in diameters of the pupil."""
LIMIT = 20
_SMALL_PUPIL = 0.08  # of the picture's shorter side: a smaller pupil counts as one of this size
LEAST_CONTRAST = 12.0
_SMALLEST = 0.8  # standard deviation of the smallest spot, px of the reduced picture
_LARGEST = 0.09  # of the pupil's diameter
_REDUCED = 56.0  # px of the pupil's diameter from which on the picture is reduced
_LEAST = 2.5  # grey levels of a difference of Gaussians; a spot of its own size gives 0.3 of its contrast
_DIP = 0.85  # of the lower of two peaks: less light between them than this makes two spots
_GROUND = 0.35  # quantile of a spot's surroundings
_LARGEST_SHARE = 0.35  # of the pupil's area
_HEIGHTS = (0.5, 0.65, 0.8)  # of a spot, above which it is looked for what hangs together
_LEAST_ABOVE = 12.0  # grey levels of a spot above such a height, but for the first
_STANDS_OUT = 0.12  # difference of Gaussians over the height, from which on other heights are tried
_TRIES = 1.4  # as many peaks are looked at as spots are asked for
_LONGEST = 0.3  # half of a spot's length, in diameters of the pupil: beyond it is not looked for its end
_THINNEST = 0.1  # of the axes; a spot smeared by a saccade is long
_LARGE_PX = 6


def find_spots(
    picture: NDArray[np.uint8] | F32, pupil: Ellipse, *, reach: float = REACH, limit: int = LIMIT
) -> list[Spot]:
    """Spots around the pupil's centre, the strongest first.

    Args:
        picture: (H, W) grey or (H, W, 3) RGB.
        pupil: on this picture, px.
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
    grey = part.astype(np.float32)
    tries = math.ceil(_TRIES * limit)
    peaks = _distinct(cv2.GaussianBlur(grey, (0, 0), _SMALLEST), peaks[: 2 * tries], 0.3 * size + 3.0)[:tries]
    half = round(0.6 * size)  # around the pupil is enough to know it
    i, j = max(0, round(middle[1]) - half), max(0, round(middle[0]) - half)
    noise = noise_of(grey[i : i + 2 * half, j : j + 2 * half])
    found: list[Spot] = []
    for k, peak in enumerate(peaks):
        near = [p for j, p in enumerate(peaks) if j != k and math.dist(p[:2], peak[:2]) < 8.0 * peak[2] + 4.0]
        spot = _measured(grey, peak, near, noise, size)
        if spot is None:
            continue
        found.append(replace(spot, ellipse=spot.ellipse.translated(x0, y0)))
        if len(found) == limit:
            break
    return found


Peak = tuple[float, float, float, float]  # x, y, standard deviation, px; difference of Gaussians


def _near(peaks: list[Peak], middle: tuple[float, float], reach: float) -> list[Peak]:
    """Those within reach, the strongest first, but nearer ones before others: what glistens on lids and
    lashes is farther away than a reflection."""
    if not peaks:
        return []
    far = np.hypot(*(np.array(peaks)[:, :2] - middle).T) / reach
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
    ground = cv2.erode(grey, np.ones((13, 13), np.uint8))
    kept: list[Peak] = []
    for x, y, s, v in peaks:
        for a, b, c, _ in kept:
            away = math.hypot(x - a, y - b)
            if away < 1.2 * min(c, s) + 0.8 or (
                away < longest and not _falls(grey, ground, (x, y), (a, b), math.ceil(away))
            ):
                break
        else:
            kept.append((x, y, s, v))
    return kept


def _falls(grey: F32, ground: F32, a: tuple[float, float], b: tuple[float, float], steps: int) -> bool:
    """Whether the light falls on the way between two peaks."""
    t = _way(max(steps, 2))
    height, width = grey.shape
    x = np.minimum((a[0] + t * (b[0] - a[0]) + 0.5).astype(np.intp), width - 1)
    y = np.minimum((a[1] + t * (b[1] - a[1]) + 0.5).astype(np.intp), height - 1)
    along = grey[y, x]
    below = float(ground[min(round(a[1]), height - 1), min(round(a[0]), width - 1)])
    return float(along.min()) - below < _DIP * (min(float(along[0]), float(along[-1])) - below)


@lru_cache(maxsize=256)
def _way(steps: int) -> NDArray[np.float64]:
    return np.linspace(0.0, 1.0, steps + 1)


@lru_cache(maxsize=64)
def _grid(reach: int) -> tuple[F32, F32]:
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    return x, y


def _measured(grey: F32, peak: Peak, others: list[Peak], noise: float, size: float) -> Spot | None:
    """The spot around a peak, None where there is hardly one; `size`: of the pupil, px."""
    px, py = min(round(peak[0]), grey.shape[1] - 1), min(round(peak[1]), grey.shape[0] - 1)
    largest = _LARGEST_SHARE * 0.785 * size**2 + _LARGE_PX
    reach, step = math.ceil(3.0 * peak[2] + 2.0), 0
    while True:
        x, y = _grid(reach)
        top, left = max(0, reach - py), max(0, reach - px)
        bottom, right = min(grey.shape[0] - py, reach + 1) + reach, min(grey.shape[1] - px, reach + 1) + reach
        part = grey[py - reach + top : py + reach + 1, px - reach + left : px + reach + 1]
        x, y = x[top:bottom, left:right], y[top:bottom, left:right]
        k = int(_GROUND * part.size)
        ground = float(np.partition(part, k, axis=None)[k])
        near = part[max(0, reach - top - 1) : reach - top + 2, max(0, reach - left - 1) : reach - left + 2]
        height = float(near.max()) - ground
        if height < LEAST_CONTRAST or (step and (1.0 - _HEIGHTS[step]) * height < _LEAST_ABOVE):
            return None
        level = ground + _HEIGHTS[step] * height
        bright = part > level
        for a, b, *_ in others:
            bright &= (x - (a - px)) ** 2 + (y - (b - py)) ** 2 > x**2 + y**2
        _, labels = cv2.connectedComponents(bright.view(np.uint8), connectivity=8)
        at = (reach - top, reach - left)
        if not bright[at]:  # the nearest that is
            at = divmod(int(np.argmin(np.where(bright, x**2 + y**2, np.inf))), part.shape[1])
            if not bright[at]:
                return None
        spot = labels == labels[at]
        ends = spot[0].any() or spot[-1].any() or spot[:, 0].any() or spot[:, -1].any()
        if ends and reach <= max(_LONGEST * size, 8.0):
            reach *= 2
            continue
        rows, cols = np.nonzero(spot)
        if len(rows) <= largest and not ends:
            rows, cols = rows + (py - reach + top), cols + (px - reach + left)
            found = _of_pixels(grey, rows, cols, level, noise, height)
            if found.ellipse.minor >= _THINNEST * found.ellipse.major:
                return found
        step, reach = step + 1, math.ceil(3.0 * peak[2] + 2.0)
        if step == len(_HEIGHTS) or peak[3] < _STANDS_OUT * height:
            return None


def _of_pixels(
    grey: F32, rows: NDArray[np.intp], cols: NDArray[np.intp], level: float, noise: float, height: float
) -> Spot:
    """The spot made of some pixels, those above a level."""
    light = grey[rows, cols]
    area, saturated = float(len(light)), bool(light.max() >= SATURATED)
    centre = center_of_light(grey, rows, cols, noise) if area >= _LARGE_PX else None
    if centre is not None:
        return Spot(_shape(cols, rows, centre[:2]), area, saturated, centre[2], height)
    weight = light - (level if area >= _LARGE_PX else level - 0.5 * height)
    total = max(float(weight.sum()), 1e-9)
    x, y = float(weight @ cols) / total, float(weight @ rows) / total
    squares = float((((cols - x) ** 2 + (rows - y) ** 2) * (light < SATURATED)).sum())
    return Spot(_shape(cols, rows, (x, y)), area, saturated, noise * math.sqrt(0.5 * squares) / total, height)


def _shape(x: NDArray[np.intp], y: NDArray[np.intp], center: tuple[float, float]) -> Ellipse:
    """The ellipse with the second moments of some pixels; a pixel's own is 1/12 px^2."""
    xx, yy = float(x.var()) + 1.0 / 12.0, float(y.var()) + 1.0 / 12.0
    xy = float(((x - x.mean()) * (y - y.mean())).mean())
    half, root = 0.5 * (xx + yy), math.hypot(0.5 * (xx - yy), xy)
    angle = math.degrees(0.5 * math.atan2(2.0 * xy, xx - yy)) % 180.0
    return Ellipse(center, (4.0 * math.sqrt(half - root), 4.0 * math.sqrt(half + root)), angle)
