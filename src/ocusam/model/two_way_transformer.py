"""The transformer inside the mask decoder: tokens look at the image, the image looks back at the tokens.

Kirillov et al. 2023 (arXiv 2304.02643), appendix A, "Lightweight mask decoder". The very first self-attention
has neither positions nor a residual connection; the published weights expect that.
"""

from __future__ import annotations

from torch import Tensor, nn

from ocusam.model.layers import MLP, Attention


class TwoWayAttentionBlock(nn.Module):
    """Self-attention of tokens, tokens to image, MLP on tokens, image to tokens."""

    def __init__(self, dim: int, num_heads: int, mlp_dim: int, *, is_first: bool) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, num_heads, downsample_rate=2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim, 2)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, num_heads, downsample_rate=2)
        self.is_first = is_first

    def forward(
        self, tokens_bnc: Tensor, image_bmc: Tensor, token_positions_bnc: Tensor, image_positions_bmc: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return updated tokens (B, N, C) and image (B, M, C)."""
        if self.is_first:
            tokens = self.self_attn(tokens_bnc, tokens_bnc, tokens_bnc)
        else:
            q = tokens_bnc + token_positions_bnc
            tokens = tokens_bnc + self.self_attn(q, q, tokens_bnc)
        tokens = self.norm1(tokens)

        image_keys = image_bmc + image_positions_bmc
        tokens = tokens + self.cross_attn_token_to_image(tokens + token_positions_bnc, image_keys, image_bmc)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))

        image = image_bmc + self.cross_attn_image_to_token(image_keys, tokens + token_positions_bnc, tokens)
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """A few two-way blocks and a last look of the tokens at the image."""

    def __init__(self, depth: int, dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(dim, num_heads, mlp_dim, is_first=i == 0) for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, num_heads, downsample_rate=2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(
        self, image_bmc: Tensor, image_positions_bmc: Tensor, tokens_bnc: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (B, N, C) and image (B, M, C). The first tokens also serve as their own positions."""
        tokens, image = tokens_bnc, image_bmc
        for layer in self.layers:
            tokens, image = layer(tokens, image, tokens_bnc, image_positions_bmc)
        attended = self.final_attn_token_to_image(tokens + tokens_bnc, image + image_positions_bmc, image)
        return self.norm_final_attn(tokens + attended), image
