"""Simulated users: first clicks, boxes and correction clicks.

A first click must not be ambiguous: a click that means the iris lies between pupil and limbus, a sclera
click on white, a pupil click on no reflection. That follows from the truth itself, because the truth of iris
and sclera leaves out what lies inside them; what remains is to stay away from edges and reflections.
Correction clicks go where prediction and truth differ most, as published (Ravi et al. 2024, arXiv
2408.00714, section 5.2 and appendix D; Sofiiuk et al. 2021, arXiv 2102.06583): into the largest connected
error region, positive where the mask misses something, negative where it holds too much.

Coordinates are (x, y) in pixels, pixel centres at integers. Everything random comes from the given generator.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

POSITIVE, NEGATIVE, PADDING = 1, 0, -1
BOX_START, BOX_END = 2, 3

Points = list[tuple[float, float, int]]
"""(x, y, label) triples."""


def _distance_inside(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest one outside the region; outside the picture counts too."""
    padded = np.pad(region.astype(np.uint8), 1)
    distance: NDArray[np.float32] = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return distance


def pick(rng: np.random.Generator, allowed: NDArray[np.bool_], scale: float = 1.0) -> tuple[float, float]:
    """A random pixel of `allowed` (not empty), with the position inside the pixel drawn too, scaled."""
    flat = np.flatnonzero(allowed)
    chosen = int(flat[int(rng.integers(len(flat)))])
    y, x = divmod(chosen, allowed.shape[1])
    dx, dy = rng.uniform(-0.5, 0.5, 2)
    return float((x + 0.5 + dx) * scale - 0.5), float((y + 0.5 + dy) * scale - 0.5)


def first_click(
    rng: np.random.Generator,
    coverage: NDArray[np.uint8],
    avoid: NDArray[np.uint8] | None = None,
) -> tuple[float, float] | None:
    """A click that can only mean this object.

    Half of the clicks lie deep inside (at least half of the greatest distance from the edge), half anywhere
    at least one and a half pixels, or a quarter of the greatest distance, from the edge.

    Args:
        coverage: (H, W) covered share of each pixel, 0..255.
        avoid: (H, W) coverage of what a click should not hit (reflections); ignored where nothing else is
            left.

    Returns:
        (x, y), or None where no pixel is half covered.
    """
    solid = coverage >= 200
    if avoid is not None and (clear := solid & (avoid < 20)).any():
        solid = clear
    if not solid.any():
        brightest = int(coverage.max())
        if brightest < 128:
            return None
        return pick(rng, coverage >= brightest)
    distance = _distance_inside(solid)
    deepest = float(distance.max())
    least = 0.5 * deepest if rng.random() < 0.5 else min(max(1.5, 0.25 * deepest), deepest)
    return pick(rng, distance >= least - 1e-3)


def box_around(
    rng: np.random.Generator, coverage: NDArray[np.uint8], jitter: float = 0.1
) -> tuple[float, float, float, float] | None:
    """A hand-drawn box (x0, y0, x1, y1).

    Each side is off by a normal error of `jitter` times the size, at most 20 px, as published.
    """
    columns = np.flatnonzero((coverage >= 128).any(0))
    rows = np.flatnonzero((coverage >= 128).any(1))
    if len(columns) == 0:
        return None
    x0, x1, y0, y1 = float(columns[0]), float(columns[-1]), float(rows[0]), float(rows[-1])
    off = np.clip(rng.normal(0, jitter, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0], -20, 20)
    height, width = coverage.shape
    xs = np.clip([x0 + off[0], x1 + off[2]], 0, width - 1)
    ys = np.clip([y0 + off[1], y1 + off[3]], 0, height - 1)
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def correction_click(
    rng: np.random.Generator,
    predicted: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    scale: float = 1.0,
) -> tuple[float, float, int] | None:
    """A click where prediction and truth differ.

    It lies in the largest connected error region: in two of three cases at its innermost point, else
    anywhere in it. With no error at all it confirms the object by a positive click inside; with nothing
    there either, there is none.

    Args:
        predicted, truth: (H, W) masks on the same grid.
        scale: pixels of the network's input per cell of that grid.

    Returns:
        (x, y, label) in pixels of the network's input, or None.
    """
    wrong = predicted != truth
    if not wrong.any():
        return (*pick(rng, _deepest(truth), scale), POSITIVE) if truth.any() else None
    largest: NDArray[np.bool_] | None = None
    most = 0
    # The two kinds of error are kept apart: a region that touches another of the other kind is not one
    # region.
    for kind in (truth & ~predicted, predicted & ~truth):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(kind.astype(np.uint8), connectivity=8)
        if count > 1:
            biggest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            if int(stats[biggest, cv2.CC_STAT_AREA]) > most:
                most = int(stats[biggest, cv2.CC_STAT_AREA])
                largest = labels == biggest
    assert largest is not None
    where = _deepest(largest) if rng.random() < 2 / 3 else largest
    x, y = pick(rng, where, scale)
    inside = truth[
        min(int((y + 0.5) / scale), truth.shape[0] - 1), min(int((x + 0.5) / scale), truth.shape[1] - 1)
    ]
    return x, y, POSITIVE if inside else NEGATIVE


def _deepest(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a region that are farthest from its edge."""
    distance = _distance_inside(region)
    deepest: NDArray[np.bool_] = distance >= float(distance.max()) - 1e-3
    return deepest
