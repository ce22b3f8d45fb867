"""Mask logits after the network: small holes, sizes, overlaps.

Purpose: what the published predictors do to masks outside the network, without their compiled extension:
connected components come from OpenCV.

Notable choices: regions are 8-connected, as published. Nothing here changes its input.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

FILLED_HOLE_LOGIT = 0.1


def small_regions(mask: NDArray[np.bool_], max_area: float) -> NDArray[np.bool_]:
    """Return where `mask` (h, w) is true in 8-connected regions of at most `max_area` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask, dtype=np.uint8), connectivity=8
    )
    small = stats[:, cv2.CC_STAT_AREA] <= max_area
    small[0] = False  # label 0 is where the mask is false
    found: NDArray[np.bool_] = small[labels]
    return found


def replace_small_regions(
    logits_b1hw: Tensor, max_area: float, value: float, *, background: bool, threshold: float = 0.0
) -> Tensor:
    """Give small regions of the background (holes) or of the foreground (sprinkles) another logit.

    Args:
        logits_b1hw: mask logits.
        max_area: largest region to be replaced, in pixels of these logits; 0 changes nothing.
        value: their new logit.
        background: replace regions at or below `threshold`; else regions above it.
        threshold: where the mask's edge lies.
    """
    if max_area <= 0:
        return logits_b1hw
    inside = (logits_b1hw > threshold).cpu().numpy()
    found = np.stack([small_regions(~mask[0] if background else mask[0], max_area) for mask in inside])
    if not found.any():
        return logits_b1hw
    where = torch.from_numpy(found).unsqueeze(1).to(logits_b1hw.device)
    return torch.where(where, logits_b1hw.new_full((), value), logits_b1hw)


def fill_holes(logits_b1hw: Tensor, max_area: float) -> Tensor:
    """Fill holes of at most `max_area` pixels with a logit just above 0."""
    return replace_small_regions(logits_b1hw, max_area, FILLED_HOLE_LOGIT, background=True)


def resize_logits(logits_b1hw: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, not antialiased, in float32: the published way to a picture's (height, width)."""
    if logits_b1hw.shape[-2:] == size:
        return logits_b1hw.float()
    return F.interpolate(logits_b1hw.float(), size=size, mode="bilinear", align_corners=False)
