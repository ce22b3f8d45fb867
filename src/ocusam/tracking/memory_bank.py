"""The memory bank: what one object leaves behind on each frame, and which of it a later frame attends to.

Purpose: the part of SAM 2 that the paper draws as one box (arXiv 2408.00714, section 4, "memory bank") as one
class. A bank belongs to one object. It holds *conditioning* memories (frames with a prompt) and *recent* ones
(frames that were only tracked), and chooses among them for the next frame: `plan` says which frames, `select`
hands over their tensors as the network's `MemorySelection`.

Notable choices: the choice is the published one, including its order, since attention over keys of one map is
the same in any order but rotary positions and rounding are not. Maps are bfloat16 always, as published.
Unlike the published code, a bank does not grow with the video: `trim` drops recent memories farther than
`window` frames from the frame just tracked, unless a conditioning frame is so near that tracking from there
would attend to them. Within that distance results equal those of a bank that keeps everything; after a jump
back by more, the frame is tracked from its conditioning memories alone. `window=None` keeps all.

What it does not know: pictures, prompts, other objects, and how masks or memories are made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ocusam.model.config import Sam2Config
from ocusam.model.values import MemorySelection

MEMORY_DTYPE = torch.bfloat16


@dataclass(frozen=True, eq=False)
class MemoryEntry:
    """What one object leaves behind on one frame (batch of one).

    Attributes:
        low_res_logits_b1hw: its mask at a quarter of the input size, holes filled; None once dropped.
        pointer_bc: object pointer.
        object_score_b1: presence logit.
        iou_b: predicted IoU of the mask.
        map_bdhw: memory map; None before the memory encoder ran, and once dropped.
    """

    low_res_logits_b1hw: Tensor | None
    pointer_bc: Tensor
    object_score_b1: Tensor
    iou_b: Tensor
    map_bdhw: Tensor | None = None

    def to(self, device: torch.device) -> MemoryEntry:
        """The same on another device."""
        return MemoryEntry(
            None if self.low_res_logits_b1hw is None else self.low_res_logits_b1hw.to(device),
            self.pointer_bc.to(device),
            self.object_score_b1.to(device),
            self.iou_b.to(device),
            None if self.map_bdhw is None else self.map_bdhw.to(device),
        )


@dataclass(frozen=True)
class MemoryPlan:
    """Which memories a frame attends to, in the order of attention.

    Attributes:
        maps: (frame_idx, row of the temporal encoding).
        pointers: (frame_idx, time in units of the longest span).
    """

    maps: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, float], ...]

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Equal for objects that can share one pass through the network."""
        return tuple(row for _, row in self.maps), tuple(time for _, time in self.pointers)


