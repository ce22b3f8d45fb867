"""Our video predictor against transformers' `Sam2VideoModel`, frame by frame.

Both have the same random weights and a small input. What is compared are the low-res logits of every frame
(relative L2). With clicks, boxes, several points, two objects and backward the two agree to 1e-5; the last
bits differ since sums are taken in another order, and rounding memory maps to bfloat16 now and then turns
such a bit into some 1e-5 more. With `small` and `base_plus` such a bit decides a pixel: its logit on the
prompted frame is zero but for rounding, and the mask that goes into memory is binarised. The frames behind it
differ by .1 % then; those of our own network, its first weights disturbed by one part in a million, by up to
.2 % (`base_plus`). So the sizes other than tiny have a wider limit.

Where transformers differs from the published predictor, and we do not (each shown below: with the cause taken
away the two agree, with it they do not):

1. A refining click: the earlier answer for the frame is not fed back as a mask prompt (28 % on that frame).
2. A mask prompt, its pointer: from the best of three masks; published is the single-mask token.
3. A mask prompt, its memory: from the mask at the input's size; published is the low-res mask, enlarged again
   (2 and 3 together 1 to 6 %).
4. An object added on a frame where others are tracked: memories are encoded in one batch, and as soon as one
   object has a prompt there the masks of all are binarised; published, only the prompted one's (0.1 %).

Not compared, since it has no counterpart there: temporal stride, hole filling, clearing prompts, overlaps.
Its pointers ignore a limit on conditioning frames, so no limit is set here.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ocusam.model.sam2 import SAM2
from ocusam.tracking.session import ObjectTrack, VideoSession
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.frames import normalise
from transformers_peer import video_peer

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow
SIDE, FRAMES = 128, 8
# Ten times what is met; half of what the smallest difference below makes.
PER_FRAME = 5e-4
# Twice what rounding makes of a pixel on the edge; the first three differences make 1 to 28 %.
OTHER_SIZES = 5e-3

Masks = dict[int, Tensor]


@pytest.fixture(scope="module")
def tiny(drawn_network: Callable[..., SAM2]) -> SAM2:
    return drawn_network("sam2.1_hiera_tiny", image_size=SIDE, binarize_mask_from_pts_for_mem_enc=True)


@pytest.fixture(scope="module")
def peer(tiny: SAM2) -> Any:
    return video_peer(tiny)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    """At the network's own size, so that no resize is involved."""
    rng = np.random.default_rng(1)
    ground = rng.integers(40, 90, (SIDE, SIDE, 3))
    y, x = np.mgrid[:SIDE, :SIDE]
    frames = []
    for t in range(FRAMES):
        picture = ground.copy()
        picture[(x - 40 - 4 * t) ** 2 + (y - 60) ** 2 < 400] = (220, 200, 180)
        frames.append(picture)
    return np.stack(frames).astype(np.uint8)


class Theirs:
    """A session of the peer, driven without its processor."""

    def __init__(self, peer: Any, pictures: NDArray[np.uint8]) -> None:
        self.peer = peer
        video = torch.stack([torch.from_numpy(normalise(picture)) for picture in pictures])
        self.session = transformers.Sam2VideoInferenceSession(
            video=video, video_height=SIDE, video_width=SIDE, dtype=torch.float32
        )

    def points(self, frame_idx: int, obj_id: int, points: list[list[float]], labels: list[int]) -> None:
        row = self.session.obj_id_to_idx(obj_id)
        coords = torch.tensor([[points]], dtype=torch.float32)
        marks = torch.tensor([[labels]], dtype=torch.int32)
        self.session.add_point_inputs(row, frame_idx, {"point_coords": coords, "point_labels": marks})
        self.session.obj_with_new_inputs.append(obj_id)

    def mask(self, frame_idx: int, obj_id: int, mask: NDArray[np.bool_]) -> None:
        row = self.session.obj_id_to_idx(obj_id)
        self.session.add_mask_inputs(row, frame_idx, torch.from_numpy(mask)[None, None].float())
        self.session.obj_with_new_inputs.append(obj_id)

    def answer(self, frame_idx: int) -> Tensor:
        masks: Tensor = self.peer(inference_session=self.session, frame_idx=frame_idx).pred_masks
        return masks

    def propagate(self, **arguments: Any) -> Masks:
        outputs = self.peer.propagate_in_video_iterator(self.session, **arguments)
        return {output.frame_idx: output.pred_masks for output in outputs}


