"""The choice of memories on cases worked by hand from the published rules."""

import dataclasses

import pytest
import torch

from ocusam.model.config import Sam2Config
from ocusam.tracking.memory_bank import MemoryBank, MemoryEntry, closest_conditioning_frames

CONFIG = Sam2Config()


def entry(value: float = 0.0) -> MemoryEntry:
    value = float(value)
    return MemoryEntry(
        torch.full((1, 1, 4, 4), value),
        torch.full((1, 8), value),
        torch.zeros(1, 1),
        torch.zeros(1),
        torch.full((1, 2, 2, 2), value),
    )


def bank_with(conditioning, recent, **options) -> MemoryBank:
    bank = MemoryBank(dataclasses.replace(CONFIG, **options))
    for t in conditioning:
        bank.add(t, entry(t), conditioning=True)
    for t in recent:
        bank.add(t, entry(t), conditioning=False)
    return bank


def test_the_first_tracked_frame_sees_the_prompted_one():
    plan = bank_with([0], []).plan(1, num_frames=100)
    assert plan.maps == ((0, 6),)
    assert plan.pointers == ((0, 1 / 15),)


def test_a_full_bank_forward():
    plan = bank_with([0], range(1, 20)).plan(20, num_frames=100)
    # t-6 has the fifth row of the temporal encoding, t-1 the first.
    assert plan.maps == ((0, 6), (14, 5), (15, 4), (16, 3), (17, 2), (18, 1), (19, 0))
    assert [t for t, _ in plan.pointers] == [0, *range(19, 4, -1)]
    assert plan.pointers[0][1] == 20 / 15
    assert plan.pointers[1][1] == 1 / 15 and plan.pointers[-1][1] == 1.0


def test_missing_frames_are_skipped_and_keep_their_rows():
    plan = bank_with([3], [4, 6]).plan(8, num_frames=100)
    assert plan.maps == ((3, 6), (4, 3), (6, 1))
    assert [(t, round(time * 15)) for t, time in plan.pointers] == [(3, 5), (6, 2), (4, 4)]


def test_backward_mirrors_forward():
    plan = bank_with([9], [8, 7, 6]).plan(5, reverse=True, num_frames=10)
    assert plan.maps == ((9, 6), (8, 2), (7, 1), (6, 0))
    assert [(t, round(time * 9)) for t, time in plan.pointers] == [(9, 4), (6, 1), (7, 2), (8, 3)]


def test_prompts_of_the_future_give_maps_but_no_pointers():
    plan = bank_with([0, 9], [1, 2]).plan(3, num_frames=100)
    assert plan.maps == ((0, 6), (9, 6), (1, 1), (2, 0))
    assert [t for t, _ in plan.pointers] == [0, 2, 1]
    plan = bank_with([0, 9], [8, 7]).plan(6, reverse=True, num_frames=100)
    assert [t for t, _ in plan.pointers] == [9, 7, 8]
    plan = bank_with([0, 9], [], only_obj_ptrs_in_the_past_for_eval=False).plan(3, num_frames=100)
    assert plan.pointers == ((0, 3 / 15), (9, -6 / 15))


def test_unsigned_times_of_version_2_0():
    plan = bank_with(
        [9], [], only_obj_ptrs_in_the_past_for_eval=False, use_signed_tpos_enc_to_obj_ptrs=False
    ).plan(3, num_frames=100)
    assert plan.pointers == ((9, 6 / 15),)


def test_short_videos_scale_time_by_their_length_and_streams_by_16():
    bank = bank_with([0], range(1, 4))
    assert bank.plan(4, num_frames=5).pointers[0] == (0, 1.0)
    assert len(bank.plan(4, num_frames=3).pointers) == 3  # the prompted one and two recent ones
    assert bank.plan(4, num_frames=None).pointers[0] == (0, 4 / 15)
    assert bank.plan(1, num_frames=1).pointers == ((0, 1.0),)


def test_the_stride_keeps_the_last_frame_and_multiples():
    bank = bank_with([0], range(1, 30), memory_temporal_stride_for_eval=4)
    # The last frame, then (23 - 2) // 4 * 4 = 20 and every fourth before it.
    assert bank.plan(23, num_frames=100).maps == (
        (0, 6),
        (4, 5),
        (8, 4),
        (12, 3),
        (16, 2),
        (20, 1),
        (22, 0),
    )
    # Backward the multiples lie above: ceil((13 + 2) / 4) * 4 = 16 and every fourth after it; no 32.
    back = bank_with([30], range(10, 30), memory_temporal_stride_for_eval=4)
    assert back.plan(13, reverse=True, num_frames=100).maps == (
        (30, 6),
        (28, 4),
        (24, 3),
        (20, 2),
        (16, 1),
        (14, 0),
    )


