"""Gaze of both eyes together: the version signal, how far the eyes differ, and how accurate the mean is.

Purpose: from the gaze of eyes that were calibrated each for itself to one direction a sample.

Notable choices. The plain mean of the eyes that are there, half and half. Averaging two eyes lowers the
variable error, by up to the root of two (Hooge, Holleman, Haukes and Hessels 2019, DOI
10.3758/s13428-018-1135-3). Weights by the eyes'
stated accuracy were decided against: accuracy is an offset that differs from place to place, known from a
handful of targets, and weights made of it would favour an eye by chance and tell nothing of the noise.
Systematic errors do not always fall: in more than a quarter of people one eye alone was more accurate than
the mean (Hooge et al.). So the accuracy of the mean is told beside that of each eye, and every eye's gaze
stays in the table. Where one eye is missing the other stands for both, and `eyes` says so: gaze then jumps by
half of what the eyes differ, so no event may bridge such a moment (`seams`).

What it does not know: which eye dominates; depth. The difference is an angle between two gaze directions that
were both calibrated on the same flat targets: 0 where the eyes meet in their plane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from ocusam.core.errors import InputError
from ocusam.eye.calibration.fit import GAZE_COLUMNS, OUTSIDE_SIZES, OUTSIDE_TARGETS
from ocusam.eye.calibration.in_force import IN_FORCE
from ocusam.eye.calibration.validation import ROUND
from ocusam.eye.targets import angle_between

LEFT, RIGHT = "left", "right"
VERGENCE_COLUMNS = ("vergence_x_deg", "vergence_y_deg")
EYES = "eyes"
BOTH_COLUMNS: dict[str, type[pl.DataType]] = {
    "frame_idx": pl.Int64, "timestamp_ns": pl.Int64, **dict.fromkeys(GAZE_COLUMNS, pl.Float64),
    EYES: pl.String, **dict.fromkeys(VERGENCE_COLUMNS, pl.Float64), OUTSIDE_TARGETS: pl.Boolean,
    OUTSIDE_SIZES: pl.Boolean,
}  # fmt: skip


def eyes_of(views: Sequence[int], named: Mapping[int, str] | None = None) -> dict[str, list[int]]:
    """Eye -> its views, the left one first. Without names two views are two eyes, "view 0" and "view 1".

    Args:
        views: calibrated ones.
        named: view -> "left" or "right"; a view that is not named is left out. None: nothing is known.

    Returns:
        Two eyes, or nothing: one eye alone, or more than two views of which nothing is said.
    """
    if named is None:
        return {f"view {view}": [view] for view in views} if len(views) == 2 else {}
    found = {eye: [view for view in views if named.get(view) == eye] for eye in (LEFT, RIGHT)}
    return found if all(found.values()) else {}


def both_eyes(table: pl.DataFrame, eyes: Mapping[str, Sequence[int]]) -> pl.DataFrame:
    """Gaze of both eyes together.

    Args:
        table: rows of all views: frame_idx, timestamp_ns, view, `GAZE_COLUMNS` (empty where an eye is not
            seen), outside_targets, outside_sizes.
        eyes: of `eyes_of`; several views of one eye are averaged first.

    Returns:
        One row a frame, columns `BOTH_COLUMNS`: gaze is the mean of the eyes that are there; `eyes` names
        them, joined by "+" ("" where there is none); vergence is the first eye minus the second (left minus
        right), empty unless both are there; outside_... where either eye is.

    Raises:
        InputError: not two eyes.
    """
    if len(eyes) != 2:
        raise InputError(f"Both eyes together wants two eyes, got {len(eyes)}.")
    joined = table.select("frame_idx", "timestamp_ns").unique("frame_idx").sort("frame_idx")
    outside = (OUTSIDE_TARGETS, OUTSIDE_SIZES)
    for number, views in enumerate(eyes.values()):
        mine = table.filter(pl.col("view").is_in(list(views))).group_by("frame_idx")
        one = mine.agg(pl.col(GAZE_COLUMNS).mean(), pl.col(outside).any())
        one = one.rename({name: f"{name}_{number}" for name in (*GAZE_COLUMNS, *outside)})
        joined = joined.join(one, on="frame_idx", how="left", maintain_order="left")
    there = [pl.col(f"{GAZE_COLUMNS[0]}_{k}").is_not_null() for k in (0, 1)]
    names = [pl.when(seen).then(pl.lit(eye)) for seen, eye in zip(there, eyes, strict=True)]
    made = joined.with_columns(
        *(pl.mean_horizontal(f"{name}_0", f"{name}_1").alias(name) for name in GAZE_COLUMNS),
        pl.concat_str(names, separator="+", ignore_nulls=True).alias(EYES),
        *(
            (pl.col(f"{name}_0") - pl.col(f"{name}_1")).alias(difference)
            for name, difference in zip(GAZE_COLUMNS, VERGENCE_COLUMNS, strict=True)
        ),
        *(
            pl.when(pl.any_horizontal(there)).then(pl.any_horizontal(f"{name}_0", f"{name}_1")).alias(name)
            for name in outside
        ),
    )
    return made.select(pl.col(name).cast(kind) for name, kind in BOTH_COLUMNS.items())


def without_seams(both: pl.DataFrame) -> pl.DataFrame:
    """The samples with no gaze at the first one after the eyes that were averaged (or the calibration in
    force, where the table has that) changed: detectors of events take it for a gap, which none bridges."""
    what = [EYES, *([IN_FORCE] if IN_FORCE in both.columns else [])]
    changed = pl.any_horizontal((pl.col(name) != pl.col(name).shift(1)).fill_null(False) for name in what)
    return both.with_columns(pl.when(~changed).then(pl.col(name)).alias(name) for name in GAZE_COLUMNS)


def both_blinks(blinks: pl.DataFrame, eyes: Mapping[str, Sequence[int]]) -> pl.DataFrame:
    """Blinks of both eyes: from the first to close to the last to open, for blinks of two eyes that overlap.

    A blink of one eye alone (a wink, or a pupil lost in the other) is none of both.
    """
    rows: list[dict[str, object]] = []
    first, second = (blinks.filter(pl.col("view").is_in(list(views))) for views in eyes.values())
    for one in first.sort("onset_ns").iter_rows(named=True):
        met = second.filter(
            (pl.col("onset_ns") <= one["offset_ns"]) & (pl.col("offset_ns") >= one["onset_ns"])
        )
        if met.is_empty():
            continue
        on = min([one, *met.iter_rows(named=True)], key=lambda b: int(b["onset_ns"]))
        off = max([one, *met.iter_rows(named=True)], key=lambda b: int(b["offset_ns"]))
        if rows and int(str(rows[-1]["offset_ns"])) >= on["onset_ns"]:
            continue  # the same blink, seen by another view of the eye
        ends = {"offset_frame": off["offset_frame"], "offset_ns": off["offset_ns"]}
        rows.append({**on, **ends, "duration_ms": (off["offset_ns"] - on["onset_ns"]) / 1e6})
    return pl.DataFrame(rows, schema=blinks.schema)


def both_checks(targets: pl.DataFrame, eyes: Mapping[str, Sequence[int]]) -> pl.DataFrame:
    """Error of the mean at every target that both eyes held.

    Args:
        targets: one row per view and target (`CHECK_COLUMNS` and view), offsets by calibrations that had not
            seen the place; with the columns `in_force.IN_FORCE` and `validation.ROUND` targets of the same
            number are told apart by them.
        eyes: of `eyes_of`.

    Returns:
        (these two,) use, target, x_deg, y_deg, offset_x_deg, offset_y_deg, accuracy_deg: of the mean of the
        eyes' median gaze.
    """
    shown = [name for name in (IN_FORCE, ROUND) if name in targets.columns]
    key, offsets = [*shown, "use", "target", "x_deg", "y_deg"], ["offset_x_deg", "offset_y_deg"]
    named = {view: number for number, views in enumerate(eyes.values()) for view in views}
    known = targets.filter(pl.col("view").is_in(list(named)) & pl.col("accuracy_deg").is_not_null())
    if shown:  # one eye may be under an earlier calibration, where it could not be calibrated again
        held = pl.col(IN_FORCE)
        known = known.with_columns(
            pl.when(pl.col(ROUND).is_null()).then(held).otherwise(held.max().over(ROUND))
        )
    eye = pl.col("view").replace_strict(named, default=None, return_dtype=pl.Int64).alias("eye")
    by_eye = known.with_columns(eye).group_by(*key, "eye").agg(pl.col(offsets).mean())
    mean = by_eye.group_by(key).agg(pl.col(offsets).mean(), pl.len().alias("n")).filter(pl.col("n") == 2)
    place = mean.select("x_deg", "y_deg").to_numpy()
    gaze = place + mean.select(offsets).to_numpy()
    error = pl.Series("accuracy_deg", angle_between(gaze, place), dtype=pl.Float64)
    return mean.drop("n").with_columns(error).sort("use", *shown, "target")
