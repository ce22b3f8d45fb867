"""From image features and prompt tokens to mask logits, their predicted quality and the object's presence.

Four masks come out of one pass: token 0 for unambiguous prompts, tokens 1 to 3 for the three readings of an
ambiguous click (part, whole, group). Which of them is used is decided by the caller (`multimask_output`) or
by the stability of mask 0. Sources: arXiv 2304.02643 appendix A; arXiv 2408.00714 appendix C (high-resolution
features, object score). Not here: resizing, thresholds, the object pointer's projection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.constants import Constants
from ocusam.model.layers import MLP, LayerNorm2d, PointwiseConv2d
from ocusam.model.two_way_transformer import TwoWayTransformer

_HYPERNETWORK_DEPTH = 3


@dataclass(frozen=True)
class DecodedMasks:
    """What the decoder says about B objects with M masks each."""

    logits_bmhw: Tensor
    iou_bm: Tensor
    tokens_bnc: Tensor  # output tokens that may become the object pointer: N is M, or 1 (token 0)
    object_score_b1: Tensor


def _stacked(tensors: list[nn.Parameter], order: tuple[int, ...]) -> Callable[[], Tensor]:
    """A function that stacks tensors and reorders the dimensions of the stack."""
    return lambda: torch.stack([*tensors]).permute(order)


class MaskDecoder(nn.Module):
    """Two-way transformer, upscaling with high-resolution features, and the heads."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.config = config
        self.num_mask_tokens = config.num_multimask_outputs + 1
        self.transformer = TwoWayTransformer(
            config.decoder_depth, dim, config.decoder_heads, config.decoder_mlp_dim
        )
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        if config.pred_obj_scores:
            self.obj_score_token = nn.Embedding(1, dim)
            mlp = config.pred_obj_scores_mlp
            self.pred_obj_score_head = MLP(dim, dim, 1, 3) if mlp else nn.Linear(dim, 1)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.conv_s0 = PointwiseConv2d(dim, dim // 8)
        self.conv_s1 = PointwiseConv2d(dim, dim // 4)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, _HYPERNETWORK_DEPTH) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            dim,
            config.iou_head_hidden_dim,
            self.num_mask_tokens,
            3,
            sigmoid_output=config.iou_prediction_use_sigmoid,
        )
        self._constants = Constants()

    def forward(
        self,
        image_bchw: Tensor,
        positions_1chw: Tensor,
        sparse_bnc: Tensor,
        dense_bchw: Tensor,
        high_res: tuple[Tensor, Tensor],
        *,
        multimask_output: bool,
    ) -> DecodedMasks:
        """Decode B objects.

        Args:
            image_bchw: image features at stride 16, one row per object.
            positions_1chw: their random-Fourier positions.
            sparse_bnc: prompt tokens.
            dense_bchw: mask prompt, or the no-mask embedding.
            high_res: features at strides 4 and 8, already reduced by `conv_s0` and `conv_s1`.
            multimask_output: return the three masks of an ambiguous prompt instead of one.
        """
        decoded = self.decode_all(image_bchw, positions_1chw, sparse_bnc, dense_bchw, high_res)
        return self.choose(decoded, multimask_output=multimask_output)

    def choose(self, decoded: DecodedMasks, *, multimask_output: bool) -> DecodedMasks:
        """Of all masks take the three of an ambiguous prompt, or the one that stands for itself."""
        first_token = decoded.tokens_bnc[:, :1]
        if multimask_output:
            tokens = decoded.tokens_bnc[:, 1:] if self.config.use_multimask_token_for_obj_ptr else first_token
            return DecodedMasks(
                decoded.logits_bmhw[:, 1:], decoded.iou_bm[:, 1:], tokens, decoded.object_score_b1
            )
        if self.config.dynamic_multimask_via_stability and not self.training:
            logits, iou = self._replace_unstable(decoded.logits_bmhw, decoded.iou_bm)
        else:
            logits, iou = decoded.logits_bmhw[:, :1], decoded.iou_bm[:, :1]
        # The pointer keeps token 0 even where an unstable mask 0 was replaced: that is how it was trained.
        return DecodedMasks(logits, iou, first_token, decoded.object_score_b1)

    def decode_all(
        self,
        image_bchw: Tensor,
        positions_1chw: Tensor,
        sparse_bnc: Tensor,
        dense_bchw: Tensor,
        high_res: tuple[Tensor, Tensor],
    ) -> DecodedMasks:
        """Decode B objects into all masks, the single one first; arguments as for `forward`."""
        batch, _, height, width = image_bchw.shape
        own = [self.iou_token.weight, self.mask_tokens.weight]
        if self.config.pred_obj_scores:
            own.insert(0, self.obj_score_token.weight)
        tokens = torch.cat((torch.cat(own).unsqueeze(0).expand(batch, -1, -1), sparse_bnc), dim=1)

        image_bnc = (image_bchw + dense_bchw).flatten(2).transpose(1, 2)
        positions = positions_1chw.flatten(2).transpose(1, 2).to(image_bnc.dtype)
        tokens, image_bnc = self.transformer(image_bnc, positions, tokens)

        first_mask = 2 if self.config.pred_obj_scores else 1
        mask_tokens = tokens[:, first_mask : first_mask + self.num_mask_tokens]
        iou_bm = self.iou_prediction_head(tokens[:, first_mask - 1])

        image = image_bnc.transpose(1, 2).unflatten(2, (height, width))
        deconv1, norm1, act1, deconv2, act2 = self.output_upscaling
        high_res0, high_res1 = high_res
        upscaled = act1(norm1(deconv1(image) + high_res1))
        upscaled = act2(deconv2(upscaled) + high_res0)
        kernels = self._hypernetworks(mask_tokens)
        logits = (kernels @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])

        if self.config.pred_obj_scores:
            object_score = self.pred_obj_score_head(tokens[:, 0])
        else:
            object_score = 10.0 * iou_bm.new_ones(batch, 1)
        return DecodedMasks(logits, iou_bm, mask_tokens, object_score)

    def _hypernetworks(self, tokens_bmc: Tensor) -> Tensor:
        """Return (B, M, C / 8): each mask token through its own MLP, all at once."""
        x_mbc = tokens_bmc.transpose(0, 1)
        for i in range(_HYPERNETWORK_DEPTH):
            weights, biases = (
                [mlp.get_parameter(f"layers.{i}.{kind}") for mlp in self.output_hypernetworks_mlps]
                for kind in ("weight", "bias")
            )
            weight_mcd = self._constants((i, "weight"), _stacked(weights, (0, 2, 1)), *weights)
            bias_m1d = self._constants((i, "bias"), _stacked(biases, (0, 1)), *biases).unsqueeze(1)
            x_mbc = torch.baddbmm(bias_m1d, x_mbc, weight_mcd)
            if i < _HYPERNETWORK_DEPTH - 1:
                x_mbc = x_mbc.relu()
        return x_mbc.transpose(0, 1)

    def _replace_unstable(self, logits_bmhw: Tensor, iou_bm: Tensor) -> tuple[Tensor, Tensor]:
        """Take mask 0 where it is stable, else the best of the others by predicted IoU.

        Stability is the area above +delta over the area above -delta; an empty mask counts as stable.
        """
        delta = self.config.dynamic_multimask_stability_delta
        first = logits_bmhw[:, :1].flatten(2)
        inner = (first > delta).sum(-1).float()
        outer = (first > -delta).sum(-1).float()
        stability = torch.where(outer > 0, inner / outer, torch.ones_like(outer))
        stable_b1 = stability >= self.config.dynamic_multimask_stability_thresh

        best = iou_bm[:, 1:].argmax(dim=-1) + 1
        rows = torch.arange(len(best), device=best.device)
        other_logits, other_iou = logits_bmhw[rows, best].unsqueeze(1), iou_bm[rows, best].unsqueeze(1)
        logits = torch.where(stable_b1[..., None, None], logits_bmhw[:, :1], other_logits)
        iou = torch.where(stable_b1, iou_bm[:, :1], other_iou)
        return logits, iou
