"""The whole step: absence, masks as output, memory and what it depends on."""

import math

import pytest
import torch

from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, MemorySelection, PointPrompt, suppress_overlaps


@pytest.fixture
def features(network: SAM2) -> ImageFeatures:
    torch.manual_seed(1)
    return network.encode_image(torch.randn(1, 3, 64, 64))


def click(count: int = 1) -> PointPrompt:
    return PointPrompt(torch.full((1, count, 2), 20.0), torch.ones(1, count, dtype=torch.int32))


def set_presence(network: SAM2, logit: float) -> None:
    head = network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.constant_(head.bias, logit)


def a_memory(network: SAM2, seed: int) -> torch.Tensor:
    return torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_an_absent_object_has_no_mask_and_the_pointer_of_nothing(
    network: SAM2, features: ImageFeatures
) -> None:
    set_presence(network, -1.0)
    out = network.track_step(features, points=click())
    assert (out.low_res_logits_b1hw == -1024).all()
    assert (out.high_res_logits_b1hw == -1024).all()
    assert torch.equal(out.pointer_bc, network.no_obj_ptr)
    assert out.candidates is not None and (out.candidates.logits_bmhw > -1024).all()


def test_soft_absence_blends_the_pointers(features: ImageFeatures) -> None:
    torch.manual_seed(0)
    network = make_network("miniature", soft_no_obj_ptr=True)
    set_presence(network, 1.0)
    share = 1 / (1 + math.exp(-1.0))
    soft = network.track_step(features, points=click()).pointer_bc
    set_presence(network, 50.0)
    present = network.track_step(features, points=click()).pointer_bc
    assert torch.allclose(soft, share * present + (1 - share) * network.no_obj_ptr, atol=1e-5)


def test_multimask_only_for_ambiguous_prompts(network: SAM2, features: ImageFeatures) -> None:
    for count, masks in ((1, 3), (2, 1), (3, 1)):
        out = network.track_step(features, points=click(count))
        assert out.candidates is not None and out.candidates.logits_bmhw.shape[1] == masks
    tracked = network.track_step(features, memory=MemorySelection([(a_memory(network, 0), 6)], []))
    assert tracked.candidates is not None and tracked.candidates.logits_bmhw.shape[1] == 3


def test_the_chosen_candidate_has_the_best_predicted_iou(network: SAM2, features: ImageFeatures) -> None:
    set_presence(network, 1.0)
    out = network.track_step(features, points=click())
    assert out.candidates is not None
    best = int(out.candidates.iou_bm[0].argmax())
    assert torch.equal(out.low_res_logits_b1hw[0, 0], out.candidates.logits_bmhw[0, best])
    assert out.iou_b[0] == out.candidates.iou_bm[0].max()
    assert out.high_res_logits_b1hw.shape == (1, 1, 64, 64)


def test_a_given_mask_is_the_output(network: SAM2, features: ImageFeatures) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:32, 16:48] = 1
    out = network.track_step(features, mask_inputs_b1hw=mask)
    assert torch.equal(out.high_res_logits_b1hw, mask * 20 - 10)
    assert out.low_res_logits_b1hw.shape == (1, 1, 16, 16)
    assert out.low_res_logits_b1hw[0, 0, 6, 8] == 10
    assert out.object_score_b1.item() == 10 and out.iou_b.item() == 1
    empty = network.track_step(features, mask_inputs_b1hw=torch.zeros_like(mask))
    assert empty.object_score_b1.item() == -10
    assert torch.equal(empty.pointer_bc, network.no_obj_ptr)


def test_memory_marks_absence_and_binarises_prompted_frames(features: ImageFeatures) -> None:
    torch.manual_seed(0)
    network = make_network("miniature", binarize_mask_from_pts_for_mem_enc=True)
    logits = torch.linspace(-2, 2, 64 * 64).reshape(1, 1, 64, 64)
    present, absent = torch.ones(1, 1), -torch.ones(1, 1)

    def encode(mask: torch.Tensor, score: torch.Tensor, from_prompt: bool) -> torch.Tensor:
        return network.encode_memory(features, mask, score, from_prompt=from_prompt)

    tracked = encode(logits, present, False)
    assert torch.allclose(
        encode(logits, absent, False) - tracked, network.no_obj_embed_spatial[..., None, None], atol=1e-5
    )
    certain = encode(logits, present, True)
    assert not torch.allclose(certain, tracked, atol=1e-4)
    assert torch.allclose(certain, encode(logits * 1000, present, True), atol=1e-6)
    network.train()  # while training the mask stays soft, so that gradients flow
    assert torch.allclose(encode(logits, present, True), tracked, atol=1e-5)


