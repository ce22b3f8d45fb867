"""Blinks with amplitude, told apart from a lost track and from looking away.

Purpose: give every frame of an eye the state tracked, blink or lost, and list the blinks.

Notable choices. The lid opening (`openness.py`) is searched for dips: runs of frames on which it falls below
the usual by more than noise allows, or on which nothing is in sight. A dip is a blink when the eye is open on
either side, when it lasts 30 to 1000 ms (spontaneous blinks last 100-400 ms; Stern, Walrath and Goldstein
1984, DOI 10.1111/j.1469-8986.1984.tb02312.x), and when the lids did it: a pupil that vanishes while iris or
sclera stay in sight is *lost*; one that was last seen on the border of its view, and a partial dip during
which the pupil travelled there and back by more than half its diameter, is *looking away*. A partial dip
without a lid's course (down and up within a frame each, or resting at its floor) is none either. A longer dip
is a *closure* where the lids were seen to close. Onset and offset are where a tenth of the amplitude is
reached; the *amplitude* is the largest closing as a share of the open value; from 0.8 on a blink is *full*,
the limit of PERCLOS (Wierwille et al. 1994, DOT HS 808 247; Dinges and Grace 1998, FHWA-MCRT-98-006).
Velocities are the largest slopes over about 20 ms. Frames of a blink without a pupil, with a sliver of it, or
with something that does not look like it or is of another size, keep no shape: no pupil values are invented
inside a blink, nor on a closed lid (source "eye").

What it does not know: with the pupil as the only source, a lid that does not reach the pupil, and how far a
lid went beyond it (`source` in the table says which it was). Thresholds are from the literature or round
numbers; those on depth and shape were chosen looking at rendered recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.eye.blink.openness import CLOSED, EYE, FISSURE, PUPIL, BoolArray, FloatArray, Openness, openness
from ocusam.eye.blink.runs import joined, runs, size_change
from ocusam.eye.blink.states import LID_OPENING, EyeStates, others_states, put_states
from ocusam.eye.long_rows import STATES, LongRows, ObjectRows
from ocusam.eye.signals import BLINK, LOST, TRACKED

BLINK_COLUMNS: dict[str, type[pl.DataType]] = {
    "view": pl.Int64,
    "onset_frame": pl.Int64,
    "offset_frame": pl.Int64,
    "onset_ns": pl.Int64,
    "offset_ns": pl.Int64,
    "duration_ms": pl.Float64,
    "kind": pl.String,
    "amplitude": pl.Float64,
    "closing_ms": pl.Float64,
    "closing_velocity_per_s": pl.Float64,
    "opening_velocity_per_s": pl.Float64,
    "source": pl.String,
}
SLOW_S = 0.025
"""Frames further apart than this may miss a lid on its way."""
FLANK_S, REST_S = 0.1, 0.1
"""How long before and after a blink a pupil is looked for; what a partial blink may always rest."""

_WHOLE = (FISSURE, EYE)  # sources that see all between the lids
FULL, PARTIAL, CLOSURE = "full", "partial", "closure"
Regions = Mapping[int, tuple[int, int, int, int]]


@dataclass(frozen=True)
class BlinkRules:
    """Limits of the blink detector.

    Attributes:
        min_ms, max_ms: duration of a blink; longer closures are listed as such.
        min_visible: below this visible share the pupil counts as covered and keeps no shape.
        min_amplitude: shallower dips are no blinks; four times the signal's noise where that is more.
        min_amplitude_pupil: the same where the pupil is the only source, whose visible share is noisier.
        full_amplitude: from here a blink is full.
        edge: share of the amplitude at which it begins and ends.
        merge_ms: a shorter opening between two dips belongs to one blink; lids take longer to open.
        travel: share of its diameter by which the pupil may move in a partial blink.
        jump: a partial dip that falls and rises by more than this share of its depth within one frame each
            is no blink.
        rest: a partial dip that spends more than this share of its time at its floor is no blink.
        off_size: in a blink a pupil whose diameter is off that of the open eye around it by more than this
            share keeps no shape; light changes it by less within half a second.
    """

    min_ms: float = 30.0
    max_ms: float = 1000.0
    min_visible: float = 0.3
    min_amplitude: float = 0.2
    min_amplitude_pupil: float = 0.35
    full_amplitude: float = 0.8
    edge: float = 0.1
    merge_ms: float = 100.0
    travel: float = 0.5
    jump: float = 0.5
    rest: float = 0.65
    off_size: float = 0.25


@dataclass(frozen=True, eq=False)
class _Eye:
    """What the search needs to know of one view."""

    frames: NDArray[np.int64]
    tracked: BoolArray
    time: NDArray[np.int64]
    lids: Openness
    relative: FloatArray  # opening with 0 where nothing is in sight, single frames smoothed away
    threshold: float  # least depth of a dip
    center: FloatArray  # (N, 2)
    major: FloatArray
    region: tuple[int, int, int, int] | None


def classify(
    signals: pl.DataFrame, rules: BlinkRules | None = None, *, regions: Regions | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give states to all rows of a recording and list its blinks.

    Args:
        signals: a table of `SignalTable.table()`.
        rules: limits; None for the defaults.
        regions: view -> (x0, y0, x1, y1) of the view in the picture, x1 and y1 exclusive: tells a pupil that
            leaves the view from a blink. None: not asked.

    Returns:
        (signals with the column `state` set and `LID_OPENING` added, blinks with the columns `BLINK_COLUMNS`:
        onset and offset in ns since the start of the video, offset_frame inclusive, amplitude 0..1 as a share
        of the open value, velocities in shares of the open value per second, empty where the lid was not seen
        on the way). Rows of frames that count as covered keep no shape.
    """
    rows, blinks = classify_rows(LongRows.of(signals), rules, regions=regions)
    return rows.table(), blinks


