"""The search for an eye in frames that come one at a time, until one frame convinces.

Purpose: `LiveSearch` is shown every frame of a live run that nobody gave a click, looks at some of them, and
says on which frame, and with which prompts, tracking can begin.

Notable choices: a look is the search that a recording gets (`search.Search`, the same limit), on one frame
alone, since tracking is to begin on that very frame. Looks are as far apart as those of a recording's first
seconds (`EVERY_NS`), by the frames' own times, however long the eye is away. Only counts and the best place
so far are kept, so a run may wait for hours.

What it does not know: several eyes in one picture (the whole picture is searched), clicks, the run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ocusam.core.errors import PromptError
from ocusam.core.masklet import View
from ocusam.video.source import NANOSECONDS, Frame
from ocusam.workflows.find.find_eye import FRAMES_A_ROUND, OBJECTS, ROUNDS, Finding, nothing_found
from ocusam.workflows.find.judge import Judge
from ocusam.workflows.find.search import FoundEye, Search

EVERY_NS = round((ROUNDS[0][1] - ROUNDS[0][0]) / FRAMES_A_ROUND * NANOSECONDS)
"""Least time between two looks, nanoseconds."""
_VIEWS = "none"


class LiveSearch:
    """Looks for an eye as frames come.

    Args:
        judge: a network that answers clicks, or None to go without.

    Attributes:
        passed: frames that came and were not convincing, or not looked at.
        looks: frames that were looked at.
        found: on what frame 0 of the run shows, once an eye was found.
    """

    def __init__(self, judge: Judge | None) -> None:
        self._judge = judge
        self.passed, self.looks = 0, 0
        self.found: FoundEye | None = None
        self._best: FoundEye | None = None
        self._last_ns: int | None = None
        self._last_look = 0

    def step(self, frame: Frame) -> FoundEye | None:
        """Take in the next frame; the eye that was found on it, all on frame 0, or None."""
        due = self._last_ns is None or abs(frame.timestamp_ns - self._last_ns) >= EVERY_NS
        eye = self._look(frame) if due else None
        if eye is None:
            self.passed += 1
        return eye

    def _look(self, frame: Frame) -> FoundEye | None:
        self._last_ns, self._last_look = frame.timestamp_ns, self.passed
        self.looks += 1
        height, width = frame.image.shape[:2]
        search = Search(View(0, (0, 0, width, height)), self._judge, OBJECTS)
        search.add(self.passed, frame.image)
        search.close_round()
        eye = search.found()
        if eye.prompts and eye.best is not None:
            prompts = [replace(prompt, frame_idx=0) for prompt in eye.prompts]
            self.found = replace(eye, best=replace(eye.best, frame_idx=0), prompts=prompts, frames=[0])
            return self.found
        before = self._best.best if self._best is not None else None
        if eye.best is not None and (before is None or eye.best.score > before.score):
            self._best = eye
        return None

    def to_dict(self) -> dict[str, Any] | None:
        """For `run.json`, as `Finding.to_dict` tells it, with frames counted from the first tracked one, and
        how many frames and looks there were before it; None: nothing was found."""
        if self.found is None:
            return None
        passed = {"frames_passed": self.passed, "looks": self.looks}
        return {**Finding([self.found], _VIEWS).to_dict(), **passed}

    def nothing(self, command: str, *, again: bool) -> PromptError:
        """The error for a run that ends without an eye; arguments as of `nothing_found`. Frames are counted
        from the first that came."""
        eyes = [self._best] if self._best is not None else []
        looked = f"{self.looks} of {self.passed} frames, the last of them frame {self._last_look},"
        return nothing_found(Finding(eyes, _VIEWS), command, looked=looked, again=again)
