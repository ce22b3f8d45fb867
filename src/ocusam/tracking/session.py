"""The state of one video under tracking: its source, its objects, and what was decided on which frame.

Purpose: what `SAM2VideoPredictor.init_state` returns. It holds no pictures but the last few.

Notable choices: objects are independent of each other; each has its own memory bank. Answers to prompts wait
in `pending` until propagation starts: only then does the memory encoder run. Which frames were tracked is
kept as runs of frames, so it does not grow with the video.
"""

from __future__ import annotations

import copy
import math
import operator
import warnings
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ocusam.core.errors import InputError, PromptError
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, PointPrompt
from ocusam.tracking.memory_bank import MemoryBank, MemoryEntry
from ocusam.video.frames import picture_to_input
from ocusam.video.source import EndOfVideo, Frame, VideoSource

# Pictures and features that stay at hand: prompts of several objects fall on one frame, and tracking starts
# there.
CACHED_FRAMES = 3
_FORGOTTEN = (
    "Frame {} was tracked, but what it gave for the objects {} is forgotten: with memory_window={} only that "
    "many frames on either side of the current one are kept. The prompt is answered from the prompted frames "
    "alone, and the other objects have no mask on this frame until it is tracked again. To correct frames "
    "after a pass over the whole video, build the predictor with memory_window=None, which keeps all."
)


@dataclass
class TrackedFrames:
    """Which frames were tracked, and whether backward: runs (first, last, reverse), the newest last."""

    runs: list[tuple[int, int, bool]] = field(default_factory=list)

    def add(self, frame_idx: int, reverse: bool) -> None:
        """Note a frame; frames come one after the other, so mostly the last run grows."""
        if self.runs:
            first, last, direction = self.runs[-1]
            if direction == reverse and first - 1 <= frame_idx <= last + 1:
                self.runs[-1] = (min(first, frame_idx), max(last, frame_idx), reverse)
                return
            self.runs = [r for r in self.runs[:-1] if r[0] < first or r[1] > last] + [self.runs[-1]]
        self.runs.append((frame_idx, frame_idx, reverse))

    def direction(self, frame_idx: int) -> bool | None:
        """Whether the frame was last tracked backward; None where it was not tracked."""
        for first, last, reverse in reversed(self.runs):
            if first <= frame_idx <= last:
                return reverse
        return None

    def remove(self, frame_idx: int) -> None:
        """Forget that a frame was tracked."""
        runs = []
        for first, last, reverse in self.runs:
            if first <= frame_idx <= last:
                if first < frame_idx:
                    runs.append((first, frame_idx - 1, reverse))
                if frame_idx < last:
                    runs.append((frame_idx + 1, last, reverse))
            else:
                runs.append((first, last, reverse))
        self.runs = runs


@dataclass
class ObjectTrack:
    """One object of a session.

    Attributes:
        obj_id: the caller's label.
        bank: its memories.
        points: prompts given as points, by frame.
        mask_frames: frames prompted with a mask.
        pending: answers to prompts that propagation has not taken over yet: (entry, is conditioning) by
            frame.
        tracked: frames that propagation has passed.
    """

    obj_id: Hashable
    bank: MemoryBank
    points: dict[int, PointPrompt] = field(default_factory=dict)
    mask_frames: set[int] = field(default_factory=set)
    pending: dict[int, tuple[MemoryEntry, bool]] = field(default_factory=dict)
    tracked: TrackedFrames = field(default_factory=TrackedFrames)

    @property
    def prompted_frames(self) -> list[int]:
        """Frames with a prompt, in order."""
        return sorted(self.points.keys() | self.mask_frames)

    def answer(self, frame_idx: int) -> MemoryEntry | None:
        """The newest answer for a frame: pending, then remembered."""
        if frame_idx in self.pending:
            return self.pending[frame_idx][0]
        return self.bank.get(frame_idx)

    def branch(self) -> ObjectTrack:
        """A copy that goes its own way; what is remembered of a frame is never changed, so it is shared."""
        bank = copy.copy(self.bank)
        bank.conditioning, bank.recent = dict(bank.conditioning), dict(bank.recent)
        return ObjectTrack(
            self.obj_id,
            bank,
            dict(self.points),
            set(self.mask_frames),
            dict(self.pending),
            TrackedFrames(list(self.tracked.runs)),
        )

    def forgot(self, frame_idx: int) -> bool:
        """Whether the frame was tracked and its mask is not kept any more (`MemoryBank.trim`)."""
        entry = self.answer(frame_idx)
        known = entry is not None and entry.low_res_logits_b1hw is not None
        return not known and self.tracked.direction(frame_idx) is not None


