"""The other naming of the same weights: Hugging Face transformers' `Sam2VideoModel` and `Sam2Model`.

One table, read in both directions. `*` stands for a block or layer number, `?` for weight or bias. Only two
things are not one to one: transformers stacks the four point embeddings into one tensor, and keeps a second
copy of the random Fourier matrix. Values are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, cat

from ocusam.core.errors import WeightsError

_ATTENTIONS = [
    ("memory_attention.layers.*.self_attn", "memory_attention.layers.*.self_attn"),
    ("memory_attention.layers.*.cross_attn_image", "memory_attention.layers.*.cross_attn_image"),
    *(
        (f"sam_mask_decoder.transformer.{name}", f"mask_decoder.transformer.{name}")
        for name in (
            "layers.*.self_attn",
            "layers.*.cross_attn_token_to_image",
            "layers.*.cross_attn_image_to_token",
            "final_attn_token_to_image",
        )
    ),
]
_THREE_LAYER_MLPS = [
    ("sam_mask_decoder.output_hypernetworks_mlps.*", "mask_decoder.output_hypernetworks_mlps.*"),
    ("sam_mask_decoder.iou_prediction_head", "mask_decoder.iou_prediction_head"),
    ("sam_mask_decoder.pred_obj_score_head", "mask_decoder.pred_obj_score_head"),
    ("obj_ptr_proj", "object_pointer_proj"),
]
_TWO_LAYER_MLPS = [
    ("image_encoder.trunk.blocks.*.mlp", "vision_encoder.backbone.blocks.*.mlp"),
    ("sam_mask_decoder.transformer.layers.*.mlp", "mask_decoder.transformer.layers.*.mlp"),
]

_TABLE: list[tuple[str, str]] = [
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("no_mem_embed", "no_memory_embedding"),
    ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
    ("mask_downsample.?", "mask_downsample.?"),
    ("obj_ptr_tpos_proj.?", "temporal_positional_encoding_projection_layer.?"),
    # image encoder
    ("image_encoder.trunk.pos_embed", "vision_encoder.backbone.pos_embed"),
    ("image_encoder.trunk.pos_embed_window", "vision_encoder.backbone.pos_embed_window"),
    ("image_encoder.trunk.patch_embed.proj.?", "vision_encoder.backbone.patch_embed.projection.?"),
    ("image_encoder.trunk.blocks.*.norm*.?", "vision_encoder.backbone.blocks.*.layer_norm*.?"),
    ("image_encoder.trunk.blocks.*.attn.qkv.?", "vision_encoder.backbone.blocks.*.attn.qkv.?"),
    ("image_encoder.trunk.blocks.*.attn.proj.?", "vision_encoder.backbone.blocks.*.attn.proj.?"),
    ("image_encoder.trunk.blocks.*.proj.?", "vision_encoder.backbone.blocks.*.proj.?"),
    ("image_encoder.neck.convs.*.conv.?", "vision_encoder.neck.convs.*.?"),
    # prompt encoder
    (
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    ("sam_prompt_encoder.not_a_point_embed.weight", "prompt_encoder.not_a_point_embed.weight"),
    ("sam_prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
    ("sam_prompt_encoder.mask_downscaling.0.?", "prompt_encoder.mask_embed.conv1.?"),
    ("sam_prompt_encoder.mask_downscaling.1.?", "prompt_encoder.mask_embed.layer_norm1.?"),
    ("sam_prompt_encoder.mask_downscaling.3.?", "prompt_encoder.mask_embed.conv2.?"),
    ("sam_prompt_encoder.mask_downscaling.4.?", "prompt_encoder.mask_embed.layer_norm2.?"),
    ("sam_prompt_encoder.mask_downscaling.6.?", "prompt_encoder.mask_embed.conv3.?"),
    # mask decoder
    *(
        (f"sam_mask_decoder.{name}", f"mask_decoder.{name}")
        for name in ("iou_token.weight", "mask_tokens.weight", "obj_score_token.weight", "conv_s*.?")
    ),
    ("sam_mask_decoder.transformer.layers.*.norm*.?", "mask_decoder.transformer.layers.*.layer_norm*.?"),
    (
        "sam_mask_decoder.transformer.norm_final_attn.?",
        "mask_decoder.transformer.layer_norm_final_attn.?",
    ),
    ("sam_mask_decoder.output_upscaling.0.?", "mask_decoder.upscale_conv1.?"),
    ("sam_mask_decoder.output_upscaling.1.?", "mask_decoder.upscale_layer_norm.?"),
    ("sam_mask_decoder.output_upscaling.3.?", "mask_decoder.upscale_conv2.?"),
    # memory
    ("memory_attention.layers.*.linear*.?", "memory_attention.layers.*.linear*.?"),
    ("memory_attention.layers.*.norm*.?", "memory_attention.layers.*.layer_norm*.?"),
    ("memory_attention.norm.?", "memory_attention.layer_norm.?"),
    *(
        (
            f"memory_encoder.mask_downsampler.encoder.{3 * i + j}.?",
            f"memory_encoder.mask_downsampler.layers.{i}.{name}.?",
        )
        for i in range(4)
        for j, name in enumerate(("conv", "layer_norm"))
    ),
    ("memory_encoder.mask_downsampler.encoder.12.?", "memory_encoder.mask_downsampler.final_conv.?"),
    ("memory_encoder.pix_feat_proj.?", "memory_encoder.feature_projection.?"),
    ("memory_encoder.out_proj.?", "memory_encoder.projection.?"),
    ("memory_encoder.fuser.layers.*.gamma", "memory_encoder.memory_fuser.layers.*.scale"),
    ("memory_encoder.fuser.layers.*.dwconv.?", "memory_encoder.memory_fuser.layers.*.depthwise_conv.?"),
    ("memory_encoder.fuser.layers.*.norm.?", "memory_encoder.memory_fuser.layers.*.layer_norm.?"),
    ("memory_encoder.fuser.layers.*.pwconv*.?", "memory_encoder.memory_fuser.layers.*.pointwise_conv*.?"),
    # parts that repeat
    *((f"{ours}.{p}_proj.?", f"{theirs}.{p}_proj.?") for ours, theirs in _ATTENTIONS for p in "qkv"),
    *((f"{ours}.out_proj.?", f"{theirs}.o_proj.?") for ours, theirs in _ATTENTIONS),
    *(
        (f"{ours}.layers.{i}.?", f"{theirs}.{name}.?")
        for ours, theirs in _THREE_LAYER_MLPS
        for i, name in enumerate(("proj_in", "layers.0", "proj_out"))
    ),
    *(
        (f"{ours}.layers.{i}.?", f"{theirs}.{name}.?")
        for ours, theirs in _TWO_LAYER_MLPS
        for i, name in enumerate(("proj_in", "proj_out"))
    ),
]

_POINTS_OURS = "sam_prompt_encoder.point_embeddings.{}.weight"
_POINTS_THEIRS = "prompt_encoder.point_embed.weight"
_FOURIER_THEIRS = "prompt_encoder.shared_embedding.positional_embedding"
_FOURIER_COPY = "shared_image_embedding.positional_embedding"


def _rules(table: list[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    """Make (pattern, template) pairs: `*` becomes a captured number, `?` captured weight or bias."""
    rules = []
    for source, target in table:
        pattern = re.escape(source).replace(r"\*", r"(\d+)").replace(r"\?", "(weight|bias)")
        rules.append((re.compile(pattern + r"\Z"), re.sub(r"[*?]", "{}", target)))
    return rules


_TO_THEIRS = _rules(_TABLE)
_TO_OURS = _rules([(theirs, ours) for ours, theirs in _TABLE])


def _rename(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, template in rules:
        if match := pattern.match(name):
            return template.format(*match.groups())
    raise WeightsError(
        f"The tensor {name!r} has no counterpart in the other naming of SAM 2. "
        "Allowed are state dicts of SAM 2 / 2.1 under the official or the Hugging Face names."
    )


def is_huggingface(names: Mapping[str, object]) -> bool:
    """Tell whether a state dict uses the Hugging Face names."""
    return any(name.startswith("vision_encoder.") for name in names)


def to_huggingface(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an official state dict for transformers' `Sam2VideoModel`.

    Raises:
        WeightsError: a tensor that no SAM 2 has.
    """
    points = [_POINTS_OURS.format(i) for i in range(4)]
    renamed = {_rename(name, _TO_THEIRS): value for name, value in state.items() if name not in points}
    if points[0] in state:
        renamed[_POINTS_THEIRS] = cat([state[name] for name in points])
    if _FOURIER_THEIRS in renamed:
        renamed[_FOURIER_COPY] = renamed[_FOURIER_THEIRS].clone()  # safetensors refuses shared storage
    return renamed


def from_huggingface(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a transformers state dict to the official names.

    Raises:
        WeightsError: a tensor that no SAM 2 has.
    """
    special = (_POINTS_THEIRS, _FOURIER_COPY)
    renamed = {_rename(name, _TO_OURS): value for name, value in state.items() if name not in special}
    if _FOURIER_COPY in state and _FOURIER_THEIRS not in state:
        # Versions of transformers that tie the two write only one of them.
        renamed[_rename(_FOURIER_THEIRS, _TO_OURS)] = state[_FOURIER_COPY]
    if _POINTS_THEIRS in state:
        for i, row in enumerate(state[_POINTS_THEIRS].split(1)):
            renamed[_POINTS_OURS.format(i)] = row.clone()
    return renamed
