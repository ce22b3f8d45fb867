"""What scripts for the published package and for its camera ports do, as they do it."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ocusam.core.errors import InputError, ModelError, PromptError
from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.tracking.automatic_masks import SAM2AutomaticMaskGenerator
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.session import VideoSession
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.writer import VideoWriter

Make = Callable[..., SAM2VideoPredictor]


def passed(predictor: SAM2VideoPredictor, pictures: NDArray[np.uint8]) -> VideoSession:
    """Two objects, prompted on the first frame and followed to the end."""
    state = predictor.init_state(pictures)
    predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
    predictor.add_new_points_or_box(state, 0, 2, [[40, 10]], [1])
    list(predictor.propagate_in_video(state))
    return state


# ---- videos ------------------------------------------------------------------------------------------------


def test_what_scripts_read_from_the_state(make_predictor: Make, clip: NDArray[np.uint8]) -> None:
    predictor = make_predictor()
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, "b", [[14, 20]], [1])
    predictor.add_new_points_or_box(state, 0, 7, [[14, 20]], [1])
    assert (state["num_frames"], state["video_height"], state["video_width"]) == (12, 40, 56)
    assert state["obj_ids"] == ["b", 7]
    assert state["obj_id_to_idx"] == {"b": 0, 7: 1} and state["obj_idx_to_id"] == {0: "b", 1: 7}
    assert state["device"] == state["storage_device"] == torch.device("cpu")
    with pytest.raises(InputError, match=r"not 'output_dict_per_obj'.*frame_output"):
        state["output_dict_per_obj"]


def test_numbers_may_be_tensors_of_one(make_predictor: Make, clip: NDArray[np.uint8]) -> None:
    """As they come out of a detector or a data loader. Equal tensors are different keys of a dictionary."""
    predictor = make_predictor()
    state, plain = predictor.init_state(clip), predictor.init_state(clip)
    for x, label in ([14, 1], [16, 0]):
        given = {"points": [[x, 20]], "labels": [label], "clear_old_points": False}
        frame_idx, obj_ids, logits = predictor.add_new_points_or_box(
            state, torch.tensor(2), torch.tensor([5]), **given
        )
        expected = predictor.add_new_points_or_box(plain, 2, 5, **given)
        assert (type(frame_idx), frame_idx, obj_ids) == (int, 2, [5])
        assert torch.equal(logits, expected[2])
    seen = [t for t, _, _ in predictor.propagate_in_video(state, torch.tensor(2), 1)]
    assert seen == [2, 3] and {type(t) for t in seen} == {int}
    assert predictor.clear_all_prompts_in_frame(state, torch.tensor(2), torch.tensor(5)) is not None
    assert predictor.remove_object(state, torch.tensor(5), strict=True)[0] == []


@pytest.mark.parametrize("limit", [2, 2.0, 2.9, np.int64(2), np.float32(2)])
@pytest.mark.parametrize(("reverse", "expected"), [(False, [5, 6, 7]), (True, [5, 4, 3])])
def test_a_number_of_frames_may_come_from_a_division(
    make_predictor: Make, clip: NDArray[np.uint8], limit: float, reverse: bool, expected: list[int]
) -> None:
    predictor = make_predictor()
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 5, 1, [[14, 20]], [1])
    assert [t for t, _, _ in predictor.propagate_in_video(state, 5, limit, reverse=reverse)] == expected
    to_the_end = [t for t, _, _ in predictor.propagate_in_video(state, 5, float("inf"), reverse=reverse)]
    assert to_the_end == (list(range(5, -1, -1)) if reverse else list(range(5, 12)))


def test_a_correction_far_back_says_what_is_forgotten(make_predictor: Make, clip: NDArray[np.uint8]) -> None:
    """The notebook's way: the whole video, then a click on a frame in the middle of it."""
    pictures = np.concatenate([clip] * 4)
    predictor = make_predictor()
    state = passed(predictor, pictures)
    with pytest.warns(
        UserWarning, match=r"Frame 10 .* objects \[1, 2\] is forgotten.*memory_window=None"
    ) as seen:
        _, _, logits = predictor.add_new_points_or_box(state, 10, 1, [[30, 20]], [0])
    assert seen[0].filename == __file__
    assert (logits[1] < -1023).all()
    # Where nothing is forgotten nothing is said.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.add_new_points_or_box(state, 40, 1, [[30, 20]], [0])
        predictor.add_new_points_or_box(state, 0, 1, [[16, 20]], [1])
        keeps = make_predictor(memory_window=None)
        state = passed(keeps, pictures)
        _, _, logits = keeps.add_new_points_or_box(state, 10, 1, [[30, 20]], [0])
        assert (logits[1] > -1023).any()


