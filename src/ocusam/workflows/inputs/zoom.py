"""Tracking in a rectangle around the eye instead of in the whole picture.

Purpose: a network sees every picture squeezed to a square of its own size (256 px for `nano`); where the eye
fills a small part of the picture, most of that square shows skin. `--zoom` names the rectangle to track in;
`choose` finds one from where the eye was seen. Each view has its own rectangle; everything told outside stays
in px of the whole picture (`core.masklet.View`).

Notable choices: the rectangle does not move during a run, so the network's memories stay comparable and a run
that is taken up again or corrected has the same one. It is at least `IRISES` iris diameters wide and high
(`PUPILS` pupil diameters where no iris is known): there pupil and iris have the size that the networks have
seen most, and an eye opening (2.5 iris diameters wide) mostly fits. It holds every place where the eye was
seen, with room around it, and every prompt. It is used only if it makes the eye clearly larger (`LEAST_GAIN`)
and the eye is small for the network without it (`LARGE_PUPIL`).

What it does not know: how the eye was looked for (`find.eye_place`), and where it goes later
(`results.zoom_border` tells when it comes to the rectangle's border).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import PromptError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt

AUTO, OFF = "auto", "off"
FORM = "auto, off, or X0,Y0,X1,Y1 in px of the picture, for example 120,80,440,320 (several: with ;)"

Region = tuple[int, int, int, int]

IRISES, PUPILS = 2.2, 6.0
"""Least width and height of the rectangle, in diameters of the iris, or of the pupil where no iris is
known."""
LEAST_GAIN = 1.15
"""The eye must be so much larger in the network's input than without zoom (ratio of lengths)."""
LARGE_PUPIL = 64.0
"""A pupil of this diameter in px of the network's input is large enough as it is."""
LEAST_SIDE = 48
"""Least width and height of a rectangle, px of the picture."""
_ROOM, _MORE_ROOM = 0.65, 1.0  # iris diameters between the iris' centre and the border; where little is known
_FEW = 4  # sightings below which little is known
_IRIS_OF_PUPIL = 2.6  # usual ratio of their diameters
_FAR = 1.6  # iris diameters from the usual place beyond which a sighting is none: eyes do not turn so far
_LONGEST = 1.6  # longest side over shortest


@dataclass(frozen=True)
class Sighting:
    """Pupil and iris of one view on one frame, px of the whole picture; None where not seen."""

    frame_idx: int
    pupil: Ellipse | None = None
    iris: Ellipse | None = None

    @property
    def center(self) -> tuple[float, float] | None:
        """Where the eye is."""
        seen = self.pupil or self.iris
        return None if seen is None else seen.center


@dataclass(frozen=True)
class Choice:
    """What was decided for one view.

    Attributes:
        view: its number.
        region: (x0, y0, x1, y1) px to track in, x1 and y1 exclusive; None: the whole view.
        why: the reason, for people.
        gain: how much larger the eye is in the network's input, ratio of lengths; 1 without zoom.
        sightings: frames on which the eye was seen.
        pupil_px, iris_px: usual diameters, px of the picture; None where not seen.
    """

    view: int
    region: Region | None
    why: str
    gain: float = 1.0
    sightings: int = 0
    pupil_px: float | None = None
    iris_px: float | None = None


def parse_zoom(text: str) -> list[Region]:
    """The rectangles that a `--zoom` text names; none for "auto" and "off".

    Raises:
        PromptError: an unreadable text.
    """
    if text in (AUTO, OFF):
        return []
    regions = []
    for part in text.split(";"):
        numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", part)
        if numbers is None:
            raise PromptError(f"Cannot read the zoom {text!r}: give {FORM}.")
        x0, y0, x1, y1 = (int(n) for n in numbers.groups())
        if x1 <= x0 or y1 <= y0:
            raise PromptError(
                f"The zoom {part.strip()} is empty: x0 < x1 and y0 < y1 are needed. Give {FORM}."
            )
        regions.append((x0, y0, x1, y1))
    return regions


def zoom_text(regions: Iterable[Region]) -> str:
    """The `--zoom` text that names rectangles; "off" for none."""
    return ";".join(",".join(str(value) for value in region) for region in regions) or OFF


def zoomed(views: Sequence[View], text: str) -> list[View]:
    """Views with the rectangles of a `--zoom` text in place of the views that hold them.

    Args:
        views: from `views.plan_views`.
        text: "auto" and "off" change nothing.

    Raises:
        PromptError: an unreadable text, a rectangle that does not lie in one view, or two in the same.
    """
    out = {view.index: view for view in views}
    for region in parse_zoom(text):
        home = next((view for view in views if _holds(view.region, region)), None)
        if home is None:
            places = "; ".join(zoom_text([view.region]) for view in views)
            raise PromptError(
                f"The zoom {zoom_text([region])} does not lie within one view: "
                f"{'they are' if len(views) > 1 else 'the picture is'} {places} (x0,y0,x1,y1)."
            )
        if out[home.index] is not home:
            raise PromptError(f"The zoom {text!r} names two rectangles in view {home.index}; give one.")
        out[home.index] = replace(home, region=region)
    return [out[view.index] for view in views]


