"""Which outline a click means: by what a network answers, by the picture's own edges, and by the click.

Purpose: after one click on a pupil or an iris a small network's masks are often a part of it or too much,
while the picture shows clearly what is meant. `meant_pupil` and `meant_iris` collect outlines that could be
meant (the network's masks, refined on the picture's edge where that succeeds, and what
`eye.candidates` sees without a network), describe each by a few figures, and say which is likeliest and
how likely it is right.

Notable choices: the figures' weights come from rendered eyes, by logistic regression on the overlap with the
truth (`benchmarks/fit_meant.py`); nothing about a camera is set. The pupil is decided first; an iris lies
around it. What is visible of an outline is what the network calls the object or what lies between places at
which the rim was seen, so that a lid cuts it.

What it does not know: other frames; how the outline is used (`workflows.find.clicks`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import enlarged
from ocusam.eye.candidates import WORK_SIDE, Candidate, as_grey, find_candidates
from ocusam.eye.contour import outer_contour
from ocusam.eye.ellipse import fit_rim
from ocusam.eye.rim import RimFit, refine_rim

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Point = tuple[float, float]
Named = list[tuple[BoolArray, float]]
"""Masks and their predicted IoUs."""

# Figures of an outline and their weights, printed by benchmarks/fit_meant.py.
PUPIL_WEIGHTS = {
    "refined": 1.696,  # 1: the picture has an edge there
    "rim_share": 2.703,  # of the outline on which that edge was seen
    "contrast": -1.244,  # across it, in units of the picture's contrast
    "roughness": -2.214,  # scatter of the edge about the ellipse
    "agree": 2.462,  # overlap with the network's masks, the best
    "agree_sure": 3.057,  # the same times that mask's predicted IoU
    "picture": 1.162,  # probability by `eye.candidates`, as far as it means the same place
    "picture_refined": 2.059,
    "click_out": -1.861,  # how far the click lies near or beyond the outline
    "size": -0.719,  # log of the diameter over a third of the picture's shorter side
    "size_2": -0.08,
    "flat": -0.037,
    "bright": 0.817,
    "unlike": -3.603,  # grey level under the click against the inside's
    "constant": -6.255,
}
IRIS_WEIGHTS = {
    "refined": 2.453,
    "rim_share": 1.285,
    "contrast": -1.405,
    "roughness": -3.382,
    "agree": 2.807,
    "agree_sure": 2.033,
    "clear": 0.925,  # height of the limbus's rise, by `eye.candidates`
    "picture": -0.945,  # 1: seen by the picture alone
    "click_out": -2.944,
    "click_in": 0.51,  # how far the click lies in the pupil
    "ratio": -0.827,  # log of iris over pupil diameter, less .9
    "ratio_2": 1.71,
    "off": -9.874,  # distance of both centres over the diameter
    "flat": -3.021,
    "constant": -1.869,
}

_FARTHEST_CLICK = 1.3  # of the way from the centre to the outline
_SAME = 0.5  # overlap from which two outlines mean the same place
_LEAST_GROWTH = 1.05  # of an iris over its pupil
_CANDIDATES = 16


@dataclass(frozen=True, eq=False)
class Answer:
    """One mask that a network gives for a click.

    Attributes:
        logits: float32 (h, w) over the picture, any resolution.
        predicted_iou: its own estimate, 0..1.
    """

    logits: NDArray[np.float32]
    predicted_iou: float


@dataclass(frozen=True, eq=False)
class Outline:
    """An outline that could be meant.

    Attributes:
        ellipse: px of the picture.
        source: "network" or "picture".
        rim: the fit to the picture's edge that gave the ellipse; None where there is none.
        limbus_clear: of a limbus seen by the picture alone.
        around: the pupil that it was seen around, likewise.
    """

    ellipse: Ellipse
    source: str
    rim: RimFit | None = None
    limbus_clear: float = 0.0
    around: Ellipse | None = None


@dataclass(frozen=True, eq=False)
class Meant:
    """What a click means.

    Attributes:
        ellipse: the whole outline, px of the picture.
        mask: bool (H, W) what is visible of it.
        probability: how likely the outline is right, 0..1.
        source: "network" or "picture".
        refined: it lies on the picture's own edge.
    """

    ellipse: Ellipse
    mask: BoolArray
    probability: float
    source: str
    refined: bool


class Sight:
    """A picture and what it shows by itself, for several questions.

    Args:
        picture: uint8 (H, W) or (H, W, 3) RGB of one view.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self.picture = picture
        self.grey = as_grey(picture)
        self.size = (self.grey.shape[0], self.grey.shape[1])
        self.factor = min(1.0, WORK_SIDE / max(self.size))
        self.small = (max(1, round(self.size[0] * self.factor)), max(1, round(self.size[1] * self.factor)))
        shrunk = cv2.resize(self.grey, self.small[::-1], interpolation=cv2.INTER_AREA)
        self.levels = (shrunk if self.factor < 1.0 else self.grey).astype(np.float32)
        low, high = np.percentile(self.levels, (2, 95))
        self.contrast = float(high - low) + 6.0
        self.candidates: list[Candidate] = find_candidates(self.grey, _CANDIDATES)
        self.discs = [self.disc(candidate.ellipse) for candidate in self.candidates]

    def disc(self, ellipse: Ellipse) -> BoolArray:
        """An ellipse as a mask, at the size that is worked on."""
        return ellipse.stretched(self.small[1] / self.size[1], self.small[0] / self.size[0]).mask(self.small)

    def mask(self, answer: Answer, *, small: bool = True) -> BoolArray:
        """An answer's mask, at the size that is worked on or at the picture's."""
        size = self.small if small else self.size
        patch, out = enlarged(answer.logits, size), np.zeros(size, dtype=np.bool_)
        (x, y), (h, w) = patch.origin, patch.inside.shape
        out[y : y + h, x : x + w] = patch.inside
        return out

    def named(self, answers: Sequence[Answer]) -> Named:
        """Masks of answers at the size that is worked on, with their predicted IoUs."""
        return [(self.mask(answer), answer.predicted_iou) for answer in answers]

    def level(self, at: Point) -> float:
        """Median grey around a point."""
        x = min(max(round(at[0] * self.factor), 0), self.small[1] - 1)
        y = min(max(round(at[1] * self.factor), 0), self.small[0] - 1)
        return float(np.median(self.levels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]))


