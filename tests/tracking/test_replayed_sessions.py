"""Random sequences of calls: only what survives of them counts.

A session is driven by a drawn sequence of add / clear / remove / propagate / reset. Then a fresh session gets
what survived of it, and both must say the same, bit for bit. Survival, for one object, as published:

- a reset forgets all that was before; removing an object forgets all that was said of it;
- clearing a frame forgets its prompts, unless propagation has made memories of them in between: then the
  frame stays in memory as a tracked one, and prompts and clearing are replayed;
- a refused call leaves nothing behind.

Objects go through the network one by one here: rows of a batch differ in the last bits from rows of another
batch.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
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
from ocusam.tracking.session import VideoSession
from ocusam.tracking.video_predictor import SAM2VideoPredictor

FRAMES = 5
Op = tuple[Any, ...]

objects = st.sampled_from([1, "b", 7])
frames = st.integers(0, FRAMES - 1)
prompts = st.tuples(
    st.just("points"),
    objects,
    frames,
    st.lists(st.tuples(st.integers(0, 55), st.integers(0, 39), st.integers(0, 1)), min_size=1, max_size=2),
    st.booleans(),
)
operations = st.one_of(
    prompts,
    prompts,
    st.tuples(st.just("box"), objects, frames, st.integers(0, 30), st.integers(0, 20)),
    st.tuples(st.just("mask"), objects, frames, st.integers(0, 30)),
    st.tuples(st.just("clear"), objects, frames),
    st.tuples(st.just("remove"), objects),
    st.tuples(st.just("propagate"), st.none() | frames, st.integers(0, FRAMES), st.booleans()),
    st.tuples(st.just("propagate"), st.none(), st.just(FRAMES), st.just(False)),
    st.tuples(st.just("reset")),
)


@dataclass
class Driver:
    """A session, the calls made on it, and those of them that survive."""

    predictor: SAM2VideoPredictor
    state: VideoSession
    surviving: list[Op] = field(default_factory=list)
    alive: set[Hashable] = field(default_factory=set)

    def call(self, op: Op) -> None:
        """Make one call and check what it returns."""
        kind = op[0]
        if kind in ("points", "box", "mask"):
            self._prompt(op)
            self.alive.add(op[1])
            self.surviving.append(op)
        elif kind == "clear":
            self._clear(op)
        elif kind == "remove":
            self.predictor.remove_object(self.state, op[1])
            self.alive.discard(op[1])
            self.surviving = [o for o in self.surviving if o[0] == "propagate" or o[1] != op[1]]
        elif kind == "reset":
            self.predictor.reset_state(self.state)
            self.alive.clear()
            self.surviving = []
        else:
            self._propagate(op)
        assert set(self.state.obj_ids) == self.alive and len(self.state.obj_ids) == len(self.alive)

    def _prompt(self, op: Op) -> None:
        kind, obj_id, t = op[:3]
        if kind == "points":
            points, labels = [p[:2] for p in op[3]], [p[2] for p in op[3]]
            result = self.predictor.add_new_points_or_box(
                self.state, t, obj_id, points, labels, clear_old_points=op[4]
            )
        elif kind == "box":
            box = [op[3], op[4], op[3] + 20, op[4] + 15]
            result = self.predictor.add_new_points_or_box(self.state, t, obj_id, box=box)
        else:
            mask = np.zeros((40, 56), bool)
            mask[10:30, op[3] : op[3] + 12] = True
            result = self.predictor.add_new_mask(self.state, t, obj_id, mask)
        assert result[0] == t and obj_id in result[1] and result[2].shape == (len(result[1]), 1, 40, 56)

    def _clear(self, op: Op) -> None:
        if op[1] not in self.alive:
            with pytest.raises(PromptError, match="Unknown object"):
                self.predictor.clear_all_prompts_in_frame(self.state, op[2], op[1])
            return
        self.predictor.clear_all_prompts_in_frame(self.state, op[2], op[1])
        here = [i for i, o in enumerate(self.surviving) if o[0] != "propagate" and o[1:3] == op[1:3]]
        cleared = max((i for i in here if self.surviving[i][0] == "clear"), default=-1)
        here = [i for i in here if i > cleared]
        passed = max((i for i, o in enumerate(self.surviving) if o[0] == "propagate"), default=-1)
        if any(i < passed for i in here):
            self.surviving.append(op)
        else:
            self.surviving = [o for i, o in enumerate(self.surviving) if i not in here]

    def _propagate(self, op: Op) -> None:
        _, start, length, reverse = op
        ready = [track.bank.conditioning or track.pending for track in self.state.objects.values()]
        if not ready or not all(ready):
            with pytest.raises(PromptError):
                list(self.predictor.propagate_in_video(self.state, start, length, reverse))
            return
        visited = []
        for t, ids, logits in self.predictor.propagate_in_video(self.state, start, length, reverse):
            assert set(ids) == self.alive
            assert logits.shape == (len(ids), 1, 40, 56) and torch.isfinite(logits).all()
            visited.append(t)
        if visited:
            self.surviving.append(("propagate", visited[0], len(visited) - 1, reverse))
        else:  # backward from frame 0 visits nothing, but prompts have become memories
            self.surviving.append(("propagate", 0, 0, True))

    def drop_objects_without_prompts(self) -> None:
        """An object whose prompts were all cleared stays known, but cannot be propagated."""
        for track in list(self.state.objects.values()):
            if not (track.bank.conditioning or track.pending):
                self.call(("remove", track.obj_id))

    def says(self) -> dict[Hashable, list[torch.Tensor]]:
        """All answers by object, then those of a propagation over all frames."""
        found: dict[Hashable, list[torch.Tensor]] = {obj_id: [] for obj_id in self.state.obj_ids}
        for t in range(FRAMES):
            output = self.predictor.frame_output(self.state, t)
            for row, obj_id in enumerate(output.obj_ids):
                found[obj_id].append(output.logits[row])
        if found:
            for _, ids, logits in self.predictor.propagate_in_video(self.state, 0):
                for row, obj_id in enumerate(ids):
                    found[obj_id].append(logits[row])
        return found


# The refused propagation comes when the first object's new prompt is still to become a memory.
REFUSED_MIDWAY: list[Op] = [
    ("mask", 1, 0, 5),
    ("mask", "b", 0, 20),
    ("propagate", None, FRAMES, False),
    ("clear", "b", 0),
    ("mask", 1, 2, 30),
    ("propagate", None, FRAMES, False),
    ("clear", 1, 2),
]


# What was known of an object must not come back with its name.
REMOVED_AND_BACK: list[Op] = [
    ("points", 1, 0, [(14, 20, 1)], False),
    ("propagate", None, FRAMES, False),
    ("remove", 1),
    ("points", 1, 3, [(20, 20, 1)], False),
]


@pytest.mark.parametrize("as_cond", [False, True])
@settings(max_examples=20)
@given(calls=st.lists(operations, min_size=2, max_size=9))
@example(calls=REFUSED_MIDWAY)
@example(calls=REMOVED_AND_BACK)
def test_only_what_survives_counts(
    network: SAM2, clip: NDArray[np.uint8], as_cond: bool, calls: list[Op]
) -> None:
    predictor = SAM2VideoPredictor(network, add_all_frames_to_correct_as_cond=as_cond)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_OBJECTS_AT_ONCE", 1)
        driven = Driver(predictor, predictor.init_state(clip[:FRAMES]))
        for op in calls:
            driven.call(op)
        driven.drop_objects_without_prompts()
        fresh = Driver(predictor, predictor.init_state(clip[:FRAMES]))
        for op in list(driven.surviving):
            if op[0] != "propagate" or fresh.alive:
                fresh.call(op)
        said, expected = driven.says(), fresh.says()
    assert said.keys() == expected.keys()
    for obj_id in said:
        for t, (found, wanted) in enumerate(zip(said[obj_id], expected[obj_id], strict=True)):
            assert torch.equal(found, wanted), (obj_id, t)
