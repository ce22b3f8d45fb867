"""float32, bfloat16 and float16 mix without a crash: weights in any type, inside and outside of autocast.

The published package fails on some of these mixtures (sam2 issues 308 and 577). Everything runs on the CPU
here, float16 included.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ocusam.model.build import make_network
from ocusam.model.config import miniature
from ocusam.model.sam2 import SAM2
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.video_predictor import SAM2VideoPredictor

OLD = {
    "no_obj_embed_spatial": False,
    "add_tpos_enc_to_obj_ptrs": False,
    "proj_tpos_enc_in_obj_ptrs": False,
    "use_signed_tpos_enc_to_obj_ptrs": False,
}


def follow_video(network: SAM2, clip: NDArray[np.uint8]) -> None:
    """Clicks, boxes, masks, a correction and a change of direction."""
    predictor = SAM2VideoPredictor(network, fill_hole_area=8, non_overlap_masks=True)
    state = predictor.init_state(clip[:6])
    predictor.add_new_points_or_box(state, 2, 1, [[18, 20]], [1])
    predictor.add_new_points_or_box(state, 2, 1, [[20, 22]], [0], clear_old_points=False)
    predictor.add_new_points_or_box(state, 2, "b", box=[5, 5, 30, 30])
    predictor.add_new_mask(state, 3, 7, clip[3, ..., 0] > 150)
    seen = [t for t, _, _ in predictor.propagate_in_video(state)]
    predictor.add_new_points_or_box(state, 4, 1, [[22, 20]], [1])
    predictor.clear_all_prompts_in_frame(state, 3, 7)
    predictor.add_new_mask(state, 1, 7, clip[1, ..., 0] > 150)
    for t, ids, logits in predictor.propagate_in_video(state, 4, reverse=True):
        seen.append(t)
        assert logits.dtype == torch.float32 and torch.isfinite(logits).all() and len(logits) == len(ids) == 3
    assert seen == [2, 3, 4, 5, 4, 3, 2, 1, 0]


def follow_camera(network: SAM2, clip: NDArray[np.uint8]) -> None:
    camera = SAM2CameraPredictor(SAM2VideoPredictor(network))
    camera.load_first_frame(clip[0])
    camera.add_new_prompt(0, 1, [[14, 20]], [1])
    for picture in clip[1:4]:
        _, logits = camera.track(picture)
        camera.add_new_prompt(None, 1, [[16, 20]], [1], clear_old_points=False)
        assert logits.dtype == torch.float32 and torch.isfinite(logits).all()


def segment_picture(network: SAM2, clip: NDArray[np.uint8]) -> None:
    predictor = SAM2ImagePredictor(network)
    predictor.set_image(clip[0])
    masks, ious, low_res = predictor.predict([[14, 20]], [1], return_logits=True)
    masks, ious, low_res = predictor.predict(
        box=[4, 10, 24, 30], mask_input=low_res[:1], multimask_output=False, return_logits=True
    )
    for values in (masks, ious, low_res):
        assert values.dtype == np.float32 and np.isfinite(values).all()


USES = [follow_video, follow_camera, segment_picture]


TYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_no_mixture_crashes(
    clip: NDArray[np.uint8],
    dtype: torch.dtype,
    autocast: torch.dtype | None,
    use: Callable[[SAM2, NDArray[np.uint8]], None],
) -> None:
    network = make_network(miniature(64), binarize_mask_from_pts_for_mem_enc=True).to(dtype)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        use(network, clip)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_nor_does_one_of_version_2_0(clip: NDArray[np.uint8], dtype: torch.dtype) -> None:
    network = make_network(miniature(64), binarize_mask_from_pts_for_mem_enc=True, **OLD).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        follow_video(network, clip)


def test_autocast_changes_nothing_for_weights_in_half_precision(
    network: SAM2, clip: NDArray[np.uint8]
) -> None:
    half = make_network(network.config)
    half.load_state_dict(network.state_dict())
    predictor = SAM2ImagePredictor(half.bfloat16())

    def logits() -> NDArray[np.float32]:
        predictor.set_image(clip[0])
        return predictor.predict([[14, 20]], [1])[2]

    plain = logits()
    with torch.autocast("cpu", torch.float16):
        assert np.array_equal(logits(), plain)


def test_a_session_may_begin_under_autocast_and_go_on_without(network: SAM2, clip: NDArray[np.uint8]) -> None:
    predictor = SAM2VideoPredictor(network)
    state = predictor.init_state(clip)
    with torch.autocast("cpu", torch.bfloat16):
        predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
        inside = list(predictor.propagate_in_video(state, 0, 2))
    outside = list(predictor.propagate_in_video(state, 3, 2))
    with torch.autocast("cpu", torch.bfloat16):
        outside += list(predictor.propagate_in_video(state, 6, 2))
    assert [t for t, _, _ in inside + outside] == list(range(9))


@pytest.mark.parametrize("first", [True, False], ids=["prompted under autocast", "tracked under autocast"])
def test_the_frame_at_hand_may_change_sides(network: SAM2, clip: NDArray[np.uint8], first: bool) -> None:
    """The features of a frame are kept from one call to the next, in the type that they came in."""
    predictor, image = SAM2VideoPredictor(network), SAM2ImagePredictor(network)
    state = predictor.init_state(clip)
    camera = SAM2CameraPredictor(predictor)
    camera.load_first_frame(clip[0])
    with torch.autocast("cpu", torch.bfloat16, enabled=first):
        image.set_image(clip[0])
        predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
        predictor.add_new_mask(state, 0, 2, clip[0, ..., 0] > 150)
        camera.add_new_prompt(None, 1, [[14, 20]], [1])
    with torch.autocast("cpu", torch.bfloat16, enabled=not first):
        assert np.isfinite(image.predict([[[14, 20]], [[9, 9]]], [[1], [1]], return_logits=True)[0]).all()
        assert all(torch.isfinite(logits).all() for _, _, logits in predictor.propagate_in_video(state, 0, 2))
        assert torch.isfinite(camera.track(clip[1])[1]).all()


@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 0.3), (torch.float16, 0.1)], ids=str)
def test_half_precision_follows_the_same_object(
    network: SAM2, clip: NDArray[np.uint8], dtype: torch.dtype, limit: float
) -> None:
    """Not equal, but near: rounding to 8 or 11 bits, not another function."""

    def low_res(dtype: torch.dtype) -> torch.Tensor:
        copy = make_network(network.config)
        copy.load_state_dict(network.state_dict())
        predictor = SAM2VideoPredictor(copy.to(dtype))
        state = predictor.init_state(clip)
        predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
        return torch.cat([output.low_res_logits for output in predictor.propagate(state, 0, 3)])

    exact, rounded = low_res(torch.float32), low_res(dtype)
    assert (rounded - exact).norm() / exact.norm() < limit
