"""The outline of a pupil or an iris from the picture's own edge, starting from what the mask says.

Purpose: the mask tells which thing is meant and roughly where it ends; the picture tells exactly where.
`refine_rim` looks along normals of the mask's ellipse for the step between inside and outside and fits the
ellipse to the places found.

Notable choices: the step's direction (dark or bright pupil) and the grey levels on its two sides are taken
from the picture itself, as medians over all normals, so nothing has to be set for a camera. Places whose two
sides look unlike most others' are left out (`rim_places.py`). The search begins close to the mask's outline,
which is right more often than not, and ends there when most of the rim in sight agrees, or when both ways of
choosing the places come to the same ellipse. Else it begins anew farther away and narrows in three rounds,
each about the ellipse of the one before; an iris's answer that little of the rim supports must still pass by
what the mask takes for rim (lids, long and clear, drew whole irises to them). The scatter of the places about
the ellipse, carried through the fit, gives the standard deviation of the centre (`rim_polish.py`). Where too
few places agree, there is no answer and the mask's outline stands.

Looking along rays for the pupil's edge is the idea of Starburst (Li, Winfield and Parkhurst 2005, DOI
10.1109/CVPR.2005.531); here they start at a mask's outline, not at a guessed centre, so few go astray.

What it does not know: other frames, other objects, the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.direct_fit import MIN_POINTS, median
from ocusam.eye.pixel_noise import PixelNoise, noise_within
from ocusam.eye.rim_lines import FINE, NORMALS, Smoothed
from ocusam.eye.rim_places import STEP_PX, consensus, places_on
from ocusam.eye.rim_polish import Polished, normals_of, polish
from ocusam.eye.rounded import (
    Around,
    ComplexArray,
    as_complex,
    ellipse_of,
    normals_at,
    refit_shape,
    shape_of,
)
from ocusam.eye.rounded import around as around_of

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_NORMALS = 72
# One after another until one convinces: whether the places themselves must say which of them belong together
# (else they lie near the mask's), and how far its rounds look, as shares of the mean radius.
_SEARCHES = ((False, (0.12, 0.12)), (True, (0.12, 0.12)), (True, (0.36, 0.2, 0.12)))
_FARTHEST = 0.1  # from the mask's rim, as a share of its diameter, for an answer that convinces less
_CONVINCING = 0.7  # of the normals looked at carry the answer: no need to look farther
_LEAST_REACH_PX = 3.0
_REFITS = 3
_LEAST_OF_SEEN = 0.3  # of the normals looked at, with an agreeing place
_LEAST_SHARE = 0.15  # of all normals; less of an outline does not hold an ellipse
_LARGEST_SHIFT = 0.3  # of the centre, as a share of the diameter
_AREA_CHANGE = (0.5, 2.0)
_LARGEST_POLISH, _POLISH_CHANGE = 0.05, (0.85, 1.18)  # the same for the last step
_SAME = 0.01  # of the diameter: two ellipses so near each other lead to the same one
_ROUGHEST = 0.03  # scatter of the places, as a share of the diameter
_LEAST_CONTRAST = 3.0  # grey levels between the two sides
_CONTRAST_TO_NOISE = 1.0
_SECOND = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class RimFit(Polished):
    """An ellipse fitted to the picture's edge.

    Attributes:
        contrast: grey levels from the inner to the outer side (positive: dark inside).
    """

    contrast: float


def refine_rim(
    picture: NDArray[np.uint8],
    start: Ellipse,
    rim_points: FloatArray | None = None,
    *,
    else_around: bool = False,
    hold: bool = False,
    inner: Ellipse | None = None,
) -> RimFit | None:
    """Fit an ellipse to the picture's edge near `start`.

    Args:
        picture: (H, W) grey or (H, W, 3) RGB.
        start: the outline by the mask, px.
        rim_points: (N, 2) points of the mask's outline that are true rim; where there are none (a lid, the
            border), the picture is not looked at either. None: look all around.
        else_around: where those points lead to no answer, look all around too.
        hold: an answer that little of the rim supports must pass by those points: for an iris, beside which a
            lid's edge is as clear as its own, and for a pupil with a good mask. A poor one is mended better
            without.
        inner: what is known to lie in its middle, as of `ellipse.fit_rim`.

    Returns:
        The fit, or None where the picture shows no rim near `start` that agrees well enough.

    Raises:
        InputError: the picture has another shape.
    """
    if picture.ndim not in (2, 3):
        raise InputError(f"A picture is (H, W) or (H, W, 3), got shape {picture.shape}.")
    radius = 0.25 * (start.major + start.minor)
    if radius < 2.0 or start.minor < 0.2 * start.major:
        return None
    around = _Surroundings(picture, start, radius, None if inner is None else around_of(inner))
    # A mask too ragged to tell rim from lid has no such point.
    believed = rim_points if hold and rim_points is not None and len(rim_points) else None
    found = _refined(around, start, rim_points, believed)
    if found is None and else_around and rim_points is not None:
        found = _refined(around, start, None, believed)
    return found


def _refined(
    around: _Surroundings, start: Ellipse, rim_points: FloatArray | None, believed: FloatArray | None
) -> RimFit | None:
    """The first answer with which most of the rim agrees or to which two searches come, nearest searches
    first; else the one with most of it. `believed`: points that one of the widest search must pass by."""
    seen = np.ones(_NORMALS, dtype=np.bool_) if rim_points is None else _seen(start, rim_points)
    enough = _CONVINCING * np.count_nonzero(seen) / len(seen)
    answers: list[RimFit] = []
    around.done.clear()  # what it came to with other normals is no answer here
    for search in _SEARCHES:
        found = _searched(around, start, rim_points, seen, search)
        if found is None:
            continue
        if found.share >= enough:
            return found
        if search is _SEARCHES[-1] and believed is not None:
            off = np.abs(normals_at(as_complex(believed), shape_of(found.ellipse))[2])
            if np.percentile(off, 90) > _FARTHEST * 0.5 * (start.major + start.minor):
                continue
        if answers and found is answers[-1]:
            return found  # by both ways of choosing the places
        answers.append(found)
    return max(answers, key=lambda f: f.share, default=None)


def _searched(
    around: _Surroundings,
    start: Ellipse,
    rim_points: FloatArray | None,
    seen: BoolArray,
    search: tuple[bool, tuple[float, ...]],
) -> RimFit | None:
    """One search; `search`: whether its first round lets the places say which of them belong together, and
    how far its rounds look."""
    radius = 0.25 * (start.major + start.minor)
    now, contrast, carriers = start, 0.0, seen
    for number, reach in enumerate(search[1]):
        ask = search[0] and number == 0
        rough = around.fit(now, max(_LEAST_REACH_PX, reach * radius), seen, ask=ask)
        if rough is None:
            return None
        now, contrast, carriers = rough
    known = around.polished(now)
    if known is None:
        known = (around.polish(now, contrast, (seen, carriers), rim_points),)
        around.done.append((now, known[0]))
    found = known[0]
    if found is None:
        return None
    now = found.ellipse
    shift = math.dist(now.center, start.center)
    change = now.area / max(start.area, 1e-9)
    diameter = 0.5 * (now.major + now.minor)
    if shift > _LARGEST_SHIFT * 2.0 * radius or not _AREA_CHANGE[0] < change < _AREA_CHANGE[1]:
        return None
    if found.rms_px > max(_ROUGHEST * diameter, 0.5):
        return None
    return found


class _Surroundings:
    """The smoothed part of a picture around one object."""

    def __init__(
        self, picture: NDArray[np.uint8], start: Ellipse, radius: float, inner: Around | None
    ) -> None:
        self._inner = inner
        self._fine: tuple[Smoothed, PixelNoise] | None = None
        self.done: list[tuple[Ellipse, RimFit | None]] = []
        sigma = min(max(0.8, 0.04 * radius), 3.0)
        margin = (1.0 + 2.0 * _SEARCHES[-1][1][0]) * 0.5 * start.major + 4.0 * sigma + 4.0
        x0, y0 = (max(0, math.floor(c - margin)) for c in start.center)
        part = picture[y0 : y0 + math.ceil(2 * margin) + 2, x0 : x0 + math.ceil(2 * margin) + 2]
        if part.ndim == 3:
            part = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
        self._size = part.shape
        self._differences: NDArray[np.float32] | None = None
        grey = part.astype(np.float32)
        smooth = cv2.GaussianBlur(grey, (0, 0), sigma) if part.size else grey
        self._picture = Smoothed(smooth, np.array([x0, y0], dtype=np.float64), sigma, grey)

    def fit(
        self, about: Ellipse, reach: float, seen: BoolArray, *, ask: bool
    ) -> tuple[Ellipse, float, BoolArray] | None:
        """One round: places along the normals of `about` within `reach` px, then a robust ellipse; with the
        contrast and the normals that carry it.

        `ask`: `about` is only a mask's, and the places themselves must say which of them belong together.
        """
        if min(self._size) < 4:
            return None
        rim, normals = normals_of(about, _NORMALS)
        offsets = np.arange(-reach, reach + 1e-6, STEP_PX)
        lines = self._picture.along(rim, normals, offsets)
        side = max(2, round(0.5 * reach / STEP_PX))
        inner, outer = _median(lines[seen, :side]), _median(lines[seen, -side:])
        contrast = outer - inner
        if not abs(contrast) >= _LEAST_CONTRAST or self._noisier(abs(contrast) / _CONTRAST_TO_NOISE):
            return None
        offset, valid = places_on(lines, offsets, contrast, seen)
        places = rim + offset * normals
        if np.count_nonzero(valid) < _least(seen):
            return None
        near = max(0.5 * reach, 0.7)
        start = consensus(places, valid, near, self._inner) if ask else about
        found = None if start is None else self._robust(places, valid, start, near, _least(seen))
        return None if found is None else (found[0], contrast, found[1])

    def _robust(
        self, places: ComplexArray, valid: BoolArray, start: Ellipse, near: float, least: float
    ) -> tuple[Ellipse, BoolArray] | None:
        """Refit with Tukey weights whose reach shrinks from `near` px to 3.5 robust standard deviations."""
        known = np.flatnonzero(valid)
        places, shape = places[known], shape_of(start)
        weights = np.zeros(len(known))
        for _ in range(_REFITS):
            at = normals_at(places, shape)
            away = np.abs(at[2])
            close = away[away < near]
            if len(close) < MIN_POINTS:
                return None
            spread = 1.4826 * median(close)
            near = min(near, max(3.5 * spread, 0.35))
            weights = np.maximum(1.0 - (away / near) ** 2, 0.0) ** 2
            # Neighbouring places share what the iris does to them: count three as one.
            new = refit_shape(places, weights, shape, 3.0 * max(spread, 0.1) ** 2, at, inner=self._inner)
            if new is None:
                return None
            shape = new
        if np.count_nonzero(weights) < least:
            return None
        carriers = np.zeros(len(valid), dtype=np.bool_)
        carriers[known[weights > 0.2]] = True
        return ellipse_of(shape), carriers

    def _noisier(self, levels: float) -> bool:
        """Whether the standard deviation of the pixels' noise is more than so many grey levels (Immerkaer
        1996, DOI 10.1006/cviu.1996.0060, by a median: more than half of the second differences say so)."""
        if self._differences is None:
            self._differences = np.abs(cv2.filter2D(self._picture.raw, -1, _SECOND))
        limit = levels * 6.0 / 1.4826
        larger = np.count_nonzero(self._differences > limit)
        return bool(larger * 2 > self._differences.size)

    def polished(self, about: Ellipse) -> tuple[RimFit | None] | None:
        """What the last step made of an ellipse that lies as this one does, if there was one: it goes on
        until it stands still, so the answer would be the same, and it takes longer than all before it."""
        for start, found in self.done:
            for near in (start, *(() if found is None else (found.ellipse,))):
                limit = _SAME * near.major
                ends = (near.major - about.major, near.minor - about.minor)
                if math.dist(near.center, about.center) < limit and max(map(abs, ends)) < 2.0 * limit:
                    return (found,)
        return None

    def polish(
        self,
        about: Ellipse,
        contrast: float,
        normals: tuple[BoolArray, BoolArray],
        outline: FloatArray | None,
    ) -> RimFit | None:
        """The last step. `normals`: those that may be rim, and those that carry `about`."""
        seen, carriers = normals
        if self._fine is None:
            rough = self._picture
            fine = cv2.GaussianBlur(rough.raw, (0, 0), FINE) if rough.sigma > FINE else rough.levels
            picture = Smoothed(fine, rough.origin, FINE, rough.raw)
            self._fine = picture, noise_within(rough.raw, about, rough.origin)
        found = polish(
            self._fine[0],
            about,
            math.copysign(1.0, contrast),
            self._fine[1],
            seen=_soft(seen, about.angle),
            carriers=_soft(carriers, about.angle, grow=False),
            outline=outline,
            inner=self._inner,
        )
        if found is None or found.share < _least(seen) / len(seen):
            return None
        change = found.ellipse.area / about.area
        if math.dist(found.ellipse.center, about.center) > _LARGEST_POLISH * about.major + 1.0 or not (
            _POLISH_CHANGE[0] < change < _POLISH_CHANGE[1]
        ):
            return None  # that was no small correction
        return RimFit(**vars(found), contrast=contrast)


def _soft(flags: BoolArray, angle: float, *, grow: bool = True) -> FloatArray:
    """Flags of normals as weights for `polish`: its own number of them, from +x on, with soft ends."""
    n = len(flags)
    wide = _spread(flags.astype(np.float64), 5) > 0 if grow else flags
    soft = _spread(wide.astype(np.float64), 5) / 5.0
    at = (np.arange(NORMALS) / NORMALS - angle / 360.0) % 1.0 * n
    return np.asarray(np.interp(at, np.arange(n + 1), np.append(soft, soft[0])))


def _spread(values: FloatArray, n: int) -> FloatArray:
    """Running sum over n neighbours of a ring."""
    half = n // 2
    return np.asarray(
        np.convolve(np.concatenate([values[-half:], values, values[:half]]), np.ones(n), "valid")
    )


def _median(levels: FloatArray) -> float:
    levels = levels.ravel()
    if not math.isfinite(levels.sum()):
        levels = levels[np.isfinite(levels)]
    return median(levels) if levels.size else math.nan


def _seen(ellipse: Ellipse, rim_points: FloatArray) -> BoolArray:
    """Which normals start where the mask's outline is true rim. -> (normals,)."""
    angle = math.radians(ellipse.angle)
    dx, dy = (rim_points - np.array(ellipse.center)).T
    u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    t = np.arctan2(v / ellipse.minor, u / ellipse.major) % (2.0 * math.pi)
    there = np.zeros(_NORMALS, dtype=np.bool_)
    there[np.round(t * (_NORMALS / (2.0 * math.pi))).astype(int) % _NORMALS] = True
    return there | np.roll(there, 1) | np.roll(there, -1)  # points and normals do not fall together


def _least(seen: BoolArray) -> float:
    """Places that must agree: of the normals looked at, and at any rate."""
    return max(MIN_POINTS, _LEAST_OF_SEEN * np.count_nonzero(seen), _LEAST_SHARE * len(seen))
