"""Published YAML files: trees written here from the published facts, one for each size and version."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocusam.core.errors import ModelError
from ocusam.model.config import get_config
from ocusam.tracking.official_yaml import (
    OFFICIAL_NAMES,
    official_preset,
    parse_official_yaml,
    read_official_yaml,
)

TRUNKS: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "num_heads": 1, "stages": [1, 2, 7, 2], "global_att_blocks": [5, 7, 9]},
    "small": {"embed_dim": 96, "num_heads": 1, "stages": [1, 2, 11, 2], "global_att_blocks": [7, 10, 13]},
    "base_plus": {"embed_dim": 112, "num_heads": 2},  # everything else is the class's own default
    "large": {"embed_dim": 144, "num_heads": 2, "stages": [2, 6, 36, 4], "global_att_blocks": [23, 33, 43]},
}
TRUNKS["large"]["window_spec"] = [8, 4, 16, 8]
for _size in ("tiny", "small", "large"):
    TRUNKS[_size]["window_pos_embed_bkg_spatial_size"] = [7, 7]


def sine(channels: int) -> dict[str, Any]:
    return {
        "_target_": "sam2.modeling.position_encoding.PositionEmbeddingSine",
        "num_pos_feats": channels,
        "normalize": True,
        "scale": None,
        "temperature": 10000,
    }


def attention(**more: Any) -> dict[str, Any]:
    return {
        "_target_": "sam2.modeling.sam.transformer.RoPEAttention",
        "rope_theta": 10000.0,
        "feat_sizes": [64, 64],
        "embedding_dim": 256,
        "num_heads": 1,
        "downsample_rate": 1,
        "dropout": 0.1,
        **more,
    }


def official_tree(size: str, *, version_2_1: bool) -> dict[str, Any]:
    width = TRUNKS[size]["embed_dim"]
    model: dict[str, Any] = {
        "_target_": "sam2.modeling.sam2_base.SAM2Base",
        "image_encoder": {
            "_target_": "sam2.modeling.backbones.image_encoder.ImageEncoder",
            "scalp": 1,
            "trunk": {"_target_": "sam2.modeling.backbones.hieradet.Hiera", **TRUNKS[size]},
            "neck": {
                "_target_": "sam2.modeling.backbones.image_encoder.FpnNeck",
                "position_encoding": sine(256),
                "d_model": 256,
                "backbone_channel_list": [width * 8, width * 4, width * 2, width],
                "fpn_top_down_levels": [2, 3],
                "fpn_interp_model": "nearest",
            },
        },
        "memory_attention": {
            "_target_": "sam2.modeling.memory_attention.MemoryAttention",
            "d_model": 256,
            "pos_enc_at_input": True,
            "layer": {
                "_target_": "sam2.modeling.memory_attention.MemoryAttentionLayer",
                "activation": "relu",
                "dim_feedforward": 2048,
                "dropout": 0.1,
                "pos_enc_at_attn": False,
                "self_attention": attention(),
                "d_model": 256,
                "pos_enc_at_cross_attn_keys": True,
                "pos_enc_at_cross_attn_queries": False,
                "cross_attention": attention(rope_k_repeat=True, kv_in_dim=64),
            },
            "num_layers": 4,
        },
        "memory_encoder": {
            "_target_": "sam2.modeling.memory_encoder.MemoryEncoder",
            "out_dim": 64,
            "position_encoding": sine(64),
            "mask_downsampler": {
                "_target_": "sam2.modeling.memory_encoder.MaskDownSampler",
                "kernel_size": 3,
                "stride": 2,
                "padding": 1,
            },
            "fuser": {
                "_target_": "sam2.modeling.memory_encoder.Fuser",
                "layer": {
                    "_target_": "sam2.modeling.memory_encoder.CXBlock",
                    "dim": 256,
                    "kernel_size": 7,
                    "padding": 3,
                    "layer_scale_init_value": "1e-6",  # as PyYAML reads it
                    "use_dwconv": True,
                },
                "num_layers": 2,
            },
        },
        "num_maskmem": 7,
        "image_size": 1024,
        "sigmoid_scale_for_mem_enc": 20.0,
        "sigmoid_bias_for_mem_enc": -10.0,
        "multimask_min_pt_num": 0,
        "multimask_max_pt_num": 1,
        "add_tpos_enc_to_obj_ptrs": version_2_1,
        "compile_image_encoder": False,
    }
    switched_on = ["use_mask_input_as_output_without_sam", "directly_add_no_mem_embed"]
    switched_on += ["use_high_res_features_in_sam", "multimask_output_in_sam", "iou_prediction_use_sigmoid"]
    switched_on += ["use_obj_ptrs_in_encoder", "only_obj_ptrs_in_the_past_for_eval", "pred_obj_scores"]
    switched_on += ["pred_obj_scores_mlp", "fixed_no_obj_ptr", "multimask_output_for_tracking"]
    switched_on += ["use_multimask_token_for_obj_ptr", "use_mlp_for_obj_ptr_proj"]
    if version_2_1:
        switched_on += [
            "no_obj_embed_spatial",
            "proj_tpos_enc_in_obj_ptrs",
            "use_signed_tpos_enc_to_obj_ptrs",
        ]
    return {"model": model | dict.fromkeys(switched_on, True)}


def text_of(tree: dict[str, Any]) -> str:
    return "# @package _global_\n\n" + yaml.safe_dump(tree, sort_keys=False)


@pytest.mark.parametrize("version", ["", ".1"])
@pytest.mark.parametrize("size", list(TRUNKS))
def test_each_official_tree_is_its_preset(size: str, version: str) -> None:
    read = parse_official_yaml(text_of(official_tree(size, version_2_1=bool(version))), "file")
    # The file leaves the fallback of unstable masks off; the builders switch it on.
    assert read.config == get_config(f"sam2{version}_hiera_{size}", dynamic_multimask_via_stability=False)
    assert read.predictor_options == {}


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("configs/sam2.1/sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny"),
        ("configs/sam2/sam2_hiera_b+.yaml", "sam2_hiera_base_plus"),
        ("sam2_hiera_l.yaml", "sam2_hiera_large"),
        ("sam2.1_hiera_s", "sam2.1_hiera_small"),
    ],
)
def test_names_of_official_files(name: str, preset: str) -> None:
    assert official_preset(name) == preset
    assert set(OFFICIAL_NAMES.values()) == {f"sam2{v}_hiera_{s}" for v in ("", ".1") for s in TRUNKS}
    assert official_preset("my_hiera_t.yaml") is None


def changed(path: str, value: Any) -> str:
    """The 2.1 tiny tree with one value set, or removed where `value` is None."""
    tree = copy.deepcopy(official_tree("tiny", version_2_1=True))
    *folders, last = path.split(".")
    node = tree["model"]
    for key in folders:
        node = node.setdefault(key, {})
    node.pop(last, None)
    if value is not None:
        node[last] = value
    return text_of(tree)


@pytest.mark.parametrize(
    ("path", "value", "field", "expected"),
    [
        ("image_size", 512, "image_size", 512),
        ("image_encoder.trunk.drop_path_rate", 0.1, "drop_path_rate", 0.1),
        ("image_encoder.trunk.drop_path_rate", "1e-1", "drop_path_rate", 0.1),
        ("max_cond_frames_in_attn", 4, "max_cond_frames_in_attn", 4),
        ("memory_attention.num_layers", 2, "memory_attention_layers", 2),
        ("memory_encoder.fuser.num_layers", 1, "fuser_layers", 1),
        ("binarize_mask_from_pts_for_mem_enc", True, "binarize_mask_from_pts_for_mem_enc", True),
        ("sam_mask_decoder_extra_args.dynamic_multimask_stability_delta", 0.1,
         "dynamic_multimask_stability_delta", 0.1),
        # A key that is missing means the published class's default, not the published file's value.
        ("sigmoid_bias_for_mem_enc", None, "sigmoid_bias_for_mem_enc", 0.0),
        ("image_size", None, "image_size", 512),
        ("multimask_min_pt_num", None, "multimask_min_pt_num", 1),
        # Parts that a port for live streams compiles.
        ("compile_memory_attention", True, "image_size", 1024),
    ],
)  # fmt: skip
def test_edited_files(path: str, value: Any, field: str, expected: Any) -> None:
    read = parse_official_yaml(changed(path, value), "mine")
    preset = get_config("sam2.1_hiera_tiny", dynamic_multimask_via_stability=False)
    assert replace(read.config, name=preset.name) == replace(preset, **{field: expected})
    assert read.config.name == (
        "sam2.1_hiera_tiny" if any(w in path for w in ("multimask_stab", "binar", "compile")) else "mine"
    )


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("image_encoder.trunk.q_pool", 2, "model.image_encoder.trunk.q_pool"),
        ("image_encoder.neck.fpn_interp_model", "bilinear", "fpn_interp_model"),
        ("image_encoder.neck.fpn_interp_model", None, "fpn_interp_model"),
        ("image_encoder.neck.backbone_channel_list", [1, 2, 3, 4], "backbone_channel_list"),
        ("image_encoder.trunk._target_", "my.package.ConvNext", "ConvNext"),
        ("memory_attention.layer.activation", "gelu", "model.memory_attention.layer.activation"),
        ("memory_attention.layer.cross_attention.rope_k_repeat", None, "rope_k_repeat"),
        ("memory_attention.layer.cross_attention.kv_in_dim", 32, "kv_in_dim"),
        ("memory_attention.layer.self_attention.rope_theta", 500.0, "rope_theta"),
        ("memory_attention.d_model", None, "model.memory_attention.d_model is missing"),
        ("memory_encoder.mask_downsampler.kernel_size", None, "kernel_size"),
        ("use_high_res_features_in_sam", False, "use_high_res_features_in_sam"),
        ("num_maskmem", "seven", "model.num_maskmem is 'seven'"),
        ("num_maskmem", True, "model.num_maskmem is True"),
        ("pred_obj_scores", "yes please", "model.pred_obj_scores"),
        ("image_encoder.trunk.stages", [1, 2, 7], "4 whole numbers"),
        ("brand_new_switch", True, "model.brand_new_switch"),
        ("sam_mask_decoder_extra_args.iou_head_depth", 5, "iou_head_depth"),
        ("image_size", "${nowhere.size}", r"\$\{nowhere.size\}"),
        ("image_size", "${times:2,512}", "cannot be followed"),
        ("image_size", 1000, "multiple of 32"),
    ],
)
def test_what_would_be_another_function_is_refused_by_name(path: str, value: Any, named: str) -> None:
    with pytest.raises(ModelError, match=named):
        parse_official_yaml(changed(path, value))


def test_a_training_file() -> None:
    model = official_tree("base_plus", version_2_1=True)["model"]
    model["_target_"] = "training.model.sam2.SAM2Train"
    model["image_size"] = "${scratch.resolution}"
    model["image_encoder"]["trunk"]["drop_path_rate"] = 0.1
    for key in ("self_attention", "cross_attention"):
        model["memory_attention"]["layer"][key]["feat_sizes"] = [32, 32]
    model |= {"prob_to_use_pt_input_for_train": 0.5, "num_init_cond_frames_for_eval": 1}
    model |= {"forward_backbone_per_frame_for_eval": True, "add_all_frames_to_correct_as_cond": True}
    tree = {"scratch": {"resolution": 1024}, "trainer": {"model": model, "max_epochs": "${times:40,1}"}}
    read = parse_official_yaml(text_of(tree), "finetune")
    preset = get_config("sam2.1_hiera_base_plus", dynamic_multimask_via_stability=False, drop_path_rate=0.1)
    assert read.config == replace(preset, name="finetune")
    assert read.predictor_options == {"add_all_frames_to_correct_as_cond": True}


@pytest.mark.parametrize("text", ["", "- 1", "model: 3", "a: [", "model: {a: b: c}", "other: {}"])
def test_texts_that_describe_no_network(text: str) -> None:
    with pytest.raises(ModelError):
        parse_official_yaml(text, "broken")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "edited.yaml"
    path.write_text(changed("image_size", 256))
    config = read_official_yaml(path).config
    assert (config.name, config.image_size) == ("edited", 256)
    with pytest.raises(ModelError, match=r"none\.yaml"):
        read_official_yaml(tmp_path / "none.yaml")
