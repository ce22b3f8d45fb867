"""The four losses of SAM 2: focal and dice on the mask, the predicted IoU's, cross-entropy on presence.

Focal, dice and presence weigh 20 : 1 : 1 as published (Ravi et al. 2024, arXiv 2408.00714, appendix D.2). Of
several candidate masks the best one is supervised in full, and every candidate's IoU prediction. An absent
object has neither a mask nor an IoU loss. Everything is computed in float32.

Notable choices, where we differ from the paper and why:
- The truth is soft: the covered share of a cell. A logit of zero then means "half covered", which is what
  makes sub-pixel edges possible at stride 4. Focal and dice losses for hard labels have their minimum at 0
  or 1 also for a half-covered cell, so the forms here are those whose minimum lies at the soft label: the
  quality focal loss |t-p|^2 BCE (Li et al. 2020, arXiv 2006.04388) and the dice loss with squared
  denominator (Milletari et al. 2016, arXiv 1606.04797). The focal loss is relative to the
  object's area (`FOCAL_AREA_SHARE`), so that small objects have one at all.
- The other candidates are supervised too, with a smaller weight: our clicks are never ambiguous, and where
  only the best of three counts, the network offers pupil, iris and sclera at once instead of listening to
  the click.
- The predicted IoU's loss is the squared error, not the absolute one: what it pulls to is the mean of the
  IoUs to be expected, which is what a stated confidence should be, while the absolute error pulls to their
  median. Where masks either succeed or fail the two differ by far (weights trained with the absolute error
  overstated the IoU on rendered eyes by a fifth).
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
IOU_WEIGHT = 4.0
"""Of the squared error; its slope is the absolute error's (weight 1, as published) where it is off by 1/8."""
PRESENCE_WEIGHT = 1.0
OTHER_CANDIDATES_WEIGHT = 0.3
"""Weight of the mean mask loss of the candidates that are not the best."""
FOCAL_AREA_SHARE = 0.05
"""The focal loss of an object that covers this share of the picture is the published mean over all cells;
that of a smaller one is taken over twenty times its own area instead. With the plain mean a small object's
focal loss is next to nothing, and a network trained from scratch settles on empty masks, where the dice
loss has no slope either."""
LEAST_AREA_SHARE = 0.002
"""Objects smaller than this share of the picture count as this large."""


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
    """Sum over the last two axes of |t-p|^2 BCE(p, t), by the object's own area; shapes (..., H, W) -> (...).

    Covered cells and background weigh the same: the usual smaller weight of covered cells (alpha = .25)
    would draw every doubtful edge inwards.
    """
    logits = logits.float()
    cross_entropy = F.softplus(logits) - logits * truth  # stable, and the truth may broadcast over candidates
    distance = (torch.sigmoid(logits) - truth) ** 2
    cells = truth.shape[-2] * truth.shape[-1]
    area = truth.sum((-2, -1)) / FOCAL_AREA_SHARE
    over = area.clamp(LEAST_AREA_SHARE / FOCAL_AREA_SHARE * cells, cells)
    return 0.5 * (distance * cross_entropy).sum((-2, -1)) / over


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
    """Bring mask logits to a `size` x `size` grid (bilinear, float32)."""
    logits_bmhw = logits_bmhw.float()
    if logits_bmhw.shape[-1] == size:
        return logits_bmhw
    return F.interpolate(logits_bmhw, size=(size, size), mode="bilinear", align_corners=False)


def _candidate_weights(cost_bm: Tensor) -> Tensor:
    """1 for the cheapest candidate of each object; the others share `OTHER_CANDIDATES_WEIGHT`."""
    candidates = cost_bm.shape[1]
    weights = torch.full_like(cost_bm, OTHER_CANDIDATES_WEIGHT / max(1, candidates - 1))
    return weights.scatter(1, cost_bm.argmin(1, keepdim=True), 1.0)


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
    logits_bmgg = on_grid(candidates_bmhw, size)
    real_iou_bm = mask_iou(logits_bmgg, truth_b1hw)
    own_choice_b = predicted_iou_bm.detach().float().argmax(1)
    focal_bm, dice_bm = soft_focal_loss(logits_bmgg, truth_b1hw), soft_dice_loss(logits_bmgg, truth_b1hw)
    share_bm = _candidate_weights(FOCAL_WEIGHT * focal_bm.detach() + DICE_WEIGHT * dice_bm.detach())
    focal = ((focal_bm * share_bm).sum(1) * mask_weight_b).sum() / count
    dice = ((dice_bm * share_bm).sum(1) * mask_weight_b).sum() / count
    iou_error_b = (predicted_iou_bm.float() - real_iou_bm).square().mean(1)
    # An object too small for the grid has no IoU there: "both empty" would teach that it is perfect.
    on_grid_b = (truth_b1hw > 0.5).flatten(1).any(1).float()
    iou = (iou_error_b * mask_weight_b * on_grid_b).sum() / count
    presence = F.binary_cross_entropy_with_logits(object_score_b1.float().flatten(), present_b.float())
    total = FOCAL_WEIGHT * focal + DICE_WEIGHT * dice + IOU_WEIGHT * iou + PRESENCE_WEIGHT * presence
    return LossTerms(total, focal, dice, iou, presence, real_iou_bm.gather(1, own_choice_b[:, None])[:, 0])


def object_weight(area_px: Tensor, full_weight_area_px: float = 200.0, least: float = 0.15) -> Tensor:
    """Weight of an object by its visible area in pixels of the network's input: its square root, capped at 1.

    An area of `full_weight_area_px` (a disc of 16 px) or more weighs 1; nothing visible weighs `least`.
    """
    return (area_px.float() / full_weight_area_px).sqrt().clamp(least, 1.0)
