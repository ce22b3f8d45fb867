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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.eye.rounded import inverse, solved

Levels = NDArray[np.float64]
Places = NDArray[np.float64]
"""(2, N) x, y from the spot's middle in its radii."""
_CLEARLY = 0.5  # share of the polynomial's sum of squares that a rim must save to take its place
_NOT_FLAT = 3.0  # standard deviations of the noise by which levels must leave a plane to be asked for a rim
_TURNS = np.exp(1j * np.array([-0.3, 0.0, 0.3]))  # of the rim against the steepest way, rad
_BENDS = np.array([0.05, 0.15])  # of a rim about its dark side, over the spot's radius
_PLACES = np.linspace(-1.6, 1.6, 11)  # where it may be, in the spot's radii
_WIDTHS = np.array([0.8, 1.4, 2.4])  # px, sigma
_TRIED = (len(_TURNS), len(_BENDS), len(_WIDTHS), len(_PLACES))
_LITTLE = 1e-3  # of a step, its sum of squares beside a plane
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
    plane = np.stack([np.ones_like(seen[0]), *seen])
    told = solved(plane @ plane.T, plane @ levels)
    if told is None:
        return None
    rest = levels - told @ plane
    uneven = float(rest @ rest) / (len(levels) * (_NOT_FLAT * max(noise, 0.5)) ** 2)
    if uneven <= 1.0:
        return None
    _, across, down = told.tolist()
    if math.hypot(across, down) < 1e-6:
        return None
    ways = _TURNS * complex(across, down) / math.hypot(across, down)
    # Some of the places tell which step it is: the one that is most like what a plane leaves of their levels,
    # both without what a plane can be.
    some = slice(None, None, max(1, len(levels) // _ENOUGH))
    part, part_levels = plane[:, some], levels[some]
    to_plane = inverse(part @ part.T)
    left = part_levels - (to_plane @ (part @ part_levels)) @ part
    steps = _all_steps(seen[:, some], ways, radius)
    shares = steps @ np.column_stack([part.T, left]).astype(np.float32)
    flat = ((shares[:, :3] @ to_plane) * shares[:, :3]).sum(axis=1)
    norms = np.einsum("kn,kn->k", steps, steps) - flat
    best = int(np.argmax(shares[:, 3] ** 2 / np.maximum(norms, _LITTLE)))
    way, bend, width, place = (int(k) for k in np.unravel_index(best, _TRIED))
    chosen = (ways[way], _BENDS[bend], _WIDTHS[width], _PLACES[place])
    terms = np.vstack([plane, _step(seen, chosen, radius)])
    left_side = terms @ terms.T
    left_side[3, 3] += _LITTLE  # a step beyond all that is seen is a part of the plane
    fitted = solved(left_side, terms @ levels)
    if fitted is None:
        return None
    off = levels - fitted @ terms
    below = fitted @ np.vstack([np.ones_like(asked[0]), asked, _step(asked, chosen, radius)])
    return below, float(off @ off), min(uneven - 1.0, 1.0)


def _all_steps(at: Places, ways: NDArray[np.complex128], radius: float) -> NDArray[np.float32]:
    """All that are tried (`_TRIED`), at some places (N,). -> (K, N)."""
    turned = np.conj(ways)[:, None] * (at[0] + 1j * at[1])
    bent = turned.real[:, None] + _BENDS[:, None] * (turned.imag**2)[:, None]
    away = bent.astype(np.float32)[:, :, None, None] - _PLACES.astype(np.float32)[:, None]
    return _level(away, _scale(radius, _WIDTHS)[:, None, None]).reshape(-1, at.shape[1])


def _step(
    at: Places, chosen: tuple[np.complex128, float, float, float], radius: float
) -> NDArray[np.float32]:
    """One of them: by its way, bend, width and place. -> (N,)."""
    way, bend, width, place = chosen
    turned = np.conj(way) * (at[0] + 1j * at[1])
    bent = turned.real + bend * turned.imag**2
    return _level(bent.astype(np.float32) - np.float32(place), _scale(radius, width))


def _scale(radius: float, width: Any) -> Any:
    """Entries of the table for one radius of the spot."""
    return (_FINE * radius / np.asarray(width)).astype(np.float32)


def _level(away: NDArray[np.float32], scale: Any) -> NDArray[np.float32]:
    index = np.clip(away * scale + np.float32(128.5), 0.0, 256.0).astype(np.intp)
    return np.asarray(_STEP[index])
