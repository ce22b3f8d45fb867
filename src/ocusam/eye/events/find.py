"""Fixations, saccades and blinks as tables, with the numbers of pymovements, and REMoDNaV as an option.

Purpose: from the positions of one eye (or of gaze after calibration) to one row per event.

Notable choices. Samples are put on a regular grid first; frames missing from the clock, frames that are not
tracked, and `pad_ms` around blinks are gaps, which no event bridges. Methods: *adaptive* takes saccades where
the velocity leaves an ellipse of `factor` median-based standard deviations (Engbert and Kliegl 2003, DOI
10.1016/S0042-6989(03)00084-1; Engbert et al. 2015) and calls what lies between them fixation: it needs no
calibration and is the default; *ivt* and *idt* are the velocity and dispersion thresholds of Salvucci and
Goldberg (2000, DOI 10.1145/355017.355028); *remodnav* (Dar, Wagner and Hanke 2021, DOI
10.3758/s13428-020-01428-x) also tells pursuit and post-saccadic oscillations, wants degrees, and is not
installed with ocusam (`pip install remodnav`). Positions are in px of the picture without a calibration, in
degrees with one; column names carry the unit. A saccade smaller than `MICRO_DEG` is marked as microsaccade
(Martinez-Conde, Otero-Millan and Macknik 2013, DOI 10.1038/nrn3405); that needs degrees. I-VT and I-DT
are called in pymovements (2 s to import); *adaptive* has the same numbers as there (`adaptive.py`).

What it does not know: the eye's angle from pixels alone; pursuit, unless REMoDNaV is asked. Peak velocity is
that of the smoothed velocity and falls short at low frame rates.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.events.adaptive import outside_ellipse, scatter, smoothed_velocities
from ocusam.eye.events.event_quality import BINOCULAR, QUALITY_OF_EVENT, with_both_eyes, with_quality
from ocusam.eye.events.grid import Grid, regular
from ocusam.eye.quality import bcea, rms_s2s, spread

__all__ = [
    "BLINK_EVENT",
    "FIXATION",
    "METHODS",
    "PSO",
    "PURSUIT",
    "SACCADE",
    "EventRules",
    "event_columns",
    "find_events",
    "fixations",
    "main_sequence",
    "regular",
    "saccades",
    "velocities",
    "with_both_eyes",
]

FloatArray = NDArray[np.float64]
FIXATION, SACCADE, PURSUIT, PSO, BLINK_EVENT = "fixation", "saccade", "smooth_pursuit", "pso", "blink"
METHODS = ("adaptive", "ivt", "idt", "remodnav")
_AT_ONCE = 2000
_REACH = 3  # samples by which a gap shortens what the smoothed velocity can see
MICRO_DEG = 1.0
"""Amplitude below which a saccade is a microsaccade."""
_REMODNAV = {
    "FIXA": FIXATION, "SACC": SACCADE, "ISAC": SACCADE, "PURS": PURSUIT,
    "HPSO": PSO, "LPSO": PSO, "IHPS": PSO, "ILPS": PSO,
}  # fmt: skip


@dataclass(frozen=True)
class EventRules:
    """How events are found.

    Attributes:
        method: "adaptive", "ivt", "idt" or "remodnav".
        factor: adaptive: multiple of the median-based standard deviation of velocity.
        velocity_threshold: ivt: units per second; None: 30 deg/s, and in px an error.
        dispersion_threshold: idt: units; None: 1 deg, and in px an error.
        min_fixation_ms: shorter ones are dropped.
        min_saccade_ms: shorter ones are no saccades; at least two samples.
        pad_ms: left out on either side of a blink, where the lid still moves.
    """

    method: str = "adaptive"
    factor: float = 6.0
    velocity_threshold: float | None = None
    dispersion_threshold: float | None = None
    min_fixation_ms: float = 60.0
    min_saccade_ms: float = 10.0
    pad_ms: float = 30.0


def event_columns(unit: str) -> dict[str, type[pl.DataType]]:
    """Columns of a table of events; `unit` is px or deg. Positions are those of the signal that was given."""
    numbers = [
        "duration_ms", f"start_x_{unit}", f"start_y_{unit}", f"end_x_{unit}", f"end_y_{unit}",
        f"amplitude_{unit}", "direction_deg", f"peak_velocity_{unit}_s", f"center_x_{unit}",
        f"center_y_{unit}", f"precision_rms_s2s_{unit}", f"precision_std_{unit}", f"bcea_{unit}2",
    ]  # fmt: skip
    head: dict[str, type[pl.DataType]] = {
        "view": pl.Int64,
        "event": pl.String,
        "onset_frame": pl.Int64,
        "offset_frame": pl.Int64,
        "onset_ns": pl.Int64,
        "offset_ns": pl.Int64,
    }
    marks = {"cut": pl.Boolean, "microsaccade": pl.Boolean, BINOCULAR: pl.Boolean}
    return head | dict.fromkeys(numbers, pl.Float64) | marks | QUALITY_OF_EVENT


def find_events(
    samples: pl.DataFrame,
    rules: EventRules | None = None,
    *,
    blinks: pl.DataFrame | None = None,
    view: int = 0,
    unit: str = "px",
) -> pl.DataFrame:
    """Events of one eye.

    Args:
        samples: columns frame_idx, timestamp_ns, x, y (empty where not tracked), and optionally diameter_px
            and doubtful (bool), in order of time.
        rules: method and limits; None for the defaults.
        blinks: table of `blink.classify` (all views or this one), or None.
        view: which eye; goes to the table and selects the blinks.
        unit: of x and y, "px" or "deg".

    Returns:
        A table with `event_columns`, in order of onset. Saccades have start, end, amplitude (straight
        distance from start to end), direction (from +x towards +y, 0-360: clockwise where y points down) and
        peak velocity; fixations have their centre and precision (`quality.py`). All but blinks have the
        quality of their samples (`event_quality.py`). `cut` marks those that begin or end at a gap: they may
        be longer, and the amplitude of a saccade larger. offset_ns is the time of the last sample.

    Raises:
        InputError: an unknown method or unit, a threshold missing, or REMoDNaV asked for and not installed.
    """
    rules = rules or EventRules()
    _check(rules, unit)
    rows: list[dict[str, object]] = []
    mine = None if blinks is None else blinks.filter(pl.col("view") == view)
    if mine is not None:
        keep = ("onset_frame", "offset_frame", "onset_ns", "offset_ns", "duration_ms")
        rows += [
            {"view": view, "event": BLINK_EVENT, **row} for row in mine.select(keep).iter_rows(named=True)
        ]
    tables = [_packed(rows, unit), *_found(samples, mine, rules, view, unit)]
    return with_quality(pl.concat(tables).sort("onset_ns"), samples)


def _found(
    samples: pl.DataFrame, blinks: pl.DataFrame | None, rules: EventRules, view: int, unit: str
) -> Iterator[pl.DataFrame]:
    """All events but blinks, some at a time: rows as dictionaries take ten times the room of a table's."""
    grid = regular(samples, blinks, rules.pad_ms)
    if grid is None or np.count_nonzero(np.isfinite(grid.xy[:, 0])) < 5:
        return
    velocity = velocities(grid)
    labelled = _labelled(grid, velocity, rules, unit)
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    del velocity
    frames, seen = samples["frame_idx"].to_numpy(), _seen(grid.xy)
    for start in range(0, len(labelled), _AT_ONCE):
        rows: list[dict[str, object]] = []
        for name, first, last in labelled[start : start + _AT_ONCE]:
            row = _describe(grid, speed, frames, first, last, name, unit)
            rows.append({"view": view, "event": name, "cut": _cut(seen, first, last), **row})
        yield _packed(rows, unit)


