"""The network cut into parts that other programs can run: tensors in, tensors out, no Python between.

Purpose: what `ocusam models export` writes and what an engine runs. Six parts: `image_encoder`,
`memory_attention`, `prompt_encoder`, `mask_decoder`, `memory_encoder`, and `mask_input` (a user's mask on its
way to the others). Each is a module over the network's own weights with named inputs and outputs, whose sizes
are dynamic where a video makes them so: objects, remembered frames, object pointers, points.

Notable choices: a part holds all that belongs to its box of the paper's figure, positions included, so
whoever runs it needs no table of ours. Clicks, boxes and masks are all prompts of `prompt_encoder`. Which of
the four masks is used stays with the caller, as in `ocusam.model`. Nothing is trained through these modules.

What it does not know: files, runtimes, frame numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.engines.real_attention import RealMemoryAttention
from ocusam.model.sam2 import SAM2

SHARED = "shared"


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a part.

    Attributes:
        name: of the tensor.
        shape: a number where the size is fixed, a name where it is free; equal names are equal sizes.
        text: what it is, for people.
        dtype: of its numbers.
    """

    name: str
    shape: tuple[int | str, ...]
    text: str
    dtype: torch.dtype = torch.float32


class Part(nn.Module):
    """A module over tensors, with the names of what goes in and comes out.

    Free sizes: "objects" B, "maps" remembered frames, "pointers", "points", "tokens". An input whose first
    size is "shared" may have one row for all objects.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def recurs(self, inputs: Sequence[Tensor]) -> bool:
        """Whether inputs of these shapes come again and again in a video, so that a program made for nothing
        else pays. A rule on shapes alone: the same video gives the same numbers whatever came before it."""
        return True

    def examples(self, **sizes: int) -> tuple[Tensor, ...]:
        """Random inputs; `sizes` gives the free ones (2 where not given, "shared" 1)."""
        sizes = {SHARED: 1} | sizes
        out = []
        for spec in self.inputs:
            shape = [size if isinstance(size, int) else sizes.get(size, 2) for size in spec.shape]
            if spec.dtype == torch.float32:
                out.append(torch.rand(shape))
            else:
                out.append(torch.ones(shape, dtype=spec.dtype))
        return tuple(out)


class ImageEncoderPart(Part):
    """A picture into features at strides 16, 4 and 8."""

    name = "image_encoder"

    def __init__(self, network: SAM2) -> None:
        super().__init__()
        c = network.config
        self.network = network
        side, grid, dim = c.image_size, c.embedding_size, c.hidden_dim
        self.inputs = (
            TensorSpec("image", (1, 3, side, side), "RGB, ((value / 255) - mean) / std, see normalisation"),
        )
        self.outputs = (
            TensorSpec("embedding", (1, dim, grid, grid), "features at stride 16"),
            TensorSpec("high_res_0", (1, dim // 8, 4 * grid, 4 * grid), "features at stride 4"),
            TensorSpec("high_res_1", (1, dim // 4, 2 * grid, 2 * grid), "features at stride 8"),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs named above."""
        features = self.network.encode_image(image)
        return features.embedding_bchw, *features.high_res


class MemoryAttentionPart(Part):
    """Features conditioned on what is remembered of each object."""

    name = "memory_attention"

    def __init__(self, network: SAM2) -> None:
        super().__init__()
        c = network.config
        grid, dim, mem = c.embedding_size, c.hidden_dim, c.mem_dim
        self.attention = RealMemoryAttention(network)
        self._most_pointers = c.max_obj_ptrs_in_encoder
        self.inputs = (
            TensorSpec("embedding", (SHARED, dim, grid, grid), "features of the frame"),
            TensorSpec("maps", ("objects", "maps", mem, grid, grid), "memories, prompted frames first"),
            TensorSpec(
                "map_rows", ("maps",), f"{c.num_maskmem - 1}: prompted; r - 1: r frames ago", torch.int64
            ),
            TensorSpec("pointers", ("objects", "pointers", dim), "object pointers"),
            TensorSpec("pointer_times", ("pointers",), "frames ago / (most pointers - 1)"),
        )
        self.outputs = (TensorSpec("conditioned", ("objects", dim, grid, grid), "for the mask decoder"),)

    def forward(
        self, embedding: Tensor, maps: Tensor, map_rows: Tensor, pointers: Tensor, pointer_times: Tensor
    ) -> Tensor:
        """Return the output named above."""
        out: Tensor = self.attention(embedding, maps, map_rows, pointers, pointer_times)
        return out

    def recurs(self, inputs: Sequence[Tensor]) -> bool:
        """A full memory bank does."""
        return inputs[3].shape[1] >= self._most_pointers


