"""The search for a pupil in one view, over frames.

Purpose: `Search` collects what `eye.candidates` sees on some frames of a view, weighs the frames together,
asks a network about the best places, and decides.

Notable choices: three things make a place's score (`weighing`): how much it looks like a pupil on its own
picture, how well the network's map of the parts of the eye agrees with it (`part_map`; `nano` has one, which
proposes places as well), and how well its mask of a click matches the rim (*agreement*). How likely the
likeliest similar place is on the other frames (its *company*) is told beside them. The click avoids
reflections: a network that is pointed at one may outline it.

What it does not know: which frames to look at, and other views (`find_eye`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt
from ocusam.eye.candidates import WORK_SIDE, Candidate, as_grey, find_candidates
from ocusam.workflows.find.find_parts import parts_of
from ocusam.workflows.find.judge import Judge, overlap, parts_of_picture
from ocusam.workflows.find.part_map import NAMES, PartMap
from ocusam.workflows.find.weighing import CONVINCING, weigh

_PER_FRAME = 5  # places kept of a frame
_RANKED = 12  # of so many that look likeliest by the picture
_JUDGED_FRAMES = 4  # frames a round that the network sees
_JUDGED_PLACES = 3  # places on each


@dataclass(frozen=True, eq=False)
class Place:
    """A place that may be a pupil, on one frame of one view.

    Attributes:
        frame_idx: the frame.
        candidate: its shape, px of the view's picture at working size.
        click: a point on it free of reflections, px as well.
        company: how much other frames have one like it, 0..1.
        agreement: overlap of the network's mask with it; None where the network was not asked.
        seen: how the network's map of the eye agrees with it (`part_map.NAMES`); None: it has none.
        score: how likely it is the pupil, 0..1.
    """

    frame_idx: int
    candidate: Candidate
    click: tuple[float, float]
    company: float = 0.0
    agreement: float | None = None
    seen: tuple[float, ...] | None = None

    @property
    def score(self) -> float:
        """The weighed sum as a probability."""
        return weigh(self.candidate.probability, self.agreement, self.seen)


@dataclass(frozen=True, eq=False)
class FoundEye:
    """What was decided for one view.

    Attributes:
        view: where.
        best: the best place, or None where nothing round and dark was seen at all.
        prompts: px of the whole picture; empty where nothing convinced.
        factor: working px per px of the picture.
        frames: frames that were looked at.
    """

    view: View
    best: Place | None
    prompts: list[ObjectPrompt]
    factor: float
    frames: list[int]

    @property
    def click(self) -> tuple[float, float] | None:
        """The best place's click, px of the whole picture."""
        return None if self.best is None else _whole(self.best.click, self.view, self.factor)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `run.json`."""
        out: dict[str, Any] = {"view": self.view.index, "found": bool(self.prompts), "frames": self.frames}
        if self.best is not None:
            agreement, seen = self.best.agreement, self.best.seen
            out |= {
                "frame_idx": self.best.frame_idx,
                "click": [round(v, 1) for v in self.click or ()],
                "score": round(self.best.score, 3),
                "picture_probability": round(self.best.candidate.probability, 3),
                "other_frames": round(self.best.company, 3),
                "network_agreement": None if agreement is None else round(agreement, 3),
                "network_map": None
                if seen is None
                else dict(zip(NAMES, (round(v, 3) for v in seen), strict=True)),
                "bright_pupil": self.best.candidate.bright,
            }
        return out


@dataclass
class Seen:
    """One frame as it was searched: the picture at working size, the network's map of it, its places."""

    frame_idx: int
    picture: NDArray[np.uint8]
    parts: PartMap | None
    places: list[Place]