def _packed(rows: list[dict[str, object]], unit: str) -> pl.DataFrame:
    columns = event_columns(unit)
    return pl.DataFrame([{c: row.get(c) for c in columns} for row in rows], schema=columns)


def fixations(events: pl.DataFrame) -> pl.DataFrame:
    """The fixations of a table of events, with the columns that fixations have; of one without columns
    (where none were looked for) nothing."""
    if "event" not in events.columns:
        return events
    unit = "deg" if "amplitude_deg" in events.columns else "px"
    only_others = (f"amplitude_{unit}", "direction_deg", "microsaccade", BINOCULAR)
    return events.filter(pl.col("event") == FIXATION).drop("event", *only_others, strict=False)


def saccades(events: pl.DataFrame) -> pl.DataFrame:
    """The saccades of a table of events, as `fixations`."""
    if "event" not in events.columns:
        return events
    found = events.filter(pl.col("event") == SACCADE)
    others = [c for c in found.columns if c.startswith(("center_", "precision_", "bcea_"))]
    return found.drop("event", *others)


def velocities(grid: Grid) -> FloatArray:
    """(M, 2) units per second, smoothed over five samples (Engbert and Kliegl 2003)."""
    if len(grid.xy) < 6:
        return np.full_like(grid.xy, np.nan)
    return smoothed_velocities(grid.xy, grid.hz)


