"""What tracking yields: one object's mask on one frame.

Purpose: the value that passes from the trackers' side to measurements, tables and pictures, without torch.

Notable choices: the logits stay at the network's resolution, since most of what is known about an edge lies
in them; the mask at the size of the picture is derived when asked for. A view is the part of the picture that
was tracked on its own (one eye of several); everything told outside is in coordinates of the whole picture.

What it does not know: how masks are stored (`workflows.masklets`) and what they mean (`eye`).
"""

from __future__ import annotations

from dataclasses import dataclass

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
class ObjectFrame:
    """One object on one frame, as tracked.

    Attributes:
        frame_idx: frame, from 0.
        timestamp_ns: its presentation time.
        view: where it was tracked.
        name: the object's name.
        logits: float32 (h, w) mask logits over the view, at the network's resolution; above 0 is the object.
        mask: bool (H, W) at the size of the view.
        predicted_iou: the network's estimate of its mask's IoU, 0..1.
        object_score: the network's logit that the object is there (above 0: there).
        picture: uint8 (H, W, 3) RGB, the view's picture as it was decoded, for those who look at edges; all
            objects of a frame share it, nobody may write to it. None where the tracker does not hand it out.
    """

    frame_idx: int
    timestamp_ns: int
    view: View
    name: str
    logits: NDArray[np.float32]
    mask: NDArray[np.bool_]
    predicted_iou: float
    object_score: float
    picture: NDArray[np.uint8] | None = None