class Ours:
    """The same calls on our predictor."""

    def __init__(self, network: SAM2, pictures: NDArray[np.uint8]) -> None:
        self.predictor = SAM2VideoPredictor(network)
        self.state: VideoSession = self.predictor.init_state(pictures)

    def points(self, frame_idx: int, obj_id: int, points: list[list[float]], labels: list[int]) -> None:
        if labels[0] == 2:  # the peer takes a box as two labelled corners
            box = [*points[0], *points[1]]
            self.predictor.add_new_points_or_box(self.state, frame_idx, obj_id, box=box)
        else:
            self.predictor.add_new_points_or_box(self.state, frame_idx, obj_id, points, labels)

    def mask(self, frame_idx: int, obj_id: int, mask: NDArray[np.bool_]) -> None:
        self.predictor.add_new_mask(self.state, frame_idx, obj_id, mask)

    def answer(self, frame_idx: int) -> Tensor:
        return self.predictor.frame_output(self.state, frame_idx).low_res_logits

    def propagate(self, **arguments: Any) -> Masks:
        outputs = self.predictor.propagate(self.state, **arguments)
        return {output.frame_idx: output.low_res_logits for output in outputs}


def errors(ours: Masks, theirs: Masks) -> list[float]:
    assert sorted(ours) == sorted(theirs)
    return [float((ours[t] - theirs[t]).norm() / theirs[t].norm()) for t in sorted(ours)]


def equal(found: Iterable[float]) -> bool:
    return max(found) < PER_FRAME


PROMPTS: dict[str, list[tuple[int, list[list[float]], list[int]]]] = {
    "click": [(1, [[40, 60]], [1])],
    "box": [(1, [[20, 40], [60, 80]], [2, 3])],
    "points": [(1, [[40, 60], [110, 20], [48, 66]], [1, 0, 1])],
    "two_objects": [(1, [[40, 60]], [1]), (5, [[90, 100], [50, 60]], [1, 0])],
}


@pytest.mark.parametrize("scenario", PROMPTS)
def test_forward(tiny: SAM2, peer: Any, pictures: NDArray[np.uint8], scenario: str) -> None:
    found = []
    for side in (Ours(tiny, pictures), Theirs(peer, pictures)):
        for prompt in PROMPTS[scenario]:
            side.points(0, *prompt)
        side.answer(0)
        found.append(side.propagate())
    off = errors(*found)
    assert len(off) == FRAMES and equal(off), off


@pytest.mark.parametrize("size", ["small", "base_plus", "large"])
def test_the_other_sizes(drawn_network: Callable[..., SAM2], pictures: NDArray[np.uint8], size: str) -> None:
    network = drawn_network(f"sam2.1_hiera_{size}", image_size=SIDE, binarize_mask_from_pts_for_mem_enc=True)
    found = []
    for side in (Ours(network, pictures[:5]), Theirs(video_peer(network), pictures[:5])):
        for prompt in PROMPTS["two_objects"]:
            side.points(0, *prompt)
        side.answer(0)
        found.append(side.propagate())
    off = errors(*found)
    assert len(off) == 5 and off[0] < PER_FRAME and max(off) < OTHER_SIZES, off


def test_backward(tiny: SAM2, peer: Any, pictures: NDArray[np.uint8]) -> None:
    found = []
    for side in (Ours(tiny, pictures), Theirs(peer, pictures)):
        side.points(6, 1, [[64, 60]], [1])
        side.answer(6)
        found.append(side.propagate(reverse=True))
    off = errors(*found)
    assert len(off) == 7 and equal(off), off


