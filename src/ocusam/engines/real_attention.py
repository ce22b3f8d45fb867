"""Memory attention in operators that every runtime has: real numbers, nothing in place.

Purpose: the same function as `ocusam.model.memory_attention` together with the memory's positions
(`SAM2._memory_tokens`), for programs that are traced and compiled. Section 4 of arXiv 2408.00714.

Notable choices: rotary positions turn pairs of neighbouring channels, which PyTorch does as one complex
product; here the channels of queries and keys are reordered once, in the weights, so that a pair's halves lie
in two blocks and turning is four products of whole blocks. The order of channels does not change the product
of queries and keys. Value and output projection are one matrix, since nothing stands between them.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.model.memory_attention import MemoryAttentionLayer, RotaryAttention
from ocusam.model.position_encoding import rotary_turns, sine_of_time, sine_position_map
from ocusam.model.sam2 import SAM2

_QUERIES_AT_ONCE = 1024  # scores against a full bank at 1024 px: 117 MB in float32


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    out = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    out.weight, out.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    return out


class _Projections(nn.Module):
    """Weights of one attention, reordered and joined."""

    def __init__(self, attention: RotaryAttention) -> None:
        super().__init__()
        width = attention.q_proj.out_features
        order = torch.cat((torch.arange(0, width, 2), torch.arange(1, width, 2)))
        scale = width**-0.5
        q, k, v, out = attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj
        self.query = _linear(q.weight[order] * scale, q.bias[order] * scale)
        self.key = _linear(k.weight[order], k.bias[order])
        self.value = _linear(out.weight @ v.weight, out.weight @ v.bias + out.bias)

    def forward(self, q_bnc: Tensor, k_bmc: Tensor, v_bmd: Tensor) -> Tensor:
        """Attend with turned queries and keys; returns (B, N, C)."""
        k_bcm = k_bmc.transpose(1, 2)
        seen = [(part @ k_bcm).softmax(dim=-1) @ v_bmd for part in q_bnc.split(_QUERIES_AT_ONCE, dim=1)]
        projected: Tensor = self.value(seen[0] if len(seen) == 1 else torch.cat(seen, dim=1))
        return projected


class _Layer(nn.Module):
    """One layer, see `MemoryAttentionLayer`."""

    def __init__(self, layer: MemoryAttentionLayer) -> None:
        super().__init__()
        self.own = _Projections(layer.self_attn)
        self.cross = _Projections(layer.cross_attn_image)
        self.norm1, self.norm2, self.norm3 = layer.norm1, layer.norm2, layer.norm3
        self.linear1, self.linear2 = layer.linear1, layer.linear2


class RealMemoryAttention(nn.Module):
    """Features of a frame and an object's memories into conditioned features."""

    cos: Tensor
    sin: Tensor
    grid: Tensor
    map_grid: Tensor

    def __init__(self, network: SAM2) -> None:
        super().__init__()
        config, attention = network.config, network.memory_attention
        self.config = config
        side, dim, mem = config.embedding_size, config.hidden_dim, config.mem_dim
        with torch.no_grad():
            self.layers = nn.ModuleList(
                _Layer(cast("MemoryAttentionLayer", layer)) for layer in attention.layers
            )
        self.norm = attention.norm
        self.time = network.obj_ptr_tpos_proj if config.proj_tpos_enc_in_obj_ptrs else nn.Identity()
        self.map_times = network.maskmem_tpos_enc
        turns = rotary_turns(dim, side, side)
        sine = sine_position_map(mem, side, side).flatten(1).transpose(0, 1)
        for name, table in (
            ("cos", turns.real.contiguous()),
            ("sin", turns.imag.contiguous()),
            ("grid", 0.1 * sine_position_map(dim, side, side)[None]),
            ("map_grid", sine[None, None].contiguous()),
        ):
            self.register_buffer(name, table, persistent=False)

    def _turn(self, x: Tensor) -> Tensor:
        """Turn (..., N, C) tokens of one grid, or of several with a dimension before N."""
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * self.cos - b * self.sin, a * self.sin + b * self.cos), dim=-1)

    def _pointer_positions(self, times_p: Tensor) -> Tensor:
        """(P, d) positions of pointers."""
        config = self.config
        if not config.add_tpos_enc_to_obj_ptrs:
            return times_p[:, None] * 0.0
        width = config.hidden_dim if config.proj_tpos_enc_in_obj_ptrs else config.mem_dim
        encoded: Tensor = self.time(sine_of_time(times_p, width))
        return encoded

    def forward(
        self, embedding: Tensor, maps: Tensor, map_rows: Tensor, pointers: Tensor, pointer_times: Tensor
    ) -> Tensor:
        """Return (B, C, h, w); arguments as in `parts.MemoryAttentionPart`."""
        config = self.config
        side, mem = config.embedding_size, config.mem_dim
        batch = maps.shape[0]
        maps_bknd = maps.flatten(3).transpose(2, 3)
        map_keys = maps_bknd + self.map_grid + self.map_times.reshape(1, -1, 1, mem)[:, map_rows]
        split = config.hidden_dim // mem
        pointers_bpsd = pointers.unflatten(2, (split, mem))
        pointer_keys = pointers_bpsd + self._pointer_positions(pointer_times)[:, None]
        values = torch.cat((maps_bknd.flatten(1, 2), pointers_bpsd.flatten(1, 2)), dim=1)

        x = (embedding + self.grid).flatten(2).transpose(1, 2)
        for layer in cast("list[_Layer]", list(self.layers)):
            y = layer.norm1(x)
            x = x + layer.own(self._turn(layer.own.query(y)), self._turn(layer.own.key(y)), y)
            cross = layer.cross
            placed = self._turn(cross.key(map_keys)).flatten(1, 2)
            keys = torch.cat((placed, cross.key(pointer_keys).flatten(1, 2)), dim=1)
            x = x + cross(self._turn(cross.query(layer.norm2(x))), keys, values)
            x = x + layer.linear2(F.relu(layer.linear1(layer.norm3(x))))
        out: Tensor = self.norm(x).transpose(1, 2)
        return out.reshape(batch, config.hidden_dim, side, side)
