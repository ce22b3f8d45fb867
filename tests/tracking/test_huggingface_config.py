import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocusam.core.errors import ModelError
from ocusam.model.config import PRESETS, get_config
from ocusam.tracking.huggingface_config import (
    from_huggingface_config,
    read_huggingface_config,
    to_huggingface_config,
)


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("miniature", "nano")])
def test_there_and_back(name: str) -> None:
    values = json.loads(json.dumps(to_huggingface_config(get_config(name))))
    back = from_huggingface_config(values)
    assert replace(back, binarize_mask_from_pts_for_mem_enc=True) == replace(
        get_config(name), binarize_mask_from_pts_for_mem_enc=True
    )


def test_an_empty_file_is_the_default_of_transformers() -> None:
    assert from_huggingface_config({"model_type": "sam2_video"}) == get_config("sam2.1_hiera_tiny")


@pytest.mark.parametrize("name", ["sam2_hiera_large", "sam2.1_hiera_base_plus"])
def test_transformers_makes_the_same_network_of_it(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from ocusam.model.build import make_network
    from ocusam.weights.huggingface import to_huggingface

    with torch.device("meta"):
        theirs = transformers.Sam2VideoModel(
            transformers.Sam2VideoConfig(**to_huggingface_config(get_config(name)))
        )
    ours = to_huggingface(make_network(name, device="meta").state_dict())
    assert {key: tuple(t.shape) for key, t in theirs.state_dict().items()} == {
        key: tuple(t.shape) for key, t in ours.items()
    }
    assert from_huggingface_config(theirs.config.to_dict()) == from_huggingface_config(
        to_huggingface_config(get_config(name))
    )


def test_a_trunk_that_transformers_lacks_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'nano'.*Hiera alone"):
        to_huggingface_config(get_config("nano"))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"model_type": "sam3"}, "sam3"),
        ({}, "None"),
        ({"model_type": "sam2_video", "mask_downsampler_kernel_size": 4}, "mask_downsampler_kernel_size"),
        ({"model_type": "sam2_video", "image_size": "big"}, "image_size is 'big'"),
        ({"model_type": "sam2_video", "image_size": True}, "image_size is True"),
        ({"model_type": "sam2_video", "memory_attention_hidden_size": 128}, "hidden_size is 256|another"),
        ({"model_type": "sam2_video", "vision_config": {"backbone_config": {"mlp_ratio": 2.0}}}, "mlp_ratio"),
        ({"model_type": "sam2_video", "vision_config": {"fpn_hidden_size": 128}}, "fpn_hidden_size"),
    ],
)
def test_other_networks_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    if "memory_attention_hidden_size" in values:
        values = values | {"prompt_encoder_config": {"hidden_size": 256}}
    with pytest.raises(ModelError, match=named):
        from_huggingface_config(values)


def test_what_their_file_cannot_say_is_an_error() -> None:
    config = get_config("sam2.1_hiera_tiny", soft_no_obj_ptr=True)
    with pytest.raises(ModelError, match="soft_no_obj_ptr"):
        to_huggingface_config(config)
    with pytest.raises(ModelError, match="mem_dim"):
        to_huggingface_config(get_config("miniature"))


def test_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        read_huggingface_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        read_huggingface_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam2_video", "num_maskmem": 5}))
    config = read_huggingface_config(tmp_path)
    assert (config.num_maskmem, config.name) == (5, tmp_path.name)
