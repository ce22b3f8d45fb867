"""The image trunk of `nano`: convolutions with a way down and a way up again.

Residual blocks (He et al. 2016, DOI 10.1109/CVPR.2016.90) at strides 4, 8, 16 and 32, then back up to
stride 4, each map joined with the coarser one (Ronneberger et al. 2015, DOI 10.1007/978-3-319-24574-4_28).
It stands where published networks have Hiera, and gives the neck the same four maps.

Notable choices: a small network that learns from random numbers, from as many pictures as two processor
cores can draw and learn in hours, learns sooner with convolutions than with attention in windows
(docs/lab_log.md). On the way up the fine maps come to know what the coarse ones see, so that edges need not
be found by the mask decoder alone and masks do not break off at the borders of windows. Batch normalisation
is folded into the weights when the network is not being trained: a block is then two convolutions and nothing
else. It does not know sizes: any multiple of 32 px goes in.

Shape suffixes: b batch, c channels, h/w height and width.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.constants import Constants

_STEM_CHANNELS = 16
_MOMENTUM = 0.02
"""Share of each training batch in the running mean and variance: batches are small and of many sizes."""


class ConvNorm(nn.Module):
    """A convolution and its batch normalisation."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, momentum=_MOMENTUM)
        self._constants = Constants()

    def _folded(self) -> tuple[Tensor, Tensor]:
        """Weights and bias of the one convolution that both make."""
        norm, weight = self.norm, self.conv.weight
        mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
        own = (norm.weight, norm.bias, mean, variance)

        def scale() -> Tensor:
            return norm.weight.float() * (variance.float() + norm.eps).rsqrt()

        kept = self._constants
        folded = kept(
            "weight",
            lambda: (
                (weight.float() * scale()[:, None, None, None])
                .to(weight.dtype)
                .contiguous(memory_format=torch.channels_last)
            ),
            weight,
            *own,
        )
        bias = kept("bias", lambda: (norm.bias.float() - mean.float() * scale()).to(weight.dtype), *own)
        return folded, bias

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (B, channels_out, H / stride, W / stride)."""
        if self.training:
            normalised: Tensor = self.norm(self.conv(x_bchw))
            return normalised
        weight, bias = self._folded()
        return F.conv2d(x_bchw, weight, bias, self.conv.stride, self.conv.padding)


class Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input is led."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)
        nn.init.zeros_(self.second.norm.weight)  # a block begins as nothing

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Same shape out."""
        return F.relu(x_bchw + self.second(F.relu(self.first(x_bchw))))


class Bottleneck(nn.Module):
    """A 3 x 3 convolution of half the channels, led around; for the coarsest map, where weights are many."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = ConvNorm(channels, channels // 2, kernel=1)
        self.middle = ConvNorm(channels // 2, channels // 2)
        self.widen = ConvNorm(channels // 2, channels, kernel=1)
        nn.init.zeros_(self.widen.norm.weight)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Same shape out."""
        return F.relu(x_bchw + self.widen(F.relu(self.middle(F.relu(self.narrow(x_bchw))))))


class Stage(nn.Module):
    """Down by two (but for the first stage), then residual blocks."""

    def __init__(self, channels_in: int, channels: int, blocks: int, *, coarsest: bool) -> None:
        super().__init__()
        self.down = ConvNorm(channels_in, channels, stride=2)
        kind = Bottleneck if coarsest else Residual
        self.blocks = nn.ModuleList(kind(channels) for _ in range(blocks))

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (B, channels, H / 2, W / 2)."""
        x_bchw = F.relu(self.down(x_bchw))
        for block in self.blocks:
            x_bchw = block(x_bchw)
        return x_bchw


class ConvolutionalTrunk(nn.Module):
    """The trunk. Returns one map per stage, strides 4, 8, 16 and 32, finest first."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        channels = config.trunk_channels
        self.stem = ConvNorm(3, _STEM_CHANNELS, stride=2)
        self.stages = nn.ModuleList(
            Stage(
                channels[k - 1] if k else _STEM_CHANNELS,
                channels[k],
                config.stages[k],
                coarsest=k == len(channels) - 1,
            )
            for k in range(len(channels))
        )
        finer = range(len(channels) - 1)
        self.laterals = nn.ModuleList(ConvNorm(channels[k + 1], channels[k], kernel=1) for k in finer)
        self.fusions = nn.ModuleList(Residual(channels[k]) for k in finer)

    @property
    def layers(self) -> list[tuple[str, ...]]:
        """Beginnings of the weights' names, from the picture upwards."""
        stages = ((f"stages.{k}.",) for k in range(len(self.stages)))
        return [("stem.",), *stages, ("laterals.", "fusions.")]

    @property
    def blocks(self) -> list[nn.Module]:
        """Its parts in the order in which they are computed."""
        down = [block for stage in self.stages for block in cast("Stage", stage).blocks]
        return [*down, *reversed(list(self.fusions))]

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """Map (B, 3, S, S) images to four (B, C_i, S/stride_i, S/stride_i) maps, finest first."""
        x = F.relu(self.stem(images_b3hw.contiguous(memory_format=torch.channels_last)))
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        for k in reversed(range(len(maps) - 1)):
            coarse = F.interpolate(self.laterals[k](maps[k + 1]), scale_factor=2.0, mode="nearest")
            maps[k] = self.fusions[k](F.relu(maps[k] + coarse))
        return maps