def test_an_error_in_the_pointers_times_would_show(
    tiny: SAM2, peer: Any, pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "config", dataclasses.replace(tiny.config, max_obj_ptrs_in_encoder=4))
    found = []
    for side in (Ours(tiny, pictures), Theirs(peer, pictures)):
        side.points(0, 1, [[40, 60]], [1])
        side.answer(0)
        found.append(side.propagate())
    off = errors(*found)
    assert not equal(off), off


@pytest.mark.parametrize("cause_removed", [True, False])
def test_difference_1_earlier_logits_on_a_refining_click(
    tiny: SAM2,
    peer: Any,
    pictures: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    cause_removed: bool,
) -> None:
    found = []
    for side in (Ours(tiny, pictures), Theirs(peer, pictures)):
        side.points(0, 1, [[40, 60]], [1])
        side.answer(0)
        side.propagate()
        with monkeypatch.context() as patch:
            if cause_removed:
                patch.setattr(ObjectTrack, "answer", lambda self, frame_idx: None)
            side.points(5, 1, [[70, 66]], [1])
        found.append({5: side.answer(5)})
    off = errors(*found)
    assert equal(off) == cause_removed


@pytest.mark.parametrize("pointer_mended", [True, False])
@pytest.mark.parametrize("memory_mended", [True, False])
def test_differences_2_and_3_pointer_and_memory_of_a_mask_prompt(
    tiny: SAM2,
    peer: Any,
    pictures: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    pointer_mended: bool,
    memory_mended: bool,
) -> None:
    decode, encode = peer._single_frame_forward, peer._batch_encode_memories

    def one_mask(**given: Any) -> Any:  # only the mask prompt leaves multimask_output to its default
        return decode(**{"multimask_output": False, **given})

    def from_low_res(inference_session: Any, frame_idx: int, **lists: list[Any]) -> None:
        if any(lists["is_mask_from_pts_per_obj"]):
            stored = inference_session.output_dict_per_obj[0]["cond_frame_outputs"][frame_idx]
            low = stored["pred_masks"]
            lists["high_res_masks_for_memory"] = [F.interpolate(low, size=(SIDE, SIDE), mode="bilinear")]
        encode(inference_session, frame_idx, **lists)

    if pointer_mended:
        monkeypatch.setattr(peer, "_single_frame_forward", one_mask)
    if memory_mended:
        monkeypatch.setattr(peer, "_batch_encode_memories", from_low_res)
    found = []
    for side in (Ours(tiny, pictures), Theirs(peer, pictures)):
        side.mask(0, 1, pictures[0, ..., 0] > 150)
        side.answer(0)
        found.append(side.propagate())
    off = errors(*found)
    assert off[0] < PER_FRAME
    assert equal(off) == (pointer_mended and memory_mended), off


@pytest.mark.parametrize("cause_removed", [True, False])
def test_difference_4_an_object_added_later(
    tiny: SAM2,
    peer: Any,
    pictures: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    cause_removed: bool,
) -> None:
    if cause_removed:
        encode = peer._batch_encode_memories

        def one_by_one(inference_session: Any, frame_idx: int, **lists: list[Any]) -> None:
            for i in range(len(lists["objects_needing_memory_encoding"])):
                encode(
                    inference_session,
                    frame_idx,
                    **{name: values[i : i + 1] for name, values in lists.items()},
                )

        monkeypatch.setattr(peer, "_batch_encode_memories", one_by_one)
    found = []
    for side in (Ours(tiny, pictures), Theirs(peer, pictures)):
        side.points(0, 1, [[40, 60]], [1])
        side.answer(0)
        masks = side.propagate(start_frame_idx=0, max_frame_num_to_track=2)
        side.points(3, 5, [[90, 100]], [1])
        masks |= side.propagate(start_frame_idx=3)
        found.append(masks)
    off = errors(*found)
    assert equal(off[:4])
    assert equal(off) == cause_removed, off
