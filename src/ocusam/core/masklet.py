"""What tracking yields: one object's mask on one frame.

Purpose: the value that passes from the trackers' side to measurements, tables and pictures, without torch.

Notable choices: the logits stay at the network's resolution, since most of what is known about an edge lies
in them; the mask at the size of the picture is derived when asked for, and only where the object is. A view
is the part of the picture that was tracked on its own (one eye of several); everything told outside is in
coordinates of the whole picture.

What it does not know: how masks are stored (`workflows.masklets`) and what they mean (`eye`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class View:
    """A rectangle of the picture tracked as a video of its own.

    Attributes:
        index: number of the view, from 0, row by row.
        region: (x0, y0, x1, y1) px of the whole picture, x1 and y1 exclusive.
    """

    index: int
    region: tuple[int, int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px."""
        x0, y0, x1, y1 = self.region
        return y1 - y0, x1 - x0

    def holds(self, x: float, y: float) -> bool:
        """Whether a point of the whole picture lies in the view."""
        x0, y0, x1, y1 = self.region
        return x0 - 0.5 <= x < x1 - 0.5 and y0 - 0.5 <= y < y1 - 0.5


@dataclass(frozen=True, eq=False)
class MaskPatch:
    """The part of a mask that holds all of the object.

    Attributes:
        origin: (x, y) of its first pixel.
        inside: bool (h, w); without an object (0, 0).
    """

    origin: tuple[int, int]
    inside: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ObjectFrame:
    """One object on one frame, as tracked.

    Attributes:
        frame_idx: frame, from 0.
        timestamp_ns: its presentation time.
        view: where it was tracked.
        name: the object's name.
        logits: float32 (h, w) mask logits over the view, at the network's resolution; above 0 is the object.
        given: bool (H, W) the mask at the size of the view, where it is not what the logits say; else None.
        predicted_iou: the network's estimate of its mask's IoU, 0..1.
        object_score: the network's logit that the object is there (above 0: there).
        picture: uint8 (H, W, 3) RGB, the view's picture as it was decoded, for those who look at edges; all
            objects of a frame share it, nobody may write to it. None where the tracker does not hand it out.
        eye_area_px: px^2 of the view that the open eye takes (pupil, iris, sclera and reflections), as the
            network sees it without a prompt, the same for all objects of a frame; nan where it does not say.
    """

    frame_idx: int
    timestamp_ns: int
    view: View
    name: str
    logits: NDArray[np.float32]
    given: NDArray[np.bool_] | None
    predicted_iou: float
    object_score: float
    picture: NDArray[np.uint8] | None = None
    eye_area_px: float = float("nan")

    @cached_property
    def patch(self) -> MaskPatch:
        """The mask at the size of the view, as far as the object reaches."""
        return (
            MaskPatch((0, 0), self.given) if self.given is not None else enlarged(self.logits, self.view.size)
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool (H, W) at the size of the view."""
        out = np.zeros(self.view.size, dtype=np.bool_)
        (x, y), inside = self.patch.origin, self.patch.inside
        out[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return out


def enlarged(logits: NDArray[np.float32], size: tuple[int, int]) -> MaskPatch:
    """Where logits are above 0 at another size: bilinear between pixels' middles, the published way to a
    picture's size, computed around the object only.

    Args:
        logits: (h, w).
        size: (height, width) of the mask.
    """
    above = logits > 0
    rows, columns = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
    if not len(rows):
        return MaskPatch((0, 0), np.zeros((0, 0), dtype=np.bool_))
    down, y, here_y = _weights(rows, logits.shape[0], size[0])
    across, x, here_x = _weights(columns, logits.shape[1], size[1])
    return MaskPatch((x, y), down @ logits[here_y, here_x] @ across.T > 0)


def _weights(found: NDArray[np.intp], n: int, size: int) -> tuple[NDArray[np.float32], int, slice]:
    """Interpolation along one axis between the samples around `found` of `n`, for the pixels of `size` that
    they touch: weights (pixels, samples), the first pixel, which samples."""
    weights = _interpolation(n, size)
    low, high = max(int(found[0]) - 1, 0), min(int(found[-1]) + 2, n)
    scale = size / n
    first, last = max(0, int((low + 0.5) * scale) - 1), min(size, int((high - 0.5) * scale) + 1)
    if low == 0:
        first = 0
    if high == n:
        last = size
    return weights[first:last, low:high], first, slice(low, high)


@lru_cache(maxsize=16)
def _interpolation(n: int, size: int) -> NDArray[np.float32]:
    """Weights (size, n) of linear interpolation of n samples at `size` places, the ends repeated."""
    at = np.float32(n / size) * (np.arange(size, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    at = np.maximum(at, 0)
    low = np.minimum(at.astype(np.int64), n - 1)
    share = at - low.astype(np.float32)
    weights = np.zeros((size, n), dtype=np.float32)
    places = np.arange(size)
    weights[places, low] += 1 - share
    weights[places, np.minimum(low + 1, n - 1)] += share
    return weights
