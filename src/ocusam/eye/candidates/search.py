"""Pupils that a single picture may show, best first, without a network.

Purpose: `find_candidates` proposes round dark (or bright) places, fits an ellipse to each one's rim on the
picture, and says how likely it is a pupil; with it come the limbus and the bright specks it saw.

Notable choices: three steps, one file each: many rough circles (`seeds.py`), the ellipse of the
nearest rim (`rims.py`), figures and their weights (`features.py`). The picture is
worked on at about 250 px, after an opening that takes away small reflections; ellipses come back in px of the
picture given. Bright pupils (light beside the camera's axis) are looked for in the negative; that it is one
is a figure of its own, since they are rare.

What it does not know: other frames, and what a network would say of it (`workflows.find_eye` asks both).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.candidates.features import Described, View, describe, probability
from ocusam.eye.candidates.rims import FloatArray, fit_rims
from ocusam.eye.candidates.seeds import LARGEST, SMALLEST, propose

WORK_SIDE = 256  # px of the longer side that is worked on
_LEAST_CONTRAST = 6.0  # grey levels between dark and bright parts below which a picture shows nothing
_MIN_ROUNDNESS = 0.35


@dataclass(frozen=True, eq=False)
class Candidate:
    """A place that may be a pupil.

    Attributes:
        ellipse: its rim, px of the picture.
        bright: brighter than what surrounds it.
        probability: how likely it is a pupil by this picture alone, 0..1.
        limbus: outline of the iris that seems to surround it, or None.
        limbus_clear: height of that rise in units of the picture's contrast.
        figures: what the probability was made of (`features.NAMES`).
    """

    ellipse: Ellipse
    bright: bool
    probability: float
    limbus: Ellipse | None
    limbus_clear: float
    figures: FloatArray


def as_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (h, w) of a picture (h, w) or (h, w, 3) RGB.

    Raises:
        InputError: another shape or type.
    """
    if (
        picture.dtype != np.uint8
        or picture.ndim not in (2, 3)
        or (picture.ndim == 3 and picture.shape[2] != 3)
    ):
        raise InputError(f"A picture is uint8 (h, w) or (h, w, 3), got {picture.dtype} {picture.shape}.")
    if picture.ndim == 2:
        return picture
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def find_candidates(
    picture: NDArray[np.uint8], limit: int = 8, *, bright: bool = True, also: Sequence[Ellipse] = ()
) -> list[Candidate]:
    """Pupils that a picture may show, likeliest first.

    Args:
        picture: uint8 (h, w) grey or (h, w, 3) RGB of one view.
        limit: at most so many.
        bright: look for bright pupils too.
        also: rough outlines (px of the picture) that somebody else proposes; the rim near each is fitted too,
            dark or bright, and the outline itself stays in the race.

    Raises:
        InputError: not a picture.
    """
    grey = as_grey(picture)
    factor = min(1.0, WORK_SIDE / max(grey.shape))
    size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if factor < 1.0 else grey
    if min(small.shape) < 24:
        return []
    found: list[Candidate] = []
    fx, fy = grey.shape[1] / size[0], grey.shape[0] / size[1]
    outlines = [e.stretched(1 / fx, 1 / fy) for e in also] if factor < 1.0 else also
    rough = np.array([[*e.center, e.major, e.minor, math.radians(e.angle)] for e in outlines]).reshape(-1, 5)
    for negative in (False, True):
        searched = bright or not negative
        view = prepare(small, negative=negative) if searched or also else None
        if view is not None:
            found += _of_view(view, rough, searched=searched)
    distinct = _distinct(found)[:limit]
    return [_enlarged(c, fx, fy) for c in distinct] if factor < 1.0 else distinct