def test_memory_is_used_and_its_time_matters(network: SAM2, features: ImageFeatures) -> None:
    first, second = a_memory(network, 1), a_memory(network, 2)
    pointer = torch.randn(1, 32)

    def conditioned(maps: list[tuple[torch.Tensor, int]], time: float = 0.1) -> torch.Tensor:
        return network.condition_on_memory(features, MemorySelection(maps, [(pointer, time)]))

    base = conditioned([(first, 6), (second, 0)])
    assert not torch.allclose(base, conditioned([(first, 6), (second, 1)]), atol=1e-4)
    assert not torch.allclose(base, conditioned([(first, 0), (second, 6)]), atol=1e-4)
    assert not torch.allclose(base, conditioned([(first, 6), (second, 0)], time=0.9), atol=1e-5)
    assert torch.allclose(base, conditioned([(second, 0), (first, 6)]), atol=1e-5), "attention has no order"


def test_version_2_0_pointers_have_no_time(features: ImageFeatures) -> None:
    torch.manual_seed(0)
    off = dict.fromkeys(("add_tpos_enc_to_obj_ptrs", "proj_tpos_enc_in_obj_ptrs"), False)
    network = make_network("miniature", **off)
    pointer, maps = torch.randn(1, 32), [(a_memory(network, 1), 6)]
    early, late = (
        network.condition_on_memory(features, MemorySelection(maps, [(pointer, time)])) for time in (0.0, 1.0)
    )
    assert torch.equal(early, late)


def test_without_memory_a_learned_mark_is_added(network: SAM2, features: ImageFeatures) -> None:
    marked = network.condition_on_memory(features, None)
    assert torch.equal(marked, features.embedding_bchw + network.no_mem_embed.reshape(1, -1, 1, 1))
    dummy = make_network("miniature", directly_add_no_mem_embed=False)
    assert dummy.condition_on_memory(features, None).shape == marked.shape


def test_overlaps_go_to_the_strongest_and_ties_to_the_first() -> None:
    logits = torch.tensor([[[[3.0, 1.0, -20.0]]], [[[2.0, 1.0, -30.0]]]])
    assert suppress_overlaps(logits).tolist() == [[[[3.0, 1.0, -20.0]]], [[[-10.0, -10.0, -30.0]]]]
    assert torch.equal(suppress_overlaps(logits[:1]), logits[:1])


@pytest.mark.parametrize("mixed", [False, True])
def test_bfloat16_runs_and_stays_close(network: SAM2, features: ImageFeatures, mixed: bool) -> None:
    set_presence(network, 1.0)
    exact = network.track_step(features, points=click(2))
    torch.manual_seed(1)
    images = torch.randn(1, 3, 64, 64)
    if not mixed:
        network = network.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        half = network.encode_image(images)
        out = network.track_step(half, points=click(2))
        memory = network.encode_memory(half, out.high_res_logits_b1hw, out.object_score_b1, from_prompt=True)
        network.track_step(half, memory=MemorySelection([(memory, 6)], [(out.pointer_bc, 0.1)]))
    assert out.low_res_logits_b1hw.dtype == torch.float32
    error = (out.low_res_logits_b1hw - exact.low_res_logits_b1hw).norm() / exact.low_res_logits_b1hw.norm()
    assert error < 0.1


def test_gradients_reach_every_part_through_a_memory(network: SAM2) -> None:
    network.train()
    images = torch.randn(2, 3, 64, 64)
    features = network.encode_image(images)
    set_presence(network, 1.0)
    first = network.track_step(features.select(0), points=click())
    memory = network.encode_memory(
        features.select(0), first.high_res_logits_b1hw, first.object_score_b1, from_prompt=True
    )
    second = network.track_step(
        features.select(1), memory=MemorySelection([(memory, 6)], [(first.pointer_bc, 0.1)])
    )
    second.high_res_logits_b1hw.square().mean().backward()
    for part in ("image_encoder", "memory_encoder", "memory_attention", "obj_ptr_proj", "sam_mask_decoder"):
        gradients = [p.grad for p in getattr(network, part).parameters() if p.grad is not None]
        assert gradients and sum(float(g.abs().sum()) for g in gradients) > 0, part
