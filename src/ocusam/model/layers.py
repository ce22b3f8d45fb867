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

from ocusam.model.constants import Constants
from ocusam.model.products import (
    BYTES_IN_CACHE,
    Activation,
    Linear,
    cpu_inference,
    linear,
    packed,
    times_packed,
)

_FEW_TOKENS = 64
_FEW_CHANNELS = 8
_SCORES_WORTH_PACKING = 2**20  # of one head, for its keys
_WIDE_HEAD = 128
# Scores that are worth more than one operator, and how many there may be at a time (64 MB in float32).
_MANY_SCORES = 2**16
_SCORES_AT_ONCE = 2**24


def _exporting() -> bool:
    """Whether a graph for other programs is being made: it must hold for all sizes, so none is looked at."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return True
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


def _plainly(q_bhnd: Tensor, k_bhmd: Tensor, v_bhme: Tensor) -> bool:
    """Whether two plain matrix products beat the fused kernel; see `attend`."""
    if q_bhnd.device.type != "cpu":
        return False
    batch, heads, n, d = q_bhnd.shape
    m = k_bhmd.shape[2]
    if q_bhnd.dtype == torch.float32:
        return min(n, m) <= _FEW_TOKENS or v_bhme.shape[3] < d
    if q_bhnd.dtype != torch.bfloat16:
        return False
    if q_bhnd.requires_grad:
        return True
    return batch * heads * n * m >= _MANY_SCORES and not torch.cpu.get_capabilities().get("amx_tile", False)


def _in_blocks(q_bhnd: Tensor, k_bhmd: Tensor, v_bhme: Tensor) -> bool:
    """Whether attention head by head with packed keys beats all else; see `attend`."""
    n, d = q_bhnd.shape[2:]
    if n * k_bhmd.shape[2] < _SCORES_WORTH_PACKING or not cpu_inference(q_bhnd, k_bhmd, v_bhme):
        return False
    if q_bhnd.dtype == torch.float32:
        return v_bhme.shape[3] < d or d >= _WIDE_HEAD
    return not torch.cpu.get_capabilities().get("amx_tile", False)


def _attend_in_blocks(q_bhnd: Tensor, k_bhmd: Tensor, v_bhme: Tensor) -> Tensor:
    """Attention one head and some queries at a time; lies in memory as (B, N, heads, e)."""
    batch, heads, n, d = q_bhnd.shape
    # A power of two, so that blocks are equally long: keys are packed for one length.
    fit = BYTES_IN_CACHE // (k_bhmd.shape[2] * k_bhmd.element_size())
    rows = min(n, max(_FEW_TOKENS, 1 << fit.bit_length() - 1))
    seen_bhne = v_bhme.new_empty(batch, n, heads, v_bhme.shape[3]).transpose(1, 2)
    for q_hnd, k_hmd, v_hme, seen_hne in zip(q_bhnd, k_bhmd, v_bhme, seen_bhne, strict=True):
        for q_nd, k_md, v_me, seen_ne in zip(q_hnd, k_hmd, v_hme, seen_hne, strict=True):
            keys, values_em = packed(k_md, rows), v_me.contiguous().transpose(0, 1)
            for queries, seen in zip((q_nd * d**-0.5).split(rows), seen_ne.split(rows), strict=True):
                scores = times_packed(queries, keys)
                torch.softmax(scores, dim=-1, out=scores)
                seen.copy_(times_packed(scores, values_em))
    return seen_bhne


def attend(q_bhnd: Tensor, k_bhmd: Tensor, v_bhme: Tensor) -> Tensor:
    """Scaled dot-product attention, (B, heads, N, e); values may be narrower than queries and keys.

    PyTorch's fused kernel, but on a CPU two plain matrix products where these are better. In float32: where
    few tokens meet others (the decoder's tokens, small windows), since they cost little there and came closer
    to the reference (docs/lab_log.md), and where values are narrow, which the fused kernel does not know. In
    bfloat16: everywhere but in the smallest attentions, since the fused kernel needs AMX to be fast, and its
    backward pass takes two to four times as long in any case (PyTorch 2.13, AVX512-BF16). Large ones go in
    blocks, with keys packed once.
    """
    if _exporting():
        # Heads and batch as one dimension: OpenVINO 2026.4 takes heads for tokens where there are as many.
        q, k, v = (x.flatten(0, 1) for x in (q_bhnd * q_bhnd.shape[3] ** -0.5, k_bhmd, v_bhme))
        seen: Tensor = ((q @ k.transpose(1, 2)).softmax(dim=-1) @ v).unflatten(0, (-1, q_bhnd.shape[1]))
        return seen
    if _in_blocks(q_bhnd, k_bhmd, v_bhme):
        return _attend_in_blocks(q_bhnd, k_bhmd, v_bhme)
    if _plainly(q_bhnd, k_bhmd, v_bhme):
        batch, heads, _, d = q_bhnd.shape
        k_bhdm = k_bhmd.transpose(-1, -2)
        rows = max(_FEW_TOKENS, _SCORES_AT_ONCE // (batch * heads * k_bhmd.shape[2]))
        parts = []
        for part in (q_bhnd * d**-0.5).split(rows, dim=2):
            parts.append((part @ k_bhdm).softmax(dim=-1).to(v_bhme.dtype) @ v_bhme)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    missing = q_bhnd.shape[3] - v_bhme.shape[3]
    if missing:
        v_bhme = F.pad(v_bhme, (0, missing))
    attended = F.scaled_dot_product_attention(q_bhnd, k_bhmd, v_bhme)
    return attended[..., : attended.shape[3] - missing]


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of a (B, C, H, W) map, epsilon 1e-6."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Normalise over channels; same shape out."""
        if len(self.weight) <= _FEW_CHANNELS:
            # The fused kernel works row by row, which a few channels make short.
            x = x_bchw.float()
            x = x - x.mean(dim=1, keepdim=True)
            x = x * (x.square().mean(dim=1, keepdim=True) + self.eps).rsqrt()
            return (x * self.weight[:, None, None] + self.bias[:, None, None]).to(x_bchw.dtype)
        x_bhwc = x_bchw.permute(0, 2, 3, 1)
        return F.layer_norm(x_bhwc, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class PointwiseConv2d(nn.Conv2d):
    """A 1 x 1 convolution, computed as one matrix product over pixels whose channels lie together."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=1)
        self._constants = Constants()

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (B, channels_out, H, W)."""
        return linear(x_bchw.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)

    def behind(self, first: PointwiseConv2d, x_bchw: Tensor) -> Tensor:
        """Apply `first` and then this one, as one product."""
        assert first.bias is not None and self.bias is not None
        after, bias_after, before, bias_before = self.weight, self.bias, first.weight, first.bias
        weight = self._constants("weight", lambda: after.flatten(1) @ before.flatten(1), after, before)
        bias = self._constants(
            "bias", lambda: after.flatten(1) @ bias_before + bias_after, after, bias_after, bias_before
        )
        return linear(x_bchw.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


class MLP(nn.Module):
    """A stack of linear layers with an activation between them (none after the last)."""

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        output_dim: int,
        num_layers: int,
        *,
        activation: Activation = "relu",
        sigmoid_output: bool = False,
    ) -> None:
        super().__init__()
        widths = [input_dim] + [hidden_dim] * (num_layers - 1) + [output_dim]
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))
        self.activation: Activation = activation
        self.sigmoid_output = sigmoid_output

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., input_dim) to (..., output_dim)."""
        for layer in self.layers[:-1]:
            x = layer(x, self.activation)
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
        self.q_proj = Linear(embedding_dim, inner_dim)
        self.k_proj = Linear(kv_dim, inner_dim)
        self.v_proj = Linear(kv_dim, inner_dim)
        self.out_proj = Linear(inner_dim, embedding_dim)

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