def meant_pupil(sight: Sight, answers: Sequence[Answer], click: Point) -> Meant | None:
    """The pupil that a click means.

    Args:
        sight: of the picture.
        answers: the network's, for this click; may be none.
        click: (x, y) px of the picture.

    Returns:
        The likeliest outline, or None where nothing at all could be one.
    """
    outlines, named = pupil_outlines(sight, answers), sight.named(answers)
    figures = [describe_pupil(sight, named, click, outline) for outline in outlines]
    best = _likeliest(outlines, figures, PUPIL_WEIGHTS)
    return None if best is None else _told(sight, answers, *best, hole=None)


def meant_iris(sight: Sight, answers: Sequence[Answer], click: Point, pupil: Meant | None) -> Meant | None:
    """The iris that a click means; its mask leaves the pupil out.

    Args:
        sight: of the picture.
        answers: the network's, for this click.
        click: (x, y) px of the picture, between pupil and limbus.
        pupil: what the click on the pupil means, where that is known.
    """
    within = None if pupil is None else pupil.ellipse
    outlines, named = iris_outlines(sight, answers, within), sight.named(answers)
    figures = [describe_iris(sight, named, click, within, outline) for outline in outlines]
    best = _likeliest(outlines, figures, IRIS_WEIGHTS)
    return None if best is None else _told(sight, answers, *best, hole=pupil)


# ---- outlines


def pupil_outlines(sight: Sight, answers: Sequence[Answer]) -> list[Outline]:
    """The network's and the picture's."""
    found = [_by_mask(sight, answer, both_lids=False) for answer in answers]
    out = [outline for outline in found if outline is not None]
    for candidate in sight.candidates:
        rim = refine_rim(sight.picture, candidate.ellipse)
        out.append(Outline(candidate.ellipse if rim is None else rim.ellipse, "picture", rim))
    return out


def iris_outlines(sight: Sight, answers: Sequence[Answer], pupil: Ellipse | None) -> list[Outline]:
    """The network's, and the limbi that the picture shows around that pupil."""
    found = [_by_mask(sight, answer, both_lids=True) for answer in answers]
    out = [outline for outline in found if outline is not None]
    inner = None if pupil is None else sight.disc(pupil)
    for candidate, disc in zip(sight.candidates, sight.discs, strict=True):
        if candidate.limbus is None or (inner is not None and _overlap(disc, inner) < _SAME):
            continue
        rim = refine_rim(sight.picture, candidate.limbus)
        ellipse = candidate.limbus if rim is None else rim.ellipse
        out.append(Outline(ellipse, "picture", rim, candidate.limbus_clear, candidate.ellipse))
    return out


def _by_mask(sight: Sight, answer: Answer, *, both_lids: bool) -> Outline | None:
    contour = outer_contour(answer.logits, sight.size)
    fit = None if contour is None else fit_rim(contour, both_lids=both_lids)
    if contour is None or fit is None:
        return None
    rim = refine_rim(sight.picture, fit.ellipse, contour.points[fit.rim])
    rim = refine_rim(sight.picture, fit.ellipse) if rim is None else rim
    return Outline(fit.ellipse if rim is None else rim.ellipse, "network", rim)


# ---- figures


