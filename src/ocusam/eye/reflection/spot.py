"""Corneal reflections on the picture: where exactly the light is.

Purpose: a mask says which bright spot is meant; `locate_reflection` finds its centre to a fraction of a
pixel. `with_pupil_cr_vectors` adds the pupil-reflection vectors to a recording's table.

Notable choices: the spot is the connected bright area nearest to the mask's centre; bright is above half
between the ground around it and its peak. Its centre is that of the light above that half, pixel by pixel,
over ground that need not be even (`light`); in a saturated spot the plateau counts evenly and the slope
around it carries the fraction; the answer says which it was. Spots that touch are cut at the neck. A spot
whose peak is hardly above the ground has no answer.
The intensity-weighted centre is what trackers use where the reflection covers more than a few pixels
(Shortis, Clarke and Short 1994, DOI 10.1117/12.189141, compare such estimators).

What it does not know: other frames, and which lamp a reflection belongs to: that is the tracked object's
name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.direct_fit import median
from ocusam.eye.reflection.light import SATURATED, Grey, centers_of_light

BoolArray = NDArray[np.bool_]
_LEAST_CONTRAST = 12.0  # grey levels of the peak above the ground
_LARGE_PX = 6
_LARGEST_AREA = 12.0  # times that of the mask's ellipse: the glare of a lid or a lens, not the spot
VECTOR_COLUMNS = ("pupil_cr_x_px", "pupil_cr_y_px")


@dataclass(frozen=True)
class Spot:
    """A reflection found on the picture.

    Attributes:
        ellipse: centre of its light and the ellipse of equal second moments of its area, px.
        area_px: pixels above half of its height.
        saturated: its brightest part is at the camera's limit.
        center_sd_px: standard deviation of the centre by the noise of the pixels around it (a weighted mean:
            sqrt(sum of squared distances) / sum of weights, times the noise), mean of both directions.
        contrast: grey levels of its peak above the ground around it.
    """

    ellipse: Ellipse
    area_px: float
    saturated: bool
    center_sd_px: float = 0.0
    contrast: float = 0.0


def locate_reflection(picture: NDArray[np.uint8] | NDArray[np.float32], start: Ellipse) -> Spot | None:
    """The bright spot at `start`.

    Args:
        picture: (H, W) grey or (H, W, 3) RGB.
        start: the reflection by its mask, px.

    Returns:
        The spot, or None where the picture shows none there.

    Raises:
        InputError: the picture has another shape.
    """
    if picture.ndim not in (2, 3):
        raise InputError(f"A picture is (H, W) or (H, W, 3), got shape {picture.shape}.")
    reach = 1.25 * start.major + 3.0
    x0, y0 = (max(0, math.floor(c - reach)) for c in start.center)
    part = picture[y0 : max(y0, math.ceil(start.center[1] + reach) + 1), x0:]
    part = part[:, : max(0, math.ceil(start.center[0] + reach) + 1 - x0)]
    if min(part.shape[:2]) < 3:
        return None
    if part.ndim == 3:
        part = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    found = _nearest_bright(part, start, (x0, y0))
    if found is None:
        return None
    rows, cols, ground, peak = found
    area = float(len(rows))
    if area > _LARGEST_AREA * max(start.area, 4.0):
        return None
    noise = noise_of(part)
    centre = centers_of_light(part, [(rows, cols)], noise)[0] if area >= _LARGE_PX else None
    if centre is not None:
        x, y, sd = centre
        return Spot(_shape(rows, cols, (x + x0, y + y0)), area, peak >= SATURATED, sd, peak - ground)
    # A spot of few pixels has no slope that could be cut off.
    light = part[rows, cols].astype(np.float64)
    weight = light - (0.5 * (ground + peak) if area >= _LARGE_PX else ground)
    x, y = float(np.average(cols, weights=weight)), float(np.average(rows, weights=weight))
    ellipse = _shape(rows, cols, (x + x0, y + y0))
    # Pixels at the camera's limit do not scatter; the slope around them does.
    free = light < SATURATED
    squares = float(((cols[free] - x) ** 2 + (rows[free] - y) ** 2).sum())
    sd = noise * math.sqrt(0.5 * squares) / max(float(weight.sum()), 1e-9)
    return Spot(ellipse, area, peak >= SATURATED, sd, peak - ground)


def _nearest_bright(
    grey: Grey, start: Ellipse, origin: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], float, float] | None:
    """The bright area nearest to the start, rows and columns; the level of the ground around it; its peak."""
    dx = np.arange(grey.shape[1]) + (origin[0] - start.center[0])
    dy = np.arange(grey.shape[0]) + (origin[1] - start.center[1])
    away = dx * dx + (dy * dy)[:, None]  # squared
    close = away <= (0.5 * start.major + 1.5) ** 2
    if not close.any():
        return None
    outside = grey[~close]
    ground, peak = _median(outside) if len(outside) else float(grey.min()), float(grey[close].max())
    if peak - ground < _LEAST_CONTRAST:
        return None
    bright = grey > 0.5 * (ground + peak)
    seed = divmod(int(np.argmin(np.where(bright, away, np.inf))), grey.shape[1])
    filled = np.pad(bright.view(np.uint8), 1)
    _, _, _, (x, y, width, height) = cv2.floodFill(filled, None, (seed[1] + 1, seed[0] + 1), 2, flags=8)
    box = (slice(y - 1, y - 1 + height), slice(x - 1, x - 1 + width))
    spot = filled[y : y + height, x : x + width] == 2
    rows, cols = np.nonzero(_apart(spot, away[box]))
    return rows + (y - 1), cols + (x - 1), ground, peak


def _apart(area: BoolArray, away: NDArray[np.float64]) -> BoolArray:
    """Of reflections that touch each other, the one nearest to the start: cut at the neck.

    Places deep within the area (two thirds of its greatest depth) that do not hang together are the cores of
    different spots; every pixel belongs to the nearest core. One long spot has one long core."""
    if np.count_nonzero(area) < 2 * _LARGE_PX:
        return area
    depth = cv2.distanceTransform(np.pad(area.view(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    count, cores = cv2.connectedComponents((depth > 0.67 * depth.max()).view(np.uint8), connectivity=8)
    if count < 3:
        return area
    reach = [cv2.distanceTransform((cores != k).view(np.uint8), cv2.DIST_L2, 3) for k in range(1, count)]
    nearest = [float(away[cores == k].min()) for k in range(1, count)]
    mine = int(np.argmin(nearest))
    return np.asarray(area & (np.argmin(np.stack(reach), axis=0) == mine), dtype=np.bool_)


def noise_of(grey: Grey) -> float:
    """Standard deviation of pixel noise (Immerkaer 1996, DOI 10.1006/cviu.1996.0060), by a median."""
    line = np.array([1.0, -2.0, 1.0])
    depth = cv2.CV_16S if grey.dtype == np.uint8 else -1
    return 1.4826 * _median(np.abs(cv2.sepFilter2D(grey, depth, line, line)).ravel()) / 6.0


def _median(values: NDArray[Any]) -> float:
    """Of (N,) values; whole numbers, which are not negative, are counted: that takes a tenth of the time."""
    if values.dtype.kind == "f":
        return median(values)
    total = np.bincount(values).cumsum()
    low, high = total.searchsorted([(len(values) - 1) // 2, len(values) // 2], side="right").tolist()
    return 0.5 * float(low + high)


def _shape(rows: NDArray[np.intp], cols: NDArray[np.intp], center: tuple[float, float]) -> Ellipse:
    """The ellipse with the second moments of some pixels."""
    x, y = cols - cols.mean(), rows - rows.mean()
    # A pixel is a square: its own second moment is 1/12 px^2.
    xx, yy, xy = float(x @ x) / len(x) + 1.0 / 12.0, float(y @ y) / len(y) + 1.0 / 12.0, float(x @ y) / len(x)
    half, root = 0.5 * (xx + yy), math.hypot(0.5 * (xx - yy), xy)
    axes = (4.0 * math.sqrt(half + root), 4.0 * math.sqrt(half - root))
    return Ellipse(center, axes, math.degrees(0.5 * math.atan2(2.0 * xy, xx - yy)) % 180.0)


def with_pupil_cr_vectors(signals: pl.DataFrame) -> pl.DataFrame:
    """Add `pupil_cr_x_px`, `pupil_cr_y_px` to the rows of reflections: pupil centre minus reflection centre.

    Args:
        signals: a recording's table (`signals.COLUMNS`).

    Returns:
        The table with both columns, empty for other objects and where either centre is missing.
    """
    key = ["frame_idx", "view"]
    pupil = signals.filter(pl.col("object") == "pupil").select(
        *key, pl.col("center_x_px").alias("_x"), pl.col("center_y_px").alias("_y")
    )
    is_cr = pl.col("object").str.contains(r"^(corneal_reflection|cr)\d*$")
    joined = signals.drop(VECTOR_COLUMNS, strict=False).join(pupil, on=key, how="left", maintain_order="left")
    return joined.with_columns(
        pl.when(is_cr).then(pl.col("_x") - pl.col("center_x_px")).alias(VECTOR_COLUMNS[0]),
        pl.when(is_cr).then(pl.col("_y") - pl.col("center_y_px")).alias(VECTOR_COLUMNS[1]),
    ).drop("_x", "_y")