class PromptEncoderPart(Part):
    """Clicks, boxes and masks into tokens and a dense map."""

    name = "prompt_encoder"

    def __init__(self, network: SAM2) -> None:
        super().__init__()
        c = network.config
        self.encoder = network.sam_prompt_encoder
        low, grid, dim = c.low_res_size, c.embedding_size, c.hidden_dim
        self.inputs = (
            TensorSpec("points", ("objects", "points", 2), "x, y in px of the network's input"),
            TensorSpec(
                "labels",
                ("objects", "points"),
                "1 on the object, 0 off it, 2 and 3 first and second corner of a box (first in line), "
                "-1 padding: one point (0, 0) with label -1 means no point",
                torch.int64,
            ),
            TensorSpec("mask", ("objects", 1, low, low), "mask logits as a prompt (any if has_mask is 0)"),
            TensorSpec("has_mask", ("objects",), "1: the mask is a prompt, 0: there is none"),
        )
        self.outputs = (
            TensorSpec("sparse", ("objects", "tokens", dim), "one token a point, one more for padding"),
            TensorSpec("dense", ("objects", dim, grid, grid), "mask prompt"),
        )

    def forward(
        self, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the outputs named above."""
        sparse, given = self.encoder(points, labels, mask, points.shape[0])
        none = self.encoder.no_mask_embed.weight[:, :, None, None]
        return sparse, torch.where(has_mask[:, None, None, None] > 0, given, none)


class MaskDecoderPart(Part):
    """Features and prompts into four masks, their quality, presence and pointers."""

    name = "mask_decoder"

    def __init__(self, network: SAM2) -> None:
        super().__init__()
        c = network.config
        self.network = network
        low, grid, dim = c.low_res_size, c.embedding_size, c.hidden_dim
        masks = c.num_multimask_outputs + 1
        self.inputs = (
            TensorSpec("conditioned", ("objects", dim, grid, grid), "of memory_attention, or see no_memory"),
            TensorSpec("high_res_0", (SHARED, dim // 8, 4 * grid, 4 * grid), "of image_encoder"),
            TensorSpec("high_res_1", (SHARED, dim // 4, 2 * grid, 2 * grid), "of image_encoder"),
            TensorSpec("sparse", ("objects", "tokens", dim), "of prompt_encoder"),
            TensorSpec("dense", (SHARED, dim, grid, grid), "of prompt_encoder"),
        )
        self.outputs = (
            TensorSpec("masks", ("objects", masks, low, low), "mask logits: single, then three readings"),
            TensorSpec("iou", ("objects", masks), "predicted IoU of each mask"),
            TensorSpec("object_score", ("objects", 1), "logit of presence; above 0: in the frame"),
            TensorSpec("tokens", ("objects", masks, dim), "output tokens, before the pointer's projection"),
            TensorSpec(
                "object_pointers", ("objects", masks, dim), "pointer for the memory, if that mask is chosen"
            ),
        )

    def forward(
        self, conditioned: Tensor, high_res_0: Tensor, high_res_1: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the outputs named above."""
        network = self.network
        positions = network.sam_prompt_encoder.dense_positions()
        all_masks = network.sam_mask_decoder.decode_all(
            conditioned, positions, sparse, dense, (high_res_0, high_res_1)
        )
        score = all_masks.object_score_b1
        pointers = network.obj_ptr_proj(all_masks.tokens_bnc)
        if network.config.pred_obj_scores:
            share = score.sigmoid() if network.config.soft_no_obj_ptr else (score > 0).float()
            pointers = network.blend_no_object(pointers, share[:, None])
        return all_masks.logits_bmhw, all_masks.iou_bm, score, all_masks.tokens_bnc, pointers

    def recurs(self, inputs: Sequence[Tensor]) -> bool:
        """A frame without a prompt does: its two tokens are padding."""
        return inputs[3].shape[1] == 2


class MemoryEncoderPart(Part):
    """A finished frame into a memory of it."""

    name = "memory_encoder"

    def __init__(self, network: SAM2) -> None:
        super().__init__()
        c = network.config
        self.network = network
        side, grid, dim = c.image_size, c.embedding_size, c.hidden_dim
        self.inputs = (
            TensorSpec("embedding", (SHARED, dim, grid, grid), "of image_encoder, not conditioned"),
            TensorSpec("mask", ("objects", 1, side, side), "mask logits, bilinear at the input's size"),
            TensorSpec("object_score", ("objects", 1), "of mask_decoder"),
            TensorSpec("binarize", (1,), "1: take the mask as certain (prompted frames), 0: its sigmoid"),
        )
        self.outputs = (TensorSpec("memory", ("objects", c.mem_dim, grid, grid), "for memory_attention"),)

    def forward(self, embedding: Tensor, mask: Tensor, object_score: Tensor, binarize: Tensor) -> Tensor:
        """Return the output named above."""
        certain = torch.where(binarize > 0, (mask > 0).float(), mask.sigmoid())
        return self.network.memory_of(embedding, certain, object_score)


class MaskInputPart(Part):
    """A user's mask: as the frame's output, and as the prompt from which its pointer is made."""

    name = "mask_input"
    shrink: Tensor

    def __init__(self, network: SAM2) -> None:
        super().__init__()
        c = network.config
        self.downsample = network.mask_downsample
        side, low = c.image_size, c.low_res_size
        eye = torch.eye(side)[None, None]
        # Antialiased shrinking is linear in each direction: two products with a fixed matrix.
        rows = F.interpolate(eye, size=(low, side), mode="bilinear", align_corners=False, antialias=True)
        self.register_buffer("shrink", rows[0, 0], persistent=False)
        self.inputs = (TensorSpec("mask", ("objects", 1, side, side), "0 or 1 at the input's size"),)
        self.outputs = (
            TensorSpec("low_res", ("objects", 1, low, low), "the frame's mask logits (mask_input as output)"),
            TensorSpec("prompt", ("objects", 1, low, low), "mask prompt for prompt_encoder"),
        )

    def forward(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs named above."""
        low = self.shrink @ (mask * 20.0 - 10.0) @ self.shrink.T
        return low, self.downsample(mask)


PARTS: dict[str, Callable[[SAM2], Part]] = {
    part.name: part
    for part in (
        ImageEncoderPart,
        MemoryAttentionPart,
        PromptEncoderPart,
        MaskDecoderPart,
        MemoryEncoderPart,
        MaskInputPart,
    )
}


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A part's outputs, one or several."""
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def make_part(name: str, network: SAM2) -> Part:
    """Return a part of a network, over its weights as they are.

    Args:
        name: one of `PARTS`.
        network: in float32, on the CPU, in evaluation mode.
    """
    assert network.dtype == torch.float32 and not network.training
    return PARTS[name](network).eval()
