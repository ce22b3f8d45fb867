"""Plane geometry of what an eye camera sees: the ellipse.

Purpose: one `Ellipse` for the whole package: what the renderer draws, the eye measurements fit, the overlay
paints and the scores compare.

Notable choices: points are (x, y) in pixels, x to the right, y down, *pixel centres at integers* (the pixel
in the upper left corner covers -0.5..0.5). `axes` are full lengths (diameters), as in the tables of pupil
trackers, not semi-axes. The angle is that of the major axis from +x, clockwise on the screen (towards +y), 0
<= angle < 180; an ellipse given with its axes swapped is turned so that the first is the longer.

What it does not know: perspective. A tilted circle is treated as an exact ellipse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocusam.core.errors import InputError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in pixels.

    Attributes:
        center: (x, y).
        axes: full lengths (major, minor) in px, both positive.
        angle: direction of the major axis in degrees from +x, clockwise on the screen, 0 <= angle < 180.

    Raises:
        InputError: if a value is not finite or an axis is not positive.
    """

    center: tuple[float, float]
    axes: tuple[float, float]
    angle: float = 0.0

    def __post_init__(self) -> None:
        values = (*self.center, *self.axes, self.angle)
        if len(values) != 5 or not all(math.isfinite(v) for v in values):
            raise InputError(
                f"An ellipse needs five finite numbers, got center={self.center}, axes={self.axes}, "
                f"angle={self.angle}."
            )
        if min(self.axes) <= 0:
            raise InputError(f"The axes of an ellipse are positive lengths in px, got {self.axes}.")
        first, second = (float(v) for v in self.axes)
        angle = float(self.angle)
        if second > first:
            first, second, angle = second, first, angle + 90.0
        angle %= 180.0
        # A tiny negative angle gives exactly 180.0 in floating point.
        object.__setattr__(self, "angle", 0.0 if angle >= 180.0 else angle)
        object.__setattr__(self, "axes", (first, second))
        object.__setattr__(self, "center", (float(self.center[0]), float(self.center[1])))

    @property
    def major(self) -> float:
        """Full length of the longer axis, px."""
        return self.axes[0]

    @property
    def minor(self) -> float:
        """Full length of the shorter axis, px."""
        return self.axes[1]

    @property
    def area(self) -> float:
        """Area in px^2."""
        return math.pi * self.axes[0] * self.axes[1] / 4.0

    def radial(self, points: ArrayLike) -> FloatArray:
        """Distance of points (..., 2) from the centre in units of the ellipse: 1 on the outline, < 1 inside.
        -> (...)."""
        xy = np.asarray(points, dtype=np.float64)
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        dx, dy = xy[..., 0] - self.center[0], xy[..., 1] - self.center[1]
        u = (dx * cos + dy * sin) * (2.0 / self.axes[0])
        v = (dy * cos - dx * sin) * (2.0 / self.axes[1])
        return np.asarray(np.hypot(u, v), dtype=np.float64)

    def contains(self, points: ArrayLike) -> BoolArray:
        """Whether points (..., 2) lie inside or on the outline. -> bool (...)."""
        return np.asarray(self.radial(points) <= 1.0, dtype=np.bool_)

    def distance(self, points: ArrayLike) -> FloatArray:
        """Signed distance in px of points (..., 2) from the outline, positive outside; first order (Sampson),
        exact on the outline and good to a few per cent within a tenth of the axes. -> (...)."""
        xy = np.asarray(points, dtype=np.float64)
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        a, b = self.axes[0] / 2.0, self.axes[1] / 2.0
        dx, dy = xy[..., 0] - self.center[0], xy[..., 1] - self.center[1]
        u, v = dx * cos + dy * sin, dy * cos - dx * sin
        # Roots of sums of squares: `np.hypot` takes many times as long, and nothing here can overflow.
        value = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        # |grad| of sqrt(u^2/a^2 + v^2/b^2); at the very centre the direction is undefined: take the minor
        # axis.
        slope = np.sqrt((u / (a * a)) ** 2 + (v / (b * b)) ** 2) / np.maximum(value, 1e-12)
        slope = np.where(value < 1e-9, 1.0 / b, slope)
        return np.asarray((value - 1.0) / slope, dtype=np.float64)

    def mask(self, size: tuple[int, int]) -> BoolArray:
        """Pixels of a picture of `size` (h, w) whose centres lie inside. -> bool (h, w)."""
        height, width = size
        out = np.zeros((height, width), dtype=np.bool_)
        x0, y0, x1, y1 = self.bounds
        left, right = max(0, math.floor(x0)), min(width, math.ceil(x1) + 1)
        top, bottom = max(0, math.floor(y0)), min(height, math.ceil(y1) + 1)
        if left < right and top < bottom:
            yy, xx = np.mgrid[top:bottom, left:right]
            out[top:bottom, left:right] = self.contains(np.stack([xx, yy], axis=-1))
        return out

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest upright box around it: (x0, y0, x1, y1) px."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        a, b = self.axes[0] / 2.0, self.axes[1] / 2.0
        half_w, half_h = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)
        return (
            self.center[0] - half_w,
            self.center[1] - half_h,
            self.center[0] + half_w,
            self.center[1] + half_h,
        )

    def points(self, n: int = 64) -> FloatArray:
        """`n` points on the outline at equal parameter steps, from the end of the major axis, clockwise. ->
        (n, 2)."""
        t = np.arange(n) * (2.0 * math.pi / n)
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        u, v = self.axes[0] / 2.0 * np.cos(t), self.axes[1] / 2.0 * np.sin(t)
        return np.stack([self.center[0] + u * cos - v * sin, self.center[1] + u * sin + v * cos], axis=-1)

    def translated(self, dx: float, dy: float) -> Ellipse:
        """The same ellipse moved by (dx, dy) px."""
        return Ellipse((self.center[0] + dx, self.center[1] + dy), self.axes, self.angle)

    def scaled(self, factor: float, *, about: tuple[float, float] | None = None) -> Ellipse:
        """All lengths times `factor` about a fixed point: the origin unless given (pass `about=e.center` to
        grow in place). To go to a picture `factor` times as large with pixel centres at integers use
        `scaled(factor, about=(-0.5, -0.5))`."""
        ox, oy = about if about is not None else (0.0, 0.0)
        cx, cy = self.center
        return Ellipse(
            (ox + (cx - ox) * factor, oy + (cy - oy) * factor),
            (self.axes[0] * factor, self.axes[1] * factor),
            self.angle,
        )

    def stretched(self, fx: float, fy: float, *, about: tuple[float, float] = (-0.5, -0.5)) -> Ellipse:
        """The image of the ellipse when x is scaled by `fx` and y by `fy` about a point (default: the corner
        of the picture, as when a picture is resized)."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        half = np.array([[cos, -sin], [sin, cos]]) @ np.diag([self.axes[0] / 2.0, self.axes[1] / 2.0])
        u, s, _ = np.linalg.svd(np.diag([fx, fy]) @ half)
        center = (about[0] + (self.center[0] - about[0]) * fx, about[1] + (self.center[1] - about[1]) * fy)
        return Ellipse(
            center, (2.0 * float(s[0]), 2.0 * float(s[1])), math.degrees(math.atan2(u[1, 0], u[0, 0]))
        )

    def iou(self, other: Ellipse, *, resolution: int = 200) -> float:
        """Intersection over union of the two filled ellipses, counted on a grid with `resolution` steps along
        the longer side of their common box (error about 1 / resolution)."""
        mine, theirs = self.bounds, other.bounds
        x0, y0 = min(mine[0], theirs[0]), min(mine[1], theirs[1])
        x1, y1 = max(mine[2], theirs[2]), max(mine[3], theirs[3])
        step = max(x1 - x0, y1 - y0) / resolution
        xx, yy = np.meshgrid(np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step))
        grid = np.stack([xx, yy], axis=-1)
        a, b = self.contains(grid), other.contains(grid)
        union = int(np.count_nonzero(a | b))
        return int(np.count_nonzero(a & b)) / union if union else 0.0

    @staticmethod
    def from_mask_moments(mask: ArrayLike) -> Ellipse | None:
        """The ellipse with the centre and second moments of a mask or a coverage map (h, w); None when it is
        empty.

        A pixel counts as a unit square, so that a single pixel still has an extent."""
        weight = np.asarray(mask, dtype=np.float64)
        total = float(weight.sum())
        if total <= 0:
            return None
        ys, xs = np.nonzero(weight)
        w = weight[ys, xs]
        cx, cy = float((w * xs).sum() / total), float((w * ys).sum() / total)
        dx, dy = xs - cx, ys - cy
        pixel = 1.0 / 12.0
        cov = np.array(
            [
                [(w * dx * dx).sum() / total + pixel, (w * dx * dy).sum() / total],
                [(w * dx * dy).sum() / total, (w * dy * dy).sum() / total + pixel],
            ]
        )
        values, vectors = np.linalg.eigh(cov)
        major, minor = 4.0 * math.sqrt(float(values[1])), 4.0 * math.sqrt(float(values[0]))
        return Ellipse((cx, cy), (major, minor), math.degrees(math.atan2(vectors[1, 1], vectors[0, 1])))
