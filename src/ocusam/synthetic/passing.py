"""Something that passes before the eye: a hand, a cable, a piece of the world.

Purpose: what it hides must be lost and found again.

Notable choices: a smooth dark or bright blob with a soft edge, straight through the picture, again and again;
before it comes the eye is free for at least two frames.

What it does not know: the eye.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ocusam.synthetic.style import Face
from ocusam.synthetic.textures import F32


class Passing:
    """One object for one clip.

    Args:
        face: its size and brightness.
        size: (height, width) of the picture.
        rng: draws its outline and its way.
    """

    def __init__(self, face: Face, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.level = face.passing_level
        self._size = size
        h, w = size
        self._radius = face.passing * w
        t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        rim = np.ones(48)
        for k in range(2, 5):
            rim += rng.normal(0, 0.25 / k) * np.cos(k * t + rng.uniform(0, 6.3))
        self._outline = np.stack([rim * np.cos(t), rim * np.sin(t) * rng.uniform(0.5, 1.0)], axis=1)
        self._middle = rng.uniform(0.3, 0.7, 2) * (w, h)
        way = float(rng.uniform(0, 2 * math.pi))
        reach = 0.5 * math.hypot(h, w) + 1.5 * self._radius
        half = float(rng.uniform(1.5, 8.0))  # frames from its coming to the middle
        self._step = np.array([math.cos(way), math.sin(way)]) * reach / half
        self._center_frame = 2.0 + half + float(rng.uniform(0.0, 3.0))
        self._period = 2.0 * half + float(rng.uniform(10, 200))
        self._blur = float(rng.uniform(0.5, 4.0)) * w / 256.0

    def alpha(self, frame: int) -> F32 | None:
        """The share of each pixel that it hides on a frame (from 0); None where it is away."""
        t = frame - self._center_frame
        t = (t + 0.5 * self._period) % self._period - 0.5 * self._period if t > 0 else t
        h, w = self._size
        points = self._outline * self._radius + self._middle + self._step * t
        if (points.max(0) < -8).any() or (points.min(0) > (w + 8, h + 8)).any():
            return None
        mask = np.zeros(self._size, np.uint8)
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(mask, (0, 0), self._blur)
        return np.asarray(soft.astype(np.float32) * np.float32(1 / 255))
