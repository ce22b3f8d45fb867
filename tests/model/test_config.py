"""Configs: names, overrides and their refusals."""

import pytest

from ocusam.core.errors import ModelError
from ocusam.model.config import PRESETS, Sam2Config, get_config


def test_every_published_model_and_nano_has_a_preset() -> None:
    official = {f"sam2{v}_hiera_{s}" for v in ("", ".1") for s in ("tiny", "small", "base_plus", "large")}
    assert official | {"nano"} <= set(PRESETS)
    for name in PRESETS:
        assert get_config(name).name == name


def test_versions_differ_only_in_the_four_flags() -> None:
    old, new = get_config("sam2_hiera_large"), get_config("sam2.1_hiera_large")
    changed = {k for k in vars(old) if getattr(old, k) != getattr(new, k)} - {"name"}
    assert changed == {
        "no_obj_embed_spatial",
        "add_tpos_enc_to_obj_ptrs",
        "proj_tpos_enc_in_obj_ptrs",
        "use_signed_tpos_enc_to_obj_ptrs",
    }


def test_override_replaces_one_field_of_a_copy() -> None:
    assert get_config("nano", image_size=512).image_size == 512
    assert get_config("nano").image_size == 256
    assert get_config(Sam2Config(embed_dim=16), num_heads=2).embed_dim == 16


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        ("sam3", {}, "nano"),
        ("nano", {"imagesize": 512}, "image_size"),
        ("nano", {"image_size": 500}, "multiple of 32"),
        ("nano", {"mem_dim": 48}, "divide"),
        ("nano", {"max_cond_frames_in_attn": 1}, "at least 2"),
    ],
)
def test_a_wrong_config_is_refused_with_a_way_out(config: str, options: dict[str, int], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        get_config(config, **options)
