"""How good the gaze of a recording is: a row for every eye and calibration.

Purpose: what the command, the page and `calibration.json` tell of a calibration, from the tables of a `Gaze`.

Notable choices: precision, data loss and shares outside of what was calibrated are those of the samples that
a calibration is in force for.

What it does not know: how gaze was computed (`gaze_tables`); validations (`eye.calibration.validation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from ocusam.eye.calibration import GAZE_COLUMNS, IN_FORCE, OUTSIDE_SIZES, OUTSIDE_TARGETS, Calibration, Fitted
from ocusam.eye.calibration.in_force import spans
from ocusam.eye.quality import samples_due, windowed_precision
from ocusam.eye.targets import CALIBRATION, VALIDATION


def summary_of(fitted: Sequence[Fitted], table: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """One row per view and calibration.

    Args:
        fitted: the calibrations.
        table, targets: of the `Gaze`.
    """
    views = sorted({view for one in fitted for view in one.views})
    rows = []
    for view in views:
        for one, start, _ in spans(fitted, view):
            mine = (pl.col("view") == view) & (pl.col(IN_FORCE) == one.number)
            row = _row(one.views[view], table.filter(mine), targets.filter(mine))
            about = {"view": view, IN_FORCE: one.number, "name": one.name, "from_ns": start}
            rows.append({**about, **row})
    kinds = dict.fromkeys(("validation_accuracy_deg", "accuracy_max_deg"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides={**kinds, "from_ns": pl.Int64}, infer_schema_length=None)


def _row(calibration: Calibration, part: pl.DataFrame, targets: pl.DataFrame) -> dict[str, Any]:
    used = targets.filter(pl.col("accuracy_deg").is_not_null())
    errors = {use: used.filter(pl.col("use") == use)["accuracy_deg"] for use in (CALIBRATION, VALIDATION)}
    seen = part.drop_nulls(list(GAZE_COLUMNS))
    step = part["timestamp_ns"].diff().median()
    step_ns = float(step) if isinstance(step, int | float) else 0.0
    xy = part.select(pl.col(GAZE_COLUMNS).fill_null(float("nan"))).to_numpy()
    time = part["timestamp_ns"].to_numpy()
    precise = windowed_precision(xy, step_ns, time_ns=time)
    return {
        "feature": calibration.feature, "reflection": calibration.reflection,
        "model": calibration.model, "with_size": calibration.with_size,
        "targets": len(errors[CALIBRATION]),
        "left_out": len(targets.filter(pl.col("use") == CALIBRATION)) - len(errors[CALIBRATION]),
        "accuracy_deg": calibration.accuracy, "accuracy_max_deg": errors[CALIBRATION].max(),
        "validation_targets": len(errors[VALIDATION]),
        "validation_accuracy_deg": errors[VALIDATION].mean(),
        "precision_rms_s2s_deg": precise[0], "precision_std_deg": precise[1], "bcea_deg2": precise[2],
        "samples": len(part), "data_loss": 1.0 - len(seen) / max(samples_due(time, step_ns), 1),
        "outside_targets": seen[OUTSIDE_TARGETS].mean(), "outside_sizes": seen[OUTSIDE_SIZES].mean(),
    }  # fmt: skip
