"""Random sessions against a rule that knows no history: the masks that survived decide, and nothing else.

A mask given by the user is its own answer, whatever was said or tracked before, and with
`add_all_frames_to_correct_as_cond=True` it is a conditioning memory on any frame. So whatever was added,
cleared, removed, propagated and reset on the way, one pass over the video must give, bit for bit, what a
fresh session gives that was told the surviving masks only. (Clicks are not like that: an answer to a click
depends on earlier ones. For them see `test_replayed_sessions.py`.)

The last test breaks the predictor in several ways, one at a time, and sees each of them found.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ocusam.core.errors import PromptError
from ocusam.model.sam2 import SAM2
from ocusam.tracking import engine
from ocusam.tracking.memory_bank import MemoryBank
from ocusam.tracking.session import ObjectTrack, VideoSession
from ocusam.tracking.video_predictor import SAM2VideoPredictor

FRAMES = 5
Call = tuple[Any, ...]
Place = tuple[str, int]

objects = st.sampled_from(["a", "b"])
frames = st.integers(0, FRAMES - 1)
masks = st.tuples(st.just("mask"), objects, frames, st.integers(0, 36))
passes = st.tuples(st.just("propagate"), st.none() | frames, st.integers(0, FRAMES), st.booleans())
calls_of_all_kinds = st.one_of(
    masks,
    masks,
    st.tuples(st.just("clear"), objects, frames),
    st.tuples(st.just("remove"), objects),
    passes,
    st.tuples(st.just("propagate"), st.just(0), st.none(), st.just(False)),
    st.tuples(st.just("reset")),
)

WHOLE: Call = ("propagate", 0, None, False)
CLEARED_AFTER_A_PASS: list[Call] = [("mask", "a", 0, 5), ("mask", "a", 3, 20), WHOLE, ("clear", "a", 3)]
CLEARED_BEFORE: list[Call] = [("mask", "a", 0, 5), ("mask", "a", 3, 20), ("clear", "a", 3)]
REMOVED_AND_BACK: list[Call] = [("mask", "a", 0, 5), WHOLE, ("remove", "a"), ("mask", "a", 3, 20)]
RESET: list[Call] = [("mask", "a", 0, 5), WHOLE, ("reset",), ("mask", "b", 3, 20)]
CORRECTED: list[Call] = [("mask", "a", 0, 5), WHOLE, ("mask", "a", 3, 20)]
NOTHING_LEFT: list[Call] = [("mask", "a", 2, 5), WHOLE, ("clear", "a", 2), WHOLE, ("mask", "b", 1, 9), WHOLE]


def picture_of(column: int) -> NDArray[np.bool_]:
    mask = np.zeros((40, 56), bool)
    mask[8:30, column : column + 18] = True
    return mask


class Rule:
    """Which objects there are, and which masks of theirs survive."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self.masks: dict[Place, int] = {}

    def allows(self, call: Call) -> bool:
        if call[0] in ("clear", "remove"):
            return call[1] in self.known
        return call[0] != "propagate" or (bool(self.known) and not self.without_masks())

    def without_masks(self) -> list[str]:
        return [name for name in self.known if name not in {obj_id for obj_id, _ in self.masks}]

    def apply(self, call: Call) -> None:
        kind = call[0]
        if kind == "mask":
            self.masks[call[1], call[2]] = call[3]
            self.known += [] if call[1] in self.known else [call[1]]
        elif kind == "clear":
            self.masks.pop((call[1], call[2]), None)
        elif kind == "remove":
            self.known.remove(call[1])
            self.masks = {place: mask for place, mask in self.masks.items() if place[0] != call[1]}
        elif kind == "reset":
            self.known, self.masks = [], {}


def act(predictor: SAM2VideoPredictor, state: VideoSession, call: Call) -> None:
    kind = call[0]
    if kind == "mask":
        predictor.add_new_mask(state, call[2], call[1], picture_of(call[3]))
    elif kind == "clear":
        predictor.clear_all_prompts_in_frame(state, call[2], call[1])
    elif kind == "remove":
        predictor.remove_object(state, call[1], strict=True)
    elif kind == "reset":
        predictor.reset_state(state)
    else:
        for _, obj_ids, logits in predictor.propagate_in_video(state, *call[1:]):
            assert obj_ids == state.obj_ids and torch.isfinite(logits).all()


