import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ocusam.core.errors import ModelError, WeightsError
from ocusam.model.build import make_network
from ocusam.model.config import PRESETS, get_config, miniature
from ocusam.model.sam2 import SAM2
from ocusam.tracking import build
from ocusam.tracking.build import (
    build_sam2,
    build_sam2_camera_predictor,
    build_sam2_video_predictor,
    load_weights,
)
from ocusam.weights import registry
from ocusam.weights.checkpoint import save_state
from ocusam.weights.hub import PUBLISHED


def test_weights_are_loaded_from_either_form(network, tmp_path: Path):
    for name in ("w.pt", "w.safetensors"):
        save_state(tmp_path / name, network.state_dict())
        loaded = build_sam2("miniature", tmp_path / name).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in network.state_dict().items())


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_checkpoint_of_every_model_loads_strictly(name: str, tmp_path: Path) -> None:
    """As `.pt` in both forms. One number stands for a whole tensor, so the files are small, and the network
    is on PyTorch's meta device; that these names and shapes are the published ones is tested in tests/model.
    """
    network = make_network(name, device="meta")
    state = {key: torch.zeros(1).expand(t.shape) for key, t in network.state_dict().items()}
    for content in ({"model": state}, state):
        torch.save(content, tmp_path / "w.pt")
        assert (tmp_path / "w.pt").stat().st_size < 1_000_000
        load_weights(network, tmp_path / "w.pt")
    torch.save({key: t for key, t in state.items() if key != "no_mem_embed"}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="no_mem_embed is missing"):
        load_weights(network, tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "held"), [("sam2_hiera_tiny", "sam2.1_hiera_tiny"), ("sam2.1_hiera_large", "sam2.1_hiera_small")]
)
def test_a_checkpoint_of_another_published_model_is_called_by_its_name(
    name: str, held: str, tmp_path: Path
) -> None:
    """The commonest mistake of all: the file of one version or size, the name of another."""
    state = make_network(held, device="meta").state_dict()
    torch.save(
        {"model": {key: torch.zeros(1).expand(t.shape) for key, t in state.items()}}, tmp_path / "w.pt"
    )
    with pytest.raises(WeightsError, match=re.escape(f"fit '{name}': its weights are those of '{held}'")):
        load_weights(make_network(name, device="meta"), tmp_path / "w.pt")


def test_postprocessing_sets_what_the_published_builders_set():
    plain = build_sam2_video_predictor("miniature", apply_postprocessing=False)
    assert not plain.model.config.dynamic_multimask_via_stability
    assert not plain.model.config.binarize_mask_from_pts_for_mem_enc
    assert plain.fill_hole_area == 0
    usual = build_sam2_video_predictor("miniature")
    assert usual.model.config.dynamic_multimask_via_stability
    assert usual.model.config.binarize_mask_from_pts_for_mem_enc
    assert usual.fill_hole_area == 8
    assert not build_sam2("miniature").config.binarize_mask_from_pts_for_mem_enc
    assert not build_sam2("miniature").training and build_sam2("miniature", mode="train").training


def test_options_go_where_they_belong():
    predictor = build_sam2_video_predictor(
        miniature(),
        image_size=96,
        fill_hole_area=3,
        non_overlap_masks=True,
        memory_window=None,
        binarize_mask_from_pts_for_mem_enc=False,
    )
    assert predictor.image_size == 96 and predictor.fill_hole_area == 3 and predictor.non_overlap_masks
    assert predictor.memory_window is None and not predictor.model.config.binarize_mask_from_pts_for_mem_enc
    assert build_sam2("miniature", dtype=torch.bfloat16).dtype == torch.bfloat16


def test_calls_written_for_the_published_builders(monkeypatch):
    predictor = build_sam2_video_predictor(
        config_file="miniature",
        ckpt_path=None,
        device="cpu",
        mode="eval",
        hydra_overrides_extra=[
            "++model.non_overlap_masks=true",
            "model.max_cond_frames_in_attn=4",
            "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.9",
            "++model.fill_hole_area=0",
        ],
        apply_postprocessing=True,
        vos_optimized=False,
    )
    config = predictor.model.config
    assert predictor.non_overlap_masks and predictor.fill_hole_area == 0
    assert config.max_cond_frames_in_attn == 4 and config.dynamic_multimask_stability_thresh == 0.9
    image = build_sam2(config_file="miniature", hydra_overrides_extra=["++model.image_size=96"])
    assert image.config.image_size == 96
    assert build_sam2("miniature", None, "cpu", "train", ["++model.image_size=96"], False).training
    with pytest.raises(TypeError, match="at most 7"):
        build_sam2("miniature", None, "cpu", "eval", [], True, False, 1)
    sent: list[SAM2] = []
    monkeypatch.setattr(build, "compile_network", lambda network: sent.append(network) or network)
    assert build_sam2_camera_predictor("miniature", vos_optimized=True).predictor.model is sent[0]


@pytest.mark.parametrize(
    "override",
    ["++model.image_encoder.trunk.q_pool=2", "++model.nothing=1", "scratch=3", "++model.image_size"],
)
def test_an_override_that_is_not_known_is_named(override: str) -> None:
    with pytest.raises(ModelError, match=re.escape(repr(override))):
        build_sam2("miniature", hydra_overrides_extra=["++model.image_size=96", override])


