"""Hugging Face transformers' `config.json` for SAM 2, read and written.

Purpose: the folder that transformers saves (`config.json` and `model.safetensors`) names a network by itself;
this makes a `Sam2Config` of it, and the other way round.

Notable choices: a key that is missing means transformers' own default, which is that of SAM 2.1 tiny.
What transformers can vary and our network has built in is compared and refused by name; keys that say nothing
about the function (names, versions, dropout) are passed over, since such files carry many.

What it does not know: other models of the same library (SAM 3, EdgeTAM); the tensors
(`ocusam.weights.huggingface`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocusam.core.errors import ModelError
from ocusam.model.config import PRESETS, Sam2Config

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
_MODEL_TYPES = ("sam2_video", "sam2")
# Path in their file -> our field, with their default.
_FIELDS: dict[str, tuple[str, Any]] = {
    "image_size": ("image_size", 1024),
    "num_maskmem": ("num_maskmem", 7),
    "sigmoid_scale_for_mem_enc": ("sigmoid_scale_for_mem_enc", 20.0),
    "sigmoid_bias_for_mem_enc": ("sigmoid_bias_for_mem_enc", -10.0),
    "enable_occlusion_spatial_embedding": ("no_obj_embed_spatial", True),
    "multimask_output_in_sam": ("multimask_output_in_sam", True),
    "multimask_min_pt_num": ("multimask_min_pt_num", 0),
    "multimask_max_pt_num": ("multimask_max_pt_num", 1),
    "multimask_output_for_tracking": ("multimask_output_for_tracking", True),
    "max_object_pointers_in_encoder": ("max_obj_ptrs_in_encoder", 16),
    "max_cond_frame_num": ("max_cond_frames_in_attn", -1),
    "enable_temporal_pos_encoding_for_object_pointers": ("add_tpos_enc_to_obj_ptrs", True),
    "memory_attention_hidden_size": ("hidden_dim", 256),
    "memory_attention_num_layers": ("memory_attention_layers", 4),
    "memory_attention_feed_forward_hidden_size": ("memory_attention_mlp_dim", 2048),
    "memory_fuser_num_layers": ("fuser_layers", 2),
    "mask_decoder_config.mlp_dim": ("decoder_mlp_dim", 2048),
    "mask_decoder_config.num_hidden_layers": ("decoder_depth", 2),
    "mask_decoder_config.num_attention_heads": ("decoder_heads", 8),
    "mask_decoder_config.num_multimask_outputs": ("num_multimask_outputs", 3),
    "mask_decoder_config.iou_head_hidden_dim": ("iou_head_hidden_dim", 256),
    "mask_decoder_config.dynamic_multimask_via_stability": ("dynamic_multimask_via_stability", True),
    "mask_decoder_config.dynamic_multimask_stability_delta": ("dynamic_multimask_stability_delta", 0.05),
    "mask_decoder_config.dynamic_multimask_stability_thresh": ("dynamic_multimask_stability_thresh", 0.98),
    "vision_config.backbone_config.hidden_size": ("embed_dim", 96),
    "vision_config.backbone_config.num_attention_heads": ("num_heads", 1),
    "vision_config.backbone_config.blocks_per_stage": ("stages", (1, 2, 7, 2)),
    "vision_config.backbone_config.global_attention_blocks": ("global_att_blocks", (5, 7, 9)),
    "vision_config.backbone_config.window_size_per_stage": ("window_spec", (8, 4, 14, 7)),
    "vision_config.backbone_config.window_positional_embedding_background_size": (
        "window_pos_embed_size",
        (7, 7),
    ),
}
# What our network has built in, under their names.
_BUILT_IN: dict[str, Any] = {
    "memory_encoder_output_channels": 64,  # their memory attention takes no other width
    "memory_attention_num_attention_heads": 1,
    "memory_attention_downsample_rate": 1,
    "memory_attention_feed_forward_hidden_act": "relu",
    "mask_downsampler_kernel_size": 3,
    "mask_downsampler_stride": 2,
    "mask_downsampler_padding": 1,
    "mask_downsampler_total_stride": 16,
    "mask_downsampler_hidden_act": "gelu",
    "memory_fuser_kernel_size": 7,
    "memory_fuser_padding": 3,
    "memory_fuser_hidden_act": "gelu",
    "prompt_encoder_config.patch_size": 16,
    "prompt_encoder_config.mask_input_channels": 16,
    "prompt_encoder_config.num_point_embeddings": 4,
    "prompt_encoder_config.hidden_act": "gelu",
    "prompt_encoder_config.scale": 1,
    "mask_decoder_config.hidden_act": "gelu",
    "mask_decoder_config.attention_downsample_rate": 2,
    "mask_decoder_config.iou_head_depth": 3,
    "vision_config.model_type": "sam2_vision_model",
    "vision_config.backbone_config.model_type": "sam2_hiera_det_model",
    "vision_config.fpn_kernel_size": 1,
    "vision_config.fpn_stride": 1,
    "vision_config.fpn_padding": 0,
    "vision_config.fpn_top_down_levels": (2, 3),
    "vision_config.num_feature_levels": 3,
    "vision_config.backbone_config.hidden_act": "gelu",
    "vision_config.backbone_config.mlp_ratio": 4.0,
    "vision_config.backbone_config.num_channels": 3,
    "vision_config.backbone_config.patch_kernel_size": (7, 7),
    "vision_config.backbone_config.patch_stride": (4, 4),
    "vision_config.backbone_config.patch_padding": (3, 3),
    "vision_config.backbone_config.query_stride": (2, 2),
    "vision_config.backbone_config.num_query_pool_stages": 3,
    "rope_parameters.rope_theta": 10000.0,
    "memory_attention_rope_theta": 10000.0,
}


def read_huggingface_config(path: str | Path) -> Sam2Config:
    """Read a `config.json`, or the one in a folder.

    Raises:
        ModelError: no such file, no JSON, another model, or a value that our network does not have.
    """
    path = Path(path)
    if path.is_dir():
        path = path / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The configuration {path} cannot be read ({error}).") from None
    return from_huggingface_config(values, path.parent.name or "custom")


def from_huggingface_config(values: Mapping[str, Any], name: str = "custom") -> Sam2Config:
    """Make a `Sam2Config` of the content of a `config.json`; called `name` unless it equals a preset.

    Raises:
        ModelError: another model, or a value that our network does not have; names it.
    """
    kind = values.get("model_type") if isinstance(values, Mapping) else None
    if kind not in _MODEL_TYPES:
        raise ModelError(f"This is a configuration of {kind!r}; read here: {', '.join(_MODEL_TYPES)}.")
    fields: dict[str, Any] = {}
    for path, (ours, default) in _FIELDS.items():
        value = _plain(_look_up(values, path, default))
        if (
            isinstance(value, str)
            or isinstance(value, bool) != isinstance(default, bool)
            or isinstance(value, tuple) != isinstance(default, tuple)
        ):
            raise ModelError(f"{path} is {value!r}; expected is a value such as {default!r}.")
        fields[ours] = value
    pointers_in_time = fields["add_tpos_enc_to_obj_ptrs"]
    fields["proj_tpos_enc_in_obj_ptrs"] = fields["use_signed_tpos_enc_to_obj_ptrs"] = pointers_in_time
    config = Sam2Config(**fields)
    for path, only in (_BUILT_IN | _derived(config)).items():
        value = _plain(_look_up(values, path, only))
        if value != only:
            raise ModelError(f"{path} is {value!r}: another function; this network has {only!r}.")
    for preset, make in PRESETS.items():
        # Our presets add what only our predictors know.
        if replace(make(), name="custom", binarize_mask_from_pts_for_mem_enc=False) == config:
            name = preset
            break
    return replace(config, name=name)


def check_trunk(config: Sam2Config) -> None:
    """Refuse a network whose image trunk transformers does not have.

    Raises:
        ModelError: it is not Hiera.
    """
    if config.trunk != "hiera":
        raise ModelError(
            f"{config.name!r} has a {config.trunk} image trunk, and transformers knows Hiera alone; store it "
            "as official or safetensors."
        )


def to_huggingface_config(config: Sam2Config) -> dict[str, Any]:
    """Return the content of a `config.json` with which transformers' `Sam2VideoModel` is the same network.

    Raises:
        ModelError: the config differs from transformers in something that its file cannot say; names it.
    """
    check_trunk(config)
    values: dict[str, Any] = {"model_type": "sam2_video", "architectures": ["Sam2VideoModel"]}
    for path, (ours, _) in _FIELDS.items():
        _set(values, path, getattr(config, ours))
    for path, only in (_BUILT_IN | _derived(config)).items():
        if path != "memory_attention_rope_theta":  # the older name of the one in rope_parameters
            _set(values, path, only)
    _set(values, "rope_parameters.rope_type", "axial")
    # Predictors of either side set this one for themselves; stochastic depth is for training.
    back = replace(
        from_huggingface_config(values),
        name=config.name,
        binarize_mask_from_pts_for_mem_enc=config.binarize_mask_from_pts_for_mem_enc,
        drop_path_rate=config.drop_path_rate,
    )
    if back != config:
        lost = [key for key in vars(config) if getattr(back, key) != getattr(config, key)]
        raise ModelError(f"transformers has no setting for {', '.join(lost)} of {config.name!r}.")
    listed: dict[str, Any] = json.loads(json.dumps(values))
    return listed


def _derived(config: Sam2Config) -> dict[str, Any]:
    """Values that must agree with others; sizes that a file may leave out."""
    hidden, size = config.hidden_dim, config.image_size
    widths = config.trunk_channels
    return {
        "prompt_encoder_config.hidden_size": hidden,
        "prompt_encoder_config.image_size": size,
        "mask_decoder_config.hidden_size": hidden,
        "vision_config.fpn_hidden_size": hidden,
        "vision_config.backbone_channel_list": tuple(reversed(widths)),
        "vision_config.backbone_feature_sizes": tuple((size // s, size // s) for s in (4, 8, 16)),
        "vision_config.backbone_config.image_size": (size, size),
        "vision_config.backbone_config.embed_dim_per_stage": widths,
        "vision_config.backbone_config.num_attention_heads_per_stage": tuple(
            config.num_heads * 2**i for i in range(4)
        ),
        "memory_encoder_hidden_size": hidden,
        "memory_attention_rope_feat_sizes": (config.embedding_size, config.embedding_size),
        "mask_downsampler_embed_dim": hidden,
        "memory_fuser_embed_dim": hidden,
        "memory_fuser_intermediate_dim": 4 * hidden,
    }


def _look_up(values: Mapping[str, Any], path: str, default: Any) -> Any:
    found: Any = values
    for key in path.split("."):
        if not isinstance(found, Mapping) or found.get(key) is None:
            return default
        found = found[key]
    return found


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *folders, last = path.split(".")
    for key in folders:
        values = values.setdefault(key, {})
    values[last] = value


def _plain(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value
