"""Validations: how far off gaze is on targets that were looked at again, and where it has drifted to.

Purpose: one row for every eye and validation, from the table of checked targets.

Notable choices: the error is the mean over the targets of the angle between target and median gaze (as in
`fit.py`); it has no flaw of the leave-one-out figure, since no model has seen these samples. *Drift* is the
mean over the targets of gaze minus target, in x and y: what all of them share. A calibration by least squares
has none on its own targets. Errors that remain where drift is small differ from place to place. Nothing is
corrected by it.

What it does not know: whether the eye or the camera has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from ocusam.eye.calibration.in_force import IN_FORCE, Fitted
from ocusam.eye.calibration.shown import Shown

ROUND = "validation"
"""Column: the number of the validation, from 1, in order of time; empty for targets that were fitted."""
VALIDATION_COLUMNS: dict[str, type[pl.DataType]] = {
    "view": pl.Int64, ROUND: pl.Int64, IN_FORCE: pl.Int64, "name": pl.String, "start_ns": pl.Int64,
    "since_calibration_s": pl.Float64, "targets": pl.Int64, "left_out": pl.Int64, "accuracy_deg": pl.Float64,
    "accuracy_max_deg": pl.Float64, "drift_x_deg": pl.Float64, "drift_y_deg": pl.Float64,
}  # fmt: skip


def validated(checked: pl.DataFrame, fitted: Sequence[Fitted], rounds: Sequence[Shown]) -> pl.DataFrame:
    """How good gaze is in every validation.

    Args:
        checked: one row per view and target: view, `IN_FORCE`, `ROUND` and `fit.CHECK_COLUMNS`; without
            `view` (the mean of both eyes) the column stays empty.
        fitted: the calibrations.
        rounds: the validations.

    Returns:
        One row per view and validation, columns `VALIDATION_COLUMNS`; accuracy and drift are empty where no
        target could be used, `since_calibration_s` (from the end of the calibration to the begin of the
        validation; negative before it) where the calibration is another recording's.
    """
    rows: list[dict[str, Any]] = []
    ends = {one.number: one.ends_ns for one in fitted}
    if "view" not in checked.columns:
        checked = checked.with_columns(view=pl.lit(None, dtype=pl.Int64))
    for (view, number), part in checked.drop_nulls(ROUND).group_by("view", ROUND):
        shown, used = rounds[int(str(number)) - 1], part.drop_nulls("accuracy_deg")
        calibration = int(part[IN_FORCE][0])
        ended = ends[calibration]
        rows.append({
            "view": view, ROUND: number, IN_FORCE: calibration, "name": shown.name,
            "start_ns": shown.begins_ns,
            "since_calibration_s": None if ended is None else (shown.begins_ns - ended) / 1e9,
            "targets": len(used), "left_out": len(shown.targets) - len(used),
            "accuracy_deg": used["accuracy_deg"].mean(), "accuracy_max_deg": used["accuracy_deg"].max(),
            "drift_x_deg": used["offset_x_deg"].mean(), "drift_y_deg": used["offset_y_deg"].mean(),
        })  # fmt: skip
    return pl.DataFrame(rows, schema=VALIDATION_COLUMNS).sort("view", ROUND)
