"""A finished frame into a memory: image features and the mask found on them, fused and narrowed.

Section 4 of arXiv 2408.00714 ("memory encoder"). The fuser's blocks are those of ConvNeXt (arXiv 2201.03545).
The mask arrives already scaled (see `SAM2.encode_memory`); this module does not know whether it came from a
user's click or from tracking.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.layers import LayerNorm2d, PointwiseConv2d
from ocusam.model.products import Linear


class MaskDownSampler(nn.Module):
    """Four strided 3 x 3 convolutions bring a full-size mask to the stride-16 grid."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(4):
            layers += [
                nn.Conv2d(channels, channels * 4, kernel_size=3, stride=2, padding=1),
                LayerNorm2d(channels * 4),
                nn.GELU(),
            ]
            channels *= 4
        layers.append(PointwiseConv2d(channels, hidden_dim))
        self.encoder = nn.Sequential(*layers)

    def forward(self, mask_b1hw: Tensor) -> Tensor:
        """Map (B, 1, S, S) to (B, C, S/16, S/16)."""
        out: Tensor = self.encoder(mask_b1hw)
        return out


class ConvNeXtBlock(nn.Module):
    """Depth-wise 7 x 7, LayerNorm, two-layer MLP over channels, layer scale, residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, 4 * dim)
        self.pwconv2 = Linear(4 * dim, dim)
        self.gamma = nn.Parameter(0.1 * torch.ones(dim))

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return the same shape."""
        x = self.norm(self.dwconv(x_bchw)).permute(0, 2, 3, 1)
        x = self.gamma * self.pwconv2(self.pwconv1(x, "gelu"))
        out: Tensor = x_bchw + x.permute(0, 3, 1, 2)
        return out


class Fuser(nn.Module):
    """A few ConvNeXt blocks."""

    def __init__(self, dim: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvNeXtBlock(dim) for _ in range(num_layers))

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return the same shape."""
        for layer in self.layers:
            x_bchw = layer(x_bchw)
        return x_bchw


class MemoryEncoder(nn.Module):
    """Fuse image features with a mask into a (B, mem_dim, h, w) memory."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.mask_downsampler = MaskDownSampler(dim)
        self.pix_feat_proj = PointwiseConv2d(dim, dim)
        self.fuser = Fuser(dim, config.fuser_layers)
        self.out_proj = PointwiseConv2d(dim, config.mem_dim)

    def forward(self, features_bchw: Tensor, scaled_mask_b1hw: Tensor) -> Tensor:
        """Return the memory, (B, mem_dim, h, w).

        Args:
            features_bchw: image features at stride 16, neither conditioned on memory nor marked as without;
                one row may stand for all B masks.
            scaled_mask_b1hw: mask at the input's full size, scaled to about -10..10.
        """
        mask = self.mask_downsampler(scaled_mask_b1hw)
        memory: Tensor = self.out_proj(self.fuser(self.pix_feat_proj(features_bchw) + mask))
        return memory