def test_a_limit_on_prompted_frames():
    assert closest_conditioning_frames(10, [0, 4, 8, 12, 20], 3) == ([8, 12, 4], {0, 20})
    assert closest_conditioning_frames(10, [20, 12, 0], 2) == ([0, 12], {20})
    assert closest_conditioning_frames(10, [10, 2], 2) == ([10, 2], set())
    assert closest_conditioning_frames(10, [5, 3], -1) == ([5, 3], set())
    assert closest_conditioning_frames(1, [5, 9, 7], 2) == ([5, 7], {9})


def test_prompted_frames_left_out_stand_in_as_recent_ones():
    bank = bank_with([0, 6, 7, 20], [8, 9], max_cond_frames_in_attn=2)
    # Before 10 the closest prompt is 7, from 10 on it is 20; 0 and 6 are left out, and 6 is four steps ago.
    plan = bank.plan(10, num_frames=100)
    assert plan.maps == ((7, 6), (20, 6), (6, 3), (8, 1), (9, 0))
    assert [t for t, _ in plan.pointers] == [7, 9, 8, 6, 0]


def test_no_pointers_where_the_network_has_none():
    assert bank_with([0], [1], use_obj_ptrs_in_encoder=False).plan(2).pointers == ()


def test_selected_tensors_are_those_planned_and_maps_are_bfloat16():
    selection = bank_with([0], [1, 2]).select(3, num_frames=100)
    assert [(float(m.mean()), row) for m, row in selection.maps] == [(0, 6), (1, 1), (2, 0)]
    assert all(m.dtype == torch.bfloat16 for m, _ in selection.maps)
    assert [float(p.mean()) for p, _ in selection.pointers] == [0, 2, 1]
    assert all(p.dtype == torch.float32 for p, _ in selection.pointers)


def test_a_frame_is_in_one_store():
    bank = bank_with([0], [1])
    bank.add(1, entry(5), conditioning=True)
    assert list(bank.conditioning) == [0, 1] and not bank.recent
    bank.add(1, entry(6), conditioning=False)  # a refinement of a prompted frame is not kept, as published
    assert float(bank.conditioning[1].pointer_bc[0, 0]) == 5 and not bank.recent
    assert bank.demote(1) and not bank.demote(1)
    assert list(bank.recent) == [1] and list(bank.conditioning) == [0]


def test_forgetting_around_a_prompt():
    bank = bank_with([20], range(40))
    bank.forget_around(20)
    assert sorted(bank.recent) == [*range(13), *range(28, 40)]


def test_the_bank_does_not_grow_and_the_choice_is_that_of_a_bank_that_keeps_all():
    everything = MemoryBank(CONFIG, window=None)
    bounded = MemoryBank(CONFIG, window=0)
    sizes = []
    for bank in (everything, bounded):
        bank.add(100, entry(), conditioning=True)
    for t in range(101, 400):
        assert everything.plan(t) == bounded.plan(t)
        for bank in (everything, bounded):
            bank.add(t, entry(), conditioning=False)
            bank.trim(t)
        sizes.append(len(bounded))
    assert len(everything) == 300
    assert max(sizes) <= 1 + 2 * 16 + 16 + 1
    # Back to the prompt: the memories around it are still there, for either direction.
    for t in range(99, 60, -1):
        assert everything.plan(t, reverse=True) == bounded.plan(t, reverse=True)
        for bank in (everything, bounded):
            bank.add(t, entry(), conditioning=False)
            bank.trim(t)
    kept_masks = [t for t, e in bounded.recent.items() if e.low_res_logits_b1hw is not None]
    assert min(kept_masks) >= 61 and max(kept_masks) <= 61 + 16


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_the_window_is_at_least_what_attention_reaches(stride):
    config = dataclasses.replace(CONFIG, memory_temporal_stride_for_eval=stride)
    everything, bounded = MemoryBank(config, window=None), MemoryBank(config, window=1)
    for bank in (everything, bounded):
        bank.add(0, entry(), conditioning=True)
    for t in range(1, 120):
        assert everything.plan(t) == bounded.plan(t)
        for bank in (everything, bounded):
            bank.add(t, entry(), conditioning=False)
            bank.trim(t)