def zoom_regions(views: Iterable[View], text: str) -> dict[int, Region]:
    """view -> its rectangle, of those views (as `zoomed` gives them) that a `--zoom` text narrows."""
    regions = parse_zoom(text)
    return {view.index: view.region for view in views if view.region in regions}


def _holds(outer: Region, inner: Region) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def choose(
    view: View, sightings: Sequence[Sighting], prompts: Sequence[ObjectPrompt], input_px: int
) -> Choice:
    """The rectangle to track a view in.

    Args:
        view: the whole view.
        sightings: where the eye was seen, px of the whole picture; further away ones than an eye can turn are
            left out.
        prompts: px of the whole picture; what they point at in the view is inside the rectangle.
        input_px: side of the network's input.
    """
    pupil, iris = _usual(s.pupil for s in sightings), _usual(s.iris for s in sightings)
    if iris is not None and pupil is not None and not 1.2 * pupil <= iris <= 7.0 * pupil:
        iris = None  # one of the two is something else; the pupil is told more reliably
    unit = iris if iris is not None else pupil * _IRIS_OF_PUPIL if pupil is not None else None
    if unit is None:
        return Choice(view.index, None, "neither pupil nor iris was found to zoom on")
    # Where no iris was seen a pupil tells its size badly, so the rectangle is made a little larger.
    side = IRISES * iris if iris is not None else PUPILS * (pupil or 0.0)
    centers = np.array([s.center for s in sightings if s.center is not None], dtype=np.float64)
    near = np.hypot(*(centers - np.median(centers, axis=0)).T) <= _FAR * unit
    centers = centers[near]
    told = (len(centers), pupil, iris)
    height, width = view.size
    now = (pupil if pupil is not None else unit / _IRIS_OF_PUPIL) * input_px / math.sqrt(width * height)
    if now >= LARGE_PUPIL:
        return Choice(
            view.index, None, f"the pupil is large already: {now:.0f} px of the network", 1.0, *told
        )
    room = unit * (_ROOM if len(centers) >= _FEW else _MORE_ROOM)
    held = [centers.min(axis=0) - room, centers.max(axis=0) + room]
    for low, high in _places(prompts, view):
        held = [np.minimum(held[0], low - 0.25 * unit), np.maximum(held[1], high + 0.25 * unit)]
    region = _rectangle(view, held[0], held[1], max(side, LEAST_SIDE))
    gain = math.sqrt(width * height / ((region[2] - region[0]) * (region[3] - region[1])))
    if gain < LEAST_GAIN:
        return Choice(view.index, None, "the eye fills the picture", 1.0, *told)
    return Choice(view.index, region, "the eye is small in the picture", gain, *told)


def _usual(seen: Iterable[Ellipse | None]) -> float | None:
    sizes = [ellipse.major for ellipse in seen if ellipse is not None]
    return float(np.median(sizes)) if sizes else None


def _places(
    prompts: Iterable[ObjectPrompt], view: View
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Corners (x, y) of what each prompt points at within a view; points that are not on the object need no
    place."""
    out = []
    x0, y0, x1, y1 = view.region
    for prompt in prompts:
        at = [point for point in prompt.points[prompt.labels == 1] if view.holds(*point.tolist())]
        box = prompt.box
        if box is not None and view.holds((box[0] + box[2]) / 2, (box[1] + box[3]) / 2):
            at += [np.array(box[:2]), np.array(box[2:])]
        if prompt.mask is not None:
            ys, xs = np.nonzero(prompt.mask[y0:y1, x0:x1])
            at += (
                [np.array([x0 + x, y0 + y]) for x, y in ((xs.min(), ys.min()), (xs.max(), ys.max()))]
                if len(xs)
                else []
            )
        if at:
            out.append((np.min(at, axis=0).astype(np.float64), np.max(at, axis=0).astype(np.float64)))
    return out


def _rectangle(view: View, low: NDArray[np.float64], high: NDArray[np.float64], least: float) -> Region:
    """Whole pixels of the view around low..high (x, y), at least `least` wide and high, not too oblong."""
    x0, y0, x1, y1 = view.region
    spans = np.maximum(high - low, least)
    spans = np.maximum(spans, spans.max() / _LONGEST)
    sizes = np.minimum(np.ceil(spans), [x1 - x0, y1 - y0]).astype(int)
    start = np.round((low + high) / 2.0 - (sizes - 1) / 2.0).astype(int)
    start = np.clip(start, [x0, y0], np.array([x1, y1]) - sizes)
    return int(start[0]), int(start[1]), int(start[0] + sizes[0]), int(start[1] + sizes[1])