def test_published_yaml_names():
    config = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", device="meta").config
    assert (config.name, config.image_size) == ("sam2.1_hiera_tiny", 1024)


def test_names_of_files_of_well_known_ports():
    """Of the port for streams, and of SAMURAI, whose files say something else under published names."""
    config = build_sam2("configs/sam2.1/sam2.1_hiera_t_512.yaml", device="meta").config
    assert (config.name, config.image_size) == ("sam2.1_hiera_tiny", 512)
    with pytest.raises(ModelError, match=r"SAMURAI .* network is 'sam2\.1_hiera_small'"):
        build_sam2_camera_predictor("configs/samurai/sam2.1_hiera_s.yaml", device="meta")
    with pytest.raises(ModelError, match="no such file"):
        build_sam2("configs/my_hiera_t_512.yaml")


def test_switches_of_a_compiler_change_no_function():
    plain = build_sam2("miniature").config
    switches = ["++model.compile_image_encoder=true", "++model.compile_memory_attention=True"]
    assert build_sam2("miniature", hydra_overrides_extra=switches).config == plain


@pytest.mark.parametrize("wrapper", ["module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_what_a_wrapper_put_before_names_is_taken_off(network: SAM2, tmp_path: Path, wrapper: str) -> None:
    state = network.state_dict()
    torch.save({"state_dict": {wrapper + name: t for name, t in state.items()}}, tmp_path / "w.ckpt")
    loaded = build_sam2("miniature", tmp_path / "w.ckpt").state_dict()
    assert all(torch.equal(loaded[name], t) for name, t in state.items())
    mixed = {(wrapper if i else "") + name: t for i, (name, t) in enumerate(state.items())}
    torch.save(mixed, tmp_path / "w.ckpt")
    with pytest.raises(WeightsError, match="is missing"):
        build_sam2("miniature", tmp_path / "w.ckpt")


def test_random_weights_of_a_published_network_are_announced(
    network: SAM2, tmp_path: Path, monkeypatch
) -> None:
    save_state(tmp_path / "w.pt", network.state_dict())
    monkeypatch.setitem(PRESETS, "sam2.1_hiera_tiny", lambda: replace(miniature(), name="sam2.1_hiera_tiny"))
    for build_it in (build_sam2, build_sam2_video_predictor, build_sam2_camera_predictor):
        with pytest.warns(UserWarning, match=r"random weights.*from_pretrained\('sam2\.1_hiera_tiny'\)"):
            build_it("configs/sam2.1/sam2.1_hiera_t.yaml")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            build_it("sam2.1_hiera_tiny", tmp_path / "w.pt")
            build_it("miniature")


def test_nano_has_packaged_weights_or_says_that_they_are_missing(monkeypatch):
    monkeypatch.setitem(registry.PACKAGED, "nano", "absent.safetensors")
    with pytest.raises(WeightsError, match="nano"):
        build_sam2("nano")
    assert build_sam2(get_config("nano")).config.name == "nano"  # a config, not the name: random weights


def test_refusals(network, tmp_path: Path):
    with pytest.raises(ModelError, match=r"Unknown model 'huge'.*sam2\.1_hiera_tiny"):
        build_sam2("huge")
    with pytest.raises(ModelError, match="fill_holes"):
        build_sam2_video_predictor("miniature", fill_holes=3)
    with pytest.raises(ModelError, match="multiple of 32"):
        build_sam2("miniature", image_size=100)
    with pytest.raises(ModelError, match="'eval' or 'train'"):
        build_sam2("miniature", mode="fast")
    with pytest.raises(ModelError, match="image_size='96': give a value like 64"):
        build_sam2("miniature", image_size="96")
    with pytest.raises(ModelError, match="max_cond_frames_in_attn=True"):
        build_sam2("miniature", max_cond_frames_in_attn=True)
    with pytest.raises(ModelError, match=r"torch\.bfloat16"):
        build_sam2("miniature", dtype="bfloat16")
    with pytest.raises(ModelError, match="named like a file of weights"):
        build_sam2("checkpoints/sam2.1_hiera_tiny.pt")
    with pytest.raises(ModelError, match="got None"):
        build_sam2(None)
    with pytest.raises(ModelError, match=r"'gpu' cannot be used \(no such device\); use cpu, cuda .* or mps"):
        build_sam2("miniature", device="gpu")
    with pytest.raises(ModelError, match="None cannot be used"):
        build_sam2("miniature", device=None)
    with pytest.raises(ModelError, match="device"):
        build_sam2("miniature", device="no-such-device")
    with pytest.raises(WeightsError, match="No such weights file"):
        build_sam2("miniature", tmp_path / "none.pt")
    state = dict(network.state_dict())
    del state["no_mem_embed"]
    state["extra"] = torch.zeros(1)
    save_state(tmp_path / "w.pt", state)
    with pytest.raises(WeightsError, match="no_mem_embed is missing; extra is unknown"):
        build_sam2("miniature", tmp_path / "w.pt")


def test_camera_predictor_is_built_over_the_offline_one():
    camera = build_sam2_camera_predictor("miniature", fill_hole_area=2)
    assert camera.predictor.fill_hole_area == 2
