"""Carry prompts through a video: the loop all tracking jobs share.

Purpose: from a source of frames and prompts to `ObjectFrame`s, one frame at a time, view after view.

Notable choices: tracking starts at the earliest prompted frame of a view; frames before it are covered by a
backward pass afterwards, so frames come in the order of tracking, not of time. Points of one prompt are
entered one call at a time, each seeing the mask of the one before (reported to work better than all at once:
Niehorster et al. 2025). Nothing is kept between frames here; what the network needs to remember is the
predictor's business.

What it does not know: eyes; files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import PromptError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt, check_inside, merge_prompts
from ocusam.video.crop import CroppedSource
from ocusam.video.source import VideoSource
from ocusam.workflows.views import split_prompts

# Called with (frames done, frames in all or None where unknown, what is being done).
Progress = Callable[[int, int | None, str], None]


class Predictor(Protocol):
    """What a tracker must offer (`tracking.video_predictor.SAM2VideoPredictor` does)."""

    def init_state(self, video_path: Any) -> Any:
        """Start on a source of frames."""

    def add_new_points_or_box(
        self,
        inference_state: Any,
        frame_idx: int,
        obj_id: Any,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        *,
        box: Any = None,
    ) -> Any:
        """Enter points or a box."""

    def add_new_mask(self, inference_state: Any, frame_idx: int, obj_id: Any, mask: Any) -> Any:
        """Enter a mask."""

    def propagate(
        self,
        inference_state: Any,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Any]:
        """Yield frames with `frame_idx, timestamp_ns, obj_ids, low_res_logits, predicted_iou,
        object_score`."""


def follow(
    source: VideoSource,
    prompts: Sequence[ObjectPrompt],
    predictor: Predictor,
    views: Sequence[View],
    *,
    progress: Progress | None = None,
) -> Iterator[list[ObjectFrame]]:
    """Track the prompted objects through the whole video.

    Args:
        source: the video.
        prompts: at least one; coordinates of the whole picture.
        predictor: the tracker.
        views: parts of the picture tracked each on its own (`views.plan_views`).
        progress: called after every frame.

    Yields:
        All objects of one view on one frame; each frame and view once.

    Raises:
        PromptError: no prompt, or one outside the picture or the video.
    """
    prompts = merge_prompts(prompts)
    if not prompts:
        raise PromptError("Nothing to track: give at least one point, for example --point pupil:320,240.")
    check_inside(prompts, source.size, source.num_frames)
    by_view = split_prompts(prompts, list(views))
    done = 0
    for view in views:
        if view.index not in by_view:
            continue
        part = source if len(views) == 1 else CroppedSource(source, view.region)
        for frame in _follow_view(part, by_view[view.index], predictor, view):
            done += 1
            yield frame
            if progress is not None:
                count = source.num_frames
                progress(done, None if count is None else count * len(by_view), "tracking")


def _follow_view(
    source: VideoSource, prompts: Sequence[ObjectPrompt], predictor: Predictor, view: View
) -> Iterator[list[ObjectFrame]]:
    state = predictor.init_state(source)
    for prompt in prompts:
        enter_prompt(predictor, state, prompt)
    start = min(prompt.frame_idx for prompt in prompts)
    for out in predictor.propagate(state, start_frame_idx=start):
        yield objects_of(out, view)
    if start > 0:
        for out in predictor.propagate(state, start_frame_idx=start, reverse=True):
            if out.frame_idx < start:
                yield objects_of(out, view)


def enter_prompt(predictor: Predictor, state: Any, prompt: ObjectPrompt) -> None:
    """Enter one prompt, its points one call at a time, those on the object first."""
    if prompt.mask is not None:
        predictor.add_new_mask(state, prompt.frame_idx, prompt.name, prompt.mask)
        return
    box = None if prompt.box is None else np.array(prompt.box, dtype=np.float32)
    if box is not None or not len(prompt.points):
        predictor.add_new_points_or_box(
            state,
            prompt.frame_idx,
            prompt.name,
            points=prompt.points.astype(np.float32),
            labels=prompt.labels.astype(np.int32),
            box=box,
        )
        return
    # A first point that is not on the object would leave the network nothing to outline.
    order = np.argsort(-prompt.labels, kind="stable")
    for i, k in enumerate(order):
        predictor.add_new_points_or_box(
            state,
            prompt.frame_idx,
            prompt.name,
            points=prompt.points[k : k + 1].astype(np.float32),
            labels=prompt.labels[k : k + 1].astype(np.int32),
            clear_old_points=i == 0,
        )


def objects_of(out: Any, view: View) -> list[ObjectFrame]:
    """A tracker's output for one frame as plain values."""
    logits = as_array(out.low_res_logits)
    logits = logits.reshape(len(out.obj_ids), *logits.shape[-2:])
    masks = np.asarray(out.masks, dtype=np.bool_)
    ious, scores = as_array(out.predicted_iou).reshape(-1), as_array(out.object_score).reshape(-1)
    return [
        ObjectFrame(
            int(out.frame_idx),
            int(out.timestamp_ns),
            view,
            str(name),
            logits[i],
            masks[i],
            float(ious[i]),
            float(scores[i]),
        )
        for i, name in enumerate(out.obj_ids)
    ]


def as_array(values: Any) -> NDArray[np.float32]:
    """A tensor of any device or an array, as float32 numpy."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, dtype=np.float32)
