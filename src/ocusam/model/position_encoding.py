"""The four ways in which SAM 2 tells its parts where (and when) something is.

Sine maps for image and memory features, random Fourier features for clicks, rotary positions inside the
memory attention, and a sine of time for object pointers. All are computed in float32 and cast by the caller:
in bfloat16 neighbouring positions of a 64 x 64 map would coincide.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ocusam.model.number_types import without_autocast


def sine_position_map(channels: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the (C, H, W) sine encoding of a map's positions, float32.

    The first half of the channels encodes y, the second x; sines on even, cosines on odd channels, positions
    counted from 1 and scaled to 2 pi at the last one (as in DETR, arXiv 2005.12872).
    """
    quarter = channels // 4
    frequency = 10000.0 ** (
        2 * torch.arange(quarter, dtype=torch.float32, device=device) / torch.tensor(2.0 * quarter)
    )

    def encode(length: int) -> Tensor:
        position = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        phase = position / (position[-1] + 1e-6) * (2 * math.pi)
        angles = phase[:, None] / frequency
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)  # (length, channels / 2)

    y = encode(height)[:, None, :].expand(height, width, channels // 2)
    x = encode(width)[None, :, :].expand(height, width, channels // 2)
    return torch.cat((y, x), dim=-1).permute(2, 0, 1).contiguous()


def sine_of_time(times_n: Tensor, channels: int) -> Tensor:
    """Encode N scalar times as (N, channels): sines in the first half, cosines in the second, float32."""
    half = channels // 2
    index = torch.arange(half, dtype=torch.float32, device=times_n.device)
    frequency = 10000.0 ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    angles = times_n.float()[:, None] / frequency
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier features of 2-D positions (Tancik et al. 2020, arXiv 2006.10739), as in SAM."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, half_channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, half_channels))

    def encode(self, unit_xy: Tensor) -> Tensor:
        """Encode (..., 2) positions in 0..1 (x, y) as (..., 2 * half_channels), float32."""
        # The matrix may be stored in bfloat16 with the rest of the weights; the phase must not be.
        with without_autocast(unit_xy.device):
            matrix = self.positional_encoding_gaussian_matrix.float()
            angles = (2 * math.pi) * ((2 * unit_xy.float() - 1) @ matrix)
            return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def encode_grid(self, height: int, width: int) -> Tensor:
        """Encode the pixel centres of a map as (C, H, W)."""
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
        grid = torch.stack((x[None, :].expand(height, width), y[:, None].expand(height, width)), dim=-1)
        return self.encode(grid).permute(2, 0, 1)


def rotary_turns(channels: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the axial rotary encoding as unit complex numbers, (H * W, channels / 2), complex64.

    Pairs of neighbouring channels are turned: the first half of the pairs by the column, the second by the
    row (RoFormer, arXiv 2104.09864, on two axes).
    """
    inverse = 1.0 / 10000.0 ** (
        torch.arange(0, channels, 4, dtype=torch.float32, device=device)[: channels // 4] / channels
    )
    token = torch.arange(height * width, dtype=torch.float32, device=device)
    column = token % width
    row = torch.div(token, width, rounding_mode="floor")
    angles = torch.cat((torch.outer(column, inverse), torch.outer(row, inverse)), dim=-1)
    return torch.complex(angles.cos(), angles.sin())


def turn_(x_bmc: Tensor, turns_nd: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of (B, M, C) float32 tokens in place; M = any number of grids of N.

    A pair of neighbours is a complex number as it lies in memory, so this is one product in one pass.
    """
    grids_bgnc = x_bmc.unflatten(-2, (-1, turns_nd.shape[0]))
    torch.view_as_complex(grids_bgnc.unflatten(-1, (-1, 2))).mul_(turns_nd)
    return x_bmc
