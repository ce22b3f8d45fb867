"""Where the middle of a spot's light is, on ground that is not even.

Purpose: `centers_of_light` takes the pixels of spots and gives the centre of each to a fraction of a pixel.

Notable choices. The ground under a spot is not seen; around it, it is. A polynomial of the third degree is
laid through the ring around the spot, without what is itself bright there, and continued beneath it: on the
pupil's rim one side is darker than the other, and a threshold that is the same on both draws the centre to
the brighter one, the more the wider the picture is blurred. Such a rim runs on beneath the spot as it runs on
either side of it: where a blurred step along a bent line (`rim_beneath.py`) agrees with the ring better than
the polynomial does, which cannot bend so sharply, it takes that one's place (of spots at the camera's limit).
What counts is the light above that ground, over half of its height. A spot at the camera's limit is in truth
several times as bright as it looks; where its slope reaches the limit depends on the ground too, so it is cut
off where the brightest ground next to it lets it be cut off, on all sides at the same share of its true
height.
Coefficients that the ring hardly decides (it may be cut by the picture's border or another spot) are held
near 0 by a small weight (ridge regression).
Pixels of all spots stand one after another in one array where that can be: what takes time is the number of
calls into numpy, not the arithmetic.

What it does not know: other spots whose light runs into this one's; a lamp that is not of one brightness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.eye.direct_fit import median
from ocusam.eye.reflection.rim_beneath import with_rim

FloatArray = NDArray[np.float64]
Grey = NDArray[np.uint8] | NDArray[np.float32]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns (N,), in order of rows."""
SATURATED = 250
_INNER, _OUTER = (0.5, 1.0), (1.3, 2.0)  # the ring: how far from the spot, in its radii and px
_BRIGHT = 0.4  # of the spot's height: brighter pixels of the ring are something else
_LEAST_RING = 12  # pixels
_TRUE_HEIGHT = 4.0  # of a spot at the camera's limit, in what is seen of it
_RIDGE = np.diag([0.0, 0.003, 0.003, *(0.006,) * 7])  # for each pixel of the ring
_NEXT = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class _Spot:
    """One spot and what is around it; places are numbers of pixels of the flattened picture."""

    radius: float
    middle: tuple[float, float]  # x, y of its pixels
    ground: NDArray[np.intp]  # of the ring, what is not bright
    own: NDArray[np.intp]  # its pixels and those next to them
    level: float  # of the ring, by the median
    darkest: float  # of the ring
    peak: float


def centers_of_light(
    grey: Grey, spots: Sequence[Pixels], noise: float
) -> list[tuple[float, float, float] | None]:
    """Centres of the light of some spots.

    Args:
        grey: (H, W) picture or a part of it that holds the spots' surroundings.
        spots: pixels of each, those above half of its height.
        noise: standard deviation of a pixel, grey levels.

    Returns:
        For each x, y and the standard deviation by that noise (mean of both directions), px; None where too
        little ground is seen around it.
    """
    if not grey.flags.c_contiguous:
        grey = grey.copy()
    found = [_seen(grey, *pixels) for pixels in spots]
    known = [spot for spot in found if spot is not None]
    out: list[tuple[float, float, float] | None] = [None] * len(spots)
    if known:
        centers = iter(_centers(grey, known, noise))
        out = [None if spot is None else next(centers) for spot in found]
    return out