def main_sequence(events: pl.DataFrame, unit: str = "deg") -> tuple[float, float] | None:
    """Peak velocity over amplitude of saccades, as a power law v = k * a^p (Bahill, Clark and Stark 1975, DOI
    10.1016/0025-5564(75)90075-9).

    Returns:
        (k, p) by least squares on logarithms, or None with fewer than ten saccades; those cut by a gap do not
        count, since their amplitude is not known.
    """
    amplitude, velocity = f"amplitude_{unit}", f"peak_velocity_{unit}_s"
    whole = (pl.col("event") == SACCADE) & ~pl.col("cut").fill_null(False)
    rows = events.filter(whole & (pl.col(amplitude) > 0) & (pl.col(velocity) > 0)).select(amplitude, velocity)
    if len(rows) < 10:
        return None
    x, y = np.log(rows.to_numpy().astype(np.float64)).T
    p, log_k = np.polyfit(x, y, 1)
    return math.exp(float(log_k)), float(p)


def _check(rules: EventRules, unit: str) -> None:
    if rules.method not in METHODS:
        raise InputError(f"Unknown event method {rules.method!r}; known methods: {', '.join(METHODS)}.")
    if unit not in ("px", "deg"):
        raise InputError(f"Events are told in px or deg, got unit {unit!r}.")
    if unit == "deg":
        return
    if rules.method == "remodnav":
        raise InputError("REMoDNaV needs degrees: calibrate first, or take the method adaptive.")
    for method, value in (("ivt", rules.velocity_threshold), ("idt", rules.dispersion_threshold)):
        if rules.method == method and value is None:
            raise InputError(
                f"Without a calibration positions are in px: give {method} a threshold in px, or take the "
                "method adaptive."
            )


def _labelled(grid: Grid, velocity: FloatArray, rules: EventRules, unit: str) -> list[tuple[str, int, int]]:
    """(event, first, last index on the grid), in any order."""
    if rules.method == "remodnav":
        return _remodnav(grid)
    step_ms = 1e3 / grid.hz
    least_fixation = max(2, round(rules.min_fixation_ms / step_ms))
    least_saccade = max(2, math.ceil(rules.min_saccade_ms / step_ms))
    valid = _seen(grid.xy)
    if rules.method == "idt":
        fixations = _idt(grid, rules, least_fixation)
        between = itertools.pairwise(fixations)
        saccades = [(a[1], b[0]) for a, b in between if valid[a[1] : b[0] + 1].all()]
        longest = max(least_saccade, round(150 / step_ms))
        saccades = [s for s in saccades if 3 <= s[1] - s[0] + 1 <= longest]
    else:
        saccades = [s for s in _fast(grid, velocity, rules, unit) if s[1] - s[0] + 1 >= least_saccade]
        slow = valid.copy()
        for first, last in saccades:
            slow[first : last + 1] = False
        fixations = [s for s in _runs(slow) if s[1] - s[0] + 1 >= least_fixation]
    return [(SACCADE, *s) for s in saccades] + [(FIXATION, *f) for f in fixations]


def _fast(grid: Grid, velocity: FloatArray, rules: EventRules, unit: str) -> list[tuple[int, int]]:
    """Runs of samples with a velocity above the threshold."""
    if rules.method == "ivt":
        from pymovements.events.detection.ivt import ivt

        threshold = rules.velocity_threshold or 30.0
        slow = ivt(velocity, minimum_duration=0, velocity_threshold=threshold)
        fast = _seen(velocity)
        for first, last in slow.frame.select("onset", "offset").iter_rows():
            fast[int(first) : int(last) + 1] = False
        return _runs(fast)
    if np.count_nonzero(_seen(velocity)) < 5:
        return []
    usual = scatter(velocity)
    if not usual.max() > 0:  # an eye that was drawn, and stands still
        return []
    # A direction without any scatter takes a little of the other's.
    usual = np.maximum(usual, 0.05 * usual.max())
    return _runs(outside_ellipse(velocity, usual * rules.factor))