def classify_rows(
    signals: LongRows, rules: BlinkRules | None = None, *, regions: Regions | None = None
) -> tuple[LongRows, pl.DataFrame]:
    """As `classify`, of a recording that need not be in memory; a few columns at a time are."""
    blink_rows: list[tuple[object, ...]] = []
    found: dict[int, EyeStates] = {}
    states: dict[tuple[int, str], NDArray[np.uint8]] = {}
    for view in signals.views:
        there = {name: signals.rows(view, name) for of, name in signals.objects if of == view}
        if "pupil" not in there:
            continue
        eye = found[view] = find_blinks(there, rules, region=(regions or {}).get(view))
        blink_rows += [(view, *row) for row in eye.blinks]
        for name, rows in there.items():
            states[view, name] = eye.states if name == "pupil" else others_states(name, rows, eye)
    blinks = pl.DataFrame(blink_rows, schema=BLINK_COLUMNS, orient="row")
    lids = {(view, "pupil"): {LID_OPENING: eye.opening} for view, eye in found.items()}
    return signals.changed(lambda rows: put_states(rows, found), states, lids), blinks


def find_blinks(
    eye: Mapping[str, ObjectRows],
    rules: BlinkRules | None = None,
    *,
    region: tuple[int, int, int, int] | None = None,
) -> EyeStates:
    """States and blinks of one eye.

    Args:
        eye: rows by object, of one view: "pupil", and what there is of "iris" and "sclera".
        rules: limits; None for the defaults.
        region: see `classify`.
    """
    rules = rules or BlinkRules()
    one = _prepare(eye, rules, region)
    states, dips = _states(one, rules)
    slope = _slope(one)
    gone = (states == STATES.index(LOST)) & ~np.isfinite(one.lids.values)
    opening = np.where(gone, np.nan, np.minimum(one.relative, np.where(_shut(one, rules), CLOSED, 1.0)))
    return EyeStates(one.frames, states, opening, [_row(one, dip, slope, rules) for dip in dips])


def perclos(signals: pl.DataFrame, *, view: int = 0, closed: float = 0.2) -> float | None:
    """PERCLOS: share of time with the lids at least 80 % closed.

    Args:
        signals: table of `classify`, or the part of it within a window (one minute is usual).
        view: which eye.
        closed: opening up to which an eye counts as closed.

    Returns:
        0..1 over the frames that are not lost, or None without any.
    """
    rows = signals.filter(
        (pl.col("view") == view) & (pl.col("object") == "pupil") & pl.col(LID_OPENING).is_not_null()
    )
    return float((rows[LID_OPENING] <= closed).sum()) / len(rows) if len(rows) else None


def _prepare(
    eye: Mapping[str, ObjectRows], rules: BlinkRules, region: tuple[int, int, int, int] | None
) -> _Eye:
    pupil = eye["pupil"]
    lids = openness(pupil, eye.get("iris"), eye.get("sclera"))
    relative = np.nan_to_num(lids.values, nan=0.0)
    if lids.step_s < SLOW_S and len(relative) > 2:
        # One frame is no blink: the middle of three, the ends as they are.
        relative[1:-1] = np.median(np.stack([relative[:-2], relative[1:-1], relative[2:]]), axis=0)
    center = np.stack([pupil.read(c) for c in ("center_x_px", "center_y_px")], axis=-1)
    return _Eye(
        pupil.frame_idx,
        pupil.tracked,
        pupil.time_ns,
        lids,
        relative,
        _threshold(relative, rules.min_amplitude_pupil if lids.source == PUPIL else rules.min_amplitude),
        center,
        pupil.read("major_px"),
        region,
    )


