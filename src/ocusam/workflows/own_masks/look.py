"""Looking through somebody's masks before they are trained on.

Purpose: what is wrong with them shows at once and all together, not in the night and one by one; and it is
said what would be learned: which objects, on how many frames, large enough to be clicked or not.

What it does not know: formats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ocusam.core.errors import InputError
from ocusam.training.own_clips import AnnotatedVideo
from ocusam.training.scenes import LEAST_AREA_PX, kind_of
from ocusam.workflows.own_masks.annotated import label_of

SHOWN = 5
"""Problems that a message names, and videos that are listed."""


@dataclass
class Looked:
    """What was seen.

    Attributes:
        frames: annotated frames that were read.
        objects: on how many of them each label is seen.
        empty: frames without any object.
        small: objects on single frames that are too small to be clicked at the network's input.
        problems: what cannot be read, one text each.
    """

    frames: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    small: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        most = sorted(self.objects.items(), key=lambda item: (-item[1], item[0]))
        seen = ", ".join(f"{name} on {count}" for name, count in most[:12])
        more = f" and {len(most) - 12} more" if len(most) > 12 else ""
        out = [f"{self.frames} annotated frames read: {seen or 'no object'}{more}"]
        if self.empty:
            out.append(f"  {self.empty} of them show no object")
        if self.small:
            out.append(
                f"  {self.small} masks are too small to be clicked at this size of input: take a larger "
                "size, or cut the pictures"
            )
        return out

    def check(self) -> None:
        """Refuse what cannot be read.

        Raises:
            InputError: names the first ones.
        """
        if self.problems:
            more = len(self.problems) - SHOWN
            raise InputError(
                f"{len(self.problems)} of {self.frames + len(self.problems)} annotated frames cannot be "
                "used: " + " ".join(self.problems[:SHOWN]) + (f" And {more} more." if more > 0 else "")
            )
        if not self.objects:
            raise InputError(f"No object is seen on any of the {self.frames} annotated frames.")


def look_through(videos: Sequence[AnnotatedVideo], size: int, *, most: int | None = None) -> Looked:
    """Read annotated frames.

    Args:
        videos: what was opened.
        size: side of the network's input, px.
        most: so many frames, evenly spread; None: all.
    """
    places = [(video, k) for video in videos for k in range(video.count)]
    if most is not None and len(places) > most:
        places = [places[int(i)] for i in np.linspace(0, len(places) - 1, most)]
    out = Looked()
    for video, k in places:
        try:
            picture, masks = video.read(k)
        except InputError as error:
            out.problems.append(str(error))
        else:
            out.frames += 1
            out.empty += not masks
            out.objects.update({label_of(name) for name in masks})
            scale = size * size / (picture.shape[0] * picture.shape[1])
            out.small += sum(
                np.count_nonzero(mask) * scale < LEAST_AREA_PX[kind_of(name)] for name, mask in masks.items()
            )
    return out
