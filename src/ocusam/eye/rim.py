"""The outline of a pupil or an iris from the picture's own edge, starting from what the mask says.

Purpose: the mask tells which thing is meant and roughly where it ends; the picture tells exactly where.
`refine_rim` looks along normals of the mask's ellipse for the step between inside and outside and fits the
ellipse to the places found.

Notable choices: the step's direction (dark or bright pupil) and the grey levels on its two sides are taken
from the picture itself, as medians over all normals, so nothing has to be set for a camera. A place counts
only where both sides look like most others: a lid, lashes, the picture's border or a reflection lying on the
rim look different and are left out (a reflection's near edge is a strong step of the right direction, but
what lies behind it is too bright). The search narrows in three rounds, the later ones about the ellipse of
the one before. Sub-pixel places come from a parabola through the gradient's peak. The scatter of the places
about the ellipse, carried through the fit, gives the standard deviation of the centre. Where too few places
agree, there is no answer and the mask's outline stands.

The idea of looking along rays for the pupil's edge is that of Starburst (Li, Winfield and Parkhurst 2005, DOI
10.1109/CVPR.2005.531); that the rays start at a mask's outline, not at a guessed centre, is why few go
astray.

What it does not know: other frames, other objects, the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.direct_fit import MIN_POINTS, distances, fit_many

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_NORMALS = 72
_REACHES = (0.36, 0.2, 0.12)  # of the mean radius, one a round
_LEAST_REACH_PX = 3.0
_STEP_PX = 0.5
_REFITS = 3
_FLATTEST = 0.25  # least axis ratio: a circle tilted by 75 degrees
_LEAST_OF_SEEN = 0.4  # of the normals looked at, with an agreeing place
_LEAST_SHARE = 0.25  # of all normals; less of an outline does not hold an ellipse
_LARGEST_SHIFT = 0.3  # of the centre, as a share of the diameter
_AREA_CHANGE = (0.5, 2.0)
_ROUGHEST = 0.03  # scatter of the places, as a share of the diameter
_LEAST_CONTRAST = 3.0  # grey levels between the two sides
_CONTRAST_TO_NOISE = 1.0


@dataclass(frozen=True, eq=False)
class RimFit:
    """An ellipse fitted to the picture's edge.

    Attributes:
        ellipse: px of the picture.
        places: (N, 2) the edge places that agree with it, px.
        share: share of the normals with such a place, 0..1.
        rms_px: root mean square distance of these places from the ellipse.
        center_sd_px: standard deviation of the centre (mean of both directions) that this scatter means,
            neighbouring normals taken as dependent within the smoothing of the picture.
        contrast: grey levels from the inner to the outer side (positive: dark inside).
    """

    ellipse: Ellipse
    places: FloatArray
    share: float
    rms_px: float
    center_sd_px: float
    contrast: float


def refine_rim(
    picture: NDArray[np.uint8], start: Ellipse, rim_points: FloatArray | None = None
) -> RimFit | None:
    """Fit an ellipse to the picture's edge near `start`.

    Args:
        picture: (H, W) grey or (H, W, 3) RGB.
        start: the outline by the mask, px.
        rim_points: (N, 2) points of the mask's outline that are true rim; where there are none (a lid, the
            border), the picture is not looked at either. None: look all around.

    Returns:
        The fit, or None where the picture shows no rim near `start` that agrees well enough.

    Raises:
        InputError: the picture has another shape.
    """
    if picture.ndim not in (2, 3):
        raise InputError(f"A picture is (H, W) or (H, W, 3), got shape {picture.shape}.")
    radius = 0.25 * (start.major + start.minor)
    if radius < 2.0 or start.minor < 0.2 * start.major:
        return None
    around = _Surroundings(picture, start, radius)
    seen = np.ones(_NORMALS, dtype=np.bool_) if rim_points is None else _seen(start, rim_points)
    now, found = start, None
    for number, reach in enumerate(_REACHES):
        found = around.fit(now, max(_LEAST_REACH_PX, reach * radius), seen, first=number == 0)
        if found is None:
            return None
        now = found.ellipse
    assert found is not None
    shift = math.dist(now.center, start.center)
    change = now.area / max(start.area, 1e-9)
    diameter = 0.5 * (now.major + now.minor)
    if shift > _LARGEST_SHIFT * 2.0 * radius or not _AREA_CHANGE[0] < change < _AREA_CHANGE[1]:
        return None
    if found.rms_px > max(_ROUGHEST * diameter, 0.5):
        return None
    return found


class _Surroundings:
    """The smoothed part of a picture around one object."""

    def __init__(self, picture: NDArray[np.uint8], start: Ellipse, radius: float) -> None:
        self._sigma = min(max(0.8, 0.04 * radius), 3.0)
        margin = (1.0 + 2.0 * max(_REACHES)) * 0.5 * start.major + 4.0 * self._sigma + 4.0
        x0, y0 = (max(0, math.floor(c - margin)) for c in start.center)
        part = picture[y0 : y0 + math.ceil(2 * margin) + 2, x0 : x0 + math.ceil(2 * margin) + 2]
        if part.ndim == 3:
            part = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
        self._origin = np.array([x0, y0], dtype=np.float64)
        self._size = part.shape
        grey = part.astype(np.float32)
        self._smooth = cv2.GaussianBlur(grey, (0, 0), self._sigma) if part.size else grey
        self._noise = _noise(grey) if min(self._size) > 3 else 0.0

    def fit(self, about: Ellipse, reach: float, seen: BoolArray, *, first: bool) -> RimFit | None:
        """One round: places along the normals of `about` within `reach` px, then a robust ellipse.

        In the first round `about` is the mask's, and the places themselves must say which of them belong
        together; later rounds go on from the ellipse they have.
        """
        if min(self._size) < 4:
            return None
        rim, normals = _normals(about)
        offsets = np.arange(-reach, reach + 1e-6, _STEP_PX)
        lines = self._lines(rim, normals, offsets)
        side = max(2, round(0.5 * reach / _STEP_PX))
        inner, outer = _median(lines[seen, :side]), _median(lines[seen, -side:])
        contrast = outer - inner
        if not abs(contrast) >= max(_LEAST_CONTRAST, _CONTRAST_TO_NOISE * self._noise):
            return None
        offset, valid = _places(lines, offsets, contrast, seen)
        xy = rim + offset[:, None] * normals
        if np.count_nonzero(valid) < _least(seen):
            return None
        near = max(0.25 * reach, 0.7)
        start = _consensus(xy, valid, near) if first else _row(about)
        return None if start is None else self._robust(xy, valid, start, near, _least(seen), contrast)

    def _lines(self, rim: FloatArray, normals: FloatArray, offsets: FloatArray) -> FloatArray:
        """Grey levels along the normals, NaN outside the picture. -> (N, K)."""
        xy = (rim - self._origin)[:, None] + offsets[None, :, None] * normals[:, None]
        x, y = xy[..., 0].astype(np.float32), xy[..., 1].astype(np.float32)
        levels = cv2.remap(self._smooth, x, y, cv2.INTER_LINEAR).astype(np.float64)
        h, w = self._size
        inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
        return np.asarray(np.where(inside, levels, np.nan))

    def _robust(
        self, xy: FloatArray, valid: BoolArray, row: FloatArray, near: float, least: float, contrast: float
    ) -> RimFit | None:
        """Refit with Tukey weights whose reach shrinks from `near` px to 3.5 robust standard deviations."""
        weights = np.zeros(len(xy))
        for _ in range(_REFITS):
            away = distances(row[None], xy)[0]
            close = valid & (np.abs(away) < near)
            if np.count_nonzero(close) < MIN_POINTS:
                return None
            spread = 1.4826 * float(np.median(np.abs(away[close])))
            near = min(near, max(3.5 * spread, 0.35))
            relative = away / near
            weights = np.where(np.abs(relative) < 1.0, (1.0 - relative**2) ** 2, 0.0) * valid
            new = fit_many(xy, weights[None])[0]
            if not np.isfinite(new).all() or new[3] < _FLATTEST * new[2]:
                return None
            row = new
        used = weights > 0
        share = np.count_nonzero(used) / len(xy)
        if np.count_nonzero(used) < least:
            return None
        away = distances(row[None], xy)[0][used]
        rms = float(np.sqrt(np.mean(away**2)))
        x, y, major, minor, angle = row.tolist()
        ellipse = Ellipse((x, y), (major, minor), math.degrees(angle) % 180.0)
        circumference = math.pi * 0.5 * (major + minor)
        # Places closer together than the smoothing share their noise: that many count as one.
        together = max(1.0, 2.5 * self._sigma * len(xy) / circumference)
        freedom = max(1.0, np.count_nonzero(used) / together - 5.0)
        spread_of_fit = rms * math.sqrt(np.count_nonzero(used) / together / freedom)
        sd = spread_of_fit * _center_gain(ellipse, xy[used]) * math.sqrt(together)
        return RimFit(ellipse, xy[used], share, rms, sd, contrast)


def _noise(grey: NDArray[np.float32]) -> float:
    """Standard deviation of pixel noise (Immerkaer 1996, DOI 10.1006/cviu.1996.0060), by a median."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    return float(np.median(np.abs(cv2.filter2D(grey, -1, kernel)))) * 1.4826 / 6.0


