"""What a predictor says about one frame.

Purpose: everything known about the objects on a frame, cheap until someone asks for masks at the video's
size.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocusam.model.values import suppress_overlaps
from ocusam.tracking.postprocess import resize_logits


@dataclass(eq=False)
class FrameOutput:
    """One frame of N objects.

    Attributes:
        frame_idx: from 0.
        timestamp_ns: presentation time, nanoseconds.
        obj_ids: N labels, in the order of their first prompt; the rows of everything below.
        low_res_logits: float32 (N, 1, h, w) at a quarter of the network's input size, holes filled where so
            configured; -1024 everywhere for an object that is absent or has no answer on this frame.
        predicted_iou: float32 (N,), the network's own estimate; nan where there is no answer.
        object_score: float32 (N,) logit of presence, above 0 is present; nan where there is no answer.
        image: uint8 (H, W, 3) RGB, the frame's picture.
        non_overlap: give each pixel of `logits` to one object at most.
    """

    frame_idx: int
    timestamp_ns: int
    obj_ids: list[Hashable]
    low_res_logits: Tensor
    predicted_iou: NDArray[np.float32]
    object_score: NDArray[np.float32]
    image: NDArray[np.uint8]
    non_overlap: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the video."""
        return (self.image.shape[0], self.image.shape[1])

    @cached_property
    def logits(self) -> Tensor:
        """Mask logits at the video's size, float32 (N, 1, H, W); computed on first use."""
        with torch.inference_mode():
            logits = resize_logits(self.low_res_logits, self.size)
            return suppress_overlaps(logits) if self.non_overlap and len(logits) else logits

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Boolean masks at the video's size, (N, H, W)."""
        found: NDArray[np.bool_] = (self.logits[:, 0] > 0).cpu().numpy()
        return found
