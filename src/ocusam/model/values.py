"""What goes into the network and comes out of it, besides pictures and masks.

Plain records of tensors, and two rules that need nothing else: how objects that claim the same pixel are
told apart, and which row stands for all. Shape suffixes as in `model/sam2.py`. It knows no weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ocusam.model.mask_decoder import DecodedMasks

NO_OBJECT_LOGIT = -1024.0
"""Mask logit of every pixel of an object that is not in the frame."""


@dataclass(frozen=True)
class ImageFeatures:
    """What the image encoder keeps of a picture; shared by all objects on it.

    Attributes:
        embedding_bchw: stride-16 features, not yet conditioned on any memory.
        high_res: features at strides 4 (B, C/8, 4h, 4w) and 8 (B, C/4, 2h, 2w), as the decoder adds them.
    """

    embedding_bchw: Tensor
    high_res: tuple[Tensor, Tensor]

    def expand(self, num_objects: int) -> ImageFeatures:
        """Repeat a batch of one for several objects, without copying."""
        s0, s1 = self.high_res
        return ImageFeatures(
            self.embedding_bchw.expand(num_objects, -1, -1, -1),
            (s0.expand(num_objects, -1, -1, -1), s1.expand(num_objects, -1, -1, -1)),
        )

    def to(self, dtype: torch.dtype) -> ImageFeatures:
        """The same in another type; a batch that `expand` made stays one row behind many."""
        rows = self.embedding_bchw.shape[0]
        if rows > 1 and self.embedding_bchw.stride(0) == 0:
            return self.select(0).to(dtype).expand(rows)
        s0, s1 = self.high_res
        return ImageFeatures(self.embedding_bchw.to(dtype), (s0.to(dtype), s1.to(dtype)))

    def select(self, rows: int | slice | Tensor) -> ImageFeatures:
        """Take rows of the batch; an integer keeps the batch dimension."""
        if isinstance(rows, int):
            rows = slice(rows, rows + 1)
        return ImageFeatures(self.embedding_bchw[rows], (self.high_res[0][rows], self.high_res[1][rows]))


def shared_row(rows_bchw: Tensor) -> Tensor:
    """The one row behind a batch that `ImageFeatures.expand` made; any other batch as it is."""
    return rows_bchw[:1] if rows_bchw.stride(0) == 0 else rows_bchw


@dataclass(frozen=True)
class PointPrompt:
    """Clicks and box corners on B objects, N each.

    Attributes:
        coords_bn2: x, y in pixels of the square network input.
        labels_bn: -1 padding, 0 negative, 1 positive, 2 first and 3 second corner of a box.
        padding: all labels are -1, so their tokens need not be computed.
    """

    coords_bn2: Tensor
    labels_bn: Tensor
    padding: bool = False


@dataclass(frozen=True)
class MemorySelection:
    """The memories that a frame attends to, in the order of attention.

    Attributes:
        maps: pairs of a (B, d, h, w) memory and its row of `maskmem_tpos_enc` (num_maskmem - 1 for prompted
            frames, r - 1 for the frame r steps ago).
        pointers: pairs of a (B, c) object pointer and its time, in units of the longest span.
    """

    maps: list[tuple[Tensor, int]] = field(default_factory=list)
    pointers: list[tuple[Tensor, float]] = field(default_factory=list)


@dataclass(frozen=True)
class StepOutput:
    """The network's answer for one frame of B objects.

    Attributes:
        low_res_logits_b1hw: chosen mask, float32; -1024 everywhere where the object is judged absent.
        iou_b: predicted IoU of the chosen mask.
        object_score_b1: logit of the object's presence; above 0 is present.
        pointer_bc: object pointer for the memory bank.
        candidates: all masks between which the choice was made, absent objects included.
        high_res_logits_b1hw: the chosen mask at input size.
    """

    low_res_logits_b1hw: Tensor
    high_res_logits_b1hw: Tensor
    iou_b: Tensor
    object_score_b1: Tensor
    pointer_bc: Tensor
    candidates: DecodedMasks | None


def suppress_overlaps(logits_b1hw: Tensor) -> Tensor:
    """Give each pixel to the object with the highest logit; the others' logits become at most -10.

    Ties go to the first object. One object is returned unchanged.
    """
    if logits_b1hw.shape[0] == 1:
        return logits_b1hw
    winner_1hw = logits_b1hw.argmax(dim=0, keepdim=True)
    rows = torch.arange(logits_b1hw.shape[0], device=logits_b1hw.device)[:, None, None, None]
    return torch.where(winner_1hw == rows, logits_b1hw, logits_b1hw.clamp(max=-10.0))
