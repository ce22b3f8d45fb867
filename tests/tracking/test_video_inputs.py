"""What the video predictor takes in: every kind of video, every size of network; what it lets go."""

import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.model.sam2 import SAM2
from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.writer import VideoWriter

Clip = NDArray[np.uint8]


def as_folder(clip: Clip, path: Path) -> Path:
    """Numbers without leading zeros: 10.png sorts before 2.png as text."""
    for t, picture in enumerate(clip):
        Image.fromarray(picture).save(path / f"{t}.png")
    (path / "notes.txt").write_text("no picture")
    return path


KINDS: dict[str, Callable[[Clip, Path], Any]] = {
    "folder": as_folder,
    "folder's name": lambda clip, path: str(as_folder(clip, path)),
    "list of arrays": lambda clip, path: list(clip),
    "list of Pillow images": lambda clip, path: [Image.fromarray(picture) for picture in clip],
    "iterator": lambda clip, path: iter(clip),
    "generator": lambda clip, path: (Image.fromarray(picture) for picture in clip),
}


def logits_of(frames: Iterable[tuple[int, list[Any], torch.Tensor]]) -> torch.Tensor:
    return torch.cat([logits for _, _, logits in frames])


def follow(predictor: SAM2VideoPredictor, video: Any) -> torch.Tensor:
    state = predictor.init_state(video)
    predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
    return logits_of(predictor.propagate_in_video(state))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_video_gives_the_masks_of_the_array(
    network: SAM2, clip: Clip, tmp_path: Path, kind: str
) -> None:
    # 16 frames: shorter videos scale the pointers' times by their length, and an iterator's is not known.
    long = np.concatenate([clip, clip[::-1][:4]])
    predictor = SAM2VideoPredictor(network)
    assert torch.equal(follow(predictor, KINDS[kind](long, tmp_path)), follow(predictor, long))


def test_a_file_is_followed_to_its_end(network: SAM2, clip: Clip, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 25, (40, 56)) as writer:
        for picture in clip:
            writer.write(picture)
    found = follow(SAM2VideoPredictor(network), tmp_path / "clip.mp4")
    assert found.shape == (12, 1, 40, 56) and torch.isfinite(found).all()


@pytest.mark.parametrize("side", [32, 96, 160])
def test_any_multiple_of_32(network: SAM2, clip: Clip, side: int) -> None:
    config = dataclasses.replace(network.config, image_size=side)
    other = SAM2(config).eval()
    other.load_state_dict(network.state_dict())
    predictor = SAM2VideoPredictor(other, fill_hole_area=8)
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 2, 1, box=[4, 10, 28, 30])
    predictor.add_new_mask(state, 2, 2, clip[2, ..., 0] > 150)
    found = logits_of(predictor.propagate_in_video(state))
    assert found.shape == (20, 1, 40, 56) and torch.isfinite(found).all()
    assert all(output.low_res_logits.shape[-1] == side // 4 for output in predictor.propagate(state, 2, 0))


@pytest.mark.parametrize(
    ("size", "side"),
    [
        ("tiny", 224),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("tiny", 32), ("small", 544), ("base_plus", 1056), ("large", 96))
        ),
    ],
)
def test_the_published_networks_take_any_multiple_of_32(size: str, side: int) -> None:
    """Shapes only, on PyTorch's meta device."""
    network = make_network(get_config(f"sam2.1_hiera_{size}", image_size=side), device="meta")
    with torch.inference_mode():
        features = network.encode_image(torch.zeros(1, 3, side, side, device="meta"))
        step = network.track_step(features)
        memory = network.encode_memory(
            features, step.high_res_logits_b1hw, step.object_score_b1, from_prompt=True
        )
    assert features.embedding_bchw.shape == (1, 256, side // 16, side // 16)
    assert step.low_res_logits_b1hw.shape == (1, 1, side // 4, side // 4)
    assert memory.shape == (1, 64, side // 16, side // 16)


def test_a_removed_object_leaves_nothing_in_memory(network: SAM2, clip: Clip) -> None:
    predictor = SAM2VideoPredictor(network)
    state = predictor.init_state(clip)
    for obj_id, point in (("stays", [14, 20]), ("goes", [50, 5])):
        predictor.add_new_points_or_box(state, 0, obj_id, [point], [1])
    left: list[weakref.ref[torch.Tensor]] = []
    for frame_idx, _, _ in predictor.propagate_in_video(state):
        if frame_idx == 5:
            bank = state.objects["goes"].bank
            for entry in [*bank.conditioning.values(), *bank.recent.values()]:
                tensors = (entry.low_res_logits_b1hw, entry.map_bdhw, entry.pointer_bc)
                left += [weakref.ref(tensor) for tensor in tensors if tensor is not None]
            del bank, entry, tensors
            predictor.remove_object(state, "goes")
    gc.collect()
    assert len(left) == 18 and not any(ref() is not None for ref in left)
    assert state.obj_ids == ["stays"]


def test_a_still_picture_and_the_first_frame_of_a_video_are_resized_differently(
    network: SAM2, clip: Clip
) -> None:
    """As published: float and antialiased for stills, Pillow's bicubic for frames."""
    still = SAM2ImagePredictor(network)
    still.set_image(clip[0])
    state = SAM2VideoPredictor(network).init_state(clip)
    frame = state.features(0).embedding_bchw + network.no_mem_embed.reshape(1, -1, 1, 1)
    assert not torch.allclose(still.get_image_embedding(), frame, atol=1e-4)
