"""Lashes: strokes that grow from the lids and move with them.

Purpose: where the lashes of a frame lie.

Notable choices: a lash leaves the lid towards the camera and then curls up; when the lid comes down it
hangs.

What it does not know: how they are painted (`shading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocusam.synthetic.anatomy import EyePose, inverse2, lid_points
from ocusam.synthetic.style import EyeStyle


@dataclass(frozen=True)
class Lashes:
    """Strokes in lid coordinates: roots along the lid, and their bends, lengths in mm."""

    u: NDArray[np.float64]
    lean: NDArray[np.float64]
    length: NDArray[np.float64]
    upper: bool


def make_lashes(style: EyeStyle, upper: bool, rng: np.random.Generator) -> Lashes:
    """Clumped, fanning lashes."""
    face = style.face
    count = face.lashes if upper else face.lower_lashes
    u = np.sort(rng.uniform(-0.93, 0.93, count))
    clump = rng.uniform(0, 1) * 0.12 * np.sin(u * rng.uniform(20, 40) + rng.uniform(0, 6))
    lean = 0.9 * u + clump + rng.normal(0.0, 0.16, count) + rng.normal(0.0, 0.2)
    length = (
        face.lash_mm * (0.35 + 0.65 * rng.random(count)) * (1.0 - 0.3 * np.abs(u)) * (1.0 if upper else 0.5)
    )
    return Lashes(u, lean, length, upper)


def lash_strokes(lashes: Lashes, shape: EyePose, tilt: float) -> NDArray[np.int32]:
    """(N, 5, 2) points in 1/16 px: a bent stroke per lash."""
    roots = lid_points(shape, 0 if lashes.upper else 1, lashes.u)
    forward = inverse2(shape.lid_map[:, :2])
    t = np.linspace(0.0, 1.0, 5)[None, :]
    rise = tilt if lashes.upper else -abs(tilt) - 0.15
    side = lashes.length[:, None] * (0.75 * lashes.lean[:, None]) * t
    # Lashes first leave the lid towards the camera (a little downwards), then curl up.
    up = lashes.length[:, None] * (rise * t * t * 1.15 - 0.18 * (1.0 if lashes.upper else -1.0) * t * (1 - t))
    half_width = float(np.linalg.norm(forward[:, 0])) / max(float(np.linalg.norm(forward[:, 1])), 1e-6)
    delta = np.stack([side / half_width, -up], axis=-1)
    pts = roots[:, None, :] + delta @ forward.T
    return np.asarray(np.round(np.clip(pts, -2000, 4000) * 16), np.int32)
