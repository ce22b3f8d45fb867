"""Where the middle of a spot's light is, on ground that is not even.

Purpose: `center_of_light` takes the pixels of a spot and gives its centre to a fraction of a pixel.

Notable choices. The ground under a spot is not seen; around it, it is. A polynomial of the third degree is
laid through the ring around the spot, without what is itself bright there, and continued beneath it: on the
pupil's rim one side is darker than the other, and a threshold that is the same on both draws the centre to
the brighter one, the more the wider the picture is blurred. Such a rim runs on beneath the spot as it runs on
either side of it: where a blurred step along a bent line (`_rim`) agrees with the ring better than the
polynomial does, which cannot bend so sharply, it takes that one's place (of spots at the camera's limit).
What counts is the light above that ground, over half of its height. A spot at the camera's limit is in truth
several times as bright as it looks; where its slope reaches the limit depends on the ground too, so it is cut
off where the brightest ground next to it lets it be cut off, on all sides at the same share of its true
height.
Coefficients that the ring hardly decides (it may be cut by the picture's border or another spot) are held
near 0 by a small weight (ridge regression).

What it does not know: other spots whose light runs into this one's; a lamp that is not of one brightness.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32] | NDArray[np.float64]
Places = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]
SATURATED = 250
_INNER, _OUTER = (0.5, 1.0), (1.3, 2.0)  # the ring: how far from the spot, in its radii and px
_BRIGHT = 0.4  # of the spot's height: brighter pixels of the ring are something else
_LEAST_RING = 12  # pixels
_TRUE_HEIGHT = 4.0  # of a spot at the camera's limit, in what is seen of it
_RIDGE = np.array([0.0, 0.003, 0.003, *(0.006,) * 7])  # for each pixel of the ring
_CLEARLY = 0.5  # share of the polynomial's sum of squares that a rim must save to take its place
_NOT_FLAT = 3.0  # standard deviations of the noise by which levels must leave a plane to be asked for a rim
_TURNS = np.exp(1j * np.array([-0.3, 0.0, 0.3]))  # of the rim against the steepest way, rad
_BENDS = np.array([0.05, 0.15])  # of a rim about its dark side, over the spot's radius
_PLACES = np.linspace(-1.6, 1.6, 11)  # where it may be, in the spot's radii
_WIDTHS = np.array([0.8, 1.4, 2.4])  # px, sigma
_ENOUGH = 60  # places of the ring to choose a rim by
_FINE = 32.0  # entries of the step's table for one sigma
_STEP = np.array([0.5 * (1.0 + math.erf(v / (_FINE * math.sqrt(2.0)))) for v in range(-128, 129)], np.float32)


def center_of_light(
    grey: Grey, rows: NDArray[np.intp], cols: NDArray[np.intp], noise: float
) -> tuple[float, float, float] | None:
    """Centre of a spot's light.

    Args:
        grey: (H, W) picture or a part of it that holds the spot's surroundings.
        rows, cols: (N,) its pixels, those above half of its height.
        noise: standard deviation of a pixel, grey levels.

    Returns:
        x, y and the standard deviation by that noise (mean of both directions), px; None where too little
        ground is seen around it.
    """
    radius = math.sqrt(len(rows) / math.pi)
    inner, outer = (max(1, round(a * radius + b)) for a, b in (_INNER, _OUTER))
    y0, x0 = max(0, int(rows.min()) - outer), max(0, int(cols.min()) - outer)
    part = grey[y0 : int(rows.max()) + outer + 1, x0 : int(cols.max()) + outer + 1]
    mine = np.zeros(part.shape, np.uint8)
    mine[rows - y0, cols - x0] = 1
    ring = cv2.dilate(mine, _disc(outer)) > cv2.dilate(mine, _disc(inner))
    i, j = np.nonzero(ring)
    around = part[i, j]
    if len(around) < _LEAST_RING:
        return None
    middle, peak = float(np.median(around)), float(grey[rows, cols].max())
    if peak - middle < 1.0:
        return None
    ground = around < middle + _BRIGHT * (peak - middle)
    if np.count_nonzero(ground) < _LEAST_RING:
        return None
    cx, cy = float(cols.mean()) - x0, float(rows.mean()) - y0
    seen = ((j[ground] - cx) / radius, (i[ground] - cy) / radius)
    i, j = np.nonzero(cv2.dilate(mine, np.ones((3, 3), np.uint8)))
    # Only of a lamp: looking for a rim takes as long as all the rest.
    grain = noise if peak >= SATURATED else None
    below = _ground(seen, around[ground], ((j - cx) / radius, (i - cy) / radius), radius, grain)
    below = np.minimum(np.maximum(below, float(around.min())), middle + 0.5 * (peak - middle))
    gain = 1.0 / (peak * (_TRUE_HEIGHT if peak >= SATURATED else 1.0) - below)
    share = (part[i, j] - below) * gain
    top = float(((min(peak, SATURATED) - below) * gain).min())
    weight = np.clip(share, 0.0, top) - 0.5 * top
    light = weight > 0.0
    total = float(weight[light].sum())
    if total <= 0.0:
        return None
    x, y = float(weight[light] @ j[light]) / total, float(weight[light] @ i[light]) / total
    free = light & (share < top)  # pixels at the limit do not scatter; the slope around them does
    squares = float((((j - x) ** 2 + (i - y) ** 2) * gain**2)[free].sum())
    return x + x0, y + y0, noise * math.sqrt(0.5 * squares) / total


def _ground(seen: Places, levels: Grey, asked: Places, radius: float, noise: float | None) -> Grey:
    """The ground's levels at some places (x, y) by those seen at others, both from the spot's middle in its
    radii, which are `radius` px. `noise`: standard deviation of a pixel; None: no rim is looked for."""
    base = _terms(*seen)
    fitted = np.linalg.solve(base.T @ base + np.diag(_RIDGE * len(base)), base.T @ levels)
    off = levels - base @ fitted
    below = np.asarray(_terms(*asked) @ fitted, np.float64)
    rim = None if noise is None else _rim(seen, levels, asked, radius, noise)
    if rim is None:
        return below
    # By how much it agrees better: what takes the other's place at once makes a still spot tremble.
    better = 1.0 - rim[1] / max(float(off @ off), 1e-9)
    share = rim[2] * min(max(better / _CLEARLY, 0.0), 1.0)
    return np.asarray(below + share * (rim[0] - below))


def _rim(
    seen: Places, levels: Grey, asked: Places, radius: float, noise: float
) -> tuple[Grey, float, float] | None:
    """A plane with a blurred step across the way on which the levels rise: the levels asked for, the sum of
    squares that is left of those seen, and how clearly a plane is not enough, 0..1. None where it is, or says
    no way."""
    plane = np.stack([np.ones_like(seen[0]), *seen], axis=1)
    basis, triangle = np.linalg.qr(plane)
    rest = levels - basis @ (basis.T @ levels)
    uneven = float(rest @ rest) / (len(levels) * (_NOT_FLAT * max(noise, 0.5)) ** 2)
    if uneven <= 1.0:
        return None
    _, across, down = np.linalg.solve(triangle, basis.T @ levels).tolist()
    if math.hypot(across, down) < 1e-6:
        return None
    ways = _TURNS * complex(across, down) / math.hypot(across, down)
    # Some of the places tell which step it is.
    some = slice(None, None, max(1, len(levels) // _ENOUGH))
    steps = _steps((seen[0][some], seen[1][some]), ways, radius).reshape(-1, len(levels[some]))
    part, _ = np.linalg.qr(plane[some])
    left = levels[some] - part @ (part.T @ levels[some])
    shares = steps @ np.column_stack([part, left]).astype(np.float32)
    norms = np.einsum("kn,kn->k", steps, steps) - (shares[:, :3] ** 2).sum(axis=1)
    best = int(np.argmax(shares[:, 3] ** 2 / np.maximum(norms, 1e-3)))
    count = len(_BENDS) * len(_WIDTHS) * len(_PLACES)
    way, which = ways[best // count : best // count + 1], best % count
    terms = np.column_stack([plane, _steps(seen, way, radius).reshape(count, -1)[which]])
    fitted = np.linalg.lstsq(terms, levels, rcond=None)[0]
    off = levels - terms @ fitted
    below = _steps(asked, way, radius).reshape(count, -1)[which]
    return (
        fitted[0] + fitted[1] * asked[0] + fitted[2] * asked[1] + fitted[3] * below,
        float(off @ off),
        min(uneven - 1.0, 1.0),
    )


def _steps(at: Places, ways: NDArray[np.complex128], radius: float) -> NDArray[np.float32]:
    """All steps at some places (N,). -> (ways, bends, widths, places of the step, N)."""
    turned = np.conj(ways)[:, None] * (at[0] + 1j * at[1])
    bent = turned.real[:, None] + _BENDS[:, None] * (turned.imag**2)[:, None]
    scale = (_FINE * radius / _WIDTHS).astype(np.float32)
    away = bent.astype(np.float32)[:, :, None, None] - _PLACES.astype(np.float32)[:, None]
    index = np.clip(away * scale[:, None, None] + np.float32(128.5), 0.0, 256.0).astype(np.intp)
    return np.asarray(_STEP[index])


@lru_cache(maxsize=64)
def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2), np.uint8)


def _terms(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(N, 10) powers up to the third."""
    xx, yy = x * x, y * y
    terms = [np.ones_like(x), x, y, xx, x * y, yy, xx * x, xx * y, x * yy, y * yy]
    return np.stack(terms, axis=1).astype(np.float64, copy=False)
