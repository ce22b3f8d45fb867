"""One way through a video: all views together, forward or backward, from frame to frame.

Purpose: `Pass` says which objects are tracked where and in which direction, `walk` does it. A run is one pass
forward and, where a click is not on the first frame, one backward; a correction adds passes.

Notable choices: views advance together, so each picture is decoded once for all of them. A pass can be taken
up after any frame whose memories were put back: that frame is tracked once more, which changes nothing (the
same memories give the same answer), and is not yielded.

What it does not know: files, prompts. Frames are numbered as the tracker numbers them: reference pictures
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ocusam.core.masklet import ObjectFrame, View
from ocusam.workflows.session.outputs import objects_of


@dataclass(frozen=True)
class Pass:
    """One way through the video.

    Attributes:
        reverse: backward in time.
        starts: by view, where tracking begins; forward this frame is the first one, backward the one before.
        objects: by view, the names that are tracked.
        last: frame after which it ends; None: the end of the video.
        correction: number of the correction that it belongs to; 0 is the run itself.
        stop_iou: end where masks meet those that were there before; None: never (`workflows.correct`).
    """

    reverse: bool
    starts: dict[int, int]
    objects: dict[int, list[str]]
    last: int | None = None
    correction: int = 0
    stop_iou: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Pass:
        """The pass that `to_dict` described."""
        starts = {int(view): int(frame) for view, frame in values["starts"].items()}
        objects = {int(view): list(names) for view, names in values["objects"].items()}
        return cls(**{**values, "starts": starts, "objects": objects})

    def tracks(self, view: int, frame: int) -> bool:
        """Whether the pass yields a view's frame, as far as its direction goes."""
        start = self.starts.get(view)
        return start is not None and (frame < start if self.reverse else frame >= start)

    @property
    def first(self) -> int:
        """The frame it yields first."""
        return max(self.starts.values()) - 1 if self.reverse else min(self.starts.values())


def run_passes(starts: dict[int, int], objects: dict[int, list[str]]) -> list[Pass]:
    """The passes of a whole run: forward from each view's first prompt, then backward to the beginning."""
    passes = [Pass(False, starts, objects)]
    if any(starts.values()):
        passes.append(Pass(True, starts, objects))
    return passes


@dataclass(frozen=True, eq=False)
class Step:
    """One frame of a pass: the objects of every view that was tracked on it."""

    frame: int
    views: list[list[ObjectFrame]]


def walk(
    predictor: Any, states: dict[int, Any], views: dict[int, View], way: Pass, after: int | None = None
) -> Iterator[Step]:
    """Track along a pass.

    Args:
        predictor: the tracker.
        states: its state of every view.
        views: by their numbers.
        way: the pass.
        after: the last frame that was tracked already, its memories in the states; None: begin.
    """
    step = -1 if way.reverse else 1
    frame = way.first if after is None else after + step
    streams: dict[int, Iterator[Any]] = {}
    while frame >= 0 and not _behind(frame, way):
        found = []
        for view in sorted(way.starts):
            if not way.tracks(view, frame):
                continue
            if view not in streams:
                streams[view] = _stream(predictor, states[view], way, view, frame)
            output = next(streams[view], None)
            if output is None:
                return
            found.append(objects_of(output, views[view]))
        yield Step(frame, found)
        frame += step


def _stream(predictor: Any, state: Any, way: Pass, view: int, frame: int) -> Iterator[Any]:
    """The tracker's outputs of a view from `frame` on."""
    fresh = not way.reverse and frame == way.starts[view]
    # Backward tracking has always begun on a frame that is known; so does taking up a pass.
    known = frame if fresh else frame + 1 if way.reverse else frame - 1
    outputs = predictor.propagate(state, start_frame_idx=known, reverse=way.reverse)
    if not fresh:
        next(outputs, None)
    return iter(outputs)


def _behind(frame: int, way: Pass) -> bool:
    if way.last is None:
        return False
    return frame < way.last if way.reverse else frame > way.last
