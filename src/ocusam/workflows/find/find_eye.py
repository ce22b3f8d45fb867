"""Find the eye without a click: frame, pupil, and where they show iris and reflections.

Purpose: `find_eye` looks at some frames of a video and returns prompts like those of a user.

Notable choices: a few frames spread over the first three seconds are searched, each view by itself
(`search.Search`). Views in which nothing convinces are searched on later frames, up to a minute: the eye may
have been closed. Views without an eye get no prompt. Where nothing convinces anywhere, that is said, with the
frame most worth a click. An ordinary picture in which two pupils convince is split in halves.

What it does not know: which of two eyes is meant where a picture holds two and is not split; people who wear
an eye patch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ocusam.core.errors import InputError, PromptError
from ocusam.core.prompts import ObjectPrompt
from ocusam.video.source import EndOfVideo, IterableSource, VideoSource
from ocusam.workflows.find.judge import Judge
from ocusam.workflows.find.search import FoundEye, Place, Search
from ocusam.workflows.find.weighing import CONVINCING
from ocusam.workflows.inputs.views import plan_views

# Spans of time that are looked at in turn, seconds from the start, and frames in each.
ROUNDS = ((0.0, 3.0), (3.0, 15.0), (15.0, 60.0))
FRAMES_A_ROUND = 8
_NOMINAL_FPS = 30.0
OBJECTS = ("pupil", "iris", "cr")

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, eq=False)
class Finding:
    """All eyes of a video: one `FoundEye` a view, and the `--views` text they belong to."""

    eyes: list[FoundEye]
    views: str

    @property
    def prompts(self) -> list[ObjectPrompt]:
        """All prompts, px of the whole picture."""
        return [prompt for eye in self.eyes for prompt in eye.prompts]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `run.json`."""
        eyes = [eye.to_dict() for eye in self.eyes]
        return {"by": "ocusam", "convincing_from": CONVINCING, "views": self.views, "eyes": eyes}


def find_eye(
    source: VideoSource,
    judge: Judge | None,
    *,
    views: str = "auto",
    objects: Sequence[str] = OBJECTS,
    progress: Progress | None = None,
) -> Finding:
    """Look for the pupil (and more) of every eye in a video.

    Args:
        source: the video; read by frame number, not closed.
        judge: a network that answers clicks, or None to go without.
        views: as `views.plan_views`; with "auto" and an ordinary picture, two eyes beside or above each other
            are split if either half holds one.
        objects: what to look for besides the pupil: "iris", "cr".
        progress: called after every frame.

    Returns:
        A finding; `prompts` is empty where nothing convinced (`nothing_found` says it as an error).

    Raises:
        PromptError: the video can be read only once.
    """
    if isinstance(source, IterableSource):
        raise PromptError(
            "A stream can be read only once, so the eye cannot be looked for in it: give a click, for "
            "example pupil:320,240."
        )
    plan = plan_views(source.size, views)
    searches = [Search(view, judge, objects) for view in plan]
    _look(source, searches, progress)
    finding = Finding([search.found() for search in searches], views)
    if views == "auto" and len(plan) == 1:
        split = _split_of(searches[0], source.size)
        if split is not None:
            halves = [Search(view, judge, objects) for view in plan_views(source.size, split)]
            _look(source, halves, progress)
            both = Finding([search.found() for search in halves], split)
            if all(eye.prompts for eye in both.eyes):
                return both
    return finding


def nothing_found(
    finding: Finding, command: str = "ocusam eye VIDEO -o OUT", *, looked: str = "", again: bool = True
) -> PromptError:
    """The error for a finding without prompts: what was looked at, what came nearest, what to do.

    Args:
        finding: of the search.
        command: to be typed with a point behind it.
        looked: what was looked at, where it is more than the finding's own frames.
        again: the same frames come again, so a point on one of them helps; else (live) only a place does.
    """
    frames = sorted({i for eye in finding.eyes for i in eye.frames})
    looked = looked or (f"{len(frames)} frames up to frame {frames[-1]}" if frames else "no frame")
    seen = [eye for eye in finding.eyes if eye.best is not None]
    if not seen:
        do = (
            f"Look at the video for a frame with an open eye and click it: {command} --point pupil:X,Y@FRAME"
            if again
            else f"Say where the pupil is: {command} --point pupil:X,Y"
        )
        return PromptError(f"No pupil was found ({looked} looked at; none shows anything like one). {do}")
    best = max(seen, key=lambda eye: eye.best.score if eye.best is not None else 0.0)
    assert best.best is not None and best.click is not None
    x, y = best.click
    at = best.best.frame_idx
    look, frame = (f"Look at frame {at}", f"@{at}") if again else (f"It was on frame {at}", "")
    return PromptError(
        f"No pupil was found that convinces ({looked} looked at; the best place scores {best.best.score:.2f} "
        f"of 1, {CONVINCING} is needed). {look}: if x={x:.0f}, y={y:.0f} is on the pupil, or with the right "
        f"numbers instead: {command} --point pupil:{x:.0f},{y:.0f}{frame}"
    )


def _look(source: VideoSource, searches: list[Search], progress: Progress | None) -> None:
    """Go through the rounds until every view is convinced or the frames are used up."""
    done, last = 0, source.num_frames
    for span in ROUNDS:
        waiting = [search for search in searches if not search.convinced]
        if not waiting:
            return
        for frame_idx in frames_of_round(span, source.fps, last):
            try:
                image = source.read(frame_idx).image
            except EndOfVideo:
                last = frame_idx
                break
            except InputError:
                continue  # one damaged frame is no reason to stop looking
            for search in waiting:
                search.add(frame_idx, image)
            done += 1
            if progress is not None:
                progress(done, None, "looking for the eye")
        for search in waiting:
            search.close_round()


def frames_of_round(span: tuple[float, float], fps: float | None, count: int | None) -> list[int]:
    """Frames of one round: evenly spread over its seconds, as far as the video goes.

    Args:
        span: (from, to) seconds.
        fps: frames per second, or None (30 are assumed).
        count: frames of the video, or None.
    """
    rate = fps or _NOMINAL_FPS
    first, end = round(span[0] * rate), max(round(span[1] * rate), round(span[0] * rate) + 1)
    if count is not None:
        end = min(end, count)
    if end <= first:
        return []
    number = min(FRAMES_A_ROUND, end - first)
    # The middle of each of `number` equal stretches: the very first frames are often spoilt.
    return [first + int((k + 0.5) * (end - first) / number) for k in range(number)]


def _split_of(search: Search, size: tuple[int, int]) -> str | None:
    """ "2x1" or "1x2" where one frame shows two pupils of like size in either half; else None."""
    middle_x, middle_y = (size[1] * search.factor - 1) / 2, (size[0] * search.factor - 1) / 2
    by_frame: dict[int, list[Place]] = {}
    for place in search.judged:
        if place.score >= CONVINCING:
            by_frame.setdefault(place.frame_idx, []).append(place)
    for places in by_frame.values():
        for a in places:
            for b in places:
                one, two = a.candidate.ellipse, b.candidate.ellipse
                alike = 0.4 < one.area / two.area < 2.5
                if a is b or not alike or math.dist(one.center, two.center) < 4.0 * max(one.major, two.major):
                    continue
                if one.bounds[2] < middle_x < two.bounds[0]:
                    return "2x1"
                if one.bounds[3] < middle_y < two.bounds[1]:
                    return "1x2"
    return None
