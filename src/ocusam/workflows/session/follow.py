"""Carry prompts through a video: the loop all tracking jobs share.

Purpose: from a source of frames and prompts to `ObjectFrame`s, one frame at a time, all its views together.

Notable choices: tracking starts at the earliest prompted frame of a view; frames before it are covered by a
backward pass afterwards, so frames come in the order of tracking, not of time. Points of one prompt are
entered one call at a time, each seeing the mask of the one before (reported to work better than all at once:
Niehorster et al. 2025). Nothing is kept between frames here; what the network needs to remember is the
predictor's business. Annotated reference pictures stand before frame 0 as conditioning frames; they have
neither rows nor masks, and frames keep the numbers they have in the video.

What it does not know: eyes; files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import PromptError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt, ReferencePicture, check_inside, merge_prompts
from ocusam.video.crop import CroppedSource
from ocusam.video.prepend import Placement, PrependedSource
from ocusam.video.source import VideoSource
from ocusam.workflows.inputs.views import split_prompts
from ocusam.workflows.session.passes import Pass, Step, run_passes, walk

# Called with (frames done, frames in all or None where unknown, what is being done).
Progress = Callable[[int, int | None, str], None]
# Called with (predictor, its state of a view, the view's number, prompts in its coordinates and the tracker's
# frames); returns what shall be entered (`find.clicks.ClearClicks`).
Clear = Callable[[Any, Any, int, Sequence[ObjectPrompt]], list[ObjectPrompt]]
NO_PROMPT = "Nothing to track: give at least one point, for example --point pupil:320,240."


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


class Tracker:
    """A predictor at work on a video: its state of every view, and the prompts in its numbering of frames.

    Args:
        source: the video.
        predictor: what tracks.
        views: parts of the picture tracked each on its own (`views.plan_views`).
        references: annotated pictures shown before the first frame.

    Attributes:
        ahead: number of reference pictures; the video's frame 0 is the tracker's frame `ahead`.
        states: the predictor's state by view, for views with prompts.
    """

    def __init__(
        self,
        source: VideoSource,
        predictor: Predictor,
        views: Sequence[View],
        references: Sequence[ReferencePicture] = (),
    ) -> None:
        self.source = source
        self.predictor = predictor
        self.views = {view.index: view for view in views}
        self.ahead = len(references)
        self.states: dict[int, Any] = {}
        self._shown, self._annotated = put_in_front(source, (), references) if references else (source, [])

    def by_view(self, prompts: Sequence[ObjectPrompt]) -> dict[int, list[ObjectPrompt]]:
        """Prompts in the picture's coordinates and the video's frames, as those of each view, numbered as the
        tracker numbers frames.

        Raises:
            PromptError: outside the picture or the video.
        """
        check_inside(prompts, self.source.size, self.source.num_frames)
        moved = [replace(p, frame_idx=p.frame_idx + self.ahead) for p in merge_prompts(prompts)]
        return split_prompts(moved, list(self.views.values()))

    def state(self, view: int) -> Any:
        """The predictor's state of a view, made when first asked for."""
        if view not in self.states:
            region = self.views[view].region
            height, width = self._shown.size
            whole = region == (0, 0, width, height)
            part = self._shown if whole else CroppedSource(self._shown, region)
            self.states[view] = self.predictor.init_state(part)
        return self.states[view]

    def begin(self, prompts: Sequence[ObjectPrompt], clear: Clear | None = None) -> list[Pass]:
        """Enter all prompts of a run, those of the references first. Returns the ways to go.

        Args:
            prompts: px of the whole picture.
            clear: says what shall be entered in place of the video's own prompts.

        Raises:
            PromptError: no prompt, or one outside the picture or the video.
        """
        entered = self.by_view(prompts)
        if clear is not None:
            entered = {v: clear(self.predictor, self.state(v), v, own) for v, own in sorted(entered.items())}
        for view, shown in split_prompts(self._annotated, list(self.views.values())).items():
            entered[view] = [*shown, *entered.get(view, [])]
        if not entered:
            raise PromptError(NO_PROMPT)
        for view in sorted(entered):
            self.enter(view, entered[view])
        starts = {view: min(p.frame_idx for p in own) for view, own in sorted(entered.items())}
        return run_passes(starts, {v: list(dict.fromkeys(p.name for p in entered[v])) for v in starts})

    def enter(self, view: int, prompts: Sequence[ObjectPrompt]) -> None:
        """Enter prompts (the tracker's frames, the view's coordinates); their memories are made at once, so
        that they can be stored before the first frame is tracked."""
        state = self.state(view)
        for prompt in prompts:
            enter_prompt(self.predictor, state, prompt)
        preflight = getattr(self.predictor, "propagate_in_video_preflight", None)
        if preflight is not None:
            preflight(state)

    def walk(self, way: Pass, after: int | None = None) -> Iterator[Step]:
        """Track along a pass; frames are numbered as in the video, those of references are left out."""
        states = {view: self.state(view) for view in way.starts}
        for step in walk(self.predictor, states, self.views, way, after):
            if step.frame < self.ahead:
                continue
            if self.ahead:
                moved = [[replace(o, frame_idx=o.frame_idx - self.ahead) for o in v] for v in step.views]
                step = Step(step.frame, moved)
            yield step


def follow(
    source: VideoSource,
    prompts: Sequence[ObjectPrompt],
    predictor: Predictor,
    views: Sequence[View],
    *,
    references: Sequence[ReferencePicture] = (),
    clear: Clear | None = None,
    progress: Progress | None = None,
) -> Iterator[list[ObjectFrame]]:
    """Track the prompted objects through the whole video.

    Args:
        source: the video.
        prompts: coordinates of the whole picture; at least one, unless there are references.
        predictor: the tracker.
        views: parts of the picture tracked each on its own (`views.plan_views`).
        references: annotated pictures shown before the first frame.
        clear: see `Tracker.begin`.
        progress: called after every frame.

    Yields:
        All objects of one view on one frame; each frame and view once.

    Raises:
        PromptError: no prompt, or one outside the picture or the video.
    """
    tracker = Tracker(source, predictor, views, references)
    passes = tracker.begin(prompts, clear)
    done = 0
    for way in passes:
        for step in tracker.walk(way):
            for objects in step.views:
                done += 1
                yield objects
                if progress is not None:
                    count = source.num_frames
                    progress(done, None if count is None else count * len(passes[0].starts), "tracking")


def put_in_front(
    source: VideoSource, prompts: Sequence[ObjectPrompt], references: Sequence[ReferencePicture]
) -> tuple[VideoSource, list[ObjectPrompt]]:
    """A video that begins with the reference pictures, and all prompts by its frame numbers.

    Pictures of another size are scaled to fit, keeping their proportions; their prompts go with them."""
    pictures: list[NDArray[np.uint8]] = []
    out: list[ObjectPrompt] = []
    for i, reference in enumerate(references):
        place = Placement.fit((reference.image.shape[0], reference.image.shape[1]), source.size)
        pictures.append(place.image(reference.image))
        for prompt in reference.prompts:
            mask = None if prompt.mask is None else place.mask(prompt.mask)
            box = None
            if prompt.box is not None:
                (x0, y0), (x1, y1) = place.points(np.reshape(prompt.box, (2, 2))).tolist()
                box = (x0, y0, x1, y1)
            out.append(ObjectPrompt(prompt.name, i, place.points(prompt.points), prompt.labels, box, mask))
    out += [replace(prompt, frame_idx=prompt.frame_idx + len(references)) for prompt in prompts]
    return PrependedSource(source, pictures), out


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
