"""The image trunk: Hiera, a vision transformer with four resolutions and attention inside windows.

Ryali et al. 2023 (arXiv 2306.00989); positions for windows after Bolya et al. 2023 (arXiv 2311.05613).
Three habits of the published network are kept on purpose because its weights were trained with them: the
window size changes one block later than the resolution, padding tokens take part in attention, and the
shortcut of a block that changes resolution starts behind the block's first norm. Not here: masked
pre-training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.constants import Constants
from ocusam.model.layers import MLP, attend
from ocusam.model.products import BYTES_IN_CACHE, Linear, cpu_inference


def _pool(x_bhwc: Tensor) -> Tensor:
    """Halve height and width by the maximum of 2 x 2; whole rows at a time, since channels lie together."""
    height, width = (side // 2 * 2 for side in x_bhwc.shape[1:3])
    x = torch.maximum(x_bhwc[:, 0:height:2], x_bhwc[:, 1:height:2])
    return torch.maximum(x[:, :, 0:width:2], x[:, :, 1:width:2])


def _into_windows(x_bhwc: Tensor, window: int, padding_c: Tensor) -> Tensor:
    """Cut (B, H, W, C) into (B * windows, window, window, C); below and right of the map lies `padding_c`."""
    b, h, w, c = x_bhwc.shape
    rows, columns = -(-h // window), -(-w // window)
    if (rows * window, columns * window) != (h, w):
        padding = padding_c.to(x_bhwc.dtype)
        x_bhwc = torch.cat((x_bhwc, padding.expand(b, h, columns * window - w, c)), dim=2)
        x_bhwc = torch.cat((x_bhwc, padding.expand(b, rows * window - h, columns * window, c)), dim=1)
    x = x_bhwc.view(b, rows, window, columns, window, c)
    return x.transpose(2, 3).reshape(-1, window, window, c)


def _from_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """Undo `_into_windows` for a map of (height, width), dropping the padding."""
    rows, columns = -(-height // window), -(-width // window)
    x = windows.view(-1, rows, columns, window, window, windows.shape[-1])
    x = x.transpose(2, 3).reshape(-1, rows * window, columns * window, windows.shape[-1])
    return x[:, :height, :width]


class MultiScaleAttention(nn.Module):
    """Self-attention over all tokens of a window, with queries pooled 2 x 2 where the resolution drops.

    `window` 0 means one window, the whole map. Windows that do not fit are filled up with tokens of zeros,
    whose queries, keys and values are the projection's bias: there windows are cut behind the projection, so
    that padding is never multiplied.
    """

    def __init__(self, dim: int, dim_out: int, num_heads: int, pool_queries: bool, window: int) -> None:
        super().__init__()
        self.window = window
        self.num_heads = num_heads
        self.pool_queries = pool_queries
        self.qkv = Linear(dim, dim_out * 3)
        self.proj = Linear(dim_out, dim_out)

    def forward(self, x_bhwc: Tensor) -> Tensor:
        """Return (B, H, W, dim_out), or half of H and W where queries are pooled."""
        height, width = x_bhwc.shape[1:3]
        window, bias = self.window, self.qkv.bias
        if window and height % window == 0 and width % window == 0:
            qkv = self.qkv(_into_windows(x_bhwc, window, bias))
        else:
            qkv = self.qkv(x_bhwc)
            qkv = _into_windows(qkv, window, bias) if window else qkv
        q, k, v = qkv.chunk(3, dim=-1)
        if self.pool_queries:
            q = _pool(q)
            height, width, window = height // 2, width // 2, window // 2
        b, h, w, _ = q.shape
        q, k, v = (
            t.reshape(b, -1, self.num_heads, t.shape[-1] // self.num_heads).transpose(1, 2) for t in (q, k, v)
        )
        out = attend(q, k, v).transpose(1, 2).reshape(b, h, w, -1)
        if window:
            out = _from_windows(out, window, height, width)
        projected: Tensor = self.proj(out)
        return projected


class MultiScaleBlock(nn.Module):
    """One transformer block. `window` 0 means global attention."""

    def __init__(
        self, dim: int, dim_out: int, num_heads: int, *, window: int, pool: bool, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.pool = pool
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiScaleAttention(dim, dim_out, num_heads, pool, window)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP(dim_out, dim_out * 4, dim_out, 2, activation="gelu")
        if dim != dim_out:
            self.proj = Linear(dim, dim_out)
        self.changes_width = dim != dim_out

    def _keep(self, x: Tensor) -> Tensor:
        """Drop the whole branch for some samples while training (stochastic depth, arXiv 1603.09382)."""
        if not self.training or self.drop_path == 0.0:
            return x
        keep = 1.0 - self.drop_path
        shape = (x.shape[0],) + (1,) * (x.dim() - 1)
        return x * (torch.rand(shape, device=x.device) < keep).to(x.dtype) / keep

    def forward(self, x_bhwc: Tensor) -> Tensor:
        """Return (B, H, W, dim_out), or half of H and W where the block pools.

        Windows do not see each other, so on a CPU some rows of them go through the whole block at a time.
        """
        strip = self._strip(x_bhwc)
        if strip >= x_bhwc.shape[1]:
            return self._whole(x_bhwc)
        return torch.cat([self._whole(part) for part in x_bhwc.split(strip, dim=1)], dim=1)

    def _strip(self, x_bhwc: Tensor) -> int:
        """Rows of the map to take at a time: whole windows, their widest tensor within the cache."""
        batch, height, width, _ = x_bhwc.shape
        window = self.attn.window
        if not window or not cpu_inference(x_bhwc, self.norm1.weight):
            return height
        # Queries, keys and values; or the MLP's inner width, behind pooling a quarter as many tokens.
        widest = max(self.attn.qkv.out_features, 4 * len(self.norm2.weight) // (4 if self.pool else 1))
        row_bytes = batch * width * widest * x_bhwc.element_size()
        return max(1, BYTES_IN_CACHE // row_bytes // window) * window

    def _whole(self, x_bhwc: Tensor) -> Tensor:
        shortcut = x_bhwc
        x = self.norm1(x_bhwc)
        if self.changes_width:
            shortcut = self.proj(x)
            if self.pool:
                shortcut = _pool(shortcut)
        x = shortcut + self._keep(self.attn(x))
        return x + self._keep(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Overlapping 7 x 7 patches at stride 4."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=7, stride=4, padding=3)

    def forward(self, images_b3hw: Tensor) -> Tensor:
        """Return (B, H/4, W/4, C), contiguous."""
        patches: Tensor = self.proj(images_b3hw.contiguous(memory_format=torch.channels_last))
        return patches.permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """The trunk. Returns one map per stage, strides 4, 8, 16 and 32."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config.embed_dim)
        window = config.window_spec[0]
        self.pos_embed = nn.Parameter(torch.zeros(1, config.embed_dim, *config.window_pos_embed_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.embed_dim, window, window))

        depth = sum(config.stages)
        self.stage_ends = [sum(config.stages[: i + 1]) - 1 for i in range(len(config.stages))]
        self.blocks = nn.ModuleList()
        dim, heads, stage = config.embed_dim, config.num_heads, 0
        for i in range(depth):
            # The block that changes resolution still uses the windows of the stage it comes from.
            window = 0 if i in config.global_att_blocks else config.window_spec[stage]
            first_of_stage = i - 1 in self.stage_ends
            dim_out = dim * 2 if first_of_stage else dim
            if first_of_stage:
                heads *= 2
                stage += 1
            drop_path = config.drop_path_rate * i / max(1, depth - 1)
            self.blocks.append(
                MultiScaleBlock(dim, dim_out, heads, window=window, pool=first_of_stage, drop_path=drop_path)
            )
            dim = dim_out
        self._constants = Constants()

    @property
    def layers(self) -> list[tuple[str, ...]]:
        """Beginnings of the weights' names, from the picture upwards."""
        return [("patch_embed.", "pos_embed"), *((f"blocks.{i}.",) for i in range(len(self.blocks)))]

    def position_map(self, height: int, width: int) -> Tensor:
        """Return the (1, H, W, C) position embedding: a coarse map stretched over a tiled window."""

        def make() -> Tensor:
            stretched = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
            window = self.pos_embed_window
            tiled = window.tile(1, 1, height // window.shape[2], width // window.shape[3])
            return (stretched + tiled).permute(0, 2, 3, 1).contiguous()

        return self._constants((height, width), make, self.pos_embed, self.pos_embed_window)

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """Map (B, 3, S, S) images to four (B, C_i, S/stride_i, S/stride_i) maps, finest first."""
        x = self.patch_embed(images_b3hw)
        x = x + self.position_map(x.shape[1], x.shape[2])
        outputs = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs
