"""Networks by the name of a published checkpoint, with a miniature in place of the published network."""

from pathlib import Path

import pytest
import torch

from ocusam.core.errors import ModelError, WeightsError
from ocusam.model.build import make_network
from ocusam.model.config import PRESETS, miniature
from ocusam.tracking import pretrained
from ocusam.tracking.automatic_masks import SAM2AutomaticMaskGenerator
from ocusam.tracking.build import build_sam2, build_sam2_video_predictor
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.find_config import find_config
from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.weights.checkpoint import save_state
from ocusam.weights.hub import PUBLISHED, LocalWeights

REPO = "facebook/sam2.1-hiera-tiny"


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for the hub; returns the names that were asked for."""
    torch.manual_seed(0)
    monkeypatch.setitem(PRESETS, "sam2.1_hiera_tiny", miniature)
    save_state(tmp_path / "w.pt", make_network(miniature()).state_dict())
    asked: list[str] = []

    def fetch(name: str, hub: object = None) -> LocalWeights:
        asked.append(name)
        return LocalWeights(tmp_path / "w.pt", None)

    monkeypatch.setattr(pretrained, "fetch", fetch)
    return asked


def test_every_predictor_from_a_published_name(fetched: list[str], tmp_path: Path) -> None:
    expected = torch.load(tmp_path / "w.pt", weights_only=True)["model"]["no_mem_embed"]
    image = SAM2ImagePredictor.from_pretrained(REPO, device="cpu", mask_threshold=0.5)
    video = SAM2VideoPredictor.from_pretrained(REPO, non_overlap_masks=True, image_size=96)
    camera = SAM2CameraPredictor.from_pretrained(REPO)
    masks = SAM2AutomaticMaskGenerator.from_pretrained(REPO, points_per_side=2)
    networks = [image.model, video.model, camera.predictor.model, masks.predictor.model]
    assert all(torch.equal(network.no_mem_embed, expected) for network in networks)
    assert fetched == ["sam2.1_hiera_tiny"] * 4
    assert (image.mask_threshold, video.image_size, len(masks.point_grids[0])) == (0.5, 96, 4)


def test_names_that_are_not_published(fetched: list[str]) -> None:
    with pytest.raises(WeightsError, match="facebook/sam2-hiera-large"):
        SAM2ImagePredictor.from_pretrained("facebook/sam3")
    with pytest.raises(TypeError):
        SAM2ImagePredictor.from_pretrained(REPO, no_such_option=1)
    assert fetched == ["sam2.1_hiera_tiny"]


def test_all_ways_to_name_a_config(tmp_path: Path) -> None:
    for preset, file in PUBLISHED.items():
        assert find_config(file.repo).config.name == preset
    assert find_config("configs/sam2.1/sam2.1_hiera_b+.yaml").config.name == "sam2.1_hiera_base_plus"
    assert find_config(miniature()).config == miniature()
    with pytest.raises(ModelError, match=r"my\.yaml: there is no such file"):
        find_config("my.yaml")
    with pytest.raises(ModelError, match="Known models"):
        find_config("sam9")
    with pytest.raises(ModelError, match=r"config\.json"):
        find_config(tmp_path)
    assert build_sam2(miniature(), apply_postprocessing=False).config.dynamic_multimask_via_stability is False


def test_an_edited_file_wins_over_its_official_name_and_keeps_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocusam.tracking import find_config as module
    from ocusam.tracking.official_yaml import OfficialConfig

    path = tmp_path / "sam2.1_hiera_t.yaml"
    path.touch()
    read = OfficialConfig(
        miniature(), {"add_all_frames_to_correct_as_cond": True, "fill_hole_area": 3}, from_yaml=True
    )
    monkeypatch.setattr(module, "read_official_yaml", lambda path: read)
    predictor = build_sam2_video_predictor(path)
    assert predictor.model.config.name == "miniature"
    assert predictor.add_all_frames_to_correct_as_cond is True
    # The builders' post-processing wins over the file, as in the published package; arguments win over both.
    assert predictor._engine.fill_hole_area == 8
    assert build_sam2_video_predictor(path, fill_hole_area=5)._engine.fill_hole_area == 5
    assert build_sam2_video_predictor(path, apply_postprocessing=False)._engine.fill_hole_area == 3
