"""Each part computes what the network's own methods compute, before anything is exported."""

import pytest
import torch
from torch import Tensor

from ocusam.engines.parts import PARTS, make_part
from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, MemorySelection, PointPrompt


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def features(network: SAM2) -> ImageFeatures:
    with torch.inference_mode():
        return network.encode_image(draw(1, 3, 64, 64))


@pytest.mark.parametrize("pointers", [0, 1, 5])
@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_memory_attention_with_positions_of_its_own(
    network: SAM2, features: ImageFeatures, pointers: int, version: str
) -> None:
    if version == "2.0":
        network = make_network("miniature", add_tpos_enc_to_obj_ptrs=False, proj_tpos_enc_in_obj_ptrs=False)
    maps = [(draw(2, 16, 4, 4, seed=i), row) for i, row in enumerate((6, 2, 0))]
    points = [(draw(2, 32, seed=9 + i), i / 15) for i in range(pointers)]
    with torch.inference_mode():
        wanted = network.condition_on_memory(features.expand(2), MemorySelection(maps, points))
        stacked = torch.stack([p for p, _ in points], 1) if points else torch.zeros(2, 0, 32)
        found = make_part("memory_attention", network)(
            features.embedding_bchw,
            torch.stack([m for m, _ in maps], dim=1),
            torch.tensor([row for _, row in maps]),
            stacked,
            torch.tensor([time for _, time in points]),
        )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("with_mask", [False, True])
def test_prompts_into_masks_and_pointers(network: SAM2, features: ImageFeatures, with_mask: bool) -> None:
    points = PointPrompt(draw(3, 2, 2).abs() * 20, torch.tensor([[2, 3], [1, 0], [1, -1]]))
    mask = draw(3, 1, 16, 16, seed=2)
    conditioned = draw(3, 32, 4, 4, seed=3)
    with torch.inference_mode():
        wanted = network._all_masks(
            conditioned, features.expand(3).high_res, points, mask if with_mask else None
        )
        given = torch.full((3,), float(with_mask))
        sparse, dense = make_part("prompt_encoder", network)(points.coords_bn2, points.labels_bn, mask, given)
        masks, iou, score, tokens, pointers = make_part("mask_decoder", network)(
            conditioned, *features.high_res, sparse, dense
        )
        own = network.obj_ptr_proj(wanted.tokens_bnc)
        absent = score[..., None] <= 0
        own = torch.where(absent, network.no_obj_ptr, own)
    torch.testing.assert_close(masks, wanted.logits_bmhw)
    torch.testing.assert_close(iou, wanted.iou_bm)
    torch.testing.assert_close(score, wanted.object_score_b1)
    torch.testing.assert_close(tokens, wanted.tokens_bnc)
    torch.testing.assert_close(pointers, own)


@pytest.mark.parametrize("from_prompt", [False, True])
def test_memory_encoder(network: SAM2, features: ImageFeatures, from_prompt: bool) -> None:
    logits, score = draw(2, 1, 64, 64) * 3, torch.tensor([[1.0], [-1.0]])
    with torch.inference_mode():
        wanted = network.encode_memory(features.expand(2), logits, score, from_prompt=from_prompt)
        found = make_part("memory_encoder", network)(
            features.embedding_bchw, logits, score, torch.tensor([float(from_prompt)])
        )
    torch.testing.assert_close(found, wanted)


def test_a_users_mask_as_output_and_as_prompt(network: SAM2, features: ImageFeatures) -> None:
    mask = (draw(2, 1, 64, 64) > 0).float()
    with torch.inference_mode():
        step = network.track_step(features.expand(2), mask_inputs_b1hw=mask)
        low, prompt = make_part("mask_input", network)(mask)
    torch.testing.assert_close(low, step.low_res_logits_b1hw, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(prompt, network.mask_downsample(mask))


def test_names_and_shapes_are_true(network: SAM2) -> None:
    for name in PARTS:
        part = make_part(name, network)
        sizes = {"objects": 3, "maps": 2, "pointers": 4, "points": 5, "tokens": 6}
        with torch.inference_mode():
            found = part(*part.examples(**sizes))
        found = found if isinstance(found, tuple) else (found,)
        for spec, tensor in zip(part.outputs, found, strict=True):
            for size, length in zip(spec.shape, tensor.shape, strict=True):
                assert length == (size if isinstance(size, int) else sizes[size]), (name, spec.name)
