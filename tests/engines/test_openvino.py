"""The network on OpenVINO: the same tracker, the same answers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocusam.core.errors import ModelError
from ocusam.engines import openvino
from ocusam.engines.cache import PartCache
from ocusam.engines.choice import on_engine
from ocusam.model.sam2 import SAM2
from ocusam.tracking.build import build_sam2_video_predictor
from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.video_predictor import SAM2VideoPredictor

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def on_openvino(network: SAM2) -> SAM2:
    return on_engine(network, "openvino")


def session(network: SAM2, clip: NDArray[np.uint8]) -> list[Tensor]:
    """Two objects, clicks, a box and a mask; tracked, corrected, tracked again forward and backward."""
    predictor = SAM2VideoPredictor(network, fill_hole_area=4)
    state = predictor.init_state(clip)
    out = []
    _, _, logits = predictor.add_new_points_or_box(state, 2, "a", points=[[19, 20], [40, 40]], labels=[1, 0])
    out.append(logits)
    mask = np.zeros(clip.shape[1:3], dtype=bool)
    mask[24:36, 40:52] = True
    out.append(predictor.add_new_mask(state, 2, "b", mask)[2])
    out += [logits for _, _, logits in predictor.propagate_in_video(state)]
    out.append(predictor.add_new_points_or_box(state, 10, "b", points=[[46, 27]], labels=[1])[2])
    out.append(predictor.add_new_points_or_box(state, 12, "a", box=[14, 12, 34, 30])[2])
    out += [logits for _, _, logits in predictor.propagate_in_video(state, 8, 10)]
    out += [logits for _, _, logits in predictor.propagate_in_video(state, 6, 6, reverse=True)]
    return out


def test_a_session_with_every_kind_of_prompt(
    network: SAM2, on_openvino: SAM2, clip: NDArray[np.uint8]
) -> None:
    wanted, found = session(network, clip), session(on_openvino, clip)
    assert len(wanted) == len(found) == 44
    # Logits span about 20; a mask of that network has some hundred px.
    for own, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other, own, rtol=1e-3, atol=2e-3)


def test_bfloat16_stays_near(network: SAM2, clip: NDArray[np.uint8]) -> None:
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    plain, rounded = network, on_engine(network, "openvino", torch.bfloat16)
    with torch.inference_mode():
        wanted = plain.encode_image(picture).embedding_bchw
        found = rounded.encode_image(picture).embedding_bchw
    assert found.dtype == torch.float32
    assert (found - wanted).norm() < 0.03 * wanted.norm()


def test_still_pictures(network: SAM2, on_openvino: SAM2, clip: NDArray[np.uint8]) -> None:
    answers = []
    for model in (network, on_openvino):
        predictor = SAM2ImagePredictor(model)
        predictor.set_image_batch([clip[0], clip[5]])
        points = [np.array([[19, 20]]), np.array([[46, 28], [3, 3]])]
        labels = [np.array([1]), np.array([1, 0])]
        answers.append(predictor.predict_batch(points, labels, return_logits=True))
    for own, other in zip(answers[0][0], answers[1][0], strict=True):
        np.testing.assert_allclose(other, own, rtol=1e-3, atol=1e-3)


def test_numbers_do_not_depend_on_what_ran_before(network: SAM2, clip: NDArray[np.uint8]) -> None:
    fresh, used = (on_engine(network, "openvino") for _ in range(2))
    session(used, clip[::-1].copy())
    for one, two in zip(session(used, clip), session(fresh, clip), strict=True):
        assert torch.equal(one, two)


def test_parts_are_converted_once(network: SAM2, on_openvino: SAM2, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.zeros(1, 3, 64, 64)
    wanted = on_openvino.encode_image(picture).embedding_bchw

    def never(part: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(openvino, "convert_part", never)
    again = on_engine(network, "openvino")
    assert torch.equal(again.encode_image(picture).embedding_bchw, wanted)


def test_other_weights_are_another_network(network: SAM2, drawn: Callable[[], SAM2]) -> None:
    other = drawn()
    other.load_state_dict(network.state_dict())
    assert PartCache(other, "openvino").folder == PartCache(network, "openvino").folder
    with torch.no_grad():
        other.no_obj_ptr += 1e-3
    assert PartCache(other, "openvino").folder != PartCache(network, "openvino").folder


def test_a_damaged_file_in_the_cache_is_made_anew(drawn: Callable[[], SAM2]) -> None:
    network = drawn()
    folder = PartCache(network, "openvino").folder
    assert folder is not None
    (folder / "image_encoder.xml").write_text("<net")
    picture = torch.ones(1, 3, 64, 64)
    with torch.inference_mode():
        wanted = network.encode_image(picture).embedding_bchw
    found = on_engine(network, "openvino").encode_image(picture).embedding_bchw
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_without_a_cache_folder_it_works(
    drawn: Callable[[], SAM2], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OCUSAM_CACHE", str(tmp_path / "file" / "folder"))
    assert PartCache(drawn(), "openvino").folder is None
    assert on_engine(drawn(), "openvino").encode_image(torch.ones(1, 3, 64, 64)) is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "tensorrt"}, "torch, openvino"),
        ({"engine": "openvino", "dtype": torch.float16}, "float32 or bfloat16"),
        ({"engine": "openvino", "device": "meta"}, "CPU"),
    ],
)
def test_what_it_cannot_do_is_said(options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        build_sam2_video_predictor("miniature", **options)  # type: ignore[arg-type]


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(openvino.importlib, "import_module", gone)
    with pytest.raises(ModelError, match=r"pip install 'ocusam\[openvino\]'"):
        build_sam2_video_predictor("miniature", engine="openvino")


def test_it_is_not_for_training(on_openvino: SAM2) -> None:
    with pytest.raises(ModelError, match="engine='torch'"):
        on_openvino.train()
