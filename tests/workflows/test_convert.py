"""Weights between three forms, on the miniature network and on one of nano's size."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from ocusam.cli.main import app
from ocusam.core.errors import ModelError, OutputError, WeightsError
from ocusam.model.build import make_network
from ocusam.tracking.build import build_sam2
from ocusam.weights.checkpoint import load_state, read_metadata, save_state
from ocusam.weights.formats import save_weights
from ocusam.weights.huggingface import is_huggingface
from ocusam.workflows.convert import convert

runner = CliRunner()

# transformers can express the widths of nano, not those of the miniature; and no trunk but Hiera.
WITH_HIERA = {
    "trunk": "hiera", "names_parts": False, "image_size": 64, "embed_dim": 8, "stages": (1, 1, 2, 1),
    "global_att_blocks": (3,), "window_spec": (4, 4, 4, 2), "window_pos_embed_size": (4, 4),
}  # fmt: skip


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return make_network("miniature").state_dict()


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_round_trip_through_every_form(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_state(tmp_path / "a.pt", state)
    assert convert(tmp_path / "a.pt", tmp_path / "b.safetensors", "safetensors").name == "miniature"
    convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors", "huggingface")
    assert is_huggingface(load_state(tmp_path / "c.safetensors"))
    assert read_metadata(tmp_path / "c.safetensors") == {"format": "pt"}
    done = convert(tmp_path / "c.safetensors", tmp_path / "d.pt", "official")
    assert (done.files, done.num_tensors) == ([tmp_path / "d.pt"], len(state))
    assert same(load_state(tmp_path / "d.pt"), state)
    assert set(torch.load(tmp_path / "d.pt", weights_only=True)) == {"model"}


def test_a_folder_for_transformers_loads_here_and_there(tmp_path: Path) -> None:
    torch.manual_seed(1)
    yaml_free = make_network("nano", **WITH_HIERA)
    save_state(tmp_path / "a.safetensors", yaml_free.state_dict())
    done = convert(tmp_path / "a.safetensors", tmp_path / "hf", "huggingface", yaml_free.config)
    assert [path.name for path in done.files] == ["model.safetensors", "config.json"]

    back = build_sam2(tmp_path / "hf", tmp_path / "hf")
    assert same(back.state_dict(), yaml_free.state_dict())
    assert (back.config.image_size, back.config.name) == (64, "hf")
    assert convert(tmp_path / "hf", tmp_path / "again.pt", "official").num_tensors == done.num_tensors

    transformers = pytest.importorskip("transformers")
    theirs = transformers.Sam2VideoModel.from_pretrained(tmp_path / "hf")
    assert same(
        dict(theirs.state_dict()), load_state(tmp_path / "hf" / "model.safetensors")
    )  # every tensor is there, and unchanged


def test_refusals(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_state(tmp_path / "a.pt", state)
    for target, form, word in (("b.pt", "onnx", "onnx"), ("b.bin", "official", r"\.pt")):
        with pytest.raises(OutputError, match=word):
            convert(tmp_path / "a.pt", tmp_path / target, form)
    with pytest.raises(OutputError, match="exists already"):
        convert(tmp_path / "a.pt", tmp_path / "a.pt", "official")
    with pytest.raises(OutputError, match="onnx"):
        save_weights(tmp_path / "b.pt", state, "onnx")
    with pytest.raises(WeightsError, match="does not fit"):
        convert(tmp_path / "a.pt", tmp_path / "b.pt", "official", "nano")
    save_state(tmp_path / "part.pt", {key: state[key] for key in list(state)[:5]})
    with pytest.raises(WeightsError, match="--model"):
        convert(tmp_path / "part.pt", tmp_path / "b.pt", "official")
    assert not (tmp_path / "b.pt").exists()


def test_the_command(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_state(tmp_path / "a.pt", state)
    result = runner.invoke(app, ["convert", str(tmp_path / "a.pt"), str(tmp_path / "b.safetensors")])
    assert result.exit_code == 0 and "miniature" in result.output
    assert same(load_state(tmp_path / "b.safetensors"), state)
    result = runner.invoke(app, ["convert", str(tmp_path / "a.pt"), str(tmp_path / "b"), "-f", "huggingface"])
    assert result.exit_code == 2 and "mem_dim" in result.output  # transformers cannot express the miniature
    assert not (tmp_path / "b").exists()


def test_a_config_of_transformers_is_valid_json_with_the_sizes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = make_network("nano", **WITH_HIERA)
    save_state(tmp_path / "a.safetensors", network.state_dict())
    done = convert(tmp_path / "a.safetensors", tmp_path / "hf", "huggingface", network.config)
    assert done.name == "nano"
    values = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert values["image_size"] == 64 and values["vision_config"]["fpn_hidden_size"] == 128


def test_nano_converts_but_not_for_transformers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = make_network("nano").state_dict()
    save_state(tmp_path / "a.safetensors", state)
    assert convert(tmp_path / "a.safetensors", tmp_path / "b.pt", "official").name == "nano"
    assert same(load_state(tmp_path / "b.pt"), state)
    for target in ("hf", "c.safetensors"):
        with pytest.raises(ModelError, match="Hiera alone"):
            convert(tmp_path / "a.safetensors", tmp_path / target, "huggingface")
        assert not (tmp_path / target).exists()
