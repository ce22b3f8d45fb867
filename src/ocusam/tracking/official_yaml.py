"""The published YAML configuration files, read without Hydra.

Purpose: a `Sam2Config` from what people have: the name of an official file, or an edited copy of one (also a
training file, whose network stands under `trainer.model`).

Notable choices: every key of the model's tree is accounted for. Values that decide the function become fields
of `Sam2Config`; values that our network has built in must be the built-in ones; values that only matter while
training (dropout, sampling of clicks) are passed over; any other key is refused by its name, since to ignore
it could mean another function. A missing key means what it means in the published classes, which is not
always what the published files say. Options of a predictor are handed back apart. Of interpolations only
`${key.key}` of the same file is followed.

What it does not know: Hydra's overrides on the command line and its default lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml  # type: ignore[import-untyped]

from ocusam.core.errors import ModelError
from ocusam.model.config import PRESETS, Sam2Config

_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
OFFICIAL_NAMES = {
    f"sam2{v}_hiera_{short}": f"sam2{v}_hiera_{size}" for v in (".1", "") for short, size in _SIZES.items()
}
"""Stem of an official YAML file -> our name of the network."""

PREDICTOR_KEYS = (
    "fill_hole_area",
    "non_overlap_masks",
    "clear_non_cond_mem_around_input",
    "add_all_frames_to_correct_as_cond",
)
_MODEL_CLASSES = ("SAM2Base", "SAM2Train", "SAM2VideoPredictor", "SAM2VideoPredictorVOS")
# What is sent through a compiler, one switch for each part in some forks.
COMPILE_KEY = re.compile(r"compile_\w+\Z")
# Only for `SAM2Train`: how clicks and frames are drawn while training.
_TRAINING_KEY = re.compile(
    r"(prob_to_\w+|(num|rand)_(frames_to_correct|init_cond_frames)_for_(train|eval)|num_correction_pt_per_frame"
    r"|use_act_ckpt_iterative_pt_sampling|forward_backbone_per_frame_for_eval|freeze_image_encoder|rng_seed)\Z"
)
# Fields of `Sam2Config` that stand under the same name at the top of the tree, with what the published class
# takes where the key is missing.
_PLAIN_FIELDS: dict[str, bool | int | float] = {
    "num_maskmem": 7,
    "image_size": 512,
    "sigmoid_scale_for_mem_enc": 1.0,
    "sigmoid_bias_for_mem_enc": 0.0,
    "binarize_mask_from_pts_for_mem_enc": False,
    "use_mask_input_as_output_without_sam": False,
    "max_cond_frames_in_attn": -1,
    "directly_add_no_mem_embed": False,
    "multimask_output_in_sam": False,
    "multimask_min_pt_num": 1,
    "multimask_max_pt_num": 1,
    "multimask_output_for_tracking": False,
    "use_multimask_token_for_obj_ptr": False,
    "iou_prediction_use_sigmoid": False,
    "memory_temporal_stride_for_eval": 1,
    "non_overlap_masks_for_mem_enc": False,
    "use_obj_ptrs_in_encoder": False,
    "max_obj_ptrs_in_encoder": 16,
    "add_tpos_enc_to_obj_ptrs": True,
    "proj_tpos_enc_in_obj_ptrs": False,
    "use_signed_tpos_enc_to_obj_ptrs": False,
    "only_obj_ptrs_in_the_past_for_eval": False,
    "pred_obj_scores": False,
    "pred_obj_scores_mlp": False,
    "fixed_no_obj_ptr": False,
    "soft_no_obj_ptr": False,
    "use_mlp_for_obj_ptr_proj": False,
    "no_obj_embed_spatial": False,
}
_MISSING = object()


@dataclass(frozen=True)
class OfficialConfig:
    """What a YAML file says.

    Attributes:
        config: of the network.
        predictor_options: arguments of `SAM2VideoPredictor` that stand in the file.
        from_yaml: a YAML file was read; then it alone says whether unstable masks are replaced.
    """

    config: Sam2Config
    predictor_options: dict[str, Any] = field(default_factory=dict)
    from_yaml: bool = False


def official_preset(name: str) -> str | None:
    """Return our name of the network that an official YAML name stands for, or None.

    Folders and the suffix do not matter: "configs/sam2.1/sam2.1_hiera_t.yaml", "sam2_hiera_l".
    """
    stem = PurePosixPath(name.replace("\\", "/")).name.removesuffix(".yaml").removesuffix(".yml")
    return OFFICIAL_NAMES.get(stem)


def read_official_yaml(path: str | Path) -> OfficialConfig:
    """Read a file in the published form.

    Args:
        path: a YAML file with the network under `model` or `trainer.model`.

    Raises:
        ModelError: no such file, no YAML, or a key or value that our network does not have; names it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The configuration {path} cannot be read ({error}).") from None
    return parse_official_yaml(text, path.stem)


