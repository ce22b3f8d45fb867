"""Where a network sees pupil, iris and reflections before anybody has clicked.

Purpose: `PartMap` holds the network's map of the parts of an eye of one picture (`model.eye_parts`), proposes
places from it, and says how well a place's rim agrees with it.

Notable choices: places are connected parts of the pupil's map, above one half and above half of its highest
value (so that a faint map proposes too), with centre and axes from weighted moments, finer than its cells.
The agreement is asked in polar coordinates of the ellipse, so it does not depend on its size; what lies
outside the picture does not count. The pupil's map goes on under reflections, the iris's is a ring.

What it does not know: what the picture shows by itself (`eye.candidates`), and how much all this weighs
(`weighing`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.candidates import rays, sample

F32 = NDArray[np.float32]

NAMES = ("overlap", "fill", "iris", "share")
_RADII = ((np.arange(40) + 0.5) / 20.0).astype(np.float64)  # 0 to 2 times the ellipse
_RAYS = 32
_FAINTEST = 0.1  # a map that is nowhere higher proposes nothing
_SMALLEST = 0.015  # diameter of a proposal, as a share of the picture's shorter side
_MOST = 6  # proposals


@dataclass(frozen=True, eq=False)
class PartMap:
    """Probabilities 0..1 of pupil, iris and reflections, each float32 (h, w) at the size of the picture."""

    pupil: F32
    iris: F32
    cr: F32

    def places(self) -> list[Ellipse]:
        """Rough outlines of what may be a pupil, px of the picture, largest sum of probabilities first."""
        highest = float(self.pupil.max())
        if highest < _FAINTEST:
            return []
        least = (_SMALLEST * min(self.pupil.shape)) ** 2
        found: list[tuple[float, Ellipse]] = []
        for level in sorted({0.5, 0.5 * highest}):
            count, labels, stats, _ = cv2.connectedComponentsWithStats((self.pupil > level).astype(np.uint8))
            for k in range(1, count):
                if stats[k, cv2.CC_STAT_AREA] >= least:
                    found.append(_moments(np.where(labels == k, self.pupil, np.float32(0.0))))
        return [ellipse for _, ellipse in sorted(found, key=lambda f: -f[0])[:_MOST]]

    def figures(self, ellipses: Sequence[Ellipse]) -> NDArray[np.float64]:
        """How well ellipses (px of the picture) agree with the map.

        Returns:
            (K, 4) in the order of `NAMES`, each 0..1: intersection over union of the pupil's map with the
            ellipse, within twice the ellipse; its mean inside; the iris's mean in the ring up to 1.5 times
            the ellipse; share of the whole pupil's map within that ring.
        """
        if not ellipses:
            return np.zeros((0, len(NAMES)))
        rows = np.array([[*e.center, e.major, e.minor, math.radians(e.angle)] for e in ellipses])
        xs, ys = rays(rows, _RADII, _RAYS)
        pupil, iris = sample(self.pupil, xs, ys), sample(self.iris, xs, ys)
        # Each sample stands for an area that grows with its distance.
        area = np.where(np.isfinite(pupil), _RADII, 0.0)
        mass = np.nan_to_num(pupil) * area
        inside, ring = _RADII < 1.0, (_RADII > 1.15) & (_RADII < 1.5)
        within, disc = mass[..., inside].sum((1, 2)), area[..., inside].sum((1, 2))
        px = rows[:, 2] * rows[:, 3] / 4.0 * (_RADII[1] - _RADII[0]) * 2.0 * math.pi / _RAYS
        near = mass[..., _RADII < 1.5].sum((1, 2)) * px
        around = (np.nan_to_num(iris) * area)[..., ring].sum((1, 2))
        table = np.stack(
            [
                within / np.maximum(disc + mass[..., ~inside].sum((1, 2)), 1e-9),
                within / np.maximum(disc, 1e-9),
                around / np.maximum(area[..., ring].sum((1, 2)), 1e-9),
                np.clip(near / max(float(self.pupil.sum()), 1e-9), 0.0, 1.0),
            ],
            axis=1,
        )
        return np.asarray(table, dtype=np.float64)


def part_map(probabilities_phw: F32, size: tuple[int, int]) -> PartMap:
    """The map of a picture (h, w) from what the network says of its square input: pupil, iris, sclera, cr."""
    pupil, iris, _, cr = (
        np.asarray(cv2.resize(p, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
        for p in probabilities_phw
    )
    return PartMap(pupil, iris, cr)


def _moments(weight: F32) -> tuple[float, Ellipse]:
    """The sum of weights, and the ellipse with their centre and second moments."""
    m = cv2.moments(weight)
    total = m["m00"]
    # A pixel's own extent (1/12) keeps the axes above zero.
    xx, yy, xy = m["mu20"] / total + 1 / 12, m["mu02"] / total + 1 / 12, m["mu11"] / total
    values, vectors = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    minor, major = (4.0 * float(np.sqrt(v)) for v in values)
    angle = math.degrees(math.atan2(float(vectors[1, 1]), float(vectors[0, 1])))
    return total, Ellipse((m["m10"] / total, m["m01"] / total), (major, minor), angle)
