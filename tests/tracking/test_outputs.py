"""The share of the picture that the open eye takes, told with every frame."""

import math

import pytest
import torch

from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.outputs import open_share
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.frames import picture_to_input


def test_cells_count_by_their_likeliest_part_and_doubts_do_not_add_up() -> None:
    logits = torch.full((1, 4, 8, 8), -2.0)  # 0.12 everywhere
    assert open_share(logits) == 0.0
    logits[0, 1, :2] = 20.0
    logits[0, 2, :2] = 20.0  # two parts on the same cells are one eye
    logits[0, 3, 2] = 0.0
    assert open_share(logits) == pytest.approx((16 + 8 * 0.5) / 64)


def shares(network, clip) -> list[float]:
    """Of a pass over the clip from a click on frame 0."""
    predictor = SAM2VideoPredictor(network)
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, "pupil", [[14, 20]], [1])
    predictor.add_new_points_or_box(state, 6, "pupil", [[26, 20]], [1])  # not at hand when its turn comes
    return [output.eye_share for output in predictor.propagate(state)]


def test_it_is_what_the_parts_say_and_the_same_live(drawn_network, clip) -> None:
    network = drawn_network("miniature", names_parts=True)
    offline = shares(network, clip)
    inputs = [torch.from_numpy(picture_to_input(p, network.config.image_size))[None] for p in clip]
    with torch.inference_mode():
        assert offline == [open_share(network.name_parts(network.encode_image(x))) for x in inputs]
    assert len(set(offline)) == len(clip) and all(0 < share < 1 for share in offline)
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    camera.load_first_frame(clip[0])
    camera.add_new_prompt(0, "pupil", [[14, 20]], [1])
    assert [camera.newest().eye_share, *(camera.step(p).eye_share for p in clip[1:])] == offline


def test_a_network_that_names_no_parts_says_nothing(network, clip) -> None:
    assert all(math.isnan(share) for share in shares(network, clip))
