"""Trunk and neck: a picture into features at strides 4, 8 and 16.

The neck is a feature pyramid (arXiv 1612.03144) with 1 x 1 laterals only; the top-down path feeds the
stride-16 level alone. The stride-32 level is computed for that path and not returned, as published.

Notable choice: the maps at strides 4 and 8 serve the mask decoder alone, which narrows them at once by
another 1 x 1 convolution. The two become one product here, and the wide maps never exist.
"""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.convolutional import ConvolutionalTrunk
from ocusam.model.hiera import Hiera
from ocusam.model.layers import PointwiseConv2d


class _Lateral(nn.Module):
    """A 1 x 1 convolution under the name that the official state dict gives it."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = PointwiseConv2d(channels_in, channels_out)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (B, channels_out, H, W)."""
        out: Tensor = self.conv(x_bchw)
        return out


class FpnNeck(nn.Module):
    """Bring the trunk's four maps to the widths in which they are used."""

    def __init__(self, trunk_channels: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__()
        # The official order is coarsest first.
        self.convs = nn.ModuleList(_Lateral(channels, hidden_dim) for channels in reversed(trunk_channels))

    def forward(self, maps: list[Tensor], narrow: tuple[PointwiseConv2d, PointwiseConv2d]) -> list[Tensor]:
        """Return strides 4, 8 (as wide as `narrow` makes them) and 16 (hidden_dim), each (B, C, H, W).

        Args:
            maps: of the trunk, finest first.
            narrow: what follows the laterals of strides 4 and 8.
        """
        stride4, stride8, stride16, stride32 = maps
        coarsest, coarse, fine, finest = (cast("_Lateral", lateral) for lateral in self.convs)
        # float32 because nearest interpolation had no bfloat16 kernel when the networks were published.
        wide = coarse(stride16)
        top_down = F.interpolate(coarsest(stride32).float(), scale_factor=2.0, mode="nearest").to(wide.dtype)
        return [
            narrow[0].behind(finest.conv, stride4),
            narrow[1].behind(fine.conv, stride8),
            wide + top_down,
        ]


class ImageEncoder(nn.Module):
    """Trunk (Hiera, or that of `nano`) and FPN neck."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.trunk: Hiera | ConvolutionalTrunk = (
            Hiera(config) if config.trunk == "hiera" else ConvolutionalTrunk(config)
        )
        self.neck = FpnNeck(config.trunk_channels, config.hidden_dim)

    def forward(self, images_b3hw: Tensor, narrow: tuple[PointwiseConv2d, PointwiseConv2d]) -> list[Tensor]:
        """Map (B, 3, S, S) normalised images to features at strides 4, 8 and 16 (see `FpnNeck`)."""
        features: list[Tensor] = self.neck(self.trunk(images_b3hw), narrow)
        return features
