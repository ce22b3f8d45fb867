"""Whatever is done to a session in whatever order: it does not break, and cleared prompts leave no trace."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocusam.core.errors import PromptError
from ocusam.tracking.session import TrackedFrames
from ocusam.tracking.video_predictor import SAM2VideoPredictor

FRAMES = 5
frames = st.integers(0, FRAMES - 1)
objects = st.sampled_from(["a", "b", "c"])
points = st.tuples(st.integers(2, 53), st.integers(2, 37))
prompt_actions = st.one_of(
    st.tuples(st.just("points"), frames, objects, points, st.booleans()),
    st.tuples(st.just("mask"), frames, objects, points),
    st.tuples(st.just("clear"), frames, objects),
    st.tuples(st.just("remove"), objects),
    st.tuples(st.just("reset")),
)
all_actions = st.one_of(
    prompt_actions, st.tuples(st.just("propagate"), frames, st.integers(0, 3), st.booleans())
)
# Each example runs the network many times; few examples, long sequences.
few = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def act(predictor: SAM2VideoPredictor, state, action) -> None:
    name, *rest = action
    if name == "points":
        frame_idx, obj_id, point, join = rest
        predictor.add_new_points_or_box(state, frame_idx, obj_id, [point], [1], clear_old_points=not join)
    elif name == "mask":
        frame_idx, obj_id, (x0, y0) = rest
        y, x = np.mgrid[:40, :56]
        predictor.add_new_mask(state, frame_idx, obj_id, (x - x0) ** 2 + (y - y0) ** 2 < 50)
    elif name == "clear":
        predictor.clear_all_prompts_in_frame(state, *rest)
    elif name == "remove":
        predictor.remove_object(state, rest[0], strict=True)
    elif name == "reset":
        predictor.reset_state(state)
    else:
        start, length, reverse = rest
        for frame_idx, obj_ids, logits in predictor.propagate_in_video(state, start, length, reverse):
            assert 0 <= frame_idx < FRAMES and logits.shape == (len(obj_ids), 1, 40, 56)
            assert torch.isfinite(logits).all()


def check(state, known: list[str]) -> None:
    assert state.obj_ids == known
    for track in state.objects.values():
        bank = track.bank
        assert not bank.conditioning.keys() & bank.recent.keys()
        assert all(e.map_bdhw is not None for e in bank.conditioning.values())
        assert all(t in track.points or t in track.mask_frames for t in track.pending)
        assert not track.points.keys() & track.mask_frames


def follow(known: list[str], action) -> list[str]:
    """Which objects there should be."""
    name, *rest = action
    if name in ("points", "mask") and rest[1] not in known:
        return [*known, rest[1]]
    if name == "remove":
        return [k for k in known if k != rest[0]]
    return [] if name == "reset" else known


@pytest.fixture(scope="module")
def short_clip(clip):
    return clip[:FRAMES]


@few
@given(actions=st.lists(all_actions, max_size=12), keep=st.booleans(), clear=st.booleans())
def test_nothing_breaks(network, short_clip, actions, keep, clear):
    predictor = SAM2VideoPredictor(
        network,
        add_all_frames_to_correct_as_cond=keep,
        clear_non_cond_mem_around_input=clear,
        memory_window=0,
    )
    state = predictor.init_state(short_clip)
    known: list[str] = []
    for action in actions:
        refused = (action[0] in ("clear", "remove") and action[-1] not in known) or (
            action[0] == "propagate"
            and (not known or any(not t.pending and not t.bank.conditioning for t in state.objects.values()))
        )
        if refused:
            with pytest.raises(PromptError):
                act(predictor, state, action)
        else:
            act(predictor, state, action)
            known = follow(known, action)
        check(state, known)


@few
@given(actions=st.lists(prompt_actions, max_size=14))
def test_what_was_cleared_leaves_no_trace(network, short_clip, actions):
    """The same masks as a fresh session that was given the surviving prompts only."""
    predictor = SAM2VideoPredictor(network)
    state, fresh = predictor.init_state(short_clip), predictor.init_state(short_clip)
    known: list[str] = []
    surviving: list[tuple] = []
    for action in actions:
        if action[0] in ("clear", "remove") and action[-1] not in known:
            continue
        act(predictor, state, action)
        known = follow(known, action)
        if action[0] in ("points", "mask"):
            surviving.append(action)
        elif action[0] == "clear":
            surviving = [a for a in surviving if a[1:3] != action[1:3]]
        else:
            surviving = [a for a in surviving if a[2] in known]
    for obj_id in [k for k in known if k not in {a[2] for a in surviving}]:
        predictor.remove_object(state, obj_id)
    if not surviving:
        return
    for action in surviving:
        act(predictor, fresh, action)
    left = {t: dict(zip(ids, lo, strict=True)) for t, ids, lo in predictor.propagate_in_video(state)}
    right = {t: dict(zip(ids, lo, strict=True)) for t, ids, lo in predictor.propagate_in_video(fresh)}
    assert left.keys() == right.keys()
    for t, masks in left.items():
        assert masks.keys() == right[t].keys()
        assert all(torch.allclose(masks[k], right[t][k], rtol=1e-3, atol=1e-2) for k in masks)


@given(
    events=st.lists(st.tuples(st.sampled_from(["pass", "remove"]), st.integers(0, 30), st.integers(0, 30)))
)
def test_runs_of_tracked_frames_equal_a_plain_dictionary(events):
    runs, plain = TrackedFrames(), {}
    for kind, start, stop in events:
        if kind == "remove":
            runs.remove(start)
            plain.pop(start, None)
            continue
        reverse = stop < start
        for t in range(start, stop + (-1 if reverse else 1), -1 if reverse else 1):
            runs.add(t, reverse)
            plain[t] = reverse
    assert {t: runs.direction(t) for t in range(31)} == {t: plain.get(t) for t in range(31)}
