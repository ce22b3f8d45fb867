"""The present looks at the past: current features attend to themselves and to the memory bank's tokens.

Section 4 of arXiv 2408.00714 ("memory attention"). Rotary positions (arXiv 2104.09864) are applied to
queries and to the spatial memory tokens; the object-pointer tokens at the end of the memory have no place in
the picture and are left out. One attention head. The layers know nothing of frames: order and time are in
the tokens.

Notable choices: values are projected behind the attention. The weights of attention sum to 1, so this is the
same function, and a memory's tokens are four times narrower before the projection than behind it. Until the
first look at the memory all objects are the same picture, so they share one batch row if the caller wants.
"""

from __future__ import annotations

from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.constants import Constants
from ocusam.model.layers import Attention, attend
from ocusam.model.position_encoding import rotary_turns, turn_
from ocusam.model.products import Linear


class RotaryAttention(Attention):
    """Attention of one head with axial rotary positions on a square grid of tokens."""

    def rotary_forward(
        self, q_bnc: Tensor, k_bmc: Tensor, v_bmc: Tensor, turns_nd: Tensor, num_unplaced: int = 0
    ) -> Tensor:
        """Attend from N grid tokens to M keys.

        Args:
            q_bnc: queries, N = H * W tokens of the grid.
            k_bmc: keys: whole grids one after the other, then `num_unplaced` tokens without a position.
            v_bmc: values.
            turns_nd: (N, C / 2) rotary positions of the grid.
            num_unplaced: how many keys at the end keep no position.
        """
        q = self.q_proj(q_bnc)
        q = turn_(q.float(), turns_nd).to(q.dtype)
        k = self.k_proj(k_bmc)
        placed = k.float()
        turn_(placed[:, : placed.shape[1] - num_unplaced], turns_nd)
        seen = attend(q.unsqueeze(1), placed.to(k.dtype).unsqueeze(1), v_bmc.unsqueeze(1))
        projected: Tensor = self.out_proj(self.v_proj(seen.squeeze(1)))
        return projected


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memory, MLP; each behind a LayerNorm, each with a residual."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.self_attn = RotaryAttention(dim, 1)
        self.cross_attn_image = RotaryAttention(dim, 1, kv_in_dim=config.mem_dim)
        self.linear1 = Linear(dim, config.memory_attention_mlp_dim)
        self.linear2 = Linear(config.memory_attention_mlp_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self,
        x_bnc: Tensor,
        keys_bmd: Tensor,
        values_bmd: Tensor,
        turns_nd: Tensor,
        num_pointer_tokens: int,
    ) -> Tensor:
        """Return (B, N, C). Keys are memory plus positions, values the memory alone.

        `x_bnc` may have one row for all B objects.
        """
        y = self.norm1(x_bnc)
        x = x_bnc + self.self_attn.rotary_forward(y, y, y, turns_nd)
        x = x.expand(keys_bmd.shape[0], -1, -1)
        y = self.norm2(x)
        x = x + self.cross_attn_image.rotary_forward(y, keys_bmd, values_bmd, turns_nd, num_pointer_tokens)
        out: Tensor = x + self.linear2(self.linear1(self.norm3(x), "relu"))
        return out


class MemoryAttention(nn.Module):
    """A stack of layers and a final LayerNorm."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(config) for _ in range(config.memory_attention_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.hidden_dim = config.hidden_dim
        self._constants = Constants()

    def forward(
        self,
        current_bchw: Tensor,
        current_positions_1chw: Tensor,
        memory_bmd: Tensor,
        memory_positions_bmd: Tensor,
        num_pointer_tokens: int,
    ) -> Tensor:
        """Return current features conditioned on the memory, (B, C, H, W).

        Args:
            current_bchw: features of the current frame at stride 16; one row may stand for all B objects.
            current_positions_1chw: their sine positions; a tenth of them is added once.
            memory_bmd: memory tokens, spatial maps first, pointer tokens last.
            memory_positions_bmd: what is added to the memory to make keys of it.
            num_pointer_tokens: how many of the last tokens are pointers.
        """
        height, width = current_bchw.shape[2:]
        device = current_bchw.device
        turns = self._constants(
            (height, width, device), lambda: rotary_turns(self.hidden_dim, height, width, device)
        )
        x = (current_bchw + 0.1 * current_positions_1chw).flatten(2).transpose(1, 2)
        keys = memory_bmd + memory_positions_bmd
        for layer in self.layers:
            x = layer(x, keys, memory_bmd, turns, num_pointer_tokens)
        out: Tensor = self.norm(x).transpose(1, 2).unflatten(2, (height, width))
        return out
