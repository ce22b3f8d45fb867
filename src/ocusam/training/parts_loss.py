"""The loss of naming the parts of the eye (`model/eye_parts.py`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def parts_loss(logits_bphw: Tensor, truth_bpgg: Tensor) -> Tensor:
    """Cross-entropy plus dice, averaged over the parts; truth 0..1, on any finer grid.

    Dice counts twice: over all pixels of the batch, which also punishes what is seen where nothing is, and
    picture by picture where the part is visible. Without the second, large eyes decide, and a small or dim
    pupil hardly matters; with it alone reflections were worse (docs/lab_log.md).
    """
    truth = F.adaptive_avg_pool2d(truth_bpgg.float(), (logits_bphw.shape[-2], logits_bphw.shape[-1]))
    entropy = F.binary_cross_entropy_with_logits(logits_bphw, truth, reduction="none").mean((0, 2, 3))
    prob = torch.sigmoid(logits_bphw)
    overlap_bp, sizes_bp = (prob * truth).sum((2, 3)), (prob + truth).sum((2, 3))
    whole = _dice_loss(overlap_bp.sum(0), sizes_bp.sum(0))
    visible_bp = (truth.sum((2, 3)) >= 1).float()
    each = (_dice_loss(overlap_bp, sizes_bp) * visible_bp).sum(0) / visible_bp.sum(0).clamp(min=1)
    return (4 * entropy + whole + each).mean()


def _dice_loss(overlap: Tensor, sizes: Tensor) -> Tensor:
    return 1 - (2 * overlap + 1) / (sizes + 1)
