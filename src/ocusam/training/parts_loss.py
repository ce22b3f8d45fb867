"""The loss of naming the parts of the eye (`model/eye_parts.py`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def parts_loss(logits_bphw: Tensor, truth_bpgg: Tensor) -> Tensor:
    """Cross-entropy plus dice over pixels, averaged over the parts; truth 0..1, on any finer grid."""
    truth = F.adaptive_avg_pool2d(truth_bpgg.float(), (logits_bphw.shape[-2], logits_bphw.shape[-1]))
    entropy = F.binary_cross_entropy_with_logits(logits_bphw, truth, reduction="none").mean((0, 2, 3))
    prob = torch.sigmoid(logits_bphw)
    overlap, sizes = (prob * truth).sum((0, 2, 3)), (prob + truth).sum((0, 2, 3))
    return (4 * entropy + 1 - (2 * overlap + 1) / (sizes + 1)).mean()