def _states(eye: _Eye, rules: BlinkRules) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """State of the pupil on each frame, and first and last frame of each blink."""
    visible = eye.lids.pupil_visible
    inside, dips = np.zeros(len(visible), dtype=bool), []
    for first, last in _dips(eye, rules):
        if _is_blink(eye, first, last, rules):
            dips.append((first, last))
            inside[first : last + 1] = True
    # Outside a blink an odd shape is doubtful (`quality.doubtful`), but it is what was measured.
    unseen = ~eye.tracked | (visible < rules.min_visible) | (inside & ~np.isfinite(visible))
    for first, last in dips:
        unseen[first : last + 1] |= size_change(eye.major, eye.time, first, last) > rules.off_size
    unseen |= _shut(eye, rules)  # whatever was tracked on a closed lid, a pupil it was not
    tracked, blink, lost = (np.uint8(STATES.index(state)) for state in (TRACKED, BLINK, LOST))
    return np.where(unseen, np.where(inside, blink, lost), tracked), dips


def _shut(eye: _Eye, rules: BlinkRules) -> BoolArray:
    """(N,) whether the lids are closed, by the source "eye": they do not open and close again within the time
    that joins two dips, whatever the network sees on them meanwhile. Other sources: not told."""
    if eye.lids.source != EYE:
        return np.zeros(len(eye.time), dtype=bool)
    return joined(eye.relative < 1.0 - rules.full_amplitude, eye.time, rules.merge_ms)


def _dips(eye: _Eye, rules: BlinkRules) -> list[tuple[int, int]]:
    """First and last frame of every dip of the lid opening, widened to where a tenth of its depth is
    reached."""
    relative = eye.relative
    low = joined(relative < 1.0 - eye.threshold, eye.time, rules.merge_ms)
    lows = runs(low)
    out = []
    for i, (first, last) in enumerate(lows):
        # Widening ends at the neighbouring dips, and after half the longest duration of a blink.
        start = lows[i - 1][1] + 1 if i else 0
        end = lows[i + 1][0] - 1 if i + 1 < len(lows) else len(relative) - 1
        before, after = _level(relative[start:first][::-1]), _level(relative[last + 1 : end + 1])
        floor = float(relative[first : last + 1].min())
        while first > start and relative[first - 1] < before - rules.edge * (before - floor):
            first -= 1
        while last < end and relative[last + 1] < after - rules.edge * (after - floor):
            last += 1
        out.append((first, last))
    return out


def _threshold(relative: FloatArray, least: float) -> float:
    """Least depth of a dip: four times the noise of an open eye, the fast one (scatter of second differences)
    or the slow one (how far it is below its median a sixth of the time)."""
    if len(open_eye := relative[relative > 0.5]) < 5:
        return least
    second = np.diff(open_eye, 2)
    fast = 1.4826 * float(np.median(np.abs(second - np.median(second)))) / 6**0.5
    low, middle = np.percentile(open_eye, [16, 50])
    slow = float(middle - low)
    return float(min(0.5, max(least, 4.0 * fast, 4.0 * slow)))


def _level(values: FloatArray, n: int = 5) -> float:
    """Open value next to a dip: the largest of the nearest frames, at most 1."""
    return min(1.0, float(values[:n].max())) if len(values) else 1.0


def _is_blink(eye: _Eye, first: int, last: int, rules: BlinkRules) -> bool:
    if first == 0 or last == len(eye.time) - 1:
        return False  # not flanked by an open eye
    near = max(3, round(FLANK_S / eye.lids.step_s)) if eye.lids.step_s > 0 else 3
    there = np.isfinite(eye.lids.pupil_visible)
    if eye.lids.source in _WHOLE:  # an open fissure shows an eye too
        there |= eye.relative > 1.0 - eye.threshold
    if not (there[max(0, first - near) : first].any() and there[last + 1 : last + 1 + near].any()):
        return False
    duration_ms = (int(eye.time[last + 1]) - int(eye.time[first])) / 1e6
    if duration_ms < rules.min_ms:
        return False
    if eye.lids.source == PUPIL and eye.lids.step_s < SLOW_S and not _seen_closing(eye, first, last):
        return False  # gone from one frame to the next, without a lid on its way
    if duration_ms > rules.max_ms and (
        eye.lids.source == PUPIL
        or _kind(eye, first, last, rules) == PARTIAL
        or not _seen_closing(eye, first, last)
    ):
        return False
    if _kind(eye, first, last, rules) == PARTIAL and _no_lid(eye, first, last, rules):
        return False
    return not _looked_away(eye, first, last, rules)