def describe_pupil(sight: Sight, named: Named, click: Point, outline: Outline) -> FloatArray | None:
    """Figures of an outline (`PUPIL_WEIGHTS` names them); None where it cannot be meant."""
    e = outline.ellipse
    away = _away(e, click)
    if e.minor < 3.0 or e.major > 1.5 * max(sight.size) or away > _FARTHEST_CLICK:
        return None
    disc = sight.disc(e)
    inside = sight.disc(e.scaled(0.75, about=e.center))
    ring = sight.disc(e.scaled(1.45, about=e.center)) & ~sight.disc(e.scaled(1.12, about=e.center))
    at = sight.level(click)
    inner = float(np.median(sight.levels[inside])) if inside.any() else at
    outer = float(np.median(sight.levels[ring])) if ring.any() else inner
    seen = [
        candidate.probability * max(0.0, 2.0 * _overlap(disc, other) - 1.0)
        for candidate, other in zip(sight.candidates, sight.discs, strict=True)
    ]
    picture = max(seen, default=0.0)
    size = math.log(3.0 * math.sqrt(e.major * e.minor) / min(sight.size))
    edge = _edge(sight, outline)
    return np.array(
        [
            *edge,
            *_agreement(named, disc),
            picture,
            picture * edge[0],
            max(away - 0.85, 0.0),
            size,
            size * size,
            1.0 - e.minor / e.major,
            float(inner > outer),
            min(abs(at - inner) / sight.contrast, 1.0),
        ]
    )


def describe_iris(
    sight: Sight, named: Named, click: Point, pupil: Ellipse | None, outline: Outline
) -> FloatArray | None:
    """Figures of an outline (`IRIS_WEIGHTS` names them); None where it cannot be meant."""
    e = outline.ellipse
    away, diameter = _away(e, click), math.sqrt(e.major * e.minor)
    if e.minor < 5.0 or e.major > 2.5 * max(sight.size) or away > _FARTHEST_CLICK:
        return None
    inner = 0.4 * diameter if pupil is None else math.sqrt(pupil.major * pupil.minor)
    if diameter < _LEAST_GROWTH * inner:
        return None
    ring = sight.disc(e) if pupil is None else sight.disc(e) & ~sight.disc(pupil)
    ratio = math.log(diameter / inner) - 0.9
    off = 0.1 if pupil is None else math.dist(e.center, pupil.center) / diameter
    return np.array(
        [
            *_edge(sight, outline),
            *_agreement(named, ring),
            outline.limbus_clear,
            float(outline.source == "picture"),
            max(away - 0.85, 0.0),
            0.0 if pupil is None else max(1.15 - _away(pupil, click), 0.0),
            ratio,
            ratio * ratio,
            min(off, 0.5),
            1.0 - e.minor / e.major,
        ]
    )


def _edge(sight: Sight, outline: Outline) -> tuple[float, float, float, float]:
    rim = outline.rim
    if rim is None:
        return 0.0, 0.0, 0.0, 0.0
    diameter = math.sqrt(rim.ellipse.major * rim.ellipse.minor)
    contrast = min(abs(rim.contrast) / sight.contrast, 1.0)
    return 1.0, rim.share, contrast, min(50.0 * rim.rms_px / diameter, 2.0)


def _agreement(named: Named, disc: BoolArray) -> tuple[float, float]:
    both = [(_overlap(disc, mask), sure) for mask, sure in named]
    return max((o for o, _ in both), default=0.0), max((o * p for o, p in both), default=0.0)


def _overlap(one: BoolArray, other: BoolArray) -> float:
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 0.0


def _away(ellipse: Ellipse, at: Point) -> float:
    """Distance from the centre, 1 on the outline."""
    angle = math.radians(ellipse.angle)
    dx, dy = at[0] - ellipse.center[0], at[1] - ellipse.center[1]
    u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    return math.hypot(2.0 * u / ellipse.major, 2.0 * v / ellipse.minor)


# ---- the answer


def _likeliest(
    outlines: Sequence[Outline], figures: Sequence[FloatArray | None], weights: dict[str, float]
) -> tuple[Outline, float] | None:
    *each, constant = weights.values()
    odds = [-math.inf if f is None else float(f @ np.array(each)) + constant for f in figures]
    if not odds or max(odds) == -math.inf:
        return None
    best = int(np.argmax(odds))
    return outlines[best], 1.0 / (1.0 + math.exp(-odds[best]))


def _told(
    sight: Sight, answers: Sequence[Answer], outline: Outline, probability: float, *, hole: Meant | None
) -> Meant:
    """The visible part: what the network calls it and what lies between places of seen rim."""
    whole = outline.ellipse.mask(sight.size)
    inner = np.zeros(sight.size, dtype=np.bool_) if hole is None else hole.ellipse.mask(sight.size)
    named = [sight.mask(answer, small=False) & whole for answer in answers]
    seen = max(named, key=np.count_nonzero, default=np.zeros(sight.size, dtype=np.bool_))
    if outline.rim is not None:
        hull = np.zeros(sight.size, np.uint8)
        corners = cv2.convexHull(outline.rim.places.astype(np.float32))
        cv2.fillConvexPoly(hull, np.round(corners).astype(np.int32), 1)
        seen = seen | (hull > 0)
    elif outline.source == "picture":
        seen = whole
    mask = seen & whole & ~inner
    return Meant(outline.ellipse, mask, probability, outline.source, outline.rim is not None)
