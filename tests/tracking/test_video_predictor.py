import dataclasses

import numpy as np
import pytest
import torch

from ocusam.core.errors import PromptError
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.source import EndOfVideo, SequenceSource


def click(predictor, state, frame_idx=0, obj_id=1, point=(14.0, 20.0), label=1, **more):
    return predictor.add_new_points_or_box(state, frame_idx, obj_id, points=[point], labels=[label], **more)


def run(predictor, state, *args, **kwargs) -> dict[int, torch.Tensor]:
    return {t: logits for t, _, logits in predictor.propagate_in_video(state, *args, **kwargs)}


def close(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left, right, rtol=1e-4, atol=1e-4)


# ---- what comes out -----------------------------------------------------------------------------------


def test_shapes_ids_and_order(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    frame_idx, obj_ids, logits = click(predictor, state)
    assert (frame_idx, obj_ids, logits.shape, logits.dtype) == (0, [1], (1, 1, 40, 56), torch.float32)
    _, obj_ids, logits = click(predictor, state, obj_id="second", point=(50, 5))
    assert obj_ids == [1, "second"] and logits.shape == (2, 1, 40, 56)
    frames = list(predictor.propagate_in_video(state))
    assert [t for t, _, _ in frames] == list(range(12))
    assert all(ids == [1, "second"] and lo.shape == (2, 1, 40, 56) for _, ids, lo in frames)
    assert torch.equal(frames[0][2], logits)  # a prompted frame gives its stored mask


def test_richer_outputs(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(SequenceSource(clip, fps=100))
    click(predictor, state, 1)
    click(predictor, state, 3, obj_id=2)
    outputs = list(predictor.propagate(state, start_frame_idx=0, max_frame_num_to_track=3))
    assert [o.frame_idx for o in outputs] == [0, 1, 2, 3]
    assert [o.timestamp_ns for o in outputs] == [0, 10_000_000, 20_000_000, 30_000_000]
    for output in outputs:
        assert output.low_res_logits.shape == (2, 1, 16, 16)
        assert output.predicted_iou.shape == output.object_score.shape == (2,)
        assert np.isfinite(output.predicted_iou).all() and np.isfinite(output.object_score).all()
        assert np.array_equal(output.image, clip[output.frame_idx])
        assert np.array_equal(output.masks, output.logits[:, 0].numpy() > 0)
    lone = predictor.frame_output(state, 7)  # nobody has an answer there
    assert (lone.low_res_logits == -1024).all() and np.isnan(lone.predicted_iou).all()


def test_an_object_without_an_answer_on_a_frame_is_absent_there(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state, 0, obj_id=1)
    _, _, logits = click(predictor, state, 4, obj_id=2)
    assert (logits[0] < -1023).all() and (logits[1] > -1023).any()


def test_objects_are_independent(make_predictor, clip):
    predictor = make_predictor()
    alone = predictor.init_state(clip)
    click(predictor, alone)
    together = predictor.init_state(clip)
    click(predictor, together)
    click(predictor, together, 0, obj_id=2, point=(50, 5))
    click(predictor, together, 4, obj_id=3, point=(22, 20))
    first, second = run(predictor, alone), run(predictor, together)
    assert all(close(first[t][0], second[t][0]) for t in first)


def test_frames_to_visit(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state, 5)
    assert list(run(predictor, state)) == list(range(5, 12))
    assert list(run(predictor, state, max_frame_num_to_track=2)) == [5, 6, 7]
    assert list(run(predictor, state, reverse=True)) == [5, 4, 3, 2, 1, 0]
    assert list(run(predictor, state, 3, 1, reverse=True)) == [3, 2]
    assert list(run(predictor, state, 2, 0)) == [2]
    assert run(predictor, state, 0, reverse=True) == {}


# ---- prompts ------------------------------------------------------------------------------------------


def test_points_replace_or_join(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state)
    click(predictor, state, point=(40, 10), label=0, clear_old_points=False)
    assert state.objects[1].points[0].labels_bn.tolist() == [[1, 0]]
    assert state.objects[1].points[0].coords_bn2[0, 0].tolist() == pytest.approx([14 / 56 * 64, 20 / 40 * 64])
    click(predictor, state, point=(15, 20))
    assert state.objects[1].points[0].labels_bn.tolist() == [[1]]


def test_a_box_becomes_two_corners_in_front(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 1, points=[[14, 20]], labels=[1], box=[4, 10, 28, 30])
    prompt = state.objects[1].points[0]
    assert prompt.labels_bn.tolist() == [[2, 3, 1]]
    assert prompt.coords_bn2[0].tolist() == pytest.approx(
        np.array([[4, 10], [28, 30], [14, 20]]) / [56, 40] * 64
    )


def test_shares_of_the_picture_instead_of_pixels(make_predictor, clip):
    predictor = make_predictor()
    states = [predictor.init_state(clip) for _ in range(2)]
    pixels = click(predictor, states[0])[2]
    shares = click(predictor, states[1], point=(14 / 56, 0.5), normalize_coords=False)[2]
    assert close(pixels, shares)


def test_a_mask_prompt_is_its_own_answer(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    y, x = np.mgrid[:40, :56]
    mask = (x - 14) ** 2 + (y - 20) ** 2 < 64
    _, _, logits = predictor.add_new_mask(state, 0, 1, mask)
    agree = ((logits[0, 0] > 0).numpy() == mask).mean()
    assert agree > 0.97  # through 64 x 64 and 16 x 16 and back
    assert float(logits.abs().max()) <= 10.001
    click(predictor, state)
    assert not state.objects[1].mask_frames  # new points drop the frame's mask, and the reverse
    predictor.add_new_mask(state, 0, 1, torch.from_numpy(mask))
    assert not state.objects[1].points


def test_a_second_click_refines_the_first_answer(make_predictor, clip):
    predictor = make_predictor()
    fresh, refined = predictor.init_state(clip), predictor.init_state(clip)
    once = click(predictor, fresh)[2]
    click(predictor, refined)
    twice = click(predictor, refined)[2]  # the same click again, the earlier logits go in too
    assert not close(once, twice)


# ---- corrections --------------------------------------------------------------------------------------


def test_corrections_are_lost_as_published_unless_told_otherwise(make_predictor, clip):
    for keep in (False, True):
        predictor = make_predictor(add_all_frames_to_correct_as_cond=keep)
        state = predictor.init_state(clip)
        click(predictor, state)
        before = run(predictor, state)
        corrected = click(predictor, state, 5, point=(24, 20))[2]
        assert not close(corrected, before[5])
        again = run(predictor, state)
        assert (5 in state.objects[1].bank.conditioning) == keep
        assert close(again[5], corrected) == keep
        assert close(again[5], before[5]) != keep


def test_clearing_around_prompts(make_predictor, clip):
    predictor = make_predictor(clear_non_cond_mem_around_input=True, add_all_frames_to_correct_as_cond=True)
    state = predictor.init_state(clip)
    click(predictor, state)
    run(predictor, state)
    click(predictor, state, 5)
    predictor.propagate_in_video_preflight(state)
    assert not state.objects[1].bank.recent  # all 12 frames lie within 7 of frame 5 or are prompted
    assert list(run(predictor, state)) == list(range(12))


def test_a_refinement_that_is_all_that_is_left_becomes_the_prompt(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state, 0)
    run(predictor, state)
    click(predictor, state, 4)
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    assert list(run(predictor, state)) == list(range(4, 12))


def test_clearing_prompts_downgrades_the_frame(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state, 0)
    click(predictor, state, 4)
    run(predictor, state)
    frame_idx, obj_ids, _ = predictor.clear_all_prompts_in_frame(state, 4, 1)
    assert (frame_idx, obj_ids) == (4, [1])
    bank = state.objects[1].bank
    assert list(bank.conditioning) == [0] and 4 in bank.recent
    assert state.objects[1].tracked.direction(4) is None and state.objects[1].tracked.direction(5) is False
    assert predictor.clear_all_prompts_in_frame(state, 0, 1, need_output=False) is None
    with pytest.raises(PromptError, match="no prompts"):
        run(predictor, state)
    click(predictor, state, 3)  # starts afresh although frame 3 was tracked
    assert list(run(predictor, state)) == list(range(3, 12))


# ---- objects come and go ------------------------------------------------------------------------------


def test_removing_an_object_midway(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    alone = predictor.init_state(clip)
    click(predictor, state, 0, obj_id=1)
    click(predictor, state, 2, obj_id=2)
    click(predictor, alone, 0, obj_id=1)
    seen = []
    for t, obj_ids, logits in predictor.propagate_in_video(state):
        seen.append((t, list(obj_ids), logits))
        if t == 4:
            obj_ids, updated = predictor.remove_object(state, 2)
            assert obj_ids == [1] and [t for t, _ in updated] == [2] and updated[0][1].shape == (1, 1, 40, 56)
    assert [ids for _, ids, _ in seen] == [[1, 2]] * 5 + [[1]] * 7
    expected = run(predictor, alone)
    assert all(close(expected[t][0], logits[0]) for t, _, logits in seen)
    assert predictor.remove_object(state, 99) == ([1], [])
    assert predictor.remove_object(state, 1) == ([], [])
    with pytest.raises(PromptError, match="nothing to follow"):
        run(predictor, state)


def test_objects_may_be_added_after_tracking(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state)
    run(predictor, state)
    click(predictor, state, 6, obj_id=2)
    again = run(predictor, state)
    assert list(again) == list(range(12)) and all(len(logits) == 2 for logits in again.values())


def test_objects_may_be_added_and_removed_while_a_pass_runs(make_predictor, clip):
    """With the masks of a pass that was ended there and begun again."""
    predictor = make_predictor()
    stopped, state = predictor.init_state(clip), predictor.init_state(clip)
    click(predictor, stopped)
    run(predictor, stopped, 0, 4)
    click(predictor, stopped, 4, obj_id=2)
    expected = run(predictor, stopped, 5)
    click(predictor, state)
    for t, ids, logits in predictor.propagate_in_video(state):
        assert ids == ([1] if t <= 4 else [1, 2] if t <= 8 else [2])
        if t > 4:
            assert torch.equal(logits, expected[t][-len(ids) :])
        if t == 3:  # named and taken back: nothing is known of it
            click(predictor, state, 3, obj_id=3)
            predictor.clear_all_prompts_in_frame(state, 3, 3)
            predictor.remove_object(state, 3)
        if t == 4:
            click(predictor, state, 4, obj_id=2)
        if t == 8:
            predictor.remove_object(state, 1)


def test_an_object_without_memory_is_absent_from_a_pass_that_runs(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state)
    for t, _, logits in predictor.propagate_in_video(state):
        if t == 4:
            click(predictor, state, 4, obj_id=2)
            predictor.clear_all_prompts_in_frame(state, 4, 2)
        if t > 4:
            assert (logits[1] < -1000).all() and (logits[0] > -1000).any()


def test_reset_starts_from_nothing(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(clip)
    click(predictor, state)
    first = run(predictor, state)
    predictor.reset_state(state)
    assert state.obj_ids == []
    click(predictor, state)
    second = run(predictor, state)
    assert all(torch.equal(first[t], second[t]) for t in first)


# ---- options ------------------------------------------------------------------------------------------


def test_outputs_without_overlap(make_predictor, clip):
    predictor = make_predictor(non_overlap_masks=True)
    state = predictor.init_state(clip)
    for obj_id, point in ((1, (14, 20)), (2, (15, 21)), (3, (50, 5))):
        click(predictor, state, obj_id=obj_id, point=point)
    for logits in run(predictor, state).values():
        assert int(((logits > 0).sum(dim=0)).max()) <= 1
    # Memories are those of the masks as they were.
    free = make_predictor()
    other = free.init_state(clip)
    for obj_id, point in ((1, (14, 20)), (2, (15, 21)), (3, (50, 5))):
        click(free, other, obj_id=obj_id, point=point)
    run(free, other)
    for obj_id in (1, 2, 3):
        left, right = state.objects[obj_id].bank.get(11), other.objects[obj_id].bank.get(11)
        assert torch.equal(left.map_bdhw, right.map_bdhw)


def test_filled_holes_show_in_outputs(make_predictor, clip):
    plain, filled = make_predictor(), make_predictor(fill_hole_area=10_000)
    states = [p.init_state(clip) for p in (plain, filled)]
    before, after = (click(p, s)[2] for p, s in zip((plain, filled), states, strict=True))
    assert (after > 0).sum() >= (before > 0).sum()
    assert (after > 0).all()  # every background region is smaller than that


def test_a_state_kept_on_the_main_memory_gives_the_same(make_predictor, clip):
    predictor = make_predictor()
    states = [predictor.init_state(clip), predictor.init_state(clip, True, True, True)]
    for state in states:
        click(predictor, state)
    first, second = (run(predictor, state) for state in states)
    assert all(torch.equal(first[t], second[t]) for t in first)


@pytest.mark.parametrize("stride", [1, 3])
def test_other_temporal_options_run(network, clip, stride):
    config = dataclasses.replace(
        network.config, memory_temporal_stride_for_eval=stride, max_cond_frames_in_attn=2
    )
    other = type(network)(config).eval()
    other.load_state_dict(network.state_dict())
    predictor = SAM2VideoPredictor(other)
    state = predictor.init_state(clip)
    for t in (0, 3, 7, 9):
        click(predictor, state, t)
    assert list(run(predictor, state)) == list(range(12))
    assert list(run(predictor, state, 11, reverse=True)) == list(range(11, -1, -1))


# ---- streams and memory -------------------------------------------------------------------------------


def test_memory_stays_bounded_over_a_long_video(make_predictor, clip):
    class Long(SequenceSource):
        reads = 0

        @property
        def num_frames(self):
            return 200

        def read(self, frame_idx):
            if frame_idx >= 200:
                raise EndOfVideo("over")
            Long.reads += 1
            return super().read(frame_idx % 12)

    predictor = make_predictor(memory_window=0)
    state = predictor.init_state(Long(clip))
    click(predictor, state)
    sizes = []
    for output in predictor.propagate(state):
        bank = state.objects[1].bank
        sizes.append(
            sum(
                t.numel()
                for e in bank.recent.values()
                for t in (e.map_bdhw, e.low_res_logits_b1hw)
                if t is not None
            )
        )
        assert len(bank) <= 1 + 16 + 16 + 1, output.frame_idx
    assert len(sizes) == 200 and max(sizes[60:]) <= max(sizes[:60])
    assert len(state._frames) <= 3 and len(state._features) <= 3
    assert len(state.objects[1].tracked.runs) == 1
    assert Long.reads <= 205


def test_a_bounded_bank_gives_the_masks_of_a_bank_that_keeps_all(make_predictor, clip):
    long = np.concatenate([clip, clip[::-1], clip, clip[::-1]])
    outputs = []
    for window in (0, None):
        predictor = make_predictor(memory_window=window)
        state = predictor.init_state(long)
        click(predictor, state, 24)
        outputs.append(run(predictor, state) | run(predictor, state, reverse=True))
    assert all(torch.equal(outputs[0][t], outputs[1][t]) for t in range(48))


def test_an_iterable_is_followed_as_it_comes(make_predictor, clip):
    predictor = make_predictor()
    state = predictor.init_state(iter(clip))
    click(predictor, state)
    assert list(run(predictor, state)) == list(range(12))
    assert state.num_frames == 12


def test_a_video_that_ends_early_ends_the_pass(make_predictor, clip):
    class Cut(SequenceSource):
        def read(self, frame_idx):
            if frame_idx >= 7:
                raise EndOfVideo("no more")
            return super().read(frame_idx)

    predictor = make_predictor()
    state = predictor.init_state(Cut(clip))
    click(predictor, state)
    assert list(run(predictor, state)) == list(range(7))