@dataclass
class Search:
    """The search in one view, over rounds of frames."""

    view: View
    judge: Judge | None
    objects: Sequence[str]
    seen: list[Seen] = field(default_factory=list)
    judged: list[Place] = field(default_factory=list)
    factor: float = 1.0

    def add(self, frame_idx: int, image: NDArray[np.uint8]) -> None:
        """Search one frame of the whole picture."""
        x0, y0, x1, y1 = self.view.region
        grey = as_grey(image[y0:y1, x0:x1])
        self.factor = min(1.0, WORK_SIDE / max(grey.shape))
        if self.factor < 1.0:
            size = (max(1, round(grey.shape[1] * self.factor)), max(1, round(grey.shape[0] * self.factor)))
            grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        parts = parts_of_picture(self.judge, grey)
        self.seen.append(Seen(frame_idx, grey, parts, self._places(frame_idx, grey, parts)))

    def _places(self, frame_idx: int, grey: NDArray[np.uint8], parts: PartMap | None) -> list[Place]:
        """The likeliest places of a frame, before the network is asked about any."""
        if parts is None:
            found = find_candidates(grey, _PER_FRAME, bright=False)
            if not found or found[0].probability < 0.5:
                # Nothing dark convinces: only then is a bright pupil worth its time and its risk.
                both = [*found, *(c for c in find_candidates(grey, _PER_FRAME) if c.bright)]
                found = sorted(both, key=lambda c: -c.probability)[:_PER_FRAME]
            return [Place(frame_idx, c, free_of_specks(grey, c)) for c in found]
        # What the map proposes is looked at as a dark and as a bright pupil, so nothing else is in negative.
        found = find_candidates(grey, _RANKED, bright=False, also=parts.places())
        figures = parts.figures([c.ellipse for c in found]).tolist()
        order = sorted(range(len(found)), key=lambda k: -weigh(found[k].probability, None, figures[k]))
        return [
            Place(frame_idx, found[k], free_of_specks(grey, found[k], parts), seen=tuple(figures[k]))
            for k in order[:_PER_FRAME]
        ]

    def close_round(self) -> None:
        """Compare the frames and ask the network about the best places of the best of them."""
        for seen in self.seen:
            seen.places = [replace(p, company=self._company(p)) for p in seen.places]
        best = sorted(self.seen, key=lambda s: -max((p.score for p in s.places), default=0.0))
        done = {p.frame_idx for p in self.judged}
        for seen in [s for s in best if s.places and s.frame_idx not in done][:_JUDGED_FRAMES]:
            self.judged += self._asked(seen)

    def _company(self, place: Place) -> float:
        """Mean over the other frames of the likeliest place that could be the same pupil: within its iris, of
        like size (a pupil's diameter does not change by more than a half within seconds)."""
        others = [s for s in self.seen if s.frame_idx != place.frame_idx]
        if not others:
            return 0.0
        mine, total = place.candidate.ellipse, 0.0
        for seen in others:
            total += max(
                (
                    p.candidate.probability
                    for p in seen.places
                    if p.candidate.bright == place.candidate.bright
                    and 0.4 < p.candidate.ellipse.area / mine.area < 2.5
                    and math.dist(p.candidate.ellipse.center, mine.center) < 3.0 * mine.major
                ),
                default=0.0,
            )
        return total / len(others)

    def _asked(self, seen: Seen) -> list[Place]:
        places = sorted(seen.places, key=lambda p: -p.score)[:_JUDGED_PLACES]
        if self.judge is None:
            return places
        self.judge.look(seen.picture)
        masks = self.judge.answer([p.click for p in places])
        size = (seen.picture.shape[0], seen.picture.shape[1])
        return [
            replace(p, agreement=overlap(mask, p.candidate.ellipse.mask(size)))
            for p, mask in zip(places, masks, strict=True)
        ]

    @property
    def best(self) -> Place | None:
        """The place with the highest score so far."""
        return max(self.judged, key=lambda p: p.score, default=None)

    @property
    def convinced(self) -> bool:
        """Whether the search can end."""
        return self.best is not None and self.best.score >= CONVINCING

    def found(self) -> FoundEye:
        """The decision."""
        best, frames = self.best, [s.frame_idx for s in self.seen]
        if best is None or not self.convinced:
            return FoundEye(self.view, best, [], self.factor, frames)
        at = next(s for s in self.seen if s.frame_idx == best.frame_idx)
        others = parts_of(at.picture, best.candidate, self.judge, self.objects, at.parts)
        points = [("pupil", best.click), *others]
        prompts = [
            ObjectPrompt(name, best.frame_idx, np.array([_whole(xy, self.view, self.factor)]), np.array([1]))
            for name, xy in points
        ]
        return FoundEye(self.view, best, prompts, self.factor, frames)


def _whole(point: tuple[float, float], view: View, factor: float) -> tuple[float, float]:
    """A point of a view's working picture in px of the whole picture, to a tenth."""
    x0, y0, _, _ = view.region
    return (
        round((point[0] + 0.5) / factor - 0.5 + x0, 1),
        round((point[1] + 0.5) / factor - 0.5 + y0, 1),
    )


def free_of_specks(
    picture: NDArray[np.uint8], candidate: Candidate, parts: PartMap | None = None
) -> tuple[float, float]:
    """A point near the candidate's centre that does not lie on a reflection, px to the pixel; with a map also
    none that the network takes for something else than the pupil."""
    e = candidate.ellipse
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width]
    inside = e.scaled(0.7, about=e.center).mask((height, width))
    if not inside.any():
        return e.center
    soft = cv2.GaussianBlur(picture, (0, 0), max(0.8, 0.06 * e.minor)).astype(np.float64)
    values = soft[inside]
    sign = -1.0 if candidate.bright else 1.0
    usual = float(np.median(values))
    spread = float(np.median(np.abs(values - usual))) + 2.0
    distance = np.hypot(xs[inside] - e.center[0], ys[inside] - e.center[1]) / e.minor
    excess = np.clip(sign * (values - usual) / (4.0 * spread), 0.0, None)
    if parts is not None:
        excess = excess + parts.cr[inside] + (1.0 - parts.pupil[inside])
    best = int(np.argmin(distance + excess))
    return float(xs[inside][best]), float(ys[inside][best])