class VideoSession:
    """State of one video. Made by `SAM2VideoPredictor.init_state`; callers only pass it on.

    The published state is a dictionary. `state["num_frames"]`, and a few other keys that scripts read, work
    here too (`__getitem__`).

    Attributes:
        source: where frames come from.
        objects: by the caller's label, in the order of their first prompt.
        storage: where memories are kept.
        encoded: how many pictures went through the image encoder.
    """

    def __init__(self, source: VideoSource, model: SAM2, storage: torch.device, window: int | None) -> None:
        self.source = source
        self.storage = storage
        self.encoded = 0
        self.objects: dict[Hashable, ObjectTrack] = {}
        self._model = model
        self._window = window
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._features: OrderedDict[int, ImageFeatures] = OrderedDict()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the video's pictures."""
        return self.source.size

    @property
    def num_frames(self) -> int | None:
        """Length of the video, or None where it is not known yet."""
        return self.source.num_frames

    @property
    def obj_ids(self) -> list[Hashable]:
        """The callers' labels, in the order of their first prompt."""
        return list(self.objects)

    def __getitem__(self, key: str) -> Any:
        """What scripts read from the published dictionary.

        Raises:
            InputError: anything else that stands in it; says where to find masks.
        """
        known = {
            "num_frames": self.num_frames,
            "video_height": self.size[0],
            "video_width": self.size[1],
            "obj_ids": self.obj_ids,
            "obj_id_to_idx": {obj_id: i for i, obj_id in enumerate(self.objects)},
            "obj_idx_to_id": dict(enumerate(self.objects)),
            "device": self._model.device,
            "storage_device": self.storage,
        }
        if key not in known:
            raise InputError(
                f"The state is an object here, not a dictionary. Of the published keys it has "
                f"{', '.join(known)}, but not {key!r}. The masks of a frame are in "
                "predictor.frame_output(state, frame_idx)."
            )
        return known[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> VideoSession:
        """A session that goes on from here by itself, for example to try a prompt. It shares the network, the
        video and what is remembered so far, so it costs next to nothing; `close` closes the video of both."""
        other = copy.copy(self)
        other.objects = {obj_id: track.branch() for obj_id, track in self.objects.items()}
        other._frames, other._features = self._frames.copy(), self._features.copy()
        return other

    def object(self, obj_id: Hashable) -> ObjectTrack:
        """Return an object, making it where it is new.

        Raises:
            PromptError: a label that cannot be one.
        """
        obj_id = plain_label(obj_id)
        if not isinstance(obj_id, Hashable):
            raise PromptError(f"An object's label is a number or a text, got {obj_id!r}.")
        if obj_id not in self.objects:
            self.objects[obj_id] = ObjectTrack(obj_id, MemoryBank(self._model.config, self._window))
        return self.objects[obj_id]

    def known_object(self, obj_id: Hashable) -> ObjectTrack:
        """Return an object.

        Raises:
            PromptError: unknown object.
        """
        obj_id = plain_label(obj_id)
        if not isinstance(obj_id, Hashable) or obj_id not in self.objects:
            raise PromptError(f"Unknown object {obj_id!r}; this session follows {self.obj_ids}.")
        return self.objects[obj_id]

    def check_frame(self, frame_idx: Any) -> int:
        """Return a frame's number as an int (of a tensor of one number, its number).

        Raises:
            PromptError: not a number, or outside the video.
        """
        count = self.num_frames
        try:
            frame_idx = operator.index(None if isinstance(frame_idx, bool) else frame_idx)  # type: ignore[arg-type]
        except TypeError:
            raise PromptError(f"A frame is named by its number, counted from 0; got {frame_idx!r}.") from None
        if frame_idx < 0 or (count is not None and frame_idx >= count):
            allowed = f"0 to {count - 1}" if count is not None else "from 0 on"
            raise PromptError(f"Frame {frame_idx} is not in the video; its frames are {allowed}.")
        try:
            self.frame(frame_idx)
        except EndOfVideo as error:
            raise PromptError(str(error)) from None
        return int(frame_idx)

    def warn_of_forgotten(self, frame_idx: int, stacklevel: int) -> None:
        """Warn before a prompt on a frame that was tracked, but whose masks are not kept any more."""
        forgotten = [obj_id for obj_id, track in self.objects.items() if track.forgot(frame_idx)]
        if forgotten:
            warnings.warn(_FORGOTTEN.format(frame_idx, forgotten, self._window), stacklevel=stacklevel)

    def frame(self, frame_idx: int) -> Frame:
        """Return a frame; the last few are kept."""
        if frame_idx not in self._frames:
            self.hold(frame_idx, self.source.read(frame_idx))
        return self._frames[frame_idx]

    def features(self, frame_idx: int) -> ImageFeatures:
        """Return a frame's image features; the last few are kept."""
        if frame_idx not in self._features:
            frame = self.frame(frame_idx)
            self.hold(frame_idx, frame, self.encode(frame))
        return self._features[frame_idx]

    def encode(self, frame: Frame) -> ImageFeatures:
        """The image features of a frame; nothing is kept, so any thread may call it."""
        picture = picture_to_input(frame.image, self._model.config.image_size)
        return self._model.encode_image(torch.from_numpy(picture)[None].to(self._model.device))

    def held(self, frame_idx: int) -> tuple[Frame | None, ImageFeatures | None]:
        """What is at hand of a frame."""
        return self._frames.get(frame_idx), self._features.get(frame_idx)

    def hold(self, frame_idx: int, frame: Frame, features: ImageFeatures | None = None) -> None:
        """Keep a frame, with its features where they are given, in place of the oldest."""
        self._frames[frame_idx] = frame
        if features is not None and self._features.get(frame_idx) is not features:
            self._features[frame_idx] = features
            self.encoded += 1
        for kept in (self._frames, self._features):
            while len(kept) > CACHED_FRAMES:
                kept.popitem(last=False)

    def close(self) -> None:
        """Close the source and drop what was kept."""
        self._frames.clear()
        self._features.clear()
        self.source.close()


def plain_label(obj_id: Any) -> Any:
    """A label as it is; of a tensor with one number that number, since no two tensors are the same key."""
    if not isinstance(obj_id, Tensor):
        return obj_id
    if obj_id.numel() != 1:
        raise PromptError(f"An object's label is a number or a text, got {obj_id!r}.")
    return obj_id.item()


def frame_order(start: int, num_frames: int | None, limit: Any, reverse: bool) -> Iterator[int]:
    """The frames to visit: `limit` of them after the first; without `num_frames` until the video ends.

    Raises:
        InputError: `limit` is no number from 0 on.
    """
    if limit is not None and not (isinstance(limit, Real) and float(limit) >= 0):
        raise InputError(f"max_frame_num_to_track={limit!r}: give 0 or more frames.")
    most = math.inf if limit is None else float(limit)
    if reverse:
        last = 0 if most >= start else start - int(most)
        if start > 0:
            yield from range(start, last - 1, -1)
        return
    frame_idx = start
    while (num_frames is None or frame_idx < num_frames) and frame_idx <= start + most:
        yield frame_idx
        frame_idx += 1
