"""One frame of several objects: memories in, network, masks and new memories out.

Purpose: the step that every predictor over time repeats, whether frames come from a file or a camera.

Notable choices: objects are independent, so those that attend to memories of the same ages go through the
network together, one batch row each. A tracked frame is remembered with its mask as the network made it, a
prompted frame with its holes filled, as published.

What it does not know: the order of frames, sessions' rules about prompts, sizes other than the network's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ocusam.model.number_types import without_autocast
from ocusam.model.sam2 import SAM2
from ocusam.model.values import NO_OBJECT_LOGIT, MemorySelection, PointPrompt, StepOutput
from ocusam.tracking.compiled import is_compiled, warm_up
from ocusam.tracking.memory_bank import MemoryEntry
from ocusam.tracking.outputs import FrameOutput, open_share
from ocusam.tracking.postprocess import fill_holes
from ocusam.tracking.session import ObjectTrack, VideoSession

# Logits that go back in as a mask prompt are kept within this range, as in training.
_PROMPT_LOGIT_LIMIT = 32.0
# Memory tokens of this many objects fit beside each other; more go through in turns.
_OBJECTS_AT_ONCE = 8


class TrackingEngine:
    """Runs the network for sessions.

    Args:
        model: the network, in evaluation mode.
        fill_hole_area: holes of at most this many pixels of the low-res mask are filled; 0 fills none.
        non_overlap_masks: each pixel of an output at video size goes to one object at most.
    """

    def __init__(self, model: SAM2, *, fill_hole_area: int = 0, non_overlap_masks: bool = False) -> None:
        self.model = model
        self.fill_hole_area = fill_hole_area
        self.non_overlap_masks = non_overlap_masks
        self._warm = {1}  # numbers of objects for which a compiled network has run

    def warm_up(self, objects: int) -> None:
        """Before so many objects are tracked: compile for their number, where the network is compiled.

        Raises:
            ModelError: the compiler fails.
        """
        if not is_compiled(self.model):
            return
        at_once = self._at_once
        for batch in {min(objects, at_once), objects % at_once} - self._warm - {0}:
            warm_up(self.model, batch)
            self._warm.add(batch)

    @property
    def _at_once(self) -> int:
        # That option compares the objects of a batch; the published predictor tracks them one by one.
        return 1 if self.model.config.non_overlap_masks_for_mem_enc else _OBJECTS_AT_ONCE

    def answer_prompt(
        self,
        session: VideoSession,
        track: ObjectTrack,
        frame_idx: int,
        *,
        points: PointPrompt | None = None,
        mask_inputs_b1hw: Tensor | None = None,
        reverse: bool | None = None,
    ) -> MemoryEntry:
        """Segment one object from its prompts on a frame; its memory map is not made yet.

        Args:
            session: where the frame and the other memories are.
            track: the object.
            frame_idx: the frame.
            points: all points on the frame; an earlier answer for the frame is refined.
            mask_inputs_b1hw: or the user's mask at input size.
            reverse: the direction in which the frame was tracked before; None: a first answer, without
                memory.
        """
        memory = None
        if reverse is not None:
            memory = track.bank.select(
                frame_idx, reverse=reverse, num_frames=session.num_frames, device=self.model.device
            )
        previous = None
        earlier = track.answer(frame_idx)
        if points is not None and earlier is not None and earlier.low_res_logits_b1hw is not None:
            previous = earlier.low_res_logits_b1hw.to(self.model.device)
            previous = previous.clamp(-_PROMPT_LOGIT_LIMIT, _PROMPT_LOGIT_LIMIT)
        output = self.model.track_step(
            session.features(frame_idx),
            points=points,
            mask_inputs_b1hw=mask_inputs_b1hw,
            previous_logits_b1hw=previous,
            memory=memory,
        )
        return self._entry(output, 0).to(session.storage)

    def encode_prompted(self, session: VideoSession, frame_idx: int, entry: MemoryEntry) -> MemoryEntry:
        """Add the memory map of a prompted frame, made from its hole-filled mask."""
        assert entry.low_res_logits_b1hw is not None
        side = self.model.config.image_size
        low = entry.low_res_logits_b1hw.to(self.model.device)
        high = F.interpolate(low, size=(side, side), mode="bilinear", align_corners=False)
        memory = self.model.encode_memory(
            session.features(frame_idx), high, entry.object_score_b1.to(self.model.device), from_prompt=True
        )
        return replace(entry, map_bdhw=memory.to(session.storage))

    def track(
        self,
        session: VideoSession,
        tracks: Iterable[ObjectTrack],
        frame_idx: int,
        *,
        num_frames: int | None,
        reverse: bool,
    ) -> None:
        """Track objects on a frame of a video of `num_frames` (None: unknown), and remember it in their
        banks."""
        groups: dict[Any, list[tuple[ObjectTrack, MemorySelection]]] = defaultdict(list)
        for track in tracks:
            plan = track.bank.plan(frame_idx, reverse=reverse, num_frames=num_frames)
            groups[plan.key].append((track, track.bank.load(plan, self.model.device)))
        at_once = self._at_once
        for group in groups.values():
            for start in range(0, len(group), at_once):
                part = group[start : start + at_once]
                features = session.features(frame_idx).expand(len(part))
                output = self.model.track_step(features, memory=_stack([memory for _, memory in part]))
                maps = self.model.encode_memory(
                    features, output.high_res_logits_b1hw, output.object_score_b1, from_prompt=False
                )
                for row, (track, _) in enumerate(part):
                    entry = replace(self._entry(output, row), map_bdhw=maps[row : row + 1].clone())
                    track.bank.add(frame_idx, entry.to(session.storage), conditioning=False)

    def output(
        self, session: VideoSession, frame_idx: int, answers: dict[Hashable, MemoryEntry | None]
    ) -> FrameOutput:
        """Join the answers of all objects for a frame; None where an object has none."""
        frame = session.frame(frame_idx)
        side = self.model.config.low_res_size
        absent = torch.full((1, 1, side, side), NO_OBJECT_LOGIT, device=self.model.device)
        logits, ious, scores = [], [], []
        for entry in answers.values():
            mask = None if entry is None else entry.low_res_logits_b1hw
            logits.append(absent if mask is None else mask.to(self.model.device))
            ious.append(float("nan") if entry is None else float(entry.iou_b[0]))
            scores.append(float("nan") if entry is None else float(entry.object_score_b1[0, 0]))
        return FrameOutput(
            frame_idx,
            frame.timestamp_ns,
            list(answers),
            torch.cat(logits) if logits else absent[:0],
            np.array(ious, dtype=np.float32),
            np.array(scores, dtype=np.float32),
            frame.image,
            self.non_overlap_masks,
            self._eye_share(session, frame_idx),
        )

    def _eye_share(self, session: VideoSession, frame_idx: int) -> float:
        _, features = session.held(frame_idx)
        if features is None or not self.model.config.names_parts:
            return float("nan")
        return open_share(self.model.name_parts(features))

    def _entry(self, output: StepOutput, row: int) -> MemoryEntry:
        # Copies: a slice would keep the batch of all objects alive.
        rows = slice(row, row + 1)
        return MemoryEntry(
            fill_holes(output.low_res_logits_b1hw[rows].clone(), self.fill_hole_area),
            output.pointer_bc[rows].clone(),
            output.object_score_b1[rows].clone(),
            output.iou_b[rows].clone(),
        )


def _stack(selections: list[MemorySelection]) -> MemorySelection:
    """Join selections of equal plans along the batch."""
    if len(selections) == 1:
        return selections[0]
    first = selections[0]
    # Autocast in float16 refuses to join bfloat16 tensors, though nothing is computed here.
    with without_autocast(first.maps[0][0].device):
        maps = [(torch.cat([s.maps[i][0] for s in selections]), row) for i, (_, row) in enumerate(first.maps)]
        pointers = [
            (torch.cat([s.pointers[i][0] for s in selections]), time)
            for i, (_, time) in enumerate(first.pointers)
        ]
    return MemorySelection(maps, pointers)
