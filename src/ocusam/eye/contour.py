"""Sub-pixel outlines from mask logits.

Purpose: turn one object's mask logits, at the network's coarse resolution, into a closed outline in picture
pixels.

Notable choices: the outline is the zero level of the *logits*, interpolated, never the staircase of the
binary mask: one logit can cover five pixels of a large picture, and the position of the zero crossing between
two samples is most of what is known about the edge. The neighbourhood of the object is enlarged by cubic
interpolation first (the logits are smooth); then OpenCV orders the boundary samples, and each is moved to
where the logits cross zero on the way to its neighbours outside. Only the largest connected part counts;
holes (a reflection on the pupil, the pupil inside an iris mask) do not belong to the outer outline. Where the
object leaves the picture the outline runs along the picture's border, and those points are marked.

What it does not know: which parts of the outline are a true rim and which a lid's edge (see `ellipse.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_OUTSIDE = -1e3  # logit given to everything beyond the picture, so that outlines close along its border
_MIN_LINE = 5  # boundary samples below which there is no shape to speak of


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed outer outline.

    Attributes:
        points: (N, 2) x, y in px of the picture, equal steps of arc length, first point not repeated.
        on_border: (N,) True where the outline only follows the border of the picture.
        area_px: area of the object's largest part in px^2, holes not counted.
        parts: number of connected parts the mask had.
        spacing_px: size of one logit sample in px (the longer side): the scale of what can be resolved.
    """

    points: FloatArray
    on_border: BoolArray
    area_px: float
    parts: int
    spacing_px: float


def outer_contour(
    logits: NDArray[np.float32], size: tuple[int, int], *, n_points: int = 96
) -> Contour | None:
    """The outline of the largest part of one object.

    Args:
        logits: (h, w) mask logits over the whole picture, any resolution; above 0 is the object.
        size: (height, width) of the picture in px.
        n_points: number of points of the outline.

    Returns:
        The outline, or None when no logit is above 0 or the part is too small to have one.

    Raises:
        InputError: if logits are not a finite two-dimensional array.
    """
    if logits.ndim != 2:
        raise InputError(f"Mask logits must be (h, w), got shape {logits.shape}.")
    box = _largest_part(logits)
    if box is None:
        return None
    part, parts, (y0, x0) = box
    step_y, step_x = size[0] / logits.shape[0], size[1] / logits.shape[1]
    factor = min(8, max(1, math.ceil(max(step_x, step_y))))
    fine = part
    if factor > 1:
        fine = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    area = float(np.count_nonzero(fine > 0)) * step_x * step_y / factor**2
    # Beyond the crop there is either background (margin) or the picture's border; both close the outline.
    line = _zero_line(np.pad(fine, 1, constant_values=_OUTSIDE))
    if len(line) < _MIN_LINE:
        return None
    cols, rows = line[:, 0] - 1.0, line[:, 1] - 1.0
    xs = ((cols + 0.5) / factor + x0) * step_x - 0.5
    ys = ((rows + 0.5) / factor + y0) * step_y - 0.5
    points = _resample(np.stack([xs, ys], axis=-1), n_points)
    return Contour(points, _near_border(points, size, step_x, step_y), area, parts, max(step_x, step_y))


def _largest_part(
    logits: NDArray[np.float32],
) -> tuple[NDArray[np.float32], int, tuple[int, int]] | None:
    """Crop of the largest connected part with a margin of two samples, other parts pushed below zero."""
    mask = (logits > 0).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    left, top = int(stats[best, cv2.CC_STAT_LEFT]), int(stats[best, cv2.CC_STAT_TOP])
    width, height = int(stats[best, cv2.CC_STAT_WIDTH]), int(stats[best, cv2.CC_STAT_HEIGHT])
    x0, y0 = max(0, left - 2), max(0, top - 2)
    x1, y1 = min(logits.shape[1], left + width + 2), min(logits.shape[0], top + height + 2)
    part = np.array(logits[y0:y1, x0:x1], dtype=np.float32)
    if not np.isfinite(part).all():
        raise InputError("Mask logits hold values that are not finite.")
    if count > 2:
        others = (labels[y0:y1, x0:x1] != best) & (part > 0)
        part[others] = -part[others]
    return part, count - 1, (y0, x0)


def _zero_line(values: NDArray[np.float32]) -> FloatArray:
    """The outermost zero line of an array whose rim is negative, in order, one point for each boundary
    sample.

    A point is the mean of the (one to four) linear crossings between the sample and its negative neighbours;
    for a corner that is the middle of the segment marching squares would draw. -> (N, 2) col, row."""
    lines, _ = cv2.findContours((values > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not lines:
        return np.zeros((0, 2))
    line = max(lines, key=cv2.contourArea).reshape(-1, 2)
    cols, rows = line[:, 0], line[:, 1]
    inside = values[rows, cols].astype(np.float64)
    moved, count = np.zeros((len(line), 2)), np.zeros(len(line))
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        outside = values[rows + dy, cols + dx].astype(np.float64)
        crosses = outside <= 0
        step = np.where(crosses, inside / np.where(crosses, inside - outside, 1.0), 0.0)
        moved += step[:, None] * np.array([dx, dy])
        count += crosses
    return np.asarray(line + moved / np.maximum(count, 1.0)[:, None], dtype=np.float64)


def _near_border(points: FloatArray, size: tuple[int, int], step_x: float, step_y: float) -> BoolArray:
    """Points within half a logit sample (at least 1 px) of the picture's border: there the outline is the
    border's."""
    margin_x, margin_y = max(1.0, step_x * 0.75), max(1.0, step_y * 0.75)
    x, y = points[:, 0] + 0.5, points[:, 1] + 0.5
    near = (x < margin_x) | (y < margin_y) | (x > size[1] - margin_x) | (y > size[0] - margin_y)
    return np.asarray(near, dtype=np.bool_)


def _resample(points: FloatArray, n: int) -> FloatArray:
    """`n` points at equal steps of arc length along a closed line."""
    closed = np.concatenate([points, points[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    position = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.arange(n) * (position[-1] / n)
    return np.stack(
        [np.interp(wanted, position, closed[:, 0]), np.interp(wanted, position, closed[:, 1])], axis=-1
    )