class MemoryBank:
    """One object's memories.

    Args:
        config: of the network; its counts, strides and limits decide the choice.
        window: how many frames from the current one a recent memory is kept; at least what attention reaches.
            None: for ever.
    """

    def __init__(self, config: Sam2Config, window: int | None = None) -> None:
        self.config = config
        self.map_reach = config.memory_temporal_stride_for_eval * config.num_maskmem
        self.reach = max(self.map_reach, config.max_obj_ptrs_in_encoder)
        self.window = None if window is None else max(window, self.reach)
        self.conditioning: dict[int, MemoryEntry] = {}
        self.recent: dict[int, MemoryEntry] = {}

    def __len__(self) -> int:
        return len(self.conditioning) + len(self.recent)

    def get(self, frame_idx: int) -> MemoryEntry | None:
        """What is remembered of a frame; the prompted memory first."""
        return self.conditioning.get(frame_idx, self.recent.get(frame_idx))

    def add(self, frame_idx: int, entry: MemoryEntry, *, conditioning: bool) -> None:
        """Remember a frame, in place of what was known in that store; a frame is in one store only."""
        entry = replace(entry, map_bdhw=None if entry.map_bdhw is None else entry.map_bdhw.to(MEMORY_DTYPE))
        if conditioning:
            self.conditioning[frame_idx] = entry
            self.recent.pop(frame_idx, None)
        elif frame_idx not in self.conditioning:
            self.recent[frame_idx] = entry

    def demote(self, frame_idx: int) -> bool:
        """Turn a conditioning memory into a recent one (its prompt was cleared); False where there is
        none."""
        entry = self.conditioning.pop(frame_idx, None)
        if entry is not None:
            self.recent[frame_idx] = entry
        return entry is not None

    def forget_around(self, frame_idx: int) -> None:
        """Drop recent memories that tracking near a corrected frame could attend to."""
        for near in range(frame_idx - self.map_reach, frame_idx + self.map_reach + 1):
            self.recent.pop(near, None)

    # ---- choosing ------------------------------------------------------------------------------------------

    def plan(self, frame_idx: int, *, reverse: bool = False, num_frames: int | None = None) -> MemoryPlan:
        """Choose the memories for a frame.

        Args:
            frame_idx: the frame about to be tracked.
            reverse: tracking runs backward; "past" then means later frames.
            num_frames: length of the video; it bounds the pointers and scales their time. None: a stream.
        """
        chosen, left_out = closest_conditioning_frames(
            frame_idx, list(self.conditioning), self.config.max_cond_frames_in_attn
        )
        available = self.recent.keys() | left_out
        return MemoryPlan(
            tuple(self._plan_maps(frame_idx, reverse, chosen, available)),
            tuple(self._plan_pointers(frame_idx, reverse, num_frames, chosen, available)),
        )

    def select(
        self,
        frame_idx: int,
        *,
        reverse: bool = False,
        num_frames: int | None = None,
        device: torch.device | None = None,
    ) -> MemorySelection:
        """The memories of `plan` as tensors, on `device` (None: where they are)."""
        return self.load(self.plan(frame_idx, reverse=reverse, num_frames=num_frames), device)

    def load(self, plan: MemoryPlan, device: torch.device | None = None) -> MemorySelection:
        """The tensors of a plan, on `device` (None: where they are)."""
        maps = []
        for t, row in plan.maps:
            entry = self.get(t)
            assert entry is not None and entry.map_bdhw is not None
            maps.append((entry.map_bdhw.to(device), row))
        pointers = []
        for t, time in plan.pointers:
            entry = self.get(t)
            assert entry is not None
            pointers.append((entry.pointer_bc.to(device), time))
        return MemorySelection(maps, pointers)

    def _plan_maps(
        self, frame_idx: int, reverse: bool, chosen: list[int], available: set[int]
    ) -> list[tuple[int, int]]:
        """Prompted frames first, then the tracked ones from the most distant to the last."""
        last_row = self.config.num_maskmem - 1
        maps = [(t, last_row) for t in chosen]
        for steps_back in range(last_row, 0, -1):
            t = self._strided_frame(frame_idx, steps_back, reverse)
            entry = self.get(t)
            if t in available and entry is not None and entry.map_bdhw is not None:
                maps.append((t, steps_back - 1))
        return maps

    def _strided_frame(self, frame_idx: int, steps_back: int, reverse: bool) -> int:
        """The frame `steps_back` steps ago: always the last one, before it only multiples of the stride."""
        stride = self.config.memory_temporal_stride_for_eval
        if reverse:
            if steps_back == 1:
                return frame_idx + 1
            return -(-(frame_idx + 2) // stride) * stride + (steps_back - 2) * stride
        if steps_back == 1:
            return frame_idx - 1
        return (frame_idx - 2) // stride * stride - (steps_back - 2) * stride

    def _plan_pointers(
        self, frame_idx: int, reverse: bool, num_frames: int | None, chosen: list[int], available: set[int]
    ) -> list[tuple[int, float]]:
        config = self.config
        if not config.use_obj_ptrs_in_encoder:
            return []
        longest = config.max_obj_ptrs_in_encoder
        if num_frames is not None:
            longest = min(longest, num_frames)
        span = max(1, longest - 1)
        sign = -1 if reverse else 1
        pointers = []
        for t in chosen:
            past = (frame_idx - t) * sign
            if past < 0 and config.only_obj_ptrs_in_the_past_for_eval:
                continue
            pointers.append((t, (past if config.use_signed_tpos_enc_to_obj_ptrs else abs(past)) / span))
        for past in range(1, longest):
            t = frame_idx - past * sign
            if t in available:
                pointers.append((t, past / span))
        return pointers

    # ---- forgetting ----------------------------------------------------------------------------------------

    def trim(self, frame_idx: int) -> None:
        """Drop what tracking on from `frame_idx`, or again from a conditioning frame, cannot attend to.

        Within `window` of the current frame all is kept. Around a conditioning frame pointers are kept as far
        as they reach, and maps as far as they reach; masks are not.
        """
        if self.window is None:
            return
        for t in list(self.recent):
            if abs(t - frame_idx) <= self.window:
                continue
            near = min((abs(t - c) for c in self.conditioning), default=None)
            if near is None or near > self.reach:
                del self.recent[t]
                continue
            entry = self.recent[t]
            keep_map = entry.map_bdhw if near <= self.map_reach else None
            if entry.low_res_logits_b1hw is not None or keep_map is not entry.map_bdhw:
                self.recent[t] = replace(entry, low_res_logits_b1hw=None, map_bdhw=keep_map)


def closest_conditioning_frames(frame_idx: int, frames: list[int], limit: int) -> tuple[list[int], set[int]]:
    """Choose at most `limit` prompted frames for a frame to attend to.

    Args:
        frame_idx: the frame about to be tracked.
        frames: prompted frames, in the order in which they were stored.
        limit: -1 for all, else at least 2.

    Returns:
        The chosen ones (all in their own order; under a limit the last one before, the first one from
        `frame_idx` on, then by distance), and the set of those left out.
    """
    if limit == -1 or len(frames) <= limit:
        return list(frames), set()
    chosen = []
    before = [t for t in frames if t < frame_idx]
    after = [t for t in frames if t >= frame_idx]
    if before:
        chosen.append(max(before))
    if after:
        chosen.append(min(after))
    others = sorted((t for t in frames if t not in chosen), key=lambda t: abs(t - frame_idx))
    chosen += others[: limit - len(chosen)]
    return chosen, set(frames) - set(chosen)
