"""Which calibration holds when, in a recording with several; and gaze without the jump between two.

Purpose: laboratories calibrate again before each block. Every sample belongs to the calibration in force: the
last one begun before it; what comes before the first belongs to the first.

Notable choices: a calibration holds from the moment its first target appears, since what made it necessary
(the headset was moved, the chin was lifted) came before that. Where an eye could not be calibrated again, its
earlier calibration stays in force. From one sample to the next gaze jumps by what the two differ: events and
precision are computed as if the first sample after the switch were missing (`without_switches`), so that no
saccade is made of it and no fixation runs over it.

What it does not know: how good they are (`validation.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from ocusam.eye.calibration.fit import GAZE_COLUMNS, Calibration
from ocusam.eye.calibration.suspects import Suspect

IN_FORCE = "calibration"
"""Column: the number of the calibration in force."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """One calibration of all eyes of a recording.

    Attributes:
        number: from 1, in order of time.
        name: of its table of targets, or where it comes from.
        begins_ns, ends_ns: when its first target appeared and its last one went; None where they were shown
            in another recording.
        views: view -> its calibration.
        skipped: view -> why it could not be calibrated.
        suspects: view -> the one mistake in the targets that would explain a poor calibration.
    """

    number: int
    name: str
    begins_ns: int | None
    ends_ns: int | None
    views: dict[int, Calibration]
    skipped: dict[int, str] = field(default_factory=dict)
    suspects: dict[int, Suspect] = field(default_factory=dict)


def spans(fitted: Sequence[Fitted], view: int) -> list[tuple[Fitted, int | None, int | None]]:
    """(calibration, from, until) of one eye in order of time; ns, the end exclusive, None: without one."""
    mine = [one for one in fitted if view in one.views]
    starts: list[int | None] = [None, *(one.begins_ns for one in mine[1:])]
    ends: list[int | None] = [*starts[1:], None]
    return list(zip(mine, starts, ends, strict=True)) if mine else []


def at(fitted: Sequence[Fitted], view: int, time_ns: int) -> Fitted:
    """The calibration in force at a moment, for an eye that has one."""
    return next(one for one, start, _ in reversed(spans(fitted, view)) if start is None or time_ns >= start)


def numbers(fitted: Sequence[Fitted], view: int | None = None) -> pl.Expr:
    """The column `IN_FORCE` from `timestamp_ns`: of one eye, or None: the last one begun for any eye."""
    mine = [one for one in fitted if view is None or view in one.views]
    found = pl.lit(mine[0].number, dtype=pl.Int64)
    for one in mine[1:]:
        found = pl.when(pl.col("timestamp_ns") >= one.begins_ns).then(one.number).otherwise(found)
    return found.cast(pl.Int64).alias(IN_FORCE)


def without_switches(gaze: pl.DataFrame) -> pl.DataFrame:
    """Samples of one eye, in order of time, with no gaze at the first one of another calibration: detectors
    of events take it for a gap, which none of them bridges."""
    switched = (pl.col(IN_FORCE) != pl.col(IN_FORCE).shift(1)).fill_null(False)
    return gaze.with_columns(pl.when(~switched).then(pl.col(name)).alias(name) for name in GAZE_COLUMNS)
