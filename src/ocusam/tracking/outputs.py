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

_UNLIKELY = -1.4
"""Logit (probability 0.2) below which a cell is taken to be no part of the eye at all."""


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
        eye_share: share of the picture that the open eye takes (`open_share`), 0..1; nan where the network
            does not name the parts of the eye, or where the frame's features were not at hand.
    """

    frame_idx: int
    timestamp_ns: int
    obj_ids: list[Hashable]
    low_res_logits: Tensor
    predicted_iou: NDArray[np.float32]
    object_score: NDArray[np.float32]
    image: NDArray[np.uint8]
    non_overlap: bool = False
    eye_share: float = float("nan")

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


def open_share(parts_1chw: Tensor) -> float:
    """Share of a picture that belongs to the open eye, expected from what its cells may be.

    Args:
        parts_1chw: (1, parts, h, w) logits of the parts of the eye (`SAM2.name_parts`).

    Returns:
        The mean over cells of the probability of the likeliest part, 0..1. Cells that most probably are none
        count as none: there are so many of them that their small doubts would add up to an eye.
    """
    # In numpy, so that it does not depend on how many threads torch has (offline = live, bit for bit).
    logits = parts_1chw[0].amax(dim=0).cpu().numpy().astype(np.float64)
    probability = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
    return float(np.where(logits > _UNLIKELY, probability, 0.0).mean())