def answers(predictor: SAM2VideoPredictor, state: VideoSession) -> dict[Place, torch.Tensor]:
    """One pass over all frames, by object and frame."""
    if not state.obj_ids:
        return {}
    passed = predictor.propagate_in_video(state, 0)
    return {(obj_id, t): logits[row] for t, ids, logits in passed for row, obj_id in enumerate(ids)}


def survivors_decide(network: SAM2, clip: NDArray[np.uint8], calls: list[Call]) -> None:
    """The property."""
    predictor = SAM2VideoPredictor(network, add_all_frames_to_correct_as_cond=True)
    state, fresh, rule = predictor.init_state(clip[:FRAMES]), predictor.init_state(clip[:FRAMES]), Rule()
    with pytest.MonkeyPatch.context() as patch:
        # One by one: rows of a batch differ in the last bits from rows of another batch.
        patch.setattr(engine, "_OBJECTS_AT_ONCE", 1)
        for call in calls:
            if rule.allows(call):
                act(predictor, state, call)
                rule.apply(call)
            else:
                with pytest.raises(PromptError):
                    act(predictor, state, call)
            assert state.obj_ids == rule.known
        for name in rule.without_masks():
            predictor.remove_object(state, name)
        for (obj_id, t), column in rule.masks.items():
            act(predictor, fresh, ("mask", obj_id, t, column))
        found, expected = answers(predictor, state), answers(predictor, fresh)
    assert found.keys() == expected.keys()
    for place in found:
        assert torch.equal(found[place], expected[place]), place


@settings(max_examples=20)
@given(calls=st.lists(calls_of_all_kinds, min_size=3, max_size=14))
@example(calls=CLEARED_AFTER_A_PASS)
@example(calls=CLEARED_BEFORE)
@example(calls=REMOVED_AND_BACK)
@example(calls=RESET)
@example(calls=CORRECTED)
@example(calls=NOTHING_LEFT)
def test_survivors_decide(network: SAM2, clip: NDArray[np.uint8], calls: list[Call]) -> None:
    survivors_decide(network, clip, calls)


Break = Callable[[pytest.MonkeyPatch], None]


def clear_keeps_the_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryBank, "demote", lambda self, t: False)


def clear_keeps_the_waiting_answer(patch: pytest.MonkeyPatch) -> None:
    clear = SAM2VideoPredictor.clear_all_prompts_in_frame

    def broken(self: Any, state: VideoSession, t: int, obj_id: str) -> Any:
        waiting = dict(state.objects[obj_id].pending)
        clear(self, state, t, obj_id)
        state.objects[obj_id].pending.update(waiting)

    patch.setattr(SAM2VideoPredictor, "clear_all_prompts_in_frame", broken)


def removed_objects_come_back(patch: pytest.MonkeyPatch) -> None:
    find, kept = VideoSession.object, {}

    def broken(self: VideoSession, obj_id: str) -> ObjectTrack:
        track = find(self, obj_id)
        self.objects[obj_id] = kept.setdefault((id(self), obj_id), track)
        return self.objects[obj_id]

    patch.setattr(VideoSession, "object", broken)


def reset_forgets_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SAM2VideoPredictor, "reset_state", lambda self, state: None)


def corrections_are_lost(patch: pytest.MonkeyPatch) -> None:
    add = MemoryBank.add

    def broken(self: MemoryBank, t: int, entry: Any, *, conditioning: bool) -> None:
        add(self, t, entry, conditioning=conditioning and not self.recent)

    patch.setattr(MemoryBank, "add", broken)


def objects_share_their_memories(patch: pytest.MonkeyPatch) -> None:
    find = VideoSession.object

    def broken(self: VideoSession, obj_id: str) -> ObjectTrack:
        track = find(self, obj_id)
        track.bank = next(iter(self.objects.values())).bank
        return track

    patch.setattr(VideoSession, "object", broken)


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        (clear_keeps_the_memory, CLEARED_AFTER_A_PASS),
        (clear_keeps_the_waiting_answer, CLEARED_BEFORE),
        (removed_objects_come_back, REMOVED_AND_BACK),
        (reset_forgets_nothing, RESET),
        (corrections_are_lost, CORRECTED),
        (objects_share_their_memories, [("mask", "a", 3, 5), ("mask", "b", 0, 20), WHOLE, ("remove", "a")]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_are_found(
    network: SAM2,
    clip: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    fault: Break,
    calls: list[Call],
) -> None:
    survivors_decide(network, clip, calls)
    fault(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        survivors_decide(network, clip, calls)
