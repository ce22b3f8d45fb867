"""What hangs together around bright places of a picture, for many places at once.

Purpose: `bright_areas` gives the pixels of the spot at each of some peaks.

Notable choices: a spot is what hangs together above half of its height, or above more of it where it stands
beside something as bright (the sclera, a lid). It is looked for in a square around its peak, which grows
while the spot runs out of it. Dozens of peaks are looked at on every frame, and what takes time is the number
of calls: so all squares of one size are made together.

What it does not know: where exactly the middle of the light is (`light`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.eye.reflection.light import Pixels

F32 = NDArray[np.float32]
Peak = tuple[float, float, float, float]
"""x, y, standard deviation, px; difference of Gaussians."""

LEAST_CONTRAST = 12.0
LARGE_PX = 6
_GROUND = 0.35  # quantile of a spot's surroundings
_LARGEST_SHARE = 0.35  # of the pupil's area
_HEIGHTS = (0.5, 0.65, 0.8)  # of a spot, above which it is looked for what hangs together
_LEAST_ABOVE = 12.0  # grey levels of a spot above such a height, but for the first
_STANDS_OUT = 0.12  # difference of Gaussians over the height, from which on other heights are tried
_LONGEST = 0.3  # half of a spot's length, in diameters of the pupil: beyond it is not looked for its end
_THINNEST = 0.1  # of the axes; a spot smeared by a saccade is long


@dataclass(frozen=True, eq=False)
class Area:
    """A spot's pixels.

    Attributes:
        pixels: those above `level`.
        axes: major and minor of the ellipse of their second moments, px.
        angle: of the major one against +x, degrees.
        level: grey level above which they are.
        height: of the peak above the ground around it, grey levels.
    """

    pixels: Pixels
    axes: tuple[float, float]
    angle: float
    level: float
    height: float


@dataclass(frozen=True, eq=False)
class _Square:
    """The picture around a peak.

    Attributes:
        levels: (side, side), NaN outside the picture and where another peak is nearer.
        reach: half of its side.
        corner: x, y of its first pixel in the picture.
        bounds: columns and rows that lie in the picture: first, behind the last.
        ground: level around the spot.
        height: of the peak above it.
    """

    levels: F32
    reach: int
    corner: tuple[int, int]
    bounds: tuple[int, int, int, int]
    ground: float
    height: float


def bright_areas(
    grey: F32, peaks: Sequence[Peak], size: float, asked: NDArray[np.bool_] | None = None
) -> list[Area | None]:
    """The spot at each peak, None where there is hardly one.

    Args:
        grey: (H, W) picture.
        peaks: of spots, no two of the same one.
        size: diameter of the pupil, px.
        asked: (N,) those that are wanted; the others only keep their pixels; None: all.
    """
    out: list[Area | None] = [None] * len(peaks)
    if not peaks:
        return out
    squares = _Squares(grey, peaks)
    first = [math.ceil(3.0 * peak[2] + 2.0) for peak in peaks]
    largest = _LARGEST_SHARE * 0.785 * size**2 + LARGE_PX
    waiting = [(k, reach, 0) for k, reach in enumerate(first) if asked is None or asked[k]]
    while waiting:
        later: list[tuple[int, int, int]] = []
        around = squares.around([(k, reach) for k, reach, _ in waiting])
        for (k, reach, step), square in zip(waiting, around, strict=True):
            found = _hanging_together(square, step, largest)
            if isinstance(found, Area):
                out[k] = found
            elif found == "ends" and reach <= max(_LONGEST * size, 8.0):
                later.append((k, 2 * reach, step))
            elif found != "dark" and step + 1 < len(_HEIGHTS) and peaks[k][3] >= _STANDS_OUT * square.height:
                later.append((k, first[k], step + 1))
        waiting = later
    return out


def _hanging_together(
    square: _Square, step: int, largest: float
) -> Area | Literal["dark", "ends", "large", "thin"]:
    """What hangs together in a square above one of the heights, or why that is none: nothing rises so far, it
    runs out of the square, it has more than `largest` pixels, it is a line."""
    height, reach = square.height, square.reach
    if height < LEAST_CONTRAST or (step and (1.0 - _HEIGHTS[step]) * height < _LEAST_ABOVE):
        return "dark"
    level = square.ground + _HEIGHTS[step] * height
    bright = (square.levels > np.float32(level)).view(np.uint8)
    seed = (reach, reach)
    if not bright[seed]:  # the nearest that is
        y, x = divmod(int(np.where(bright > 0, _squared(reach), np.inf).argmin()), bright.shape[1])
        seed = (x, y)
        if not bright[y, x]:
            return "dark"
    area, _, _, (left, top, width, tall) = cv2.floodFill(bright, None, seed, 2, flags=8)
    x0, x1, y0, y1 = square.bounds
    if left == x0 or left + width == x1 or top == y0 or top + tall == y1:
        return "ends"
    if area > largest:
        return "large"
    spot = bright[top : top + tall, left : left + width] == 2
    axes, angle = _shape(spot)
    if axes[1] < _THINNEST * axes[0]:
        return "thin"
    rows, cols = np.nonzero(spot)
    x, y = square.corner
    return Area((rows + (top + y), cols + (left + x)), axes, angle, level, height)


def _shape(spot: NDArray[np.bool_]) -> tuple[tuple[float, float], float]:
    """Axes and angle of the ellipse with the second moments of a spot."""
    m = cv2.moments(spot.view(np.uint8), binaryImage=True)
    # A pixel is a square: its own second moment is 1/12 px^2.
    xx, yy = m["mu20"] / m["m00"] + 1.0 / 12.0, m["mu02"] / m["m00"] + 1.0 / 12.0
    xy = m["mu11"] / m["m00"]
    half, root = 0.5 * (xx + yy), math.hypot(0.5 * (xx - yy), xy)
    axes = (4.0 * math.sqrt(half + root), 4.0 * math.sqrt(half - root))
    return axes, math.degrees(0.5 * math.atan2(2.0 * xy, xx - yy)) % 180.0


class _Squares:
    """The squares around the peaks of one picture, each made once."""

    def __init__(self, grey: F32, peaks: Sequence[Peak]) -> None:
        table = np.array(peaks)
        last = (grey.shape[1] - 1, grey.shape[0] - 1)
        self._grey = grey
        self._pixel = np.minimum(np.rint(table[:, :2]), last).astype(np.intp)
        self._at: list[list[int]] = self._pixel.tolist()  # x, y of the pixel of each peak
        # Every pixel belongs to the nearest peak.
        way = table[None, :, :2] - table[:, None, :2]
        self._near = (way * way).sum(axis=2) < ((8.0 * table[:, 2] + 4.0) ** 2)[:, None]
        np.fill_diagonal(self._near, val=False)
        self._way = table[None, :, :2] - self._pixel[:, None]
        self._made: dict[tuple[int, int], _Square] = {}

    def around(self, wanted: Sequence[tuple[int, int]]) -> list[_Square]:
        """Squares by number of the peak and reach."""
        new = [key for key in wanted if key not in self._made]
        for reach in {reach for _, reach in new}:
            self._make(reach, [k for k, other in new if other == reach])
        return [self._made[key] for key in wanted]

    def _make(self, reach: int, numbers: list[int]) -> None:
        height, width = self._grey.shape
        side, bounds = 2 * reach + 1, []
        for x, y in (self._at[k] for k in numbers):
            across = (max(reach - x, 0), min(width + reach - x, side))
            bounds.append((*across, max(reach - y, 0), min(height + reach - y, side)))
        parts = self._cut(reach, numbers)
        places = [int(_GROUND * (x1 - x0) * (y1 - y0)) for x0, x1, y0, y1 in bounds]
        # What is not in the picture comes last.
        ordered = np.partition(parts.reshape(len(numbers), -1), sorted(set(places)), axis=1)
        ground = ordered[np.arange(len(numbers)), places].tolist()
        middle = parts[:, reach - 1 : reach + 2, reach - 1 : reach + 2].reshape(len(numbers), 9)
        peak = np.fmax.reduce(middle, axis=1).tolist()
        self._divide(parts, reach, numbers)
        for k, part, box, low, high in zip(numbers, parts, bounds, ground, peak, strict=True):
            corner = (self._at[k][0] - reach, self._at[k][1] - reach)
            self._made[k, reach] = _Square(part, reach, corner, box, low, high - low)

    def _cut(self, reach: int, numbers: list[int]) -> F32:
        """Out of the picture, NaN where that ends. -> (n, side, side)."""
        grey, at = self._grey, self._pixel[numbers] - reach
        side = 2 * reach + 1
        high = at.max(axis=0) + side
        if at.min() < 0 or high[0] > grey.shape[1] or high[1] > grey.shape[0]:
            grey = cv2.copyMakeBorder(grey, *(reach,) * 4, cv2.BORDER_CONSTANT, value=math.nan)
            at += reach
        windows = np.lib.stride_tricks.sliding_window_view(grey, (side, side))
        return np.asarray(windows[at[:, 1], at[:, 0]])

    def _divide(self, parts: F32, reach: int, numbers: list[int]) -> None:
        """Take away the pixels that are nearer to another peak."""
        of, other = np.nonzero(self._near[numbers])
        if not len(of):
            return
        dx, dy = self._way[numbers][of, other].T[..., None]
        # What is nearer to another is a half plane: on each row it ends at one column. Where that is a whole
        # number, it comes out exact.
        offsets = np.arange(-reach, reach + 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            column = (0.5 * (dx * dx + dy * dy) - offsets * dy) / dx
        starts = np.flatnonzero(np.diff(of, prepend=-1))
        right = np.minimum.reduceat(np.where(dx >= 0.0, column, np.inf), starts, axis=0)[..., None]
        left = np.maximum.reduceat(np.where(dx < 0.0, column, -np.inf), starts, axis=0)[..., None]
        mine = (offsets < right) & (offsets > left)
        for k, other_side in zip(of[starts].tolist(), ~mine, strict=True):
            np.copyto(parts[k], math.nan, where=other_side)


@lru_cache(maxsize=64)
def _squared(reach: int) -> F32:
    """Squared distance of a square's pixels from its middle. -> (side, side)."""
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    return np.asarray(x * x + y * y)
