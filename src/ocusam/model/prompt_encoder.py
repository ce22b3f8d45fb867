"""Clicks, boxes and masks into tokens that the mask decoder understands.

Points and box corners become sparse tokens, a mask becomes a dense map that is added to the image features
(Kirillov et al. 2023, "Segment Anything", arXiv 2304.02643, appendix A). Boxes arrive as their two corner
points, labels 2 and 3: the callers above put them in front of the clicks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.constants import Constants
from ocusam.model.layers import LayerNorm2d, PointwiseConv2d
from ocusam.model.position_encoding import PositionEmbeddingRandom


class PromptEncoder(nn.Module):
    """Encode prompts for a square input of `config.image_size` pixels."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        channels = config.hidden_dim
        self.image_size = config.image_size
        self.embedding_size = config.embedding_size
        self.pe_layer = PositionEmbeddingRandom(channels // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.no_mask_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=2, stride=2),
            LayerNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 16, kernel_size=2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            PointwiseConv2d(16, channels),
        )
        self._constants = Constants()

    def dense_positions(self) -> Tensor:
        """Return the (1, C, h, w) random-Fourier encoding of the stride-16 grid."""
        side, dtype = self.embedding_size, self.no_mask_embed.weight.dtype
        return self._constants(
            (side, dtype),
            lambda: self.pe_layer.encode_grid(side, side).unsqueeze(0).to(dtype),
            self.pe_layer.positional_encoding_gaussian_matrix,
        )

    def encode_points(self, coords_bn2: Tensor, labels_bn: Tensor) -> Tensor:
        """Encode N points per object as (B, N + 1, C); the last token is the padding that is always there.

        Args:
            coords_bn2: x, y in pixels of the square input; pixel centres lie half a pixel further.
            labels_bn: -1 padding, 0 negative, 1 positive, 2 first and 3 second corner of a box.
        """
        unit = (coords_bn2.float() + 0.5) / self.image_size
        unit = torch.cat((unit, unit.new_zeros(unit.shape[0], 1, 2)), dim=1)
        labels = torch.cat((labels_bn, labels_bn.new_full((labels_bn.shape[0], 1), -1)), dim=1)
        weight = self.not_a_point_embed.weight
        # One table look-up instead of five masked additions; row 0 is the padding, whose position is dropped.
        own = [weight, *(embedding.get_parameter("weight") for embedding in self.point_embeddings)]
        table = torch.cat(own)
        position = self.pe_layer.encode(unit).to(weight.dtype)
        position = torch.where(labels[..., None] == -1, torch.zeros_like(position), position)
        return position + table[labels.long() + 1]

    def forward(
        self,
        coords_bn2: Tensor | None,
        labels_bn: Tensor | None,
        mask_b1hw: Tensor | None,
        batch: int,
    ) -> tuple[Tensor, Tensor]:
        """Return sparse (B, N, C) and dense (B, C, h, w) embeddings.

        Args:
            coords_bn2: points; None where they are padding alone.
            labels_bn: their labels; None for no sparse token at all.
            mask_b1hw: mask logits at four times the embedding's size, or None.
            batch: number of objects B.
        """
        weight = self.no_mask_embed.weight
        if labels_bn is None:
            sparse = weight.new_zeros(batch, 0, weight.shape[1])
        elif coords_bn2 is None:
            sparse = self.not_a_point_embed.weight.expand(batch, labels_bn.shape[1] + 1, -1)
        else:
            sparse = self.encode_points(coords_bn2, labels_bn)
        if mask_b1hw is not None:
            dense = self.mask_downscaling(mask_b1hw.to(weight.dtype))
        else:
            dense = weight[:, :, None, None].expand(batch, -1, self.embedding_size, self.embedding_size)
        return sparse, dense
