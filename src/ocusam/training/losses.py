"""The four losses of SAM 2: focal and dice on the mask, L1 on the predicted IoU, cross-entropy on presence.

Weights 20 : 1 : 1 : 1 as published (Ravi et al. 2024, arXiv 2408.00714, appendix D.2.1). Of several candidate
masks only the best one is supervised, while every candidate's IoU prediction is. An absent object has neither a
mask nor an IoU loss. Everything is computed in float32.

Notable choices, where we differ from the paper and why:
- The truth is soft: the covered share of a cell. A logit of zero then means "half covered", which is what makes
  sub-pixel edges possible at stride 4. Focal and dice losses for hard labels have their minimum at 0 or 1 also for
  a half-covered cell, so the forms here are those whose minimum lies at the soft label: the quality focal loss
  |t-p|^2 BCE (Li et al. 2020, arXiv 2006.04388) and the dice loss with squared denominator (Milletari et al. 2016,
  arXiv 1606.04797). For hard labels the first is the usual focal loss.
- Every object carries a weight, so that the many tiny or nearly hidden ones do not drown the rest.

Shape suffixes: b object, m candidate mask, h/w mask grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_WEIGHT = 20.0
DICE_WEIGHT = 1.0
IOU_WEIGHT = 1.0
PRESENCE_WEIGHT = 1.0
FOCAL_ALPHA = 0.25
"""Share of the focal loss given to covered cells; the rest goes to the background (arXiv 1708.02002)."""


@dataclass
class LossTerms:
    """Sums over objects that already carry their weights; `total` is what is differentiated."""

    total: Tensor
    focal: Tensor
    dice: Tensor
    iou: Tensor
    presence: Tensor
    real_iou_b: Tensor
    """IoU with the truth of the candidate that the network itself would choose, (B,), no gradient."""

    def scaled(self, factor: float) -> LossTerms:
        """Return the same terms multiplied by `factor` (the IoU measurement stays)."""
        return LossTerms(
            self.total * factor,
            self.focal * factor,
            self.dice * factor,
            self.iou * factor,
            self.presence * factor,
            self.real_iou_b,
        )

    def plus(self, other: LossTerms) -> LossTerms:
        """Return the sum; the IoU measurement is that of `other`, the later pass."""
        return LossTerms(
            self.total + other.total,
            self.focal + other.focal,
            self.dice + other.dice,
            self.iou + other.iou,
            self.presence + other.presence,
            other.real_iou_b,
        )


def soft_focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean over the last two axes of alpha |t-p|^2 BCE(p, t); shapes (..., H, W) -> (...)."""
    logits = logits.float()
    cross_entropy = F.softplus(logits) - logits * truth  # stable, and the truth may broadcast over candidates
    distance = (torch.sigmoid(logits) - truth) ** 2
    alpha = FOCAL_ALPHA * truth + (1 - FOCAL_ALPHA) * (1 - truth)
    return (alpha * distance * cross_entropy).mean((-2, -1))


def soft_dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - 2<p,t> / (<p,p> + <t,t>), smoothed by one cell; shapes (..., H, W) -> (...)."""
    prob = torch.sigmoid(logits.float())
    overlap = (prob * truth).sum((-2, -1))
    sizes = (prob * prob).sum((-2, -1)) + (truth * truth).sum((-2, -1))
    return 1 - (2 * overlap + 1) / (sizes + 1)


@torch.no_grad()
def mask_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of (logits > 0) with (truth > 1/2) over the last two axes; 1 where both are empty."""
    predicted, real = logits > 0, truth > 0.5
    both = (predicted & real).sum((-2, -1)).float()
    either = (predicted | real).sum((-2, -1)).float()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


def on_grid(logits_bmhw: Tensor, size: int) -> Tensor:
    """Bring mask logits to a `size` x `size` grid (bilinear, float32); no copy where they are there already."""
    logits_bmhw = logits_bmhw.float()
    if logits_bmhw.shape[-1] == size:
        return logits_bmhw
    return F.interpolate(logits_bmhw, size=(size, size), mode="bilinear", align_corners=False)


def sam2_loss(
    candidates_bmhw: Tensor,
    predicted_iou_bm: Tensor,
    object_score_b1: Tensor,
    truth_bhw: Tensor,
    present_b: Tensor,
    weight_b: Tensor,
) -> LossTerms:
    """Loss of one decoder pass over B objects.

    Args:
        candidates_bmhw: mask logits of the M candidates (1 or 3) on the decoder's grid.
        predicted_iou_bm: the network's own IoU predictions.
        object_score_b1: presence logits.
        truth_bhw: covered share 0..1 on the grid the loss is taken on, usually finer than the decoder's.
        present_b: True where the object is visible.
        weight_b: weight of each object's mask and IoU loss. Presence always weighs 1.

    Returns:
        Sums divided by B, so that gradients do not depend on how many objects are present.
    """
    size = truth_bhw.shape[-1]
    count = truth_bhw.shape[0]
    truth_b1hw = truth_bhw[:, None].float()
    mask_weight_b = weight_b.float() * present_b.float()
    with torch.no_grad():
        fine_bmhw = on_grid(candidates_bmhw.detach(), size)
        real_iou_bm = mask_iou(fine_bmhw, truth_b1hw)
        if candidates_bmhw.shape[1] > 1:
            cost_bm = FOCAL_WEIGHT * soft_focal_loss(fine_bmhw, truth_b1hw) + soft_dice_loss(fine_bmhw, truth_b1hw)
            best_b = cost_bm.argmin(1)
        else:
            best_b = torch.zeros(count, dtype=torch.long, device=truth_bhw.device)
        own_choice_b = predicted_iou_bm.detach().float().argmax(1)
    rows = torch.arange(count, device=truth_bhw.device)
    best_bhw = on_grid(candidates_bmhw[rows, best_b][:, None], size)[:, 0]
    focal = (soft_focal_loss(best_bhw, truth_b1hw[:, 0]) * mask_weight_b).sum() / count
    dice = (soft_dice_loss(best_bhw, truth_b1hw[:, 0]) * mask_weight_b).sum() / count
    iou_error_b = (predicted_iou_bm.float() - real_iou_bm).abs().mean(1)
    iou = (iou_error_b * mask_weight_b).sum() / count
    presence = F.binary_cross_entropy_with_logits(object_score_b1.float().flatten(), present_b.float())
    total = FOCAL_WEIGHT * focal + DICE_WEIGHT * dice + IOU_WEIGHT * iou + PRESENCE_WEIGHT * presence
    return LossTerms(total, focal, dice, iou, presence, real_iou_bm[rows, own_choice_b])


def object_weight(area_px: Tensor, full_weight_area_px: float = 200.0, least: float = 0.15) -> Tensor:
    """Weight of an object by its visible area in pixels of the network's input: its square root, capped at 1.

    An area of `full_weight_area_px` (a disc of 16 px) or more weighs 1; nothing visible weighs `least`.
    """
    return (area_px.float() / full_weight_area_px).sqrt().clamp(least, 1.0)
