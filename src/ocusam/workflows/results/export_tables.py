"""Signals in the tables of others: Parquet, Pupil Core's `pupil_positions.csv`, pandas, pymovements.

Purpose: what a run has measured goes on in the tools that people have.

Notable choices for Pupil Core, whose columns are those of Pupil Player's export (docs.pupil-labs.com): the
ellipse is that of its 2D detector: axis a is the minor, b the major full axis, the angle that of axis a from
+x, clockwise on the screen. Coordinates are px of the eye's own view, since there every eye has a camera;
norm_pos has its origin at the lower left. A frame that is not tracked has confidence 0 and an ellipse of
zeros, as a failed detection has there. `confidence` is the network's predicted IoU. There is no scene video,
so `world_index` is 0. Where `ocusam eye3d` has fitted an eyeball, its rows follow those of the ellipse, with
`method` naming pye3d, as Pupil Player has both; the columns of the 3D model are empty in the others.

What it does not know: gaze; a pupil's position is not yet where someone looks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError, OutputError
from ocusam.core.masklet import View
from ocusam.eye.filters import FILTERED, Filters, apply_filters
from ocusam.eye.scale import DIAMETER_MM
from ocusam.eye.signals import TRACKED
from ocusam.workflows.results.eye3d_tables import read_eye3d
from ocusam.workflows.results.finished_run import FinishedRun

EYE_IDS = {"right": 0, "left": 1}
# Pupil Core's name -> that of `eye3d.csv`; model_id is 0, since one run has one model of an eye.
_3D = {
    "diameter_3d": "diameter_mm", "model_confidence": "model_confidence", "model_id": "",
    "sphere_center_x": "sphere_center_x_mm", "sphere_center_y": "sphere_center_y_mm",
    "sphere_center_z": "sphere_center_z_mm", "sphere_radius": "sphere_radius_mm",
    "circle_3d_center_x": "circle_center_x_mm", "circle_3d_center_y": "circle_center_y_mm",
    "circle_3d_center_z": "circle_center_z_mm", "circle_3d_normal_x": "normal_x",
    "circle_3d_normal_y": "normal_y", "circle_3d_normal_z": "normal_z",
    "circle_3d_radius": "circle_radius_mm", "theta": "theta_rad", "phi": "phi_rad",
    "projected_sphere_center_x": "projected_sphere_center_x_px",
    "projected_sphere_center_y": "projected_sphere_center_y_px",
    "projected_sphere_axis_a": "projected_sphere_minor_px",
    "projected_sphere_axis_b": "projected_sphere_major_px",
    "projected_sphere_angle": "projected_sphere_angle_deg",
}  # fmt: skip


def write_parquet(run: FinishedRun, out: str | Path) -> list[Path]:
    """All tables of a run as Parquet: `signals.parquet`, `blinks.parquet`, ...

    Raises:
        InputError: the run has no tables.
        OutputError: the folder cannot be written.
    """
    out = Path(out)
    tables = {path.stem: run.table(path.stem) for path in sorted(run.folder.glob("*.csv"))}
    if not tables:
        raise InputError(f"{run.folder} has no tables to export: it is no run of `ocusam eye`.")
    written: list[Path] = []
    for name, table in tables.items():
        path = out / f"{name}.parquet"
        try:
            out.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            table.write_parquet(part)
            part.replace(path)
        except OSError as error:
            raise OutputError(f"Cannot write {path} ({error}).") from None
        written.append(path)
    return written


def write_filtered(run: FinishedRun, out: str | Path, filters: Filters) -> list[Path]:
    """The signals once more, filtered and short gaps bridged as asked for: `signals_filtered.csv`, where
    `<column>_validity` says of each sample "measured", "interpolated" or "missing", and
    `signals_filtered.json`, the options. The run stays as it is.

    Raises:
        InputError: the run has no signals.
        OutputError: the folder cannot be written.
    """
    out = Path(out)
    table = filtered(run.table("signals"), filters)
    options = json.dumps(asdict(filters), indent=2) + "\n"
    written = [out / "signals_filtered.csv", out / "signals_filtered.json"]
    for path, text in zip(written, (table.write_csv(float_precision=6, null_value=""), options), strict=True):
        try:
            out.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            part.write_text(text, encoding="utf-8", newline="")
            part.replace(path)
        except OSError as error:
            raise OutputError(f"Cannot write {path} ({error}).") from None
    return written


def filtered(signals: pl.DataFrame, filters: Filters) -> pl.DataFrame:
    """Centre and diameter of every object through `eye.filters`; in mm too where there is a scale."""
    columns = [*FILTERED, *([DIAMETER_MM] if has_mm(signals) else [])]
    return apply_filters(signals, filters, tuple(columns))


def eyes_of_views(
    eyes: Sequence[str] | None, views: Sequence[View], allowed: Sequence[str]
) -> dict[int, str]:
    """Which eye each view shows, from a list in the order of the views; "-" leaves a view out.

    Args:
        eyes: one name a view, in a list or separated by commas; None: not said, and nothing is known.
        views: of the run.
        allowed: names.

    Raises:
        InputError: another number of names than views, or an unknown one.
    """
    if eyes is None:
        return {}
    eyes = [eye.strip() for eye in eyes.split(",")] if isinstance(eyes, str) else list(eyes)
    if len(eyes) != len(views) or any(eye not in (*allowed, "-") for eye in eyes):
        raise InputError(
            f"The eyes {','.join(eyes)!r} do not fit: give one of {', '.join(allowed)} or - for each of the "
            f"{len(views)} views, separated by commas, in the order of the views."
        )
    return {view.index: eye for view, eye in zip(views, eyes, strict=True) if eye != "-"}


def pupil_positions(run: FinishedRun, eyes: Sequence[str] | None = None) -> pl.DataFrame:
    """The table `pupil_positions.csv` of Pupil Core.

    Args:
        run: a run of `ocusam eye`.
        eyes: "left", "right" or "-" for each view; None: `eye_id` is the number of the view.

    Raises:
        InputError: no pupil was tracked, or `eyes` do not fit.
    """
    named = eyes_of_views(eyes, run.views, tuple(EYE_IDS))
    parts: list[pl.DataFrame] = []
    model = read_eye3d(run.folder)
    for view in run.views:
        rows = run.signals.filter((pl.col("object") == "pupil") & (pl.col("view") == view.index))
        if rows.is_empty() or (named and view.index not in named):
            continue
        eye_id = EYE_IDS[named[view.index]] if named else view.index
        flat = _positions(rows.sort("frame_idx"), view, eye_id)
        parts.append(flat)
        if model is not None:
            mine = model[0].filter(pl.col("view") == view.index).sort("frame_idx")
            parts += [_solid(flat, mine, view, f"pye3d {model[1].get('pye3d', '')} post-hoc")]
    if not parts:
        raise InputError(f"{run.folder} holds no pupil to export.")
    return pl.concat(parts).sort("pupil_timestamp", "eye_id", "method")


def _positions(rows: pl.DataFrame, view: View, eye_id: int) -> pl.DataFrame:
    x0, y0 = view.region[:2]
    height, width = view.size
    seen = pl.col("state") == TRACKED
    x, y = pl.col("center_x_px") - x0, pl.col("center_y_px") - y0

    def where_seen(value: pl.Expr, otherwise: float = 0.0) -> pl.Expr:
        return pl.when(seen).then(value).otherwise(otherwise).cast(pl.Float64)

    return rows.select(
        (pl.col("timestamp_ns") / 1e9).alias("pupil_timestamp"),
        pl.lit(0).alias("world_index"),
        pl.lit(eye_id).alias("eye_id"),
        where_seen(pl.col("predicted_iou").fill_null(0.0).clip(0.0, 1.0)).alias("confidence"),
        where_seen(x / width).alias("norm_pos_x"),
        where_seen(1.0 - y / height, 1.0).alias("norm_pos_y"),
        where_seen(pl.col("major_px")).alias("diameter"),
        pl.lit("2d ocusam").alias("method"),
        where_seen(x).alias("ellipse_center_x"),
        where_seen(y).alias("ellipse_center_y"),
        where_seen(pl.col("minor_px")).alias("ellipse_axis_a"),
        where_seen(pl.col("major_px")).alias("ellipse_axis_b"),
        where_seen(pl.col("angle_deg") - 90.0).alias("ellipse_angle"),
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in _3D),
    )


def _solid(flat: pl.DataFrame, model: pl.DataFrame, view: View, method: str) -> pl.DataFrame:
    """The rows of the 3D model: the ellipse is that of its pupil in the picture; none where it has none."""
    if len(model) != len(flat):
        return flat.clear()
    x0, y0 = view.region[:2]
    height, width = view.size
    x, y = pl.col("ellipse_center_x_px") - x0, pl.col("ellipse_center_y_px") - y0
    made = model.select(
        (x / width).alias("norm_pos_x"), (1.0 - y / height).alias("norm_pos_y"),
        pl.col("ellipse_major_px").alias("diameter"), pl.lit(method).alias("method"),
        x.alias("ellipse_center_x"), y.alias("ellipse_center_y"),
        pl.col("ellipse_minor_px").alias("ellipse_axis_a"),
        pl.col("ellipse_major_px").alias("ellipse_axis_b"),
        pl.col("ellipse_angle_deg").alias("ellipse_angle"),
        *(pl.col(ours).alias(theirs) for theirs, ours in _3D.items() if ours),
    ).with_columns(
        (pl.col("projected_sphere_center_x") - x0), (pl.col("projected_sphere_center_y") - y0),
        model_id=pl.lit(0.0),
    )  # fmt: skip
    return flat.with_columns(made.get_columns()).filter(pl.col("diameter_3d").is_not_null())


def write_pupil_positions(run: FinishedRun, out: str | Path, eyes: Sequence[str] | None = None) -> Path:
    """Write `pupil_positions.csv` into a folder.

    Raises:
        OcusamError: see `pupil_positions`; the folder cannot be written.
    """
    table = pupil_positions(run, eyes)
    path = Path(out) / "pupil_positions.csv"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        table.write_csv(part)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"Cannot write {path} ({error}).") from None
    return path


def has_mm(rows: pl.DataFrame) -> bool:
    """Whether rows of signals have diameters in mm; the column of a run without a scale is empty, and runs of
    earlier versions have none."""
    return DIAMETER_MM in rows.columns and rows[DIAMETER_MM].count() > 0


def to_pandas(table: pl.DataFrame) -> Any:
    """A table as a pandas data frame.

    Raises:
        InputError: pandas (with pyarrow) is not installed.
    """
    try:
        return table.to_pandas()
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install pandas pyarrow.") from None


def to_pymovements(
    signals: pl.DataFrame, blinks: pl.DataFrame, *, view: int = 0, name: str = "pupil", unit: str = "px"
) -> Any:
    """One object's positions as a `pymovements.Gaze`, blinks as its events.

    Args:
        signals: table of a recording.
        blinks: its blinks; those of the view are taken.
        view: which view.
        name: which object.
        unit: of the positions; they are px of the eye camera's picture, not of a screen.

    Returns:
        A `Gaze` with `time` in ms from the first frame, `pixel` [x, y] and the column `diameter_px`, with
        `diameter_mm` where the run had a scale for it; empty values where the object is not tracked.

    Raises:
        InputError: no such object in this view.
    """
    import pymovements as pm  # takes seconds to import

    rows = signals.filter((pl.col("object") == name) & (pl.col("view") == view)).sort("frame_idx")
    if rows.is_empty():
        known = ", ".join(
            f"{n} (view {v})" for v, n in signals.select("view", "object").unique().sort("view").rows()
        )
        raise InputError(f"There is no {name!r} in view {view}; there are: {known}.")
    start = rows["timestamp_ns"][0]
    step = rows["timestamp_ns"].diff().median()
    samples = rows.select(
        ((pl.col("timestamp_ns") - start) / 1e6).alias("time"),
        pl.col("center_x_px").alias("x"),
        pl.col("center_y_px").alias("y"),
        pl.col("major_px").alias("diameter_px"),
        *([DIAMETER_MM] if has_mm(rows) else []),
    )
    here = blinks.filter(pl.col("view") == view)
    events = pm.Events(
        name="blink",
        onsets=((here["onset_ns"] - start) / 1e6).to_list(),
        offsets=((here["offset_ns"] - start) / 1e6).to_list(),
    )
    rate = 1e9 / float(step) if isinstance(step, int | float) and step > 0 else None
    experiment = pm.Experiment(sampling_rate=rate) if rate else None
    return pm.Gaze(
        samples, experiment, events, time_column="time", time_unit="ms", pixel_columns=["x", "y"],
        metadata={"object": name, "view": view, "unit": unit},
    )  # fmt: skip