def prepare(grey: NDArray[np.uint8], *, negative: bool) -> View | None:
    """Smooth a grey picture and take its small bright specks away; None where it has no contrast."""
    values = grey.astype(np.float32)
    if negative:
        values = 255.0 - values
    side = 2 * max(1, round(0.02 * min(grey.shape))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    soft = cv2.GaussianBlur(values, (0, 0), 1.0)
    smooth = np.asarray(cv2.morphologyEx(soft, cv2.MORPH_OPEN, kernel), dtype=np.float32)
    levels = np.sort(smooth[::2, ::2].ravel())
    low, high = np.quantile(levels, (0.02, 0.95))
    if high - low < _LEAST_CONTRAST:
        return None
    return View(smooth, np.asarray(soft - smooth, dtype=np.float32), float(high - low), levels, negative)


def _of_view(view: View, rough_k5: FloatArray, *, searched: bool) -> list[Candidate]:
    ellipses = ellipses_of(view, rough_k5, searched=searched)
    if not len(ellipses):
        return []
    described = describe(view, ellipses)
    chances = probability(described.figures)
    return [
        _candidate(ellipses[k], described, k, float(chances[k]), view.negative) for k in range(len(ellipses))
    ]


def ellipses_of(view: View, rough_k5: FloatArray | None = None, *, searched: bool = True) -> FloatArray:
    """Fitted rims near all proposals that a pupil could have. -> (K, 5) rows as in `rims.rays`.

    Args:
        view: the prepared picture.
        rough_k5: proposals of somebody else, rows of the same kind.
        searched: False: only those.
    """
    seeds = propose(view.smooth) if searched else []
    circles = np.array([(s.x, s.y, s.radius) for s in seeds], dtype=np.float64).reshape(-1, 3)
    plain = np.stack(
        [circles[:, 0], circles[:, 1], 2 * circles[:, 2], 2 * circles[:, 2], 0 * circles[:, 0]], axis=1
    )
    if rough_k5 is not None and len(rough_k5):
        radius = np.sqrt(rough_k5[:, 2] * rough_k5[:, 3]) / 2.0
        circles = np.concatenate([circles, np.column_stack([rough_k5[:, :2], radius])])
        plain = np.concatenate([plain, rough_k5])
    # A refit can wander off to another rim; the proposal itself stays in the race.
    rows = np.concatenate([fit_rims(view.smooth, circles), plain])
    height, width = view.smooth.shape
    short = min(height, width)
    with np.errstate(invalid="ignore"):
        size = np.sqrt(rows[:, 2] * rows[:, 3]) / short
        good = np.isfinite(rows).all(axis=1) & (size >= SMALLEST) & (size <= LARGEST)
        good &= rows[:, 3] >= _MIN_ROUNDNESS * rows[:, 2]
        good &= (rows[:, 0] > 0) & (rows[:, 0] < width - 1) & (rows[:, 1] > 0) & (rows[:, 1] < height - 1)
    return np.asarray(rows[good], dtype=np.float64)


def _candidate(row: FloatArray, described: Described, k: int, chance: float, negative: bool) -> Candidate:
    x, y, major, minor, angle = row.tolist()
    ellipse = Ellipse((x, y), (major, minor), math.degrees(angle))
    clear = float(described.limbus_clear[k])
    limbus = ellipse.scaled(float(described.limbus[k]), about=ellipse.center) if clear > 0 else None
    return Candidate(ellipse, negative, chance, limbus, clear, described.figures[k])


def _distinct(found: list[Candidate]) -> list[Candidate]:
    """Likeliest first, without near repetitions."""
    kept: list[Candidate] = []
    for c in sorted(found, key=lambda c: -c.probability):
        for other in kept:
            apart = math.dist(c.ellipse.center, other.ellipse.center)
            ratio = c.ellipse.area / other.ellipse.area
            if apart < 0.25 * min(c.ellipse.minor, other.ellipse.minor) and 0.6 < ratio < 1.7:
                break
        else:
            kept.append(c)
    return kept


def _enlarged(c: Candidate, fx: float, fy: float) -> Candidate:
    limbus = c.limbus.stretched(fx, fy) if c.limbus is not None else None
    return Candidate(c.ellipse.stretched(fx, fy), c.bright, c.probability, limbus, c.limbus_clear, c.figures)
