"""The ground beneath a reflection where a rim runs through it: a blurred step along a bent line.

Purpose: `with_rim` takes the ground that a polynomial gives (`light.py`) and, where the rim of pupil or iris
runs on beneath the spot as it runs on either side of it, bends it as sharply as that rim is.

Notable choices: the step takes the polynomial's place by degrees, by how much better it agrees with what is
seen around the spot; what takes the other's place at once makes a still spot tremble. Which step it is, is
tried on a grid (direction, bend, place, width), with its height and a plane by least squares.

What it does not know: the spot's own light.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float64]
Places = NDArray[np.float64]
"""(2, N) x, y from the spot's middle in its radii."""
_CLEARLY = 0.5  # share of the polynomial's sum of squares that a rim must save to take its place
_NOT_FLAT = 3.0  # standard deviations of the noise by which levels must leave a plane to be asked for a rim
_TURNS = np.exp(1j * np.array([-0.3, 0.0, 0.3]))  # of the rim against the steepest way, rad
_BENDS = np.array([0.05, 0.15])  # of a rim about its dark side, over the spot's radius
_PLACES = np.linspace(-1.6, 1.6, 11)  # where it may be, in the spot's radii
_WIDTHS = np.array([0.8, 1.4, 2.4])  # px, sigma
_ENOUGH = 60  # places of the ring to choose a rim by
_FINE = 32.0  # entries of the step's table for one sigma
_STEP = np.array([0.5 * (1.0 + math.erf(v / (_FINE * math.sqrt(2.0)))) for v in range(-128, 129)], np.float32)


def with_rim(
    below: Levels, left: float, seen: Places, levels: Levels, asked: Places, radius: float, noise: float
) -> Levels:
    """The ground's levels at some places by those seen at others.

    Args:
        below: (N,) by the polynomial, at the places asked for.
        left: sum of squares that the polynomial leaves of the levels seen.
        seen, levels: (2, M) places around the spot and their levels (M,).
        asked: (2, N) places.
        radius: of the spot, px.
        noise: standard deviation of a pixel, grey levels.
    """
    rim = _rim(seen, levels, asked, radius, noise)
    if rim is None:
        return below
    better = 1.0 - rim[1] / max(left, 1e-9)
    share = rim[2] * min(max(better / _CLEARLY, 0.0), 1.0)
    return np.asarray(below + share * (rim[0] - below))


def _rim(
    seen: Places, levels: Levels, asked: Places, radius: float, noise: float
) -> tuple[Levels, float, float] | None:
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
    steps = _steps(seen[:, some], ways, radius).reshape(-1, len(levels[some]))
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
