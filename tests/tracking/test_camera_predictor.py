"""Live tracking: equal to the offline predictor bit for bit, and nothing grows."""

import gc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocusam.core.errors import PromptError
from ocusam.model.sam2 import SAM2
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.video_predictor import SAM2VideoPredictor

Results = dict[int, tuple[list[object], Tensor]]


@pytest.fixture(scope="module")
def stream() -> NDArray[np.uint8]:
    """60 pictures, 40 x 56: two bright discs that circle over a fixed texture."""
    rng = np.random.default_rng(5)
    ground = rng.integers(40, 90, (40, 56, 3))
    y, x = np.mgrid[:40, :56]
    frames = []
    for t in range(60):
        picture = ground.copy()
        at = 18 + 8 * np.cos(t / 9), 20 + 8 * np.sin(t / 9)
        picture[(x - at[0]) ** 2 + (y - at[1]) ** 2 < 49] = (220, 200, 180)
        picture[(x - 42) ** 2 + (y - 12 - 0.2 * t) ** 2 < 36] = (90, 210, 140)
        frames.append(picture)
    return np.stack(frames).astype(np.uint8)


def offline(predictor: SAM2VideoPredictor, stream: NDArray[np.uint8]) -> Results:
    """Prompts on 0, a click added on 20, an object added on 30, one removed on 40."""
    state = predictor.init_state(stream)
    results: Results = {}

    def propagate(first: int, last: int) -> None:
        for t, ids, logits in predictor.propagate_in_video(state, first, last - first):
            results[t] = (ids, logits)

    predictor.add_new_points_or_box(state, 0, 1, [[26, 20]], [1])
    predictor.add_new_points_or_box(state, 0, "b", box=[35, 5, 49, 19])
    propagate(0, 20)
    t, ids, logits = predictor.add_new_points_or_box(state, 20, 1, [[15, 26]], [1], clear_old_points=False)
    results[t] = (ids, logits)
    propagate(21, 30)
    t, ids, logits = predictor.add_new_mask(state, 30, 7, stream[30, ..., 0] > 150)
    results[t] = (ids, logits)
    propagate(31, 40)
    predictor.remove_object(state, "b")
    frame = predictor.frame_output(state, 40)
    results[40] = (frame.obj_ids, frame.logits)
    propagate(41, 59)
    return results


def live(camera: SAM2CameraPredictor, stream: NDArray[np.uint8]) -> Results:
    """The same, frame by frame."""
    results: Results = {}
    for t, picture in enumerate(stream):
        if t == 0:
            camera.load_first_frame(picture)
            camera.add_new_prompt(0, 1, points=[[26, 20]], labels=[1])
            _, ids, logits = camera.add_new_prompt(0, "b", bbox=[35, 5, 49, 19])
        else:
            ids, logits = camera.track(picture)
        if t == 20:
            _, ids, logits = camera.add_new_prompt(20, 1, [[15, 26]], [1], clear_old_points=False)
        if t == 30:
            _, ids, logits = camera.add_new_mask(None, 7, picture[..., 0] > 150)
        if t == 40:
            ids, [(_, logits)] = camera.remove_object("b")
        results[t] = (ids, logits)
    return results


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_all_frames_to_correct_as_cond": True},
        {"fill_hole_area": 8, "non_overlap_masks": True, "clear_non_cond_mem_around_input": True},
    ],
    ids=["default", "correct_as_cond", "other_options"],
)
def test_equal_to_the_offline_predictor_bit_for_bit(
    network: SAM2, stream: NDArray[np.uint8], options: dict[str, object]
) -> None:
    expected = offline(SAM2VideoPredictor(network, **options), stream)  # type: ignore[arg-type]
    found = live(SAM2CameraPredictor(SAM2VideoPredictor(network, **options)), stream)  # type: ignore[arg-type]
    assert sorted(found) == sorted(expected) == list(range(60))
    assert expected[30][0] == [1, "b", 7] and expected[59][0] == [1, 7]
    for t in range(60):
        assert found[t][0] == expected[t][0], t
        assert torch.equal(found[t][1], expected[t][1]), t


def test_prompts_change_what_follows(network: SAM2, stream: NDArray[np.uint8]) -> None:
    """The equality above would hold for a predictor that ignores the later prompts: it must not."""

    def last(click: bool) -> Tensor:
        camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
        camera.load_first_frame(stream[0])
        camera.add_new_prompt(0, 1, [[26, 20]], [1])
        camera.track(stream[1])
        if click:
            camera.add_new_prompt(1, 1, [[42, 14]], [1])
        return camera.track(stream[2])[1]

    assert not torch.equal(last(True), last(False))


def test_nothing_grows_with_the_stream(network: SAM2, stream: NDArray[np.uint8]) -> None:
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network, memory_window=16))
    camera.load_first_frame(stream[0])
    camera.add_new_prompt(0, 1, [[26, 20]], [1])

    def count(steps: int) -> tuple[int, int, int]:
        for t in range(steps):
            camera.track(stream[t % 60])
        gc.collect()
        alive = [item for item in gc.get_objects() if issubclass(type(item), Tensor)]
        track = camera.state.objects[1]
        return len(alive), len(track.bank), len(track.tracked.runs)

    assert count(60) == count(90)


def test_without_objects_frames_pass(network: SAM2, stream: NDArray[np.uint8]) -> None:
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    camera.load_first_frame(stream[0])
    ids, logits = camera.track(stream[1])
    assert ids == [] and logits.shape == (0, 1, 40, 56)
    camera.add_new_prompt(None, 1, [[26, 20]], [1])
    assert camera.track(stream[2])[0] == [1] and camera.frame_idx == 2
    camera.reset_state()
    assert camera.obj_ids == [] and camera.track(stream[3])[0] == []
    camera.load_first_frame(stream[4, :30])
    assert camera.frame_idx == 0 and camera.state.size == (30, 56)


def test_times_and_scores_come_with_a_step(network: SAM2, stream: NDArray[np.uint8]) -> None:
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    camera.load_first_frame(stream[0], timestamp_ns=5)
    camera.add_new_prompt(None, 1, [[26, 20]], [1])
    assert camera.newest().timestamp_ns == 5
    output = camera.step(stream[1], timestamp_ns=77)
    assert (output.frame_idx, output.timestamp_ns) == (1, 77)
    assert np.isfinite(output.predicted_iou).all() and output.masks.shape == (1, 40, 56)


def test_a_pushed_picture_may_be_overwritten(network: SAM2, stream: NDArray[np.uint8]) -> None:
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    buffer = stream[0].copy()
    camera.load_first_frame(buffer)
    buffer[:] = 0
    assert (camera.state.frame(0).image == stream[0]).all()


def test_an_object_without_prompts_leaves_the_stream_as_it_was(
    network: SAM2, stream: NDArray[np.uint8]
) -> None:
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    camera.load_first_frame(stream[0])
    camera.add_new_prompt(None, 1, [[26, 20]], [1])
    camera.clear_all_prompts_in_frame(None, 1)
    with pytest.raises(PromptError, match="no prompts"):
        camera.track(stream[1])
    assert camera.frame_idx == 0
    camera.add_new_prompt(None, 1, [[26, 20]], [1])
    assert camera.track(stream[1])[0] == [1]