def _seen(grey: Grey, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> _Spot | None:
    """What is around a spot; None where that is too little, or as bright."""
    radius = math.sqrt(len(rows) / math.pi)
    inner, outer = (max(1, round(a * radius + b)) for a, b in (_INNER, _OUTER))
    y0, x0 = max(0, int(rows[0]) - outer), max(0, int(cols.min()) - outer)
    height = min(int(rows[-1]) + outer + 1, grey.shape[0]) - y0
    width = min(int(cols.max()) + outer + 1, grey.shape[1]) - x0
    mine = np.zeros((height, width), np.uint8)
    mine[rows - y0, cols - x0] = 1
    away = cv2.distanceTransform(1 - mine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ring = _places((away > inner) & (away <= outer), y0, x0, grey.shape[1])
    if len(ring) < _LEAST_RING:
        return None
    around = grey.ravel()[ring]
    level, peak = median(around), float(grey[rows, cols].max())
    if peak - level < 1.0:
        return None
    ground = ring[around < level + _BRIGHT * (peak - level)]
    if len(ground) < _LEAST_RING:
        return None
    own = _places(cv2.dilate(mine, _NEXT), y0, x0, grey.shape[1])
    middle = (float(cols.mean()), float(rows.mean()))
    return _Spot(radius, middle, ground, own, level, float(around.min()), peak)


def _places(flags: NDArray[np.uint8] | NDArray[np.bool_], y0: int, x0: int, width: int) -> NDArray[np.intp]:
    """Numbers, in a picture of that width, of the pixels that are set in a part of it."""
    at = np.flatnonzero(flags)
    at += at // flags.shape[1] * (width - flags.shape[1]) + (y0 * width + x0)
    return at


def _centers(grey: Grey, spots: Sequence[_Spot], noise: float) -> list[tuple[float, float, float] | None]:
    """Centres of spots around which enough is seen."""
    levels = grey.ravel()
    middle = np.array([s.middle for s in spots])
    radius = np.array([s.radius for s in spots])
    parts, ends = _joined([s.ground for s in spots])
    at = np.concatenate([s.ground for s in spots])
    terms = _terms(_relative(at, grey.shape[1], middle[parts], radius[parts]))
    around = levels[at].astype(np.float64)
    left, right = np.empty((len(spots), 10, 10)), np.empty((len(spots), 10, 1))
    for k, (first, end) in enumerate(pairwise([0, *ends])):
        base = terms[:, first:end]
        left[k] = base @ base.T + (end - first) * _RIDGE
        right[k, :, 0] = base @ around[first:end]
    fitted = np.linalg.solve(left, right)[..., 0]
    off = around - np.einsum("kn,nk->n", terms, fitted[parts])
    outside = [(terms[1:3, a:b], around[a:b], float(off[a:b] @ off[a:b])) for a, b in pairwise([0, *ends])]
    parts, ends = _joined([s.own for s in spots])
    at, starts = np.concatenate([s.own for s in spots]), np.array([0, *ends[:-1]])
    xy = _relative(at, grey.shape[1], middle[parts], radius[parts])
    below = np.einsum("kn,nk->n", _terms(xy), fitted[parts])
    for spot, (a, b), (seen, seen_levels, rest) in zip(spots, pairwise([0, *ends]), outside, strict=True):
        if spot.peak >= SATURATED:  # only of a lamp: looking for a rim takes as long as all the rest
            below[a:b] = with_rim(below[a:b], rest, seen, seen_levels, xy[:, a:b], spot.radius, noise)
    low = np.array([s.darkest for s in spots])
    high = np.array([s.level + 0.5 * (s.peak - s.level) for s in spots])
    peak = np.array([s.peak for s in spots])
    below = np.minimum(np.maximum(below, low[parts]), high[parts])
    gain = 1.0 / ((peak * np.where(peak >= SATURATED, _TRUE_HEIGHT, 1.0))[parts] - below)
    share = (levels[at] - below) * gain
    top = np.minimum.reduceat((np.minimum(peak, SATURATED)[parts] - below) * gain, starts)[parts]
    weight = np.minimum(np.maximum(share, 0.0), top) - 0.5 * top
    weight = np.maximum(weight, 0.0)
    total = np.add.reduceat(weight, starts)
    safe = np.maximum(total, 1e-300)
    moved = np.add.reduceat(weight * xy, starts, axis=1) / safe
    # Pixels at the limit do not scatter; the slope around them does.
    free = (weight > 0.0) & (share < top)
    away = xy - moved[:, parts]
    squares = np.add.reduceat((away * away).sum(axis=0) * (gain * gain * free), starts)
    sd = noise * np.sqrt(0.5 * squares) * radius / safe
    x, y = middle.T + moved * radius
    rows = zip(x.tolist(), y.tolist(), sd.tolist(), strict=True)
    return [row if t > 0.0 else None for row, t in zip(rows, total.tolist(), strict=True)]


def _joined(parts: Sequence[NDArray[np.intp]]) -> tuple[NDArray[np.intp], list[int]]:
    """For arrays that are put one after another: of which each value comes, and where each ends."""
    sizes = np.array([len(p) for p in parts])
    return np.repeat(np.arange(len(parts)), sizes), sizes.cumsum().tolist()


def _relative(at: NDArray[np.intp], width: int, middle: FloatArray, radius: FloatArray) -> FloatArray:
    """x, y of pixels from the middles of their spots, in radii. -> (2, N)."""
    row = at // width
    out = np.empty((2, len(at)))
    np.subtract(at - row * width, middle[:, 0], out=out[0])
    np.subtract(row, middle[:, 1], out=out[1])
    out /= radius
    return out


def _terms(xy: FloatArray) -> FloatArray:
    """(10, N) powers up to the third of (2, N)."""
    x, y = xy
    out = np.empty((10, len(x)))
    out[0], out[1:3] = 1.0, xy
    np.multiply(xy, x, out=out[3:5])  # xx, xy
    np.multiply(y, y, out=out[5])
    np.multiply(out[3:6], x, out=out[6:9])  # xxx, xxy, xyy
    np.multiply(out[5], y, out=out[9])
    return out
