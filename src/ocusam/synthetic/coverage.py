"""How much of each pixel a shape covers.

Purpose: the one place where an outline becomes a share of pixels, used by picture and truth alike.

Notable choices: signed distance of first order (implicit function over its gradient), clipped to one
pixel. It is exact on the outline itself, so that edges lie where the ellipse says.

What it does not know: what the shapes mean.
"""

from __future__ import annotations

import cv2
import numpy as np

from ocusam.synthetic.anatomy import Conic
from ocusam.synthetic.textures import F32


def conic_distance(conic: Conic, x: F32, y: F32) -> tuple[F32, F32]:
    """(radial: 1 on the outline; signed distance in px, negative inside). x is a row, y a column."""
    inv = conic.inverse()
    q = inv.T @ inv
    dx = x - np.float32(conic.center[0])
    dy = y - np.float32(conic.center[1])
    gx = np.float32(q[0, 0]) * dx + np.float32(q[0, 1]) * dy
    gy = np.float32(q[0, 1]) * dx + np.float32(q[1, 1]) * dy
    radial = cv2.sqrt(np.maximum(dx * gx + dy * gy, np.float32(1e-12)))
    slope = cv2.magnitude(gx, gy)
    distance = (radial - 1.0) * radial / np.maximum(slope, np.float32(1e-12))
    return np.asarray(radial, np.float32), np.asarray(distance, np.float32)


def cover(distance: F32, softness: float = 0.0) -> F32:
    """Share of a pixel inside (distance negative); `softness` px widens the edge, its half height stays."""
    if softness <= 0.0:
        return np.asarray(np.clip(0.5 - distance, 0.0, 1.0), np.float32)
    t = np.clip(0.5 - distance / np.float32(1.0 + 2.0 * softness), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
