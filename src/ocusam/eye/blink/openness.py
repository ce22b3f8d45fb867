"""How far the lids are open, as a share of the open value, from the table of signals.

Purpose: one number per frame of one eye, from which blinks, their amplitude and PERCLOS follow.

Notable choices. The best source at hand is taken, and its name is told. *fissure*: the areas of sclera, iris
and pupil together are the opening between the lids, whose width hardly changes, so the area follows the
height. *eye*: the same area as the network sees it without a prompt (`eye_area_px` of the pupil's rows);
coarser, and of each frame alone, but at hand when nothing but the pupil was clicked. A network sees some eye
on closed lids too: where the eye has shrunk and no pupil is in sight, it counts as closed up to `CLOSED` at
least. *iris*: the visible share of the limbus disc (iris and pupil), turned into the height of a lid's
straight edge over a disc. *pupil*: the visible share of the pupil, turned into height the same way; it knows
nothing of a lid that has not reached the pupil. A source counts when it was tracked on half of the frames
with a median predicted IoU of at least `MIN_IOU`. Height is told relative to what is usual: first for the
place where the pupil is (a quadratic in its centre, fitted to the open frames around which the height rests:
an eye that looks down or aside hides behind a lid that has not moved, while a lid on its way takes what is
seen of the pupil to places where no open eye was), then around the moment (75th percentile over `BASE_S`
seconds), so that gaze, light and fatigue do not count. A pupil whose shape is far from that of its neighbours
in time (a lash line taken for a pupil) counts as not seen.

What it does not know: lids that are not straight; which of the two lids moved; the height in millimetres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.eye.long_rows import BLOCK, ObjectRows

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FISSURE, EYE, IRIS, PUPIL = "fissure", "eye", "iris", "pupil"
EYE_AREA = "eye_area_px"
MIN_KNOWN = 0.98
"""Share of frames of which the eye's area must be known."""
MIN_OF_PUPIL = 1.3
"""An eye smaller than this many times its pupil was not seen as one."""
NOTHING = 0.02
"""Share of the usual area of the eye below which nothing of it is in sight."""
SHRUNK, CLOSED = 0.75, 0.15
"""Without a pupil in sight: opening by the eye's area below which a lid is what hides it, and the opening
that this leaves at most (a lid over the whole pupil leaves a third or less)."""
MIN_IOU = 0.5
MIN_SHARE = 0.5
BASE_S = 3.0
PUPIL_S = 0.8
"""Window of the pupil's usual size: twice a long blink, short against its changes with light."""
MIN_FOR_GAZE = 120
"""Frames below which the place of the pupil is not asked about."""
STEADY_S, STEADY = 0.1, 0.15
"""A height rests where it changes by less than this share of its median within this time. The calmer half of
the frames always does: in a noisy recording none would otherwise."""
RIDGE = 1e-3
MIN_ASPECT = 0.6
"""Minor over major axis below which a pupil is not one seen from aside (53 degrees)."""


@dataclass(frozen=True, eq=False)
class Openness:
    """Lid opening of one eye.

    Attributes:
        values: (N,) share of the open value, 0..1.2; NaN where nothing of the source is in sight.
        pupil_visible: (N,) visible share of the pupil's usual disc, 0..1; NaN where no pupil, or none of a
            plausible shape, was measured.
        source: "fissure", "eye", "iris" or "pupil".
        step_s: median time between frames, s.
    """

    values: FloatArray
    pupil_visible: FloatArray
    source: str
    step_s: float


def openness(pupil: ObjectRows, iris: ObjectRows | None = None, sclera: ObjectRows | None = None) -> Openness:
    """Lid opening on every frame of one view.

    Args:
        pupil, iris, sclera: rows of one view with states as measured (tracked, lost); frames are those of the
            pupil's rows.
    """
    step_s = pupil.step_ns / 1e9
    window = max(3, round(BASE_S / step_s)) if step_s > 0 else 3
    visible = _pupil_visible(pupil, window, max(3, round(PUPIL_S / step_s)) if step_s > 0 else 3)
    at = _where(pupil, visible)
    iris, sclera = (_usable(part, pupil.frame_idx) for part in (iris, sclera))
    if (iris is None or sclera is None) and (eye := _eye_area(pupil)) is not None:
        values = _relative(eye, at, window)
        hidden = ~np.isfinite(visible) & (values < SHRUNK)
        return Openness(np.where(hidden, np.minimum(values, CLOSED), values), visible, EYE, step_s)
    if iris is None:
        # By the pupil alone the place says little, and which frames are asked changes nothing for the better.
        height = chord_height(visible)
        return Openness(_relative(height, at, window, np.isfinite(height)), visible, PUPIL, step_s)
    disc = _disc(_area(pupil), _area(iris), window)
    if sclera is not None:
        return Openness(_relative(_or_nan(disc + _area(sclera)), at, window), visible, FISSURE, step_s)
    share = np.clip(_or_nan(disc) / _limbus(iris, window), 0.0, 1.0)
    return Openness(_relative(chord_height(share), at, window), visible, IRIS, step_s)