def test_nothing_is_said_of_what_was_to_be_forgotten(make_predictor: Make, clip: NDArray[np.uint8]) -> None:
    predictor = make_predictor(clear_non_cond_mem_around_input=True, memory_window=None)
    state = passed(predictor, clip)
    predictor.add_new_points_or_box(state, 6, 1, [[30, 20]], [0])
    predictor.propagate_in_video_preflight(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.add_new_points_or_box(state, 7, 1, [[30, 20]], [0])


def test_a_predictor_answers_to_what_modules_answer_to(network: SAM2, clip: NDArray[np.uint8]) -> None:
    """The published predictors are the network itself."""
    own = make_network(network.config)
    for predictor in (SAM2VideoPredictor(own), SAM2CameraPredictor(SAM2VideoPredictor(own))):
        own.train()
        assert predictor.to("cpu").to(dtype=torch.bfloat16).eval() is predictor
        assert own.dtype == torch.bfloat16 and not own.training
        predictor.to(torch.float32)
    assert own.dtype == torch.float32


# ---- pictures ----------------------------------------------------------------------------------------------


def test_one_predictor_is_made_of_another(network: SAM2, clip: NDArray[np.uint8]) -> None:
    video = SAM2VideoPredictor(network)
    camera, image = SAM2CameraPredictor(video), SAM2ImagePredictor(video)
    generator = SAM2AutomaticMaskGenerator(camera, points_per_side=2)
    for made in (image, SAM2ImagePredictor(camera), SAM2ImagePredictor(generator), SAM2VideoPredictor(image)):
        assert made.model is network
    assert generator.predictor.model is network
    image.set_image(clip[0])
    assert image.predict([[14, 20]], [1])[0].shape == (3, 40, 56)
    for wrong in ("miniature", None, torch.nn.Linear(2, 2)):
        for kind in (SAM2ImagePredictor, SAM2VideoPredictor, SAM2AutomaticMaskGenerator):
            with pytest.raises(ModelError, match="made of a network"):
                kind(wrong)


def test_after_several_pictures_prompts_go_to_predict_batch(network: SAM2, clip: NDArray[np.uint8]) -> None:
    """Officially `predict` answers on the last of them."""
    image = SAM2ImagePredictor(network)
    image.set_image_batch(clip[:2])
    with pytest.raises(InputError, match="2 pictures are set: use predict_batch"):
        image.predict([[14, 20]], [1])
    image.set_image_batch([clip[0]])
    assert image.predict([[14, 20]], [1])[0].shape == (3, 40, 56)


# ---- streams -----------------------------------------------------------------------------------------------


def streaming(network: SAM2, clip: NDArray[np.uint8]) -> SAM2CameraPredictor:
    """Object 3, followed onto the second frame."""
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    camera.load_first_frame(clip[0])
    camera.add_new_points(0, 3, np.array([[14, 20]]), np.array([1]))
    camera.track(clip[1])
    return camera


def test_prompts_under_the_names_of_the_stream_ports(network: SAM2, clip: NDArray[np.uint8]) -> None:
    corners = np.array([[8, 12], [24, 28]], dtype=np.float32)  # two corners, as the ports want a box
    mask = clip[1, ..., 0] > 150
    plain, theirs = streaming(network, clip), streaming(network, clip)
    given: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
        ({"bbox": corners, "if_new_target": True, "labels": None}, (4, None, None, corners)),  # 3 and one
        ({"point": [[40, 10]], "obj_id": 9}, (9, [[40, 10]], [1])),
        ({"point": [40, 10], "if_new_target": False}, (9, [[40, 10]], [1])),
        ({"point": [[40, 12]], "labels": [0], "obj_id": 9, "clear_old_points": False}, ()),
        ({"mask": mask, "obj_id": "m"}, (mask,)),
    ]
    for said, meant in given:
        found = theirs.add_new_prompt_during_track(**said)
        if not meant:
            expected = plain.add_new_prompt(None, 9, [[40, 12]], [0], clear_old_points=False)
        elif meant[0] is mask:
            expected = plain.add_new_mask(None, "m", mask)
        else:
            expected = plain.add_new_prompt(None, *meant)
        assert found[:2] == expected[:2] and torch.equal(found[2], expected[2])
    assert theirs.obj_ids == [3, 4, 9, "m"]
    assert torch.equal(theirs.track(clip[2])[1], plain.track(clip[2])[1])


