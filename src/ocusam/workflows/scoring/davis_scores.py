"""J and F: how well masks agree with the truth, as video object segmentation measures it.

Purpose: region similarity J (IoU), boundary measure F, and their mean over the frames of one video.

Notable choices: the rules of DAVIS 2017 and SA-V. A pixel is on the boundary where it differs from its right,
lower or lower right neighbour, so a boundary is one pixel wide; a boundary pixel is matched when the other
boundary comes within .008 of the picture's diagonal, rounded up. An object counts from the first scored frame
on which the truth or the result shows it; from then on a frame where both are empty is a perfect one. Objects
that only the result knows are not scored. Sources: Perazzi et al. 2016 (doi:10.1109/CVPR.2016.85); Pont-Tuset
et al. 2017 (arXiv 1704.00675); Ravi et al. 2024 (arXiv 2408.00714).

What it does not know: files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

BOUNDARY_TOLERANCE = 0.008
"""Distance at which boundaries still match, share of the picture's diagonal."""


def region_similarity(mask: Mask, truth: Mask) -> float:
    """J: intersection over union of two masks (H, W), 0..1; 1 where both are empty."""
    union = int(np.count_nonzero(mask | truth))
    return int(np.count_nonzero(mask & truth)) / union if union else 1.0


def boundary(mask: Mask) -> Mask:
    """Where a mask (H, W) differs from its right, lower or lower right neighbour.

    Beyond the picture everything goes on as at its edge."""
    wide = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = wide[:-1, :-1]
    found: Mask = (here != wide[:-1, 1:]) | (here != wide[1:, :-1]) | (here != wide[1:, 1:])
    return found


def boundary_radius(size: tuple[int, int], tolerance: float = BOUNDARY_TOLERANCE) -> int:
    """The distance in whole pixels for a picture of (height, width)."""
    return math.ceil(tolerance * math.hypot(*size))


def boundary_f(mask: Mask, truth: Mask, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """F: harmonic mean of the boundary's precision and recall, 0..1; 1 where neither has a boundary.

    Args:
        mask: (H, W).
        truth: (H, W).
        tolerance: share of the diagonal.
    """
    found, wanted = boundary(mask), boundary(truth)
    if not found.any() and not wanted.any():
        return 1.0
    if not found.any() or not wanted.any():
        return 0.0
    radius = boundary_radius((mask.shape[0], mask.shape[1]), tolerance)
    precision = float(_grown(wanted, radius)[found].mean())
    recall = float(_grown(found, radius)[wanted].mean())
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0


def _grown(mask: Mask, radius: int) -> Mask:
    """All pixels within `radius` of the mask."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x * x + y * y <= radius * radius).astype(np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


@dataclass(frozen=True)
class ObjectScore:
    """One object of one video: means over its frames, 0..1.

    Attributes:
        video, object: their names.
        frames: number of frames scored.
        j, f: means of region similarity and boundary measure.
    """

    video: str
    object: str
    frames: int
    j: float
    f: float

    @property
    def jf(self) -> float:
        """J&F, the mean of both."""
        return (self.j + self.f) / 2


class VideoScorer:
    """Collects the frames of one video, in order.

    Args:
        video: its name.
    """

    def __init__(self, video: str) -> None:
        self.video = video
        self._values: dict[str, list[tuple[float, float]]] = {}
        self._in_truth: set[str] = set()

    def add(self, masks: Mapping[str, Mask], truth: Mapping[str, Mask], size: tuple[int, int]) -> None:
        """Score one frame.

        Args:
            masks: object -> mask (H, W) of the result; absent objects may be left out.
            truth: the same of the truth.
            size: (height, width), for objects that are left out.
        """
        empty = np.zeros(size, dtype=np.bool_)
        shown = {name for name, mask in truth.items() if mask.any()}
        self._in_truth |= shown
        shown |= {name for name, mask in masks.items() if mask.any()}
        for name in shown | set(self._values):
            mask, wanted = masks.get(name, empty), truth.get(name, empty)
            value = (region_similarity(mask, wanted), boundary_f(mask, wanted))
            self._values.setdefault(name, []).append(value)

    def scores(self) -> list[ObjectScore]:
        """Scores of the objects of the truth, by name."""
        out = []
        for name in sorted(self._in_truth, key=lambda name: (len(name), name)):
            j, f = np.mean(self._values[name], axis=0).tolist()
            out.append(ObjectScore(self.video, name, len(self._values[name]), j, f))
        return out
