"""SAM 2 as one network: everything that happens to one frame of some objects, and nothing between frames.

The network has no memory of its own. It knows no frame number and no object name; a batch row is one object.
What it should remember is handed to it as a `MemorySelection` (chosen by `ocusam.tracking.MemoryBank`), and
what should be remembered of a frame is returned. That makes the function easy to test, to train, to export.

Ravi et al. 2024 (arXiv 2408.00714). Shape suffixes: b objects, m candidate masks, n points or tokens,
c channels, d memory channels, h/w height and width. "high-res" is the square network input, "low-res" a
quarter of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.core.errors import ModelError
from ocusam.model.config import Sam2Config
from ocusam.model.constants import Constants
from ocusam.model.eye_parts import EyeParts
from ocusam.model.hiera import Hiera
from ocusam.model.image_encoder import ImageEncoder
from ocusam.model.layers import MLP
from ocusam.model.mask_decoder import DecodedMasks, MaskDecoder
from ocusam.model.memory_attention import MemoryAttention
from ocusam.model.memory_encoder import MemoryEncoder
from ocusam.model.number_types import in_own_type
from ocusam.model.position_encoding import sine_of_time, sine_position_map
from ocusam.model.prompt_encoder import PromptEncoder
from ocusam.model.values import (
    NO_OBJECT_LOGIT,
    ImageFeatures,
    MemorySelection,
    PointPrompt,
    StepOutput,
    shared_row,
    suppress_overlaps,
)


class SAM2(nn.Module):
    """The network. See the module's docstring; built by `ocusam.build_sam2`."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.config = config
        hidden, mem = config.hidden_dim, config.mem_dim
        self.image_encoder = ImageEncoder(config)
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(config)
        self.sam_prompt_encoder = PromptEncoder(config)
        self.sam_mask_decoder = MaskDecoder(config)
        if config.names_parts:
            self.eye_parts = EyeParts(config)
        self.obj_ptr_proj = (
            MLP(hidden, hidden, hidden, 3) if config.use_mlp_for_obj_ptr_proj else nn.Linear(hidden, hidden)
        )
        if config.proj_tpos_enc_in_obj_ptrs:
            self.obj_ptr_tpos_proj = nn.Linear(hidden, mem)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(config.num_maskmem, 1, 1, mem))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, hidden))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, hidden))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, hidden))
        learned = [self.maskmem_tpos_enc, self.no_mem_embed, self.no_mem_pos_enc, self.no_obj_ptr]
        if config.no_obj_embed_spatial:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, mem))
            learned.append(self.no_obj_embed_spatial)
        trunk = self.image_encoder.trunk
        if isinstance(trunk, Hiera):
            learned += [trunk.pos_embed, trunk.pos_embed_window]
        for parameter in learned:
            nn.init.trunc_normal_(parameter, std=0.02)
        self._constants = Constants()

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.no_mem_embed.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.no_mem_embed.device

    # ---- image -----------------------------------------------------------------------------------------

    @in_own_type
    def encode_image(self, images_b3hw: Tensor) -> ImageFeatures:
        """Encode (B, 3, S, S) normalised images."""
        decoder = self.sam_mask_decoder
        stride4, stride8, stride16 = self.image_encoder(
            images_b3hw.to(self.dtype), (decoder.conv_s0, decoder.conv_s1)
        )
        return ImageFeatures(stride16, (stride4, stride8))

    def _usable(self, features: ImageFeatures) -> ImageFeatures:
        """Features that were encoded under autocast, in the weights' type for a call outside of it."""
        same = all(t.dtype == self.dtype for t in (features.embedding_bchw, *features.high_res))
        if same or torch.is_autocast_enabled(self.device.type):
            return features
        return features.to(self.dtype)

    @in_own_type
    def name_parts(self, features: ImageFeatures) -> Tensor:
        """Logits (B, 4, S/4, S/4) of `eye_parts.PARTS`, float32; no prompt is needed.

        Raises:
            ModelError: the network has no such layer (`names_parts` of its config).
        """
        if not self.config.names_parts:
            raise ModelError(f"{self.config.name!r} has no layer that names the parts of the eye; nano has.")
        logits: Tensor = self.eye_parts(self._usable(features))
        return logits

    def _mark_no_memory(self, embedding_bchw: Tensor) -> Tensor:
        return embedding_bchw + self.no_mem_embed.reshape(1, -1, 1, 1)

    @in_own_type
    def predict_masks(
        self,
        features: ImageFeatures,
        points: PointPrompt | None = None,
        mask_logits_b1hw: Tensor | None = None,
        *,
        multimask_output: bool = True,
    ) -> DecodedMasks:
        """Segment a still picture; B is the batch of `features`.

        Args:
            features: of the picture, expanded to the number of prompts.
            points: clicks and box corners; None for none at all (no padding tokens either).
            mask_logits_b1hw: earlier low-res logits as a prompt.
            multimask_output: three masks instead of one.
        """
        features = self._usable(features)
        embedding = features.embedding_bchw
        if self.config.directly_add_no_mem_embed:
            embedding = self._mark_no_memory(embedding)
        return self._decode(embedding, features.high_res, points, mask_logits_b1hw, multimask_output)

    def _decode(
        self,
        embedding_bchw: Tensor,
        high_res: tuple[Tensor, Tensor],
        points: PointPrompt | None,
        mask_logits_b1hw: Tensor | None,
        multimask_output: bool,
    ) -> DecodedMasks:
        if mask_logits_b1hw is not None:
            size = (self.config.low_res_size, self.config.low_res_size)
            if mask_logits_b1hw.shape[-2:] != size:
                mask_logits_b1hw = F.interpolate(
                    mask_logits_b1hw.float(), size=size, mode="bilinear", align_corners=False, antialias=True
                )
        decoded = self._all_masks(embedding_bchw, high_res, points, mask_logits_b1hw)
        decoded = self.sam_mask_decoder.choose(decoded, multimask_output=multimask_output)
        # Everything behind the network is resized and compared: in bfloat16 that would lose edges.
        return DecodedMasks(
            decoded.logits_bmhw.float(),
            decoded.iou_bm.float(),
            decoded.tokens_bnc,
            decoded.object_score_b1.float(),
        )

    def _all_masks(
        self,
        embedding_bchw: Tensor,
        high_res: tuple[Tensor, Tensor],
        points: PointPrompt | None,
        mask_logits_b1hw: Tensor | None,
    ) -> DecodedMasks:
        sparse, dense = self._encode_prompts(points, mask_logits_b1hw, embedding_bchw.shape[0])
        positions = self.sam_prompt_encoder.dense_positions()
        return self.sam_mask_decoder.decode_all(embedding_bchw, positions, sparse, dense, high_res)

    def _encode_prompts(
        self, points: PointPrompt | None, mask_logits_b1hw: Tensor | None, batch: int
    ) -> tuple[Tensor, Tensor]:
        coords, labels = (points.coords_bn2, points.labels_bn) if points is not None else (None, None)
        if points is not None and points.padding:  # on every frame that is only tracked
            coords = None
        sparse, dense = self.sam_prompt_encoder(coords, labels, mask_logits_b1hw, batch)
        return sparse, dense

    # ---- one frame of a video --------------------------------------------------------------------------

    @in_own_type
    def track_step(
        self,
        features: ImageFeatures,
        *,
        points: PointPrompt | None = None,
        mask_inputs_b1hw: Tensor | None = None,
        previous_logits_b1hw: Tensor | None = None,
        memory: MemorySelection | None = None,
    ) -> StepOutput:
        """Segment B objects on one frame.

        Args:
            features: of the frame, one row per object.
            points: clicks and box corners on this frame, or None for a frame that is only tracked.
            mask_inputs_b1hw: a mask given by the user, 0 or 1 at input size; excludes `points`.
            previous_logits_b1hw: low-res logits of an earlier answer for this frame, refined by the points.
            memory: what to attend to; None where nothing is remembered yet (first prompted frame).
        """
        assert points is None or mask_inputs_b1hw is None, "points and a mask exclude each other on one frame"
        features = self._usable(features)
        if mask_inputs_b1hw is not None and self.config.use_mask_input_as_output_without_sam:
            return self._mask_as_output(features, mask_inputs_b1hw)
        embedding = self.condition_on_memory(features, memory)
        # A mask that goes through the decoder (option) is a prompt like earlier logits.
        prompt = previous_logits_b1hw if mask_inputs_b1hw is None else mask_inputs_b1hw
        num_points = 0 if points is None else points.labels_bn.shape[1]
        multimask = self._use_multimask(num_points, first=memory is None)
        return self._sam_heads(embedding, features.high_res, points, prompt, multimask)

    def _use_multimask(self, num_points: int, *, first: bool) -> bool:
        config = self.config
        return (
            config.multimask_output_in_sam
            and (first or config.multimask_output_for_tracking)
            and config.multimask_min_pt_num <= num_points <= config.multimask_max_pt_num
        )

    def _sam_heads(
        self,
        embedding_bchw: Tensor,
        high_res: tuple[Tensor, Tensor],
        points: PointPrompt | None,
        mask_logits_b1hw: Tensor | None,
        multimask_output: bool,
    ) -> StepOutput:
        batch = embedding_bchw.shape[0]
        if points is None:
            zeros = torch.zeros(batch, 1, 2, device=embedding_bchw.device)
            padding = torch.full((batch, 1), -1, dtype=torch.int32, device=zeros.device)
            points = PointPrompt(zeros, padding, padding=True)
        candidates = self._decode(embedding_bchw, high_res, points, mask_logits_b1hw, multimask_output)

        best_b = candidates.iou_bm.argmax(dim=-1)
        rows = torch.arange(batch, device=best_b.device)
        low_res = candidates.logits_bmhw[rows, best_b].unsqueeze(1)
        one_token = candidates.tokens_bnc.shape[1] == 1
        token = candidates.tokens_bnc[:, 0] if one_token else candidates.tokens_bnc[rows, best_b]
        pointer = self.obj_ptr_proj(token)
        if self.config.pred_obj_scores:
            present_b1 = candidates.object_score_b1 > 0
            low_res = torch.where(present_b1[..., None, None], low_res, low_res.new_full((), NO_OBJECT_LOGIT))
            share = candidates.object_score_b1.sigmoid() if self.config.soft_no_obj_ptr else present_b1
            pointer = self.blend_no_object(pointer, share.to(pointer.dtype))
        size = (self.config.image_size, self.config.image_size)
        high = F.interpolate(low_res, size=size, mode="bilinear", align_corners=False)
        iou_b = candidates.iou_bm[rows, best_b]
        return StepOutput(low_res, high, iou_b, candidates.object_score_b1, pointer, candidates)

    def blend_no_object(self, pointer_bc: Tensor, share_b1: Tensor) -> Tensor:
        """Replace the pointer of absent objects (share 0) by the learned pointer of nothing."""
        if self.config.fixed_no_obj_ptr:
            pointer_bc = share_b1 * pointer_bc
        return pointer_bc + (1 - share_b1) * self.no_obj_ptr

    def _mask_as_output(self, features: ImageFeatures, mask_inputs_b1hw: Tensor) -> StepOutput:
        """Return the user's mask as the frame's output; only its pointer comes from the network."""
        mask = mask_inputs_b1hw.float()
        high = mask * 20.0 - 10.0
        size = (self.config.low_res_size, self.config.low_res_size)
        low = F.interpolate(high, size=size, mode="bilinear", align_corners=False, antialias=True)
        iou_b = mask.new_ones(mask.shape[0])
        present_b1 = (mask.flatten(1) > 0).any(dim=1, keepdim=True)
        if self.config.use_obj_ptrs_in_encoder:
            prompt = self.mask_downsample(mask.to(self.dtype))
            plain = features.embedding_bchw
            pointer = self._sam_heads(plain, features.high_res, None, prompt, False).pointer_bc
        else:
            pointer = self.no_obj_ptr.new_zeros(mask.shape[0], self.config.hidden_dim)
        if self.config.pred_obj_scores:
            # A second blend, after the one inside the heads, because the published system does both.
            pointer = self.blend_no_object(pointer, present_b1.to(pointer.dtype))
        return StepOutput(low, high, iou_b, present_b1.float() * 20.0 - 10.0, pointer, None)

    # ---- memory ----------------------------------------------------------------------------------------

    def _sine_map(self, channels: int, like_bchw: Tensor) -> Tensor:
        height, width = like_bchw.shape[2:]
        device, dtype = like_bchw.device, self.dtype
        return self._constants(
            (channels, height, width, device, dtype),
            lambda: sine_position_map(channels, height, width, device).unsqueeze(0).to(dtype),
        )

    def condition_on_memory(self, features: ImageFeatures, memory: MemorySelection | None) -> Tensor:
        """Return the stride-16 features as the decoder should see them, (B, C, h, w)."""
        embedding = features.embedding_bchw
        config = self.config
        if config.num_maskmem == 0:
            return embedding
        if memory is None:
            if config.directly_add_no_mem_embed:
                return self._mark_no_memory(embedding)
            batch = embedding.shape[0]
            tokens = self.no_mem_embed[..., : config.mem_dim].expand(batch, 1, -1)
            positions = self.no_mem_pos_enc[..., : config.mem_dim].expand(batch, 1, -1)
            num_pointer_tokens = 1  # one token without a place in the picture
        else:
            tokens, positions, num_pointer_tokens = self._memory_tokens(memory)
        out: Tensor = self.memory_attention(
            shared_row(embedding),
            self._sine_map(config.hidden_dim, embedding),
            tokens,
            positions,
            num_pointer_tokens,
        )
        return out

    def _memory_tokens(self, memory: MemorySelection) -> tuple[Tensor, Tensor, int]:
        """Line up maps and pointers as (B, M, d) tokens and their positions."""
        tokens, positions = [], []
        for map_bdhw, row in memory.maps:
            tokens.append(map_bdhw.to(self.dtype).flatten(2).transpose(1, 2))
            sine = self._sine_map(self.config.mem_dim, map_bdhw).flatten(2).transpose(1, 2)
            positions.append((sine + self.maskmem_tpos_enc[row]).expand(map_bdhw.shape[0], -1, -1))
        num_pointer_tokens = 0
        if memory.pointers and self.config.use_obj_ptrs_in_encoder:
            pointer_tokens, pointer_positions = self._pointer_tokens(memory.pointers)
            tokens.append(pointer_tokens)
            positions.append(pointer_positions)
            num_pointer_tokens = pointer_tokens.shape[1]
        return torch.cat(tokens, dim=1), torch.cat(positions, dim=1), num_pointer_tokens

    def _pointer_tokens(self, pointers: list[tuple[Tensor, float]]) -> tuple[Tensor, Tensor]:
        """Split each pointer into tokens of the memory's width; all tokens of one share its time."""
        config = self.config
        split = config.hidden_dim // config.mem_dim
        pointers_bpc = torch.stack([pointer for pointer, _ in pointers], dim=1).to(self.dtype)
        tokens = pointers_bpc.unflatten(-1, (split, config.mem_dim)).flatten(1, 2)
        if not config.add_tpos_enc_to_obj_ptrs:
            return tokens, torch.zeros_like(tokens)
        times = torch.tensor([time for _, time in pointers], device=tokens.device)
        if config.proj_tpos_enc_in_obj_ptrs:
            encoded = self.obj_ptr_tpos_proj(sine_of_time(times, config.hidden_dim).to(self.dtype))
        else:
            encoded = sine_of_time(times, config.mem_dim).to(self.dtype)
        positions = encoded.repeat_interleave(split, dim=0)
        return tokens, positions.unsqueeze(0).expand(tokens.shape[0], -1, -1)

    @in_own_type
    def encode_memory(
        self,
        features: ImageFeatures,
        mask_logits_b1hw: Tensor,
        object_score_b1: Tensor,
        *,
        from_prompt: bool,
    ) -> Tensor:
        """Turn a finished frame into a (B, d, h, w) memory.

        Args:
            features: of the frame, one row per object.
            mask_logits_b1hw: its mask logits at input size.
            object_score_b1: presence logits; absent objects get a learned mark.
            from_prompt: the frame carries a user's prompt: its mask is taken as certain where so configured.
        """
        config = self.config
        logits = mask_logits_b1hw.float()
        if config.non_overlap_masks_for_mem_enc and not self.training:
            logits = suppress_overlaps(logits)
        if config.binarize_mask_from_pts_for_mem_enc and from_prompt and not self.training:
            mask = (logits > 0).float()
        else:
            mask = logits.sigmoid()
        features = self._usable(features)
        return self.memory_of(shared_row(features.embedding_bchw), mask, object_score_b1)

    def memory_of(self, embedding_bchw: Tensor, mask_b1hw: Tensor, object_score_b1: Tensor) -> Tensor:
        """The part of `encode_memory` behind the choice of the mask, which is 0 to 1 here.

        One row of features may stand for all objects.
        """
        config = self.config
        mask = mask_b1hw * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        memory: Tensor = self.memory_encoder(embedding_bchw, mask.to(self.dtype))
        if config.no_obj_embed_spatial:
            absent_b1 = (object_score_b1 <= 0).to(memory.dtype)
            memory = memory + (absent_b1 * self.no_obj_embed_spatial)[..., None, None]
        return memory