def _median(levels: FloatArray) -> float:
    known = levels[np.isfinite(levels)]
    return float(np.median(known)) if known.size else math.nan


def _normals(ellipse: Ellipse) -> tuple[FloatArray, FloatArray]:
    """Points at equal parameter angles and unit normals pointing outwards. -> (N, 2), (N, 2)."""
    t = np.arange(_NORMALS) * (2.0 * math.pi / _NORMALS)
    a, b, angle = ellipse.major / 2.0, ellipse.minor / 2.0, math.radians(ellipse.angle)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = np.stack([a * np.cos(t), b * np.sin(t)], axis=1) @ turn + np.array(ellipse.center)
    normals = np.stack([b * np.cos(t), a * np.sin(t)], axis=1)
    normals = normals / np.hypot(*normals.T)[:, None] @ turn
    return points, normals


def _seen(ellipse: Ellipse, rim_points: FloatArray) -> BoolArray:
    """Which normals start where the mask's outline is true rim, by parameter angle. -> (normals,)."""
    angle = math.radians(ellipse.angle)
    dx, dy = (rim_points - np.array(ellipse.center)).T
    u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    t = np.arctan2(v / ellipse.minor, u / ellipse.major) % (2.0 * math.pi)
    there = np.zeros(_NORMALS, dtype=np.bool_)
    there[np.round(t * (_NORMALS / (2.0 * math.pi))).astype(int) % _NORMALS] = True
    # Points of an outline and normals do not fall together one to one.
    return there | np.roll(there, 1) | np.roll(there, -1)


