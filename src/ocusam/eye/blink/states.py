"""States that were found, put into rows.

Purpose: `classify` finds the states of an eye's pupil; here the rows of all its objects get theirs, a few
frames at a time or all at once.

Notable choices: the eye's other objects say blink instead of lost during a blink. So do they where the eye is
closed and the network itself doubts what it marks: a patch of shining lid or lashes that it takes for iris.
Reflections that were found on the picture (without a predicted IoU) are spots near a pupil; where what stood
for it was none, they are none either. Rows that are not tracked keep no shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.eye.long_rows import STATES, ObjectRows, state_texts
from ocusam.eye.signals import BLINK, KNOWN_PATTERN, LOST, TRACKED

LID_OPENING = "lid_opening"
"""Column added to the pupil's rows: share of the open value, 0 within a blink where nothing is in sight."""

CLOSED, DOUBTED = 0.2, 0.7
"""Lid opening up to which an eye is closed (the limit of PERCLOS), and predicted IoU below which what is seen
of iris, sclera or a reflection then is no part of an open eye."""
_PARTS = rf"^(iris|sclera|{KNOWN_PATTERN})$"

_SHAPE = (
    "center_x_px", "center_y_px", "major_px", "minor_px", "angle_deg", "area_px", "rim_share", "fit_rms_px",
    "parts", "edge", "center_sd_px", "major_sd_px", "minor_sd_px", "angle_sd_deg",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class EyeStates:
    """What was found of one eye.

    Attributes:
        frames: (N,) those of the pupil's rows, in order.
        states: (N,) codes (`long_rows.STATES`) of the pupil.
        opening: (N,) lid opening, NaN where it is not known.
        blinks: rows of `BLINK_COLUMNS` without the view.
    """

    frames: NDArray[np.int64]
    states: NDArray[np.uint8]
    opening: NDArray[np.float64]
    blinks: list[tuple[object, ...]]


def others_states(name: str, rows: ObjectRows, eye: EyeStates) -> NDArray[np.uint8]:
    """States of another object of the eye, (N,) codes: in a blink what is not seen is not lost."""
    at = np.minimum(np.searchsorted(eye.frames, rows.frame_idx), len(eye.frames) - 1)
    blinks = (eye.frames[at] == rows.frame_idx) & (eye.states[at] == STATES.index(BLINK))
    covered = rows.states == STATES.index(LOST)
    if re.match(_PARTS, name):
        covered |= (eye.opening[at] <= CLOSED) & (rows.read("predicted_iou") < DOUBTED)
    spots = np.zeros(len(blinks), dtype=bool)
    if re.fullmatch(KNOWN_PATTERN, name):
        spots = (rows.states == STATES.index(TRACKED)) & np.isnan(rows.read("predicted_iou"))
        spots &= (eye.frames[at] == rows.frame_idx) & (eye.states[at] != STATES.index(TRACKED))
    out = np.where((covered | spots) & blinks, np.uint8(STATES.index(BLINK)), rows.states)
    return np.where(spots & ~blinks, np.uint8(STATES.index(LOST)), out)


def put_states(rows: pl.DataFrame, eyes: Mapping[int, EyeStates]) -> pl.DataFrame:
    """Rows (of some frames or all, sorted) with states and `LID_OPENING`.

    Args:
        rows: as measured.
        eyes: what was found, by view; views without a pupil keep their states.
    """
    if rows.is_empty():
        return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(LID_OPENING))
    first, last = (int(str(v)) for v in (rows["frame_idx"].min(), rows["frame_idx"].max()))
    known = [_found(view, eye, first, last) for view, eye in sorted(eyes.items())]
    schema = {"view": pl.Int64, "frame_idx": pl.Int64, "_pupil": pl.String, LID_OPENING: pl.Float64}
    lookup = pl.concat([pl.DataFrame(schema=schema), *known])
    is_pupil = pl.col("object") == "pupil"
    doubted = (pl.col(LID_OPENING) <= CLOSED) & (pl.col("predicted_iou") < DOUBTED)
    covered = (pl.col("state") == LOST) | (pl.col("object").str.contains(_PARTS) & doubted).fill_null(False)
    spot = (pl.col("state") == TRACKED) & pl.col("predicted_iou").is_null()
    spot &= pl.col("object").str.contains(rf"^{KNOWN_PATTERN}$") & (pl.col("_pupil") != TRACKED).fill_null(
        False
    )
    blink = (covered | spot) & (pl.col("_pupil") == BLINK)
    state = pl.when(is_pupil & pl.col("_pupil").is_not_null()).then(pl.col("_pupil"))
    out = rows.join(lookup, on=["view", "frame_idx"], how="left", maintain_order="left").with_columns(
        state.when(blink)
        .then(pl.lit(BLINK))
        .when(spot)
        .then(pl.lit(LOST))
        .otherwise(pl.col("state"))
        .alias("state"),
        pl.when(is_pupil).then(pl.col(LID_OPENING)).alias(LID_OPENING),
    )
    if not eyes:
        return out.drop("_pupil")
    gone = (pl.col("state") != TRACKED) & pl.col("view").is_in(list(eyes))
    shape = [c for c in _SHAPE if c in out.columns]
    return out.drop("_pupil").with_columns(
        [pl.when(gone).then(None).otherwise(pl.col(c)).alias(c) for c in shape]
    )


def _found(view: int, eye: EyeStates, first: int, last: int) -> pl.DataFrame:
    """What was found on the frames `first` to `last`."""
    a, b = np.searchsorted(eye.frames, [first, last + 1])
    return pl.DataFrame(
        {
            "view": pl.Series(np.full(b - a, view), dtype=pl.Int64),
            "frame_idx": pl.Series(eye.frames[a:b], dtype=pl.Int64),
            "_pupil": state_texts(eye.states[a:b]),
            LID_OPENING: pl.Series(eye.opening[a:b]).fill_nan(None),
        }
    )