def test_an_object_that_is_not_named_must_be_there(network: SAM2, clip: NDArray[np.uint8]) -> None:
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    camera.load_first_frame(clip[0])
    with pytest.raises(PromptError, match="no object yet"):
        camera.add_new_prompt_during_track(point=[[14, 20]], if_new_target=False)
    assert camera.add_new_prompt_during_track(point=[[14, 20]])[1] == [1]


def test_a_click_is_taken_back(make_predictor: Make, clip: NDArray[np.uint8]) -> None:
    predictor = make_predictor()
    state, fresh = predictor.init_state(clip), predictor.init_state(clip)
    expected = predictor.add_new_points_or_box(fresh, 2, 1, [[14, 20]], [1])[2]
    predictor.add_new_points_or_box(state, 2, 1, [[14, 20]], [1])
    wrong = predictor.add_new_points_or_box(state, 2, 1, [[18, 22]], [0], clear_old_points=False)[2]
    predictor.clear_all_prompts_in_frame(state, 2, 1)
    found = predictor.add_new_points_or_box(state, 2, 1, [[14, 20]], [1])[2]
    assert torch.equal(found, expected) and not torch.equal(wrong, expected)
    # After a propagation the object begins anew.
    list(predictor.propagate_in_video(state))
    predictor.remove_object(state, 1)
    assert torch.equal(predictor.add_new_points_or_box(state, 2, 1, [[14, 20]], [1])[2], expected)


def test_a_copy_of_a_state_goes_its_own_way(
    make_predictor: Make, clip: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Of a video file, too, whose decoder cannot be copied."""
    with VideoWriter(tmp_path / "clip.mp4", 25.0, (40, 56)) as writer:
        for picture in clip:
            writer.write(picture)
    predictor = make_predictor()
    one, other = (predictor.init_state(tmp_path / "clip.mp4") for _ in range(2))
    for state in (one, other):
        predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
        list(predictor.propagate_in_video(state, 0, 6))
        predictor.add_new_points_or_box(state, 4, 1, [[22, 20]], [1])
    branch = copy.deepcopy(one)
    predictor.add_new_points_or_box(branch, 5, 1, [[40, 10]], [0])
    predictor.add_new_mask(branch, 0, "new", clip[0, ..., 0] > 150)
    list(predictor.propagate_in_video(branch))
    assert one["obj_ids"] == [1] and branch["obj_ids"] == [1, "new"]
    found, expected = (list(predictor.propagate_in_video(state)) for state in (one, other))
    assert len(found) == 12
    assert all(torch.equal(a[2], b[2]) for a, b in zip(found, expected, strict=True))
    # A copy before anything else happened equals what it was copied from.
    again = [logits for _, _, logits in predictor.propagate_in_video(copy.deepcopy(one))]
    assert all(torch.equal(a, b[2]) for a, b in zip(again, predictor.propagate_in_video(one), strict=True))


def test_detectors_boxes_reach_over_the_edge(network: SAM2) -> None:
    """They go to the network as they are: not clipped, so the answer is the published one."""
    predictor = SAM2ImagePredictor(network)
    predictor.set_image(np.random.default_rng(0).integers(0, 255, (40, 56, 3)).astype(np.uint8))
    boxes = np.array([[-3.4, 5.0, 30.0, 30.3], [2.0, 3.0, 58.7, 20.0]], np.float32)
    given = predictor.predict(box=boxes, multimask_output=False, return_logits=True)[0]
    assert given.shape == (2, 1, 40, 56)
    clipped = predictor.predict(
        box=boxes.clip(0, [56, 40, 56, 40]), multimask_output=False, return_logits=True
    )[0]
    assert not np.allclose(given, clipped)
    with pytest.raises(PromptError, match=r"box corner \(60, 5\) lies outside"):
        predictor.predict(box=[[60, 5, 70, 9]])
