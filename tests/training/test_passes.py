"""Corrections on several frames, colours, unknown parts, and less memory for the same gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ocusam.model.build import make_network
from ocusam.model.eye_parts import EyeParts
from ocusam.model.sam2 import SAM2
from ocusam.training.augment import U8
from ocusam.training.checkpointing import recompute_blocks
from ocusam.training.clips import BatchMaker, ClipConfig
from ocusam.training.passes import clip_pass, normalised
from ocusam.training.rendered import Renderer, Wish
from ocusam.training.scenes import KINDS


@pytest.fixture
def network() -> SAM2:
    torch.manual_seed(0)
    return make_network("miniature", image_size=64).train()


class Counted:
    """Calls of `track_step` with the points and memories they got."""

    def __init__(self, model: SAM2, monkeypatch: pytest.MonkeyPatch) -> None:
        self.points: list[int] = []
        self.memories: list[int] = []
        real = model.track_step

        def track_step(features, **given):  # type: ignore[no-untyped-def]
            memory, points = given.get("memory"), given.get("points")
            self.points.append(0 if points is None else points.labels_bn.shape[1])
            self.memories.append(0 if memory is None else len(memory.maps))
            return real(features, **given)

        monkeypatch.setattr(model, "track_step", track_step)


def test_clicks_add_up_on_each_corrected_frame_and_every_answer_counts(
    network: SAM2, renderer: Renderer, tiny_pictures: ClipConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = BatchMaker(replace(tiny_pictures, frames=4, gap=0.0, blink=0.0), 3, renderer)[0]
    seen = Counted(network, monkeypatch)
    result = clip_pass(network, batch, corrections={0: 2, 2: 3}, rng=np.random.default_rng(0), half=False)
    # Frame 0: the prompt and two clicks; 1: tracked; 2: tracked and three clicks; 3: tracked.
    assert seen.points == [1, 2, 3, 0, 0, 1, 2, 3, 0]
    assert seen.memories == [0, 0, 0, 1, 2, 2, 2, 2, 3]
    tracked = sum(count for _, count in result.iou_of_kind.values())
    assert tracked == int(batch.present_bot[:, :, 1:].sum())


def test_memory_is_saved_and_gradients_stay(
    network: SAM2, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    batch = BatchMaker(replace(tiny_pictures, frames=2, gap=0.0), 3, renderer)[0]
    gradients = []
    for model in (network, recompute_blocks(recompute_blocks(network))):
        network.zero_grad()
        generator = np.random.default_rng(0)
        torch.manual_seed(5)
        clip_pass(model, batch, corrections={1: 1}, rng=generator, half=False).terms.total.backward()
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_grey_as_three_equal_channels_gives_the_same_input() -> None:
    grey = torch.randint(0, 256, (2, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(normalised(grey), normalised(grey[..., None].expand(-1, -1, -1, 3)))


def test_colours_of_somebodys_objects_teach_masks_but_no_parts(
    network: SAM2, tiny_pictures: ClipConfig
) -> None:
    def coloured(wish: Wish) -> tuple[U8, dict[str, U8]]:
        pictures = np.zeros((wish.frames, wish.size, wish.size, 3), np.uint8)
        pictures[:, 10:40, 20:50] = (200, 30, 90)
        return pictures, {"cup": np.where(pictures[..., 0] > 0, 255, 0).astype(np.uint8)}

    batch = BatchMaker(replace(tiny_pictures, frames=2), 3, coloured)[0]
    assert batch.pictures_btss.shape == (2, 2, 64, 64, 3)
    assert set(batch.kind_bo.flatten().tolist()) == {KINDS.index("object")}
    assert not bool(batch.parts_known_b.any())
    parts = EyeParts(network.config)
    result = clip_pass(network, batch, corrections={}, rng=np.random.default_rng(0), half=False, parts=parts)
    result.terms.total.backward()
    assert parts.stride4.weight.grad is not None and not bool(parts.stride4.weight.grad.any())
    assert result.iou_of_kind.keys() == {"object"}


def test_shapes_stand_beside_eyes(tiny_pictures: ClipConfig) -> None:
    batch = BatchMaker(replace(tiny_pictures, frames=3, pictures=6, shapes=0.5), 1)[0]
    objects = (batch.kind_bo == KINDS.index("object")).any(1)
    assert bool(objects.any()) and not bool(objects.all())
    assert bool(batch.parts_known_b.all()) and not bool(batch.parts_bptgg[objects].any())