def _no_lid(eye: _Eye, first: int, last: int, rules: BlinkRules) -> bool:
    """A partial dip without the course of a lid, which closes within 50 to 150 ms, opens in about twice that
    and hardly rests: falling and returning from one frame to the next (a mask that lost a part), or staying
    at its floor (an eye that looks behind its lid)."""
    way = eye.relative[max(0, first - 1) : last + 2]
    steps, depth = np.diff(way), _amplitude(eye, first, last)
    # Of the whole fissure a dip of four frames is more likely a quick lid than three lost masks.
    sudden = min(-steps.min(), steps.max()) > rules.jump * depth
    if eye.lids.step_s < SLOW_S and sudden and (eye.lids.source not in _WHOLE or last - first >= 4):
        return True
    inside = eye.relative[first : last + 1]
    rest = np.count_nonzero(inside < inside.min() + 0.15 * depth)
    return bool(rest * eye.lids.step_s > REST_S and rest > rules.rest * len(inside))


def _looked_away(eye: _Eye, first: int, last: int, rules: BlinkRules) -> bool:
    """The pupil left its view, or travelled without being covered much."""
    if eye.region is not None and np.isfinite(eye.center[first - 1]).all():
        x0, y0, x1, y1 = eye.region
        x, y = eye.center[first - 1]
        if min(x - x0, y - y0, x1 - 1 - x, y1 - 1 - y) < 0.4 * eye.major[first - 1]:
            return True
    deep = np.arange(first, last + 1)
    seen = deep[np.isfinite(eye.lids.pupil_visible[deep]) & (eye.lids.pupil_visible[deep] > 0.5)]
    if 1.0 - eye.relative[deep].min() >= rules.full_amplitude or len(seen) < 0.8 * len(deep):
        return False
    # Where it was a little before and after: a saccade has its course within the dip.
    near, far = (max(1, round(t / max(eye.lids.step_s, 1e-3))) for t in (0.03, 0.1))
    sides = (
        eye.center[max(0, first - far) : max(1, first - near + 1)],
        eye.center[last + near : last + far + 1],
    )
    size = float(np.nanmedian(eye.major))
    places = [
        np.median(side[np.isfinite(side).all(axis=1)], axis=0) for side in sides if np.isfinite(side).any()
    ]
    distances = [float(np.median(np.hypot(*(eye.center[seen] - place).T))) for place in places]
    if not distances or min(distances) <= rules.travel * size:
        return False
    # A blink on the way from one place to another is in between; who looks away and back is not.
    between = len(places) == 2 and max(distances) < float(np.hypot(*(places[0] - places[1])))
    return not between


def _amplitude(eye: _Eye, first: int, last: int) -> float:
    return float(np.clip(1.0 - eye.relative[first : last + 1].min(), 0.0, 1.0))


def _kind(eye: _Eye, first: int, last: int, rules: BlinkRules) -> str:
    if _amplitude(eye, first, last) < rules.full_amplitude:
        return PARTIAL
    return CLOSURE if (int(eye.time[last + 1]) - int(eye.time[first])) / 1e6 > rules.max_ms else FULL


def _seen_closing(eye: _Eye, first: int, last: int) -> bool:
    """Whether something was in sight while the lids moved: a part of the source, or of a pupil out of
    shape."""
    way = eye.lids.values[first : last + 1]
    partly = np.isfinite(way) & (way < 1.0 - eye.threshold)
    out_of_shape = ~np.isfinite(eye.lids.pupil_visible[first : last + 1]) & np.isfinite(
        eye.major[first : last + 1]
    )
    return bool((partly | out_of_shape).any())


def _row(eye: _Eye, dip: tuple[int, int], slope: FloatArray, rules: BlinkRules) -> tuple[object, ...]:
    first, last = dip
    frames, onset, offset = eye.frames, int(eye.time[first]), int(eye.time[last + 1])
    closing = opening = None
    deepest = first + int(np.argmin(eye.relative[first : last + 1]))
    if _seen_closing(eye, first, last):
        closing = max(0.0, -float(slope[max(0, first - 1) : deepest + 1].min()))
        opening = max(0.0, float(slope[deepest : last + 2].max()))
    return (
        int(frames[first]),
        int(frames[last]),
        onset,
        offset,
        (offset - onset) / 1e6,
        _kind(eye, first, last, rules),
        _amplitude(eye, first, last),
        (int(eye.time[deepest]) - onset) / 1e6 if closing is not None else None,
        closing,
        opening,
        eye.lids.source,
    )


def _slope(eye: _Eye) -> FloatArray:
    """Change of the opening per second, over about 20 ms (at least two frames)."""
    k = max(1, round(0.01 / eye.lids.step_s)) if eye.lids.step_s > 0 else 1
    time = eye.time / 1e9
    index = np.arange(len(time))
    low, high = np.maximum(index - k, 0), np.minimum(index + k, len(time) - 1)
    return np.asarray((eye.relative[high] - eye.relative[low]) / np.maximum(time[high] - time[low], 1e-9))