def chord_height(share: FloatArray) -> FloatArray:
    """Height of a disc's visible part, as a share of its diameter, from the visible share of its area.

    A straight lid edge leaves a circular segment: share = (a - sin a cos a) / pi, cos a = 1 - 2 height."""
    height = np.linspace(0.0, 1.0, 501)
    a = np.arccos(1.0 - 2.0 * height)
    table = (a - np.sin(a) * np.cos(a)) / math.pi
    return np.where(np.isfinite(share), np.interp(share, table, height), np.nan)


def _eye_area(pupil: ObjectRows) -> FloatArray | None:
    """(N,) area of the open eye, NaN where nothing of it is in sight; None where the network did not say, or
    did not see an eye around the pupil."""
    if EYE_AREA not in pupil.names:
        return None
    area = pupil.read(EYE_AREA)
    known = np.isfinite(area)
    if not known.any() or np.count_nonzero(known) < MIN_KNOWN * len(area):
        return None
    if not known.all():
        index = np.arange(len(area))
        area = np.interp(index, index[known], area[known])
    beside = area / pupil.numbers("area_px")
    beside = beside[np.isfinite(beside)]
    if not len(beside) or np.median(beside) < MIN_OF_PUPIL:
        return None
    return np.where(area > NOTHING * np.percentile(area, 75), area, np.nan)


def _disc(pupil: FloatArray, iris: FloatArray, window: int) -> FloatArray:
    """Visible area of iris and pupil together. Where only one of the two has a mask (a lost track) the other
    stands for both, in their usual proportion."""
    both = (pupil > 0) & (iris > 0)
    share = _rolling(np.where(both, iris / np.maximum(pupil + iris, 1e-9), np.nan), window, 0.5)
    share = np.where(np.isfinite(share), np.clip(share, 0.05, 1.0), 1.0)
    # An iris that has shrunk says that the lid took the pupil, not that the track did.
    alone = (pupil <= 0) & (iris > 0.75 * _rolling(_or_nan(iris), window, 0.5))
    return np.asarray(np.where(alone, iris / share, pupil + iris))


def _limbus(iris: ObjectRows, window: int) -> FloatArray:
    """Area of the whole limbus: its own ellipse while that has the usual length (an eye that looks aside
    shows it narrower), else the usual one."""
    own, major = _ellipse_area(iris), iris.numbers("major_px")
    usual, usual_major = _rolling(own, window, 0.5), _rolling(major, window, 0.5)
    like_usual = (np.abs(major / usual_major - 1.0) < 0.15) & (own > 0.6 * usual)
    return np.asarray(np.maximum(np.where(like_usual, own, usual), 1.0))


def _pupil_visible(pupil: ObjectRows, window: int, short: int) -> FloatArray:
    """Visible share of the pupil. Its own complete ellipse is the reference while it looks like the usual
    one of a `short` time (the pupil may constrict within a second); else that is."""
    own, major = _ellipse_area(pupil), pupil.numbers("major_px")
    usual_area = _rolling(own, short, 0.5)
    length, aspect = major / _rolling(major, window, 0.5), pupil.numbers("minor_px") / major
    ratio = own / usual_area
    # An eye that looks aside shows a narrower pupil of the usual length.
    aside = (np.abs(length - 1.0) < 0.15) & (aspect > MIN_ASPECT)
    like_usual = ((ratio > 0.7) & (ratio < 1.4)) | aside
    del ratio, aside
    visible = np.clip(_or_nan(_area(pupil)) / np.where(like_usual, own, usual_area), 0.0, 1.0)
    del own, usual_area
    minor = pupil.numbers("minor_px")
    usual_minor, usual_major = (_rolling(v, window, 0.5) for v in (minor, major))
    flat = aspect < np.minimum(MIN_ASPECT, 0.8 * usual_minor / usual_major)
    # Longer and flatter than usual is a lash line; merely larger is a pupil that dilates, or a doubtful mask,
    # and neither is a lid.
    lash_line = (aspect < 0.75 * usual_minor / usual_major) & (length > 1.1)
    # A lid that cuts a pupil whose fit did not complete it makes it flat too, but not while much is in sight.
    wrong = lash_line | (flat & ~like_usual) | (minor < 0.5 * usual_minor)
    return np.where(wrong, np.nan, visible)


def _where(pupil: ObjectRows, visible: FloatArray) -> FloatArray:
    """(N, 2) centre of the pupil in units of its usual diameter; straight lines over frames without one."""
    xy = np.stack([pupil.numbers(c) for c in ("center_x_px", "center_y_px")], axis=-1)
    scale = np.nanmedian(pupil.numbers("major_px")) if np.isfinite(visible).any() else 1.0
    good = np.isfinite(visible) & np.isfinite(xy).all(axis=1)
    if not good.any():
        return np.zeros_like(xy)
    index = np.arange(len(xy))
    filled = np.stack([np.interp(index, index[good], xy[good, k]) for k in range(2)], axis=-1)
    return np.asarray((filled - np.median(filled[good], axis=0)) / scale)


