"""The network with its four heavy parts run by something else than PyTorch.

Purpose: what a tracker holds in place of a `SAM2`: the same methods, the same values, other arithmetic. What
stands between the parts (prompts into tokens, the choice of a mask, presence, resizing) stays as it is in
`ocusam.model`, so there is one tracker and one set of rules.

Notable choices: modules and weights are those of the network it was made from, shared, not copied; PyTorch
computes with them what a part does not cover (no memory in configurations without the published shortcut).

What it does not know: which runtime computes.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ocusam.core.errors import ModelError
from ocusam.model.mask_decoder import DecodedMasks
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, MemorySelection, PointPrompt, shared_row, suppress_overlaps


class Runner(Protocol):
    """Computes parts, see `ocusam.engines.parts`. May be called from several threads at a time."""

    def __call__(self, part: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a part."""


class EngineNetwork(SAM2):
    """A network for tracking whose parts a `Runner` computes.

    Args:
        network: whose weights and configuration, float32, on the CPU.
        runner: for this network.
    """

    def __init__(self, network: SAM2, runner: Runner) -> None:
        nn.Module.__init__(self)
        # All that the network has, instead of a second one: making that takes as long as many frames.
        self.__dict__.update(network.__dict__)
        self.runner = runner
        super().train(False)

    def train(self, mode: bool = True) -> EngineNetwork:
        """Refuse training mode: what the parts compute has no gradient."""
        if mode:
            raise ModelError("A network on another engine cannot be trained: build it with engine='torch'.")
        super().train(False)
        return self

    def encode_image(self, images_b3hw: Tensor) -> ImageFeatures:
        """Encode (B, 3, S, S) normalised images, one after the other."""
        rows = [self.runner("image_encoder", row) for row in images_b3hw.split(1)]
        embedding, s0, s1 = (
            torch.cat(same) if len(same) > 1 else same[0] for same in zip(*rows, strict=True)
        )
        return ImageFeatures(embedding, (s0, s1))

    def condition_on_memory(self, features: ImageFeatures, memory: MemorySelection | None) -> Tensor:
        """Return the stride-16 features as the decoder should see them, (B, C, h, w)."""
        if memory is None or not memory.maps or self.config.num_maskmem == 0:
            return super().condition_on_memory(features, memory)
        maps = torch.stack([map_bdhw for map_bdhw, _ in memory.maps], dim=1)
        rows = torch.tensor([row for _, row in memory.maps])
        known = memory.pointers if self.config.use_obj_ptrs_in_encoder else []
        pointers = (
            torch.stack([pointer for pointer, _ in known], dim=1)
            if known
            else maps.new_zeros(maps.shape[0], 0, self.config.hidden_dim)
        )
        times = torch.tensor([time for _, time in known], dtype=torch.float32)
        (conditioned,) = self.runner(
            "memory_attention", shared_row(features.embedding_bchw), maps, rows, pointers, times
        )
        return conditioned

    def _all_masks(
        self,
        embedding_bchw: Tensor,
        high_res: tuple[Tensor, Tensor],
        points: PointPrompt | None,
        mask_logits_b1hw: Tensor | None,
    ) -> DecodedMasks:
        sparse, dense = self._encode_prompts(points, mask_logits_b1hw, embedding_bchw.shape[0])
        masks, iou, score, tokens, _ = self.runner(
            "mask_decoder", embedding_bchw, *map(shared_row, high_res), sparse, shared_row(dense)
        )
        return DecodedMasks(masks, iou, tokens, score)

    def encode_memory(
        self,
        features: ImageFeatures,
        mask_logits_b1hw: Tensor,
        object_score_b1: Tensor,
        *,
        from_prompt: bool,
    ) -> Tensor:
        """Turn a finished frame into a (B, d, h, w) memory; arguments as for `SAM2`."""
        config = self.config
        logits = mask_logits_b1hw.float()
        if config.non_overlap_masks_for_mem_enc:
            logits = suppress_overlaps(logits)
        certain = torch.tensor([float(config.binarize_mask_from_pts_for_mem_enc and from_prompt)])
        (memory,) = self.runner(
            "memory_encoder", shared_row(features.embedding_bchw), logits, object_score_b1, certain
        )
        return memory
