"""Small layers that several parts of the network share.

They exist only where PyTorch's own module would give other state-dict names or another numerical result
than the published network: a channel-first LayerNorm, a plain multi-layer perceptron and the projected
attention of the mask decoder. Shape suffixes: b batch, n and m tokens, c and d channels, h/w height and
width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEW_TOKENS = 64


def _trains_in_bfloat16(q_bhnd: Tensor) -> bool:
    return q_bhnd.requires_grad and q_bhnd.dtype == torch.bfloat16


def attend(q_bhnd: Tensor, k_bhmd: Tensor, v_bhmd: Tensor) -> Tensor:
    """Scaled dot-product attention, (B, heads, N, d).

    PyTorch's fused kernel, but for two cases on a CPU, where two plain matrix products stand instead. In
    bfloat16 training its backward pass takes two to four times as long (PyTorch 2.13, AVX512-BF16). And
    where few tokens meet others in float32 (the decoder's tokens, small windows), plain products cost
    little and came closer to the reference (docs/lab_log.md).
    """
    plain = False
    if q_bhnd.device.type == "cpu":
        few = min(q_bhnd.shape[-2], k_bhmd.shape[-2]) <= _FEW_TOKENS
        plain = few if q_bhnd.dtype == torch.float32 else _trains_in_bfloat16(q_bhnd)
    if plain:
        scores = (q_bhnd * q_bhnd.shape[-1] ** -0.5) @ k_bhmd.transpose(-1, -2)
        attended: Tensor = scores.softmax(dim=-1).to(v_bhmd.dtype) @ v_bhmd
        return attended
    return F.scaled_dot_product_attention(q_bhnd, k_bhmd, v_bhmd)


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of a (B, C, H, W) map, epsilon 1e-6."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Normalise over channels; same shape out."""
        x_bhwc = x_bchw.permute(0, 2, 3, 1)
        return F.layer_norm(x_bhwc, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class MLP(nn.Module):
    """A stack of linear layers with an activation between them (none after the last)."""

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        output_dim: int,
        num_layers: int,
        *,
        activation: nn.Module | None = None,
        sigmoid_output: bool = False,
    ) -> None:
        super().__init__()
        widths = [input_dim] + [hidden_dim] * (num_layers - 1) + [output_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.act = activation if activation is not None else nn.ReLU()
        self.sigmoid_output = sigmoid_output

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., input_dim) to (..., output_dim)."""
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        out: Tensor = self.layers[-1](x)
        return torch.sigmoid(out) if self.sigmoid_output else out


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than the token width.

    The published mask decoder halves the width in every attention between tokens and image.
    """

    def __init__(
        self, embedding_dim: int, num_heads: int, *, downsample_rate: int = 1, kv_in_dim: int | None = None
    ) -> None:
        super().__init__()
        inner_dim = embedding_dim // downsample_rate
        assert inner_dim % num_heads == 0, "the inner width must be a multiple of the number of heads"
        kv_dim = embedding_dim if kv_in_dim is None else kv_in_dim
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embedding_dim, inner_dim)
        self.k_proj = nn.Linear(kv_dim, inner_dim)
        self.v_proj = nn.Linear(kv_dim, inner_dim)
        self.out_proj = nn.Linear(inner_dim, embedding_dim)

    def split_heads(self, x_bnc: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads)."""
        split: Tensor = x_bnc.unflatten(-1, (self.num_heads, -1))
        return split.transpose(1, 2)

    def forward(self, q_bnc: Tensor, k_bmc: Tensor, v_bmc: Tensor) -> Tensor:
        """Attend from N query tokens to M keys; returns (B, N, C)."""
        out = attend(
            self.split_heads(self.q_proj(q_bnc)),
            self.split_heads(self.k_proj(k_bmc)),
            self.split_heads(self.v_proj(v_bmc)),
        )
        projected: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return projected