def _relative(height: FloatArray, at: FloatArray, window: int, asked: BoolArray | None = None) -> FloatArray:
    """Height over what is usual at this place (told by frames that are `asked`; None: on which it rests) and
    around this moment (`window`: frames in `BASE_S`)."""
    if asked is None:
        asked = _rests(height, max(3, round(window * STEADY_S / BASE_S)))
    usual = _usual_at(height, at, asked)
    relative = height / usual
    base = _rolling(relative, window, 0.75)
    return np.asarray(np.clip(relative / np.maximum(base, 1e-6), 0.0, 1.2), dtype=np.float64)


def _usual_at(height: FloatArray, at: FloatArray, asked: BoolArray) -> FloatArray:
    """(N,) open height as a quadratic in the pupil's place, from frames that are not far below it.

    Only some frames are `asked`, and the quadratic holds between their places: beyond it would be
    a guess, by which a lid that comes down with a last bit of pupil beneath it would pass for an open eye."""
    good = np.isfinite(height)
    if np.count_nonzero(asked) < MIN_FOR_GAZE:
        return np.full(len(height), max(float(np.nanmedian(height)), 1e-6) if good.any() else 1.0)
    at = np.clip(at, at[asked].min(axis=0), at[asked].max(axis=0))
    blocks = [slice(first, first + BLOCK) for first in range(0, len(height), BLOCK)]
    used, fitted = asked, np.full(len(height), float(np.nanmedian(height)))
    for _ in range(6):
        center = float(np.median(height[used]))
        left, right = np.zeros((6, 6)), np.zeros(6)
        for block in blocks:
            terms = _terms(at[block][used[block]])
            left += terms.T @ terms
            right += terms.T @ (height[block][used[block]] - center)
        # A little ridge: a place rarely looked at takes the usual height instead of a wild one.
        left += np.diag([0.0, 1, 1, 1, 1, 1]) * RIDGE * len(height)
        weights = np.linalg.solve(left, right)
        for block in blocks:
            fitted[block] = center + _terms(at[block]) @ weights
        residual = height - fitted
        spread = 1.4826 * float(np.median(np.abs(residual[used])))
        used = asked & (residual > -max(2.5 * spread, 0.02 * center))
    top = float(np.nanmax(height))
    return np.asarray(np.clip(fitted, 0.25 * top, top))


def _rests(height: FloatArray, window: int) -> BoolArray:
    """(N,) whether the height hardly changes within `window` frames."""
    good = np.isfinite(height)
    if not good.any():
        return good
    change = _rolling(height, window, 1.0) - _rolling(height, window, 0.0)
    most = max(STEADY * float(np.nanmedian(height)), float(np.median(change[good])))
    return good & (change <= most)


def _terms(at: FloatArray) -> FloatArray:
    """(N, 6) terms of a quadratic."""
    x, y = np.clip(at, -3.0, 3.0).T
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _usable(part: ObjectRows | None, frames: NDArray[np.int64]) -> ObjectRows | None:
    """An object's rows on the pupil's frames; None where it was not tracked well enough."""
    if part is None:
        return None
    part = part.on(frames)
    iou = part.numbers("predicted_iou")
    known = iou[np.isfinite(iou)]
    often = np.count_nonzero(part.tracked) >= MIN_SHARE * len(part)
    return part if often and len(known) and np.median(known) >= MIN_IOU else None


def _area(part: ObjectRows) -> FloatArray:
    return np.nan_to_num(part.numbers("area_px"))


def _ellipse_area(part: ObjectRows) -> FloatArray:
    return np.asarray(math.pi / 4 * part.numbers("major_px") * part.numbers("minor_px"))


def _or_nan(values: FloatArray) -> FloatArray:
    return np.where(values > 0, values, np.nan)


def _rolling(values: FloatArray, window: int, quantile: float) -> FloatArray:
    """Centred rolling quantile over the values there are; gaps longer than the window take the nearest."""
    out = np.empty(len(values))
    for first in range(0, len(values), BLOCK):  # columns of hours are large, and copies of them too
        start = max(0, first - window)
        series = pl.Series(values[start : first + BLOCK + window]).fill_nan(None)
        found = series.rolling_quantile(
            quantile, interpolation="linear", window_size=window, min_samples=1, center=True
        )
        whole = found.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        out[first : first + BLOCK] = whole[first - start : first - start + BLOCK]
    return _nearest(out)


def _nearest(values: FloatArray) -> FloatArray:
    """Values that are missing take the last one before them, at the beginning the first one there is."""
    missing = np.isnan(values)
    if not missing.any() or missing.all():
        return values
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        values[first:end] = values[first - 1] if first > 0 else values[end]
    return values
