"""Scores on held-out rendered eyes: IoU per kind of object after one click, and how far the centres are off.

The pictures come from a seed that training never uses. Centres are centroids of thresholded masks on the
grid of the truth, in pixels of the network's input. It scores single pictures, and clips by their tracked
frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ocusam.model.eye_parts import EyeParts
from ocusam.model.sam2 import SAM2
from ocusam.training.clips import Batch
from ocusam.training.losses import mask_iou, on_grid
from ocusam.training.passes import follow, parts_pass
from ocusam.training.scenes import KINDS

HELD_OUT_SEED = 900_000_001
"""Seed of the held-out set; trainings take smaller ones."""


@dataclass
class Scores:
    """Lists over all scored objects of each kind."""

    iou: dict[str, list[float]] = field(default_factory=dict)
    centre_px: dict[str, list[float]] = field(default_factory=dict)
    presence_right: list[bool] = field(default_factory=list)

    def line(self) -> str:
        """For the log: mean IoU per kind, median centre error where known, presences that are right."""
        parts = []
        for kind in KINDS:
            if self.iou.get(kind):
                off = self.centre_px.get(kind)
                parts.append(
                    f"{kind} {np.mean(self.iou[kind]):.3f}" + (f"/{np.median(off):.2f}px" if off else "")
                )
        right = f" presence {np.mean(self.presence_right):.3f}" if self.presence_right else ""
        return " ".join(parts) + right

    def means(self) -> dict[str, float]:
        """Mean IoU per kind."""
        return {kind: float(np.mean(values)) for kind, values in self.iou.items()}


def centres(masks_bgg: Tensor) -> Tensor:
    """Centroids (B, 2) as (x, y) in cells; NaN for empty masks."""
    weights = masks_bgg.float()
    total = weights.sum((1, 2))
    index = torch.arange(weights.shape[-1], dtype=torch.float32, device=weights.device)
    x = (weights.sum(1) * index).sum(1) / total
    y = (weights.sum(2) * index).sum(1) / total
    return torch.stack([x, y], 1)


@torch.no_grad()
def score(model: SAM2, held_out: list[Batch], *, half: bool = False) -> Scores:
    """Score a model on batches: the prompted frame of pictures, the later frames of clips.

    A prediction for an object judged absent is empty. Centre errors count where both masks are non-empty.
    """
    result = Scores()
    training = model.training
    model.eval()
    for made in held_out:
        batch = made.to(model.device)
        frames = batch.pictures_btss.shape[1]
        cell = batch.pictures_btss.shape[2] / batch.truth_botgg.shape[-1]
        kinds = batch.kind_bo.flatten()
        for frame, output in enumerate(follow(model, batch, half=half)):
            if frame == 0 and frames > 1:
                continue
            truth = batch.truth_botgg[:, :, frame].flatten(0, 1).float() / 255
            present = batch.present_bot[:, :, frame].flatten()
            logits = on_grid(output.low_res_logits_b1hw, truth.shape[-1])[:, 0]
            iou = mask_iou(logits, truth)
            off = (centres(logits > 0) - centres(truth > 0.5)).norm(dim=1) * cell
            result.presence_right += ((output.object_score_b1.flatten() > 0) == present).tolist()
            for row in torch.nonzero(present).flatten().tolist():
                kind = KINDS[int(kinds[row])]
                result.iou.setdefault(kind, []).append(float(iou[row]))
                if not torch.isnan(off[row]):
                    result.centre_px.setdefault(kind, []).append(float(off[row]))
    model.train(training)
    return result


@torch.no_grad()
def score_parts(model: SAM2, parts: EyeParts, held_out: list[Batch], *, half: bool = False) -> Scores:
    """Mean IoU of each part of the eye that the encoder names, one value a batch; no centres."""
    result = Scores()
    for batch in held_out:
        found = parts_pass(model, batch.to(model.device), parts, half=half).iou_of_kind
        for kind, (total, count) in found.items():
            result.iou.setdefault(kind, []).append(total / count)
    return result
