"""The prompts of a live run: those it began with, what was found, and clicks in the window as they come.

Purpose: `LivePrompts` knows which prompts belong to which frame, and turns clicks into prompts of the frame
at hand, so that the list of all of them repeats the run on the same frames.

Notable choices: clicks on one object that come between two frames are one prompt. A click that says where an
object is not is taken only for an object that is followed: by itself it would leave the network nothing to
outline.

What it does not know: windows, the tracker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ocusam.core.prompts import ObjectPrompt, merge_prompts


@dataclass(frozen=True)
class Click:
    """A click on a picture that was shown, whatever its size.

    Attributes:
        name: of the object.
        place: x and y as shares of the picture's width and height, 0 to 1.
        on: it is on the object; False: not on it.
    """

    name: str
    place: tuple[float, float]
    on: bool

    def prompt(self, frame_idx: int, size: tuple[int, int]) -> ObjectPrompt:
        """As a prompt for a frame of `size` (h, w), px to a hundredth."""
        height, width = size
        x, y = round(self.place[0] * width - 0.5, 2), round(self.place[1] * height - 0.5, 2)
        return ObjectPrompt(self.name, frame_idx, np.array([[x, y]]), np.array([int(self.on)]))


class LivePrompts:
    """Prompts by frame, more of them as the run goes on.

    Args:
        prompts: those it begins with.

    Attributes:
        all: every one so far, in the order of coming.
    """

    def __init__(self, prompts: Iterable[ObjectPrompt] = ()) -> None:
        self.all: list[ObjectPrompt] = list(prompts)

    def __bool__(self) -> bool:
        return bool(self.all)

    def at(self, frame_idx: int) -> list[ObjectPrompt]:
        """Those of a frame."""
        return [prompt for prompt in self.all if prompt.frame_idx == frame_idx]

    def add(self, prompts: Iterable[ObjectPrompt]) -> None:
        """Take in more; points of one object on one frame are joined."""
        self.all = merge_prompts([*self.all, *prompts])

    def click(self, clicks: Sequence[Click], frame_idx: int, size: tuple[int, int]) -> bool:
        """Take in clicks for the newest frame; False where none could be used.

        Args:
            clicks: in the order in which they were made.
            frame_idx: the newest frame, which has not been prompted yet.
            size: (height, width) of its picture.
        """
        known = {prompt.name for prompt in self.all if prompt.frame_idx <= frame_idx}
        known |= {click.name for click in clicks if click.on}
        used = [click.prompt(frame_idx, size) for click in clicks if click.name in known]
        self.add(used)
        return bool(used)
