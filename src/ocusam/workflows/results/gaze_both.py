"""Gaze of both eyes together, for a recording: samples, events, how accurate the mean is.

Purpose: `gaze_both.csv`, `gaze_both_events.csv` and the entry `both` of `calibration.json`.

Notable choices: see `eye.calibration.both_eyes`. Events are found on the mean; the moments at which one eye
comes or goes are gaps, blinks are those of both eyes, and a blink of either is a gap too.

What it does not know: how the eyes were calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ocusam.eye.calibration import GAZE_COLUMNS, IN_FORCE, Fitted, Shown
from ocusam.eye.calibration.both_eyes import (
    EYES,
    VERGENCE_COLUMNS,
    both_blinks,
    both_checks,
    both_eyes,
    without_seams,
)
from ocusam.eye.calibration.in_force import numbers
from ocusam.eye.calibration.validation import validated
from ocusam.eye.events import BINOCULAR, EventRules, find_events
from ocusam.eye.events.find import BLINK_EVENT
from ocusam.eye.quality import windowed_precision
from ocusam.eye.targets import CALIBRATION, VALIDATION

BOTH_FILES = ("gaze_both.csv", "gaze_both_events.csv")
_NO_VIEW = -1


@dataclass(frozen=True, eq=False)
class BothEyes:
    """Gaze of two eyes as one.

    Attributes:
        table: one row a frame, columns `eye.calibration.both_eyes.BOTH_COLUMNS`, calibration (the last one
            begun), and screen_x_px, screen_y_px where the screen is known.
        events: as `Gaze.events`, of the mean; without `view` and `binocular`.
        targets: error of the mean at every target that both eyes held.
        eyes: eye -> its views, the one that vergence is counted from first.
        validations: one row per validation (columns `eye.calibration.validation.VALIDATION_COLUMNS`, view
            empty).
    """

    table: pl.DataFrame
    events: pl.DataFrame
    targets: pl.DataFrame
    eyes: dict[str, list[int]]
    validations: pl.DataFrame

    def summary(self) -> dict[str, Any]:
        """Accuracy (leave-one-out, and on validation targets) and precision of the mean, share of the samples
        with gaze that both eyes have part in, how far the eyes differ; with several calibrations over all of
        them, and the accuracy by each."""
        errors = {
            use: self.targets.filter(pl.col("use") == use)["accuracy_deg"]
            for use in (CALIBRATION, VALIDATION)
        }
        step = self.table["timestamp_ns"].diff().median()
        xy = without_seams(self.table).select(pl.col(GAZE_COLUMNS).fill_null(float("nan"))).to_numpy()
        step_ns = float(step) if isinstance(step, int | float) else 0.0
        precise = windowed_precision(xy, step_ns, time_ns=self.table["timestamp_ns"].to_numpy())
        seen = self.table.filter(pl.col(EYES) != "")
        two = seen.drop_nulls(VERGENCE_COLUMNS[0])
        fitted = self.targets.filter(pl.col("use") == CALIBRATION).group_by(IN_FORCE)
        each = fitted.agg(targets=pl.len(), accuracy_deg=pl.col("accuracy_deg").mean()).sort(IN_FORCE)
        return {
            "eyes": self.eyes, "targets": len(errors[CALIBRATION]),
            "accuracy_deg": errors[CALIBRATION].mean(), "accuracy_max_deg": errors[CALIBRATION].max(),
            "validation_targets": len(errors[VALIDATION]),
            "validation_accuracy_deg": errors[VALIDATION].mean(), "precision_rms_s2s_deg": precise[0],
            "precision_std_deg": precise[1], "bcea_deg2": precise[2], "samples": len(self.table),
            "data_loss": 1.0 - len(seen) / max(len(self.table), 1),
            "with_both_eyes": len(two) / max(len(seen), 1),
            "by_calibration": each.to_dicts(), "validations": self.validations.drop("view").to_dicts(),
            **{f"{name}_median": two[name].median() for name in VERGENCE_COLUMNS},
            **{f"{name}_sd": two[name].std() for name in VERGENCE_COLUMNS},
        }  # fmt: skip


def join_eyes(
    table: pl.DataFrame,
    targets: pl.DataFrame,
    blinks: pl.DataFrame,
    eyes: Mapping[str, Sequence[int]],
    fitted: Sequence[Fitted],
    rounds: Sequence[Shown] = (),
    rules: EventRules | None = None,
) -> BothEyes:
    """Both eyes of a recording as one.

    Args:
        table, targets: of a `Gaze`.
        blinks: of the recording.
        eyes: of `eye.calibration.both_eyes.eyes_of`, two.
        fitted, rounds: the calibrations and validations.
        rules: how events are found.
    """
    # Every switch of an eye happens where a calibration begins, so the last one begun tells them all.
    both = both_eyes(table, eyes).with_columns(numbers(fitted))
    views = [view for of_eye in eyes.values() for view in of_eye]
    any_eye = blinks.filter(pl.col("view").is_in(views)).with_columns(view=pl.lit(_NO_VIEW, dtype=pl.Int64))
    x, y = (pl.col(name) for name in GAZE_COLUMNS)
    samples = without_seams(both).select("frame_idx", "timestamp_ns", x.alias("x"), y.alias("y"))
    moves = find_events(samples, rules, blinks=any_eye, view=_NO_VIEW, unit="deg")
    # Every blink of either eye was a gap; told are those of both.
    closed = both_blinks(blinks, eyes).with_columns(view=pl.lit(_NO_VIEW, dtype=pl.Int64))
    told = find_events(samples.clear(), rules, blinks=closed, view=_NO_VIEW, unit="deg")
    events = pl.concat([moves.filter(pl.col("event") != BLINK_EVENT), told]).sort("onset_ns")
    checked = both_checks(targets, eyes)
    named = {eye: list(its) for eye, its in eyes.items()}
    found = validated(checked, fitted, rounds)
    return BothEyes(both, events.drop("view", BINOCULAR), checked, named, found)
