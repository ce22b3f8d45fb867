"""Iris and corneal reflections around a pupil that was found.

Purpose: `parts_of` gives a click for the iris and for each reflection that shows clearly and that the network
outlines as expected.

Notable choices: where the network has a map of the parts of the eye (`part_map`), the iris is clicked in the
middle of what it calls iris around the pupil. Else it is clicked between the pupil's rim and the limbus, on
the ray along which the ring is most like the ring's usual grey (no lash, no reflection), if a limbus shows
and the network outlines it. A reflection is a small bright speck inside the limbus, and in a map too.
What the network does not outline is not prompted: a bad object costs time on every frame.

What it does not know: the order of reflections in other recordings (numbered from left to right here).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.eye.candidates import Candidate, prepare
from ocusam.eye.candidates.rims import rays, sample
from ocusam.workflows.find.judge import Judge, overlap
from ocusam.workflows.find.part_map import PartMap

MAX_REFLECTIONS = 6
_CLEAR_LIMBUS = 0.08  # of the picture's contrast: below it no limbus is said to be seen
_NARROWEST = 2.0  # px from the edge of the iris of a map, half a cell of nano's
_AGREES = 0.4  # overlap from which the network is said to mean the same thing
_SPECK = 0.25  # of the picture's contrast: how much brighter than its surroundings a reflection is

Named = list[tuple[str, tuple[float, float]]]


def parts_of(
    picture: NDArray[np.uint8],
    pupil: Candidate,
    judge: Judge | None,
    objects: Sequence[str],
    parts: PartMap | None = None,
) -> Named:
    """Clicks for iris and reflections.

    Args:
        picture: uint8 (h, w) grey, at the size the candidate belongs to.
        pupil: the chosen one.
        judge: asked about each click; with None, what the picture shows is enough.
        objects: "iris" and "cr" are looked for if named.
        parts: the network's map of the picture, if it has one.

    Returns:
        (name, (x, y)) in px of the picture; names "iris", "cr" or "cr0", "cr1", ...
    """
    out: Named = []
    if judge is not None:
        judge.look(picture)
    if "iris" in objects:
        if parts is not None:
            at = iris_of_map(parts, pupil)
        else:
            at = iris_click(picture, pupil)
            at = at if at is not None and _iris_agrees(picture, pupil, at, judge) else None
        if at is not None:
            out.append(("iris", at))
    if "cr" in objects:
        spots = [s for s in reflections(picture, pupil) if _speck_agrees(s, judge, parts)]
        spots = sorted(spots[:MAX_REFLECTIONS], key=lambda s: s[0])
        out += [("cr" if len(spots) == 1 else f"cr{i}", (x, y)) for i, (x, y, _) in enumerate(spots)]
    return out


def iris_of_map(parts: PartMap, pupil: Candidate) -> tuple[float, float] | None:
    """The middle of the widest place of what the map calls iris and what touches this pupil; None where that
    is not on at least a quarter of the ring around it, or too narrow to be clicked."""
    e = pupil.ellipse
    size = (parts.iris.shape[0], parts.iris.shape[1])
    iris = (parts.iris > 0.5) & (parts.cr < 0.5) & ~e.scaled(1.1, about=e.center).mask(size)
    ring = e.scaled(1.6, about=e.center).mask(size) & ~e.scaled(1.1, about=e.center).mask(size)
    if np.count_nonzero(iris & ring) < 0.25 * np.count_nonzero(ring):
        return None
    _, labels = cv2.connectedComponents(iris.astype(np.uint8))
    touching = np.bincount(labels[ring & iris])
    # The picture's edge is an edge of the iris as well.
    own = np.pad((labels == int(np.argmax(touching))).astype(np.uint8), 1)
    inside = cv2.distanceTransform(own, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(inside)), size)
    return (float(x), float(y)) if inside[y, x] >= _NARROWEST else None


def iris_click(picture: NDArray[np.uint8], pupil: Candidate) -> tuple[float, float] | None:
    """A point between pupil and limbus; None where no limbus shows."""
    if pupil.limbus is None or pupil.limbus_clear < _CLEAR_LIMBUS:
        return None
    e = pupil.ellipse
    ratio = pupil.limbus.major / e.major
    row = np.array([[*e.center, e.major, e.minor, math.radians(e.angle)]])
    xs, ys = rays(row, np.linspace(1.0 + 0.3 * (ratio - 1.0), 1.0 + 0.7 * (ratio - 1.0), 5), 16)
    ring = sample(picture.astype(np.float32), xs, ys)[0]
    if not np.isfinite(ring).any():
        return None
    usual = float(np.nanmedian(ring))
    off = np.where(np.isfinite(ring).all(axis=1), np.abs(ring - usual).max(axis=1), np.inf)
    # The neighbouring rays count too, so that the click lies in the middle of a clean stretch.
    off = off + 0.5 * (np.roll(off, 1) + np.roll(off, -1))
    if not np.isfinite(off).any():
        return None
    k = int(np.argmin(off))
    return float(xs[0, k, 2]), float(ys[0, k, 2])


def _iris_agrees(
    picture: NDArray[np.uint8], pupil: Candidate, at: tuple[float, float], judge: Judge | None
) -> bool:
    if judge is None or pupil.limbus is None:
        return True
    size = (picture.shape[0], picture.shape[1])
    whole = pupil.limbus.mask(size)
    mask = judge.answer([at])[0]
    # Some networks mean the ring, some the whole disc; either names the iris.
    return max(overlap(mask, whole), overlap(mask, whole & ~pupil.ellipse.mask(size))) >= _AGREES


def reflections(picture: NDArray[np.uint8], pupil: Candidate) -> list[tuple[float, float, NDArray[np.bool_]]]:
    """Bright specks within the limbus (within twice the pupil where none shows), brightest first.

    Returns:
        (x, y, mask (h, w)) each.
    """
    view = prepare(picture, negative=False)
    if view is None:
        return []
    e = pupil.ellipse
    reach = min(3.0, pupil.limbus.major / e.major) if pupil.limbus is not None else 2.0
    near = e.scaled(reach, about=e.center).mask((picture.shape[0], picture.shape[1]))
    specks = np.where(near, view.specks / view.contrast, 0.0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((specks > _SPECK / 2).astype(np.uint8))
    found: list[tuple[float, float, float, NDArray[np.bool_]]] = []
    for k in range(1, count):
        if stats[k, cv2.CC_STAT_AREA] > 0.25 * e.area:
            continue
        mask = labels == k
        height = float(specks[mask].max())
        if height < _SPECK:
            continue
        ys, xs = np.nonzero(mask)
        weight = specks[mask]
        found.append(
            (
                height,
                float((xs * weight).sum() / weight.sum()),
                float((ys * weight).sum() / weight.sum()),
                mask,
            )
        )
    return [(x, y, mask) for _, x, y, mask in sorted(found, key=lambda f: -f[0])]


def _speck_agrees(
    spot: tuple[float, float, NDArray[np.bool_]], judge: Judge | None, parts: PartMap | None
) -> bool:
    if parts is not None and float(parts.cr[spot[2]].max()) < 0.5:
        return False
    return judge is None or overlap(judge.answer([spot[:2]])[0], spot[2]) >= _AGREES