def _idt(grid: Grid, rules: EventRules, least: int) -> list[tuple[int, int]]:
    from pymovements.events.detection.idt import idt

    out = []
    for first, last in _runs(_seen(grid.xy)):
        if last - first + 1 > least:
            found = idt(
                grid.xy[first : last + 1],
                minimum_duration=least,
                dispersion_threshold=rules.dispersion_threshold or 1.0,
            )
            pairs = found.frame.select("onset", "offset").iter_rows()
            # Its offset is the sample after the last one, but at the end of the data.
            out += [(first + int(a), min(first + int(b) - 1, last)) for a, b in pairs]
    return out


def _remodnav(grid: Grid) -> list[tuple[str, int, int]]:
    try:
        # Not an ordinary import: it is no dependency of ocusam.
        classifier_class = importlib.import_module("remodnav.clf").EyegazeClassifier
    except ImportError:
        raise InputError(
            "REMoDNaV is not installed: pip install remodnav (or ocusam[remodnav]); or take another method."
        ) from None
    logging.getLogger("remodnav").setLevel(logging.WARNING)  # it tells every step
    classifier = classifier_class(px2deg=1.0, sampling_rate=grid.hz)
    seen = _seen(grid.xy)
    xy, index = grid.xy.copy(), np.arange(len(seen))
    # Its smoothing filter cannot start or end within a gap: close gaps there, and drop what is found in them.
    ends = ~seen & ((index < grid.hz * 0.05) | (index >= len(seen) - grid.hz * 0.05))
    for k in range(2):
        xy[ends, k] = np.interp(index[ends], index[seen], grid.xy[seen, k])
    data = np.rec.fromarrays([xy[:, 0], xy[:, 1]], dtype=[("x", np.float64), ("y", np.float64)])
    found = classifier(classifier.preproc(data), classify_isp=True, sort_events=True)
    out = []
    for event in found:
        first, last = round(event["start_time"] * grid.hz), round(event["end_time"] * grid.hz) - 1
        if event["label"] in _REMODNAV and last > first and seen[first : last + 1].mean() > 0.5:
            out.append((_REMODNAV[event["label"]], int(first), int(min(last, len(grid.xy) - 1))))
    return out


def _describe(
    grid: Grid, speed: FloatArray, frames: NDArray[np.int64], first: int, last: int, name: str, unit: str
) -> dict[str, object]:
    """A row of the table."""
    samples = grid.sample[first : last + 1]
    samples = samples[samples >= 0]
    onset, offset = int(grid.time_ns[first]), int(grid.time_ns[last])
    row: dict[str, object] = {
        "onset_frame": int(frames[samples[0]]),
        "offset_frame": int(frames[samples[-1]]),
        "onset_ns": onset,
        "offset_ns": offset,
        "duration_ms": (offset - onset) / 1e6,
    }
    xy = grid.xy[first : last + 1]
    seen = xy[np.isfinite(xy).all(axis=1)]
    if not len(seen):
        return row
    (x0, y0), (x1, y1) = seen[0].tolist(), seen[-1].tolist()
    row |= {f"start_x_{unit}": x0, f"start_y_{unit}": y0, f"end_x_{unit}": x1, f"end_y_{unit}": y1}
    inside = speed[first : last + 1]
    if np.isfinite(inside).any():
        row[f"peak_velocity_{unit}_s"] = float(np.nanmax(inside))
    if name in (SACCADE, PURSUIT):
        row[f"amplitude_{unit}"] = math.hypot(x1 - x0, y1 - y0)
        row["direction_deg"] = math.degrees(math.atan2(y1 - y0, x1 - x0)) % 360.0
        if name == SACCADE and unit == "deg":
            row["microsaccade"] = math.hypot(x1 - x0, y1 - y0) < MICRO_DEG
    if name == FIXATION:
        center = seen.mean(axis=0)
        row |= {f"center_x_{unit}": float(center[0]), f"center_y_{unit}": float(center[1])}
        row |= {
            f"precision_rms_s2s_{unit}": rms_s2s(xy),
            f"precision_std_{unit}": spread(xy),
            f"bcea_{unit}2": bcea(xy),
        }
    return row


def _cut(seen: NDArray[np.bool_], first: int, last: int) -> bool:
    """Whether an event begins or ends at a gap or an end of the recording."""
    if first < _REACH or last + _REACH >= len(seen):
        return True
    return not (seen[first - _REACH : first].all() and seen[last + 1 : last + 1 + _REACH].all())


def _seen(values: FloatArray) -> NDArray[np.bool_]:
    """(M,) where both columns have a value."""
    return np.asarray(np.isfinite(values[:, 0]) & np.isfinite(values[:, 1]), dtype=np.bool_)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