def _least(seen: BoolArray) -> float:
    """Places that must agree: of the normals looked at, and at any rate."""
    return max(MIN_POINTS, _LEAST_OF_SEEN * np.count_nonzero(seen), _LEAST_SHARE * len(seen))


def _places(
    lines: FloatArray, offsets: FloatArray, contrast: float, seen: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """The strongest step of the right direction on each line, its two sides like most other lines'.

    Returns:
        offset px (N,) from the line's middle, and whether it counts (N,).
    """
    slope = np.gradient(lines, axis=1) * math.copysign(1.0, contrast)
    # Of two steps the one nearer to where the edge is expected, unless it is much weaker.
    slope = np.where(np.isfinite(slope), slope, -np.inf) * np.exp(-0.5 * (offsets / offsets[-1]) ** 2)
    slope[:, [0, -1]] = -np.inf
    best = np.argmax(slope, axis=1)
    rows = np.arange(len(lines))
    peak = slope[rows, best]
    before, after = (
        slope[rows, np.maximum(best - 1, 0)],
        slope[rows, np.minimum(best + 1, slope.shape[1] - 1)],
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = 0.5 * (before - after) / (before - 2.0 * peak + after)
    shift = np.where(np.isfinite(shift) & (np.abs(shift) <= 1.0), shift, 0.0)
    near = max(2, round(2.0 / _STEP_PX))
    inside = lines[rows, np.maximum(best - near, 0)]
    outside = lines[rows, np.minimum(best + near, lines.shape[1] - 1)]
    valid = seen & np.isfinite(peak) & (peak > 0) & np.isfinite(inside) & np.isfinite(outside)
    if np.count_nonzero(valid) < MIN_POINTS:
        return offsets[best], np.zeros(len(lines), dtype=np.bool_)
    size = abs(contrast)
    step = (outside - inside) * math.copysign(1.0, contrast)
    usual_inside, usual_outside = np.median(inside[valid]), np.median(outside[valid])
    valid &= np.abs(inside - usual_inside) < 0.5 * size
    valid &= np.abs(outside - usual_outside) < 0.8 * size
    valid &= step > 0.25 * size
    return offsets[best] + shift * _STEP_PX, np.asarray(valid, dtype=np.bool_)


def _consensus(xy: FloatArray, valid: BoolArray, near: float) -> FloatArray | None:
    """Of fits that each leave out another stretch, the one with most places close by."""
    rows = fit_many(xy, _leave_out(len(xy)) * valid)
    rows = rows[np.isfinite(rows).all(axis=1)]
    rows = rows[rows[:, 3] >= _FLATTEST * rows[:, 2]] if len(rows) else rows
    if not len(rows):
        return None
    votes = np.clip(1.0 - (distances(rows, xy) / near) ** 2, 0.0, None)[:, valid].sum(axis=1)
    best: FloatArray = rows[int(np.argmax(votes))]
    return best


def _row(ellipse: Ellipse) -> FloatArray:
    """An ellipse as `direct_fit` writes it."""
    return np.array([*ellipse.center, ellipse.major, ellipse.minor, math.radians(ellipse.angle)])


@lru_cache(maxsize=2)
def _leave_out(n: int) -> FloatArray:
    """Rows of 0/1 weights: all places; then one stretch of three sizes left out in twelve directions."""
    rows = [np.ones(n)]
    for share in (0.2, 0.35, 0.5):
        for start in range(12):
            rows.append((((np.arange(n) / n) - start / 12.0) % 1.0 >= share).astype(np.float64))
    return np.stack(rows)


def _center_gain(ellipse: Ellipse, places: FloatArray) -> float:
    """Standard deviation of the centre for unit noise of independent places, mean of both directions.

    From the linearised distance: moving the centre, axes and orientation of the ellipse by d moves the
    outline along its
    normal by J d; the covariance is (J'J)^-1."""
    angle = math.radians(ellipse.angle)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    u, v = ((places - np.array(ellipse.center)) @ turn).T
    a, b = ellipse.major / 2.0, ellipse.minor / 2.0
    t = np.arctan2(v / b, u / a)
    normal = np.stack([b * np.cos(t), a * np.sin(t)], axis=1)
    normal /= np.hypot(*normal.T)[:, None]
    nu, nv = normal.T
    jacobian = np.stack([nu, nv, nu * np.cos(t), nv * np.sin(t), (nv * u - nu * v) / (0.5 * (a + b))], axis=1)
    covariance = np.linalg.pinv(jacobian.T @ jacobian)
    return math.sqrt(max(0.0, 0.5 * float(covariance[0, 0] + covariance[1, 1])))
