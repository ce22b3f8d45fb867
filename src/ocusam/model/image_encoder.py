"""Trunk and neck: a picture into features at strides 4, 8 and 16.

The neck is a feature pyramid (arXiv 1612.03144) with 1 x 1 laterals only; the top-down path feeds the
stride-16 level alone. The stride-32 level is computed for that path and not returned, as published.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.hiera import Hiera


class _Lateral(nn.Module):
    """A 1 x 1 convolution under the name that the official state dict gives it."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size=1)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (B, channels_out, H, W)."""
        out: Tensor = self.conv(x_bchw)
        return out


class FpnNeck(nn.Module):
    """Bring the trunk's four maps to one width."""

    def __init__(self, trunk_channels: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__()
        # The official order is coarsest first.
        self.convs = nn.ModuleList(_Lateral(channels, hidden_dim) for channels in reversed(trunk_channels))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the strides 4, 8 and 16 as (B, hidden_dim, H, W) maps, finest first."""
        stride32, stride16, stride8, stride4 = (
            conv(x) for conv, x in zip(self.convs, reversed(maps), strict=True)
        )
        # float32 because nearest interpolation had no bfloat16 kernel when the networks were published.
        top_down = F.interpolate(stride32.float(), scale_factor=2.0, mode="nearest").to(stride16.dtype)
        return [stride4, stride8, stride16 + top_down]


class ImageEncoder(nn.Module):
    """Hiera trunk and FPN neck."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.trunk = Hiera(config)
        self.neck = FpnNeck(config.trunk_channels, config.hidden_dim)

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """Map (B, 3, S, S) normalised images to (B, C, S/4, S/4), (B, C, S/8, S/8), (B, C, S/16, S/16)."""
        features: list[Tensor] = self.neck(self.trunk(images_b3hw))
        return features