def parse_official_yaml(text: str, name: str = "custom") -> OfficialConfig:
    """As `read_official_yaml`, from the file's text; `name` is the config's name unless it equals a preset's.

    Raises:
        ModelError: as there.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelError(f"{name}: this is no YAML ({' '.join(str(error).split())}).") from None
    tree = content.get("model") if isinstance(content, Mapping) else None
    where = "model"
    if tree is None and isinstance(content, Mapping) and isinstance(content.get("trainer"), Mapping):
        tree, where = content["trainer"].get("model"), "trainer.model"
    if not isinstance(tree, Mapping):
        raise ModelError(f"{name}: no network is described here; a `model` or `trainer.model` is expected.")
    read = _read_model(_Node(_resolve(tree, content), where, *_MODEL_CLASSES))
    return OfficialConfig(_named(read.config, name), read.predictor_options, from_yaml=True)


def _named(config: Sam2Config, name: str) -> Sam2Config:
    """Call a config by the preset that it equals, else by `name`.

    What the builders set after reading a file is not compared.
    """
    later = {
        key: getattr(config, key)
        for key in (
            "name",
            "binarize_mask_from_pts_for_mem_enc",
            "dynamic_multimask_via_stability",
            "dynamic_multimask_stability_delta",
            "dynamic_multimask_stability_thresh",
        )
    }
    for preset, make in PRESETS.items():
        if replace(make(), **later) == config:
            name = preset
            break
    return replace(config, name=name)


def _resolve(value: Any, root: Any, depth: int = 0) -> Any:
    """Replace `${a.b}` by the file's own value of that key."""
    if isinstance(value, Mapping):
        return {key: _resolve(item, root, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, root, depth) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    match = re.fullmatch(r"\$\{([\w.]+)\}", value)
    found = root
    for key in match[1].split(".") if match and depth < 10 else [""]:
        if not isinstance(found, Mapping) or key not in found:
            raise ModelError(f"{value} cannot be followed: write the value itself in its place.")
        found = found[key]
    return _resolve(found, root, depth + 1)


class _Node:
    """One `_target_` node: hands out its values and notices those that nobody asked for."""

    def __init__(self, values: Any, path: str, *classes: str) -> None:
        if not isinstance(values, Mapping):
            raise ModelError(f"{path}: a block of settings is expected, not {values!r}.")
        self.values = dict(values)
        self.path = path
        target = str(self.values.pop("_target_", ""))
        if classes and target.rpartition(".")[2] not in classes:
            raise ModelError(f"{path}._target_ is {target!r}; known here: {', '.join(classes)}.")

    def take(self, key: str, default: Any = _MISSING) -> Any:
        """A value that our config has a field for."""
        value = self.values.pop(key, default)
        if value is _MISSING:
            raise ModelError(f"{self.path}.{key} is missing.")
        return value

    def number(self, key: str, default: bool | int | float | object = _MISSING) -> Any:
        """A value of the default's type; YAML reads 1e-6 as text, so numbers may be given as text."""
        value = self.take(key, default)
        kind = int if default is _MISSING else type(default)
        try:
            if isinstance(value, bool) != (kind is bool):
                raise ValueError
            converted = kind(value)  # type: ignore[call-arg]
            if converted != float(value):
                raise ValueError
        except (TypeError, ValueError):
            raise ModelError(f"{self.path}.{key} is {value!r}; expected: {kind.__name__}.") from None
        return converted

    def sizes(self, key: str, count: int | None, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self.take(key, default)
        whole = isinstance(value, list | tuple) and all(type(item) is int for item in value)
        if not whole or (count is not None and len(value) != count):
            many = "whole numbers" if count is None else f"{count} whole numbers"
            raise ModelError(f"{self.path}.{key} is {value!r}; expected: a list of {many}.")
        return tuple(value)

    def fixed(self, key: str, only: Any, default: Any = _MISSING) -> None:
        """A value that our network has built in."""
        value = self.take(key, only if default is _MISSING else default)
        same = list(value) == list(only) if isinstance(value, list | tuple) else value == only
        if isinstance(value, str) and isinstance(only, float):
            same = _as_float(value) == only
        if not same:
            raise ModelError(
                f"{self.path}.{key} is {value!r}: that would be another function; this network has {only!r}."
            )

    def child(self, key: str, *classes: str) -> _Node:
        """A block inside this one."""
        return _Node(self.take(key), f"{self.path}.{key}", *classes)

    def skip(self, *keys: str) -> None:
        """Values that do not change what a trained network computes."""
        for key in keys:
            self.values.pop(key, None)

    def close(self) -> None:
        """Refuse what nobody asked for."""
        if self.values:
            unknown = ", ".join(f"{self.path}.{key}" for key in self.values)
            raise ModelError(f"Unknown settings, which might change the function: {unknown}.")


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read_model(node: _Node) -> OfficialConfig:
    fields: dict[str, Any] = {key: node.number(key, default) for key, default in _PLAIN_FIELDS.items()}
    fields |= _read_memory_attention(node.child("memory_attention", "MemoryAttention"))
    hidden = fields["hidden_dim"]
    fields |= _read_memory_encoder(node.child("memory_encoder", "MemoryEncoder"), hidden)
    fields |= _read_image_encoder(node.child("image_encoder", "ImageEncoder"), hidden)
    cross_width = fields.pop("kv_in_dim")
    if cross_width != fields["mem_dim"]:
        raise ModelError(
            f"{node.path}.memory_attention.layer.cross_attention.kv_in_dim is {cross_width}, "
            f"but memories have {fields['mem_dim']} channels (memory_encoder.out_dim)."
        )
    fields |= _read_decoder_options(node)
    node.fixed("backbone_stride", 16)
    node.fixed("use_high_res_features_in_sam", True, default=False)
    node.skip("clear_non_cond_mem_for_multi_obj", *(key for key in node.values if COMPILE_KEY.match(key)))
    options = {key: node.take(key) for key in PREDICTOR_KEYS if key in node.values}
    node.skip(*(key for key in list(node.values) if _TRAINING_KEY.match(key)))
    node.close()
    return OfficialConfig(Sam2Config(**fields), options)


def _read_decoder_options(model: _Node) -> dict[str, Any]:
    """What the builders add to the mask decoder; absent means off."""
    extra = model.take("sam_mask_decoder_extra_args", None)
    node = _Node({} if extra is None else extra, f"{model.path}.sam_mask_decoder_extra_args")
    fields = {
        "dynamic_multimask_via_stability": node.number("dynamic_multimask_via_stability", False),
        "dynamic_multimask_stability_delta": node.number("dynamic_multimask_stability_delta", 0.05),
        "dynamic_multimask_stability_thresh": node.number("dynamic_multimask_stability_thresh", 0.98),
    }
    node.close()
    return fields


def _read_image_encoder(node: _Node, hidden: int) -> dict[str, Any]:
    node.fixed("scalp", 1, default=0)
    trunk = node.child("trunk", "Hiera")
    fields = {
        "embed_dim": trunk.number("embed_dim", 96),
        "num_heads": trunk.number("num_heads", 1),
        "stages": trunk.sizes("stages", 4, (2, 3, 16, 3)),
        "global_att_blocks": trunk.sizes("global_att_blocks", None, (12, 16, 20)),
        "window_spec": trunk.sizes("window_spec", 4, (8, 4, 14, 7)),
        "window_pos_embed_size": trunk.sizes("window_pos_embed_bkg_spatial_size", 2, (14, 14)),
        "drop_path_rate": trunk.number("drop_path_rate", 0.0),
    }
    for key, only in (("q_pool", 3), ("q_stride", (2, 2)), ("dim_mul", 2.0), ("head_mul", 2.0)):
        trunk.fixed(key, only)
    trunk.fixed("return_interm_layers", True)
    trunk.skip("weights_path")
    trunk.close()

    neck = node.child("neck", "FpnNeck")
    _read_sine(neck.child("position_encoding", "PositionEmbeddingSine"), hidden)
    neck.fixed("d_model", hidden)
    neck.fixed("backbone_channel_list", [fields["embed_dim"] * 2**i for i in (3, 2, 1, 0)])
    neck.fixed("fpn_top_down_levels", [2, 3], default=[0, 1, 2, 3])
    neck.fixed("fpn_interp_model", "nearest", default="bilinear")
    for key, number in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
        neck.fixed(key, number)
    neck.fixed("fuse_type", "sum")
    neck.close()
    node.close()
    return fields


def _read_sine(node: _Node, channels: int) -> None:
    node.fixed("num_pos_feats", channels)
    node.fixed("normalize", True)
    node.fixed("scale", None)
    node.fixed("temperature", 10000)
    node.skip("warmup_cache", "image_size", "strides")
    node.close()


def _read_memory_attention(node: _Node) -> dict[str, Any]:
    hidden = node.number("d_model")
    node.fixed("pos_enc_at_input", True, default=None)
    node.fixed("batch_first", True)
    layer = node.child("layer", "MemoryAttentionLayer")
    fields = {
        "hidden_dim": hidden,
        "memory_attention_layers": node.number("num_layers"),
        "memory_attention_mlp_dim": layer.number("dim_feedforward"),
    }
    layer.fixed("d_model", hidden)
    layer.fixed("activation", "relu", default=None)
    layer.fixed("pos_enc_at_attn", False, default=None)
    layer.fixed("pos_enc_at_cross_attn_keys", True, default=None)
    layer.fixed("pos_enc_at_cross_attn_queries", False, default=None)
    layer.skip("dropout")
    for key in ("self_attention", "cross_attention"):
        attention = layer.child(key, "RoPEAttention")
        attention.fixed("rope_theta", 10000.0)
        attention.fixed("embedding_dim", hidden)
        attention.fixed("num_heads", 1, default=None)
        attention.fixed("downsample_rate", 1)
        # The grid is that of the features; the size written in the file is only prepared in advance.
        attention.skip("dropout", "feat_sizes")
        if key == "cross_attention":
            attention.fixed("rope_k_repeat", True, default=False)
            fields["kv_in_dim"] = attention.number("kv_in_dim", hidden)
        else:
            attention.skip("rope_k_repeat")  # keys are as many as queries there
            attention.fixed("kv_in_dim", hidden)
        attention.close()
    layer.close()
    node.close()
    return fields


def _read_memory_encoder(node: _Node, hidden: int) -> dict[str, Any]:
    mem_dim = node.number("out_dim")
    node.fixed("in_dim", hidden, default=256)
    _read_sine(node.child("position_encoding", "PositionEmbeddingSine"), mem_dim)
    down = node.child("mask_downsampler", "MaskDownSampler")
    down.fixed("embed_dim", hidden, default=256)
    for key, only, default in (("kernel_size", 3, 4), ("stride", 2, 4), ("padding", 1, 0)):
        down.fixed(key, only, default=default)
    down.fixed("total_stride", 16)
    down.close()
    fuser = node.child("fuser", "Fuser")
    block = fuser.child("layer", "CXBlock")
    block.fixed("dim", hidden)
    block.fixed("kernel_size", 7)
    block.fixed("padding", 3)
    block.fixed("use_dwconv", True)
    block.skip("layer_scale_init_value", "drop_path")
    block.close()
    layers = fuser.number("num_layers")
    fuser.fixed("dim", None)
    fuser.fixed("input_projection", False)
    fuser.close()
    node.close()
    return {"mem_dim": mem_dim, "fuser_layers": layers}
