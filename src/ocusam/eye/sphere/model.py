"""From pupil ellipses to an eyeball: what pye3d is asked, and a table of what it answers.

Purpose: per sample the centre of the eyeball, the direction of the optical axis, the pupil's diameter in mm
and how far the model can be trusted, after Swirski and Dodgson (2013) and, for the refraction at the cornea,
Dierkes, Kassner and Bulling (2019, DOI 10.1145/3314111.3319819).

Notable choices. The model shapes itself on samples that are clean (tracked, away from blinks, not doubtful),
show `CLEAR_RIM` of the pupil's rim and are no exact circles; the others are followed and shape nothing. pye3d
wants a "confidence" for that and compares it with thresholds made for Pupil's detector; ours says just this:
1, or 0.75. The camera is a pinhole with square pixels; directions and places are those of the eye's own view:
x right, y down, z away from the camera, mm. pye3d counts px from the corner of the picture, ocusam from the
centre of its first pixel.

What it does not know: lens distortion; where the camera stands on the head; the angle between optical and
visual axis (about 5 deg, differs between people). A calibration (`--feature eye3d`) deals with the last two.
The eyeball has one size for all people (10.39 mm from its centre to the pupil), so mm hold as far as that
does; and with the wrong focal length nothing holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.eye.calibration.held_gaze import DIRECTION_COLUMNS, FloatArray, eye_rows
from ocusam.eye.signals import TRACKED

WHOLE, RUNNING = "whole", "running"
FITS = (WHOLE, RUNNING)
CLEAR_RIM = 0.7
SURE, FOLLOWED = 1.0, 0.75
ROUNDEST = 0.9995
"""Axis ratio above which an outline counts as a circle: what pye3d computes from an exact one is no number to
use (0.3.2), and a circle may be what a fit fell back to."""
MIN_SAMPLES = 30
# What the worker answers for a sample, in its order.
ANSWER = (
    "model_confidence", "sphere_center_x_mm", "sphere_center_y_mm", "sphere_center_z_mm", "sphere_radius_mm",
    "circle_center_x_mm", "circle_center_y_mm", "circle_center_z_mm", "normal_x", "normal_y", "normal_z",
    "circle_radius_mm", "diameter_mm", "theta_rad", "phi_rad",
    "projected_sphere_center_x_px", "projected_sphere_center_y_px", "projected_sphere_minor_px",
    "projected_sphere_major_px", "projected_sphere_angle_deg",
    "ellipse_center_x_px", "ellipse_center_y_px", "ellipse_minor_px", "ellipse_major_px", "ellipse_angle_deg",
)  # fmt: skip
_KEYS: dict[str, type[pl.DataType]] = {"frame_idx": pl.Int64, "timestamp_ns": pl.Int64, "view": pl.Int64}
EYE3D_COLUMNS: dict[str, type[pl.DataType]] = {
    **_KEYS, **dict.fromkeys(DIRECTION_COLUMNS, pl.Float64), "diameter_mm": pl.Float64,
    "model_confidence": pl.Float64, "shapes_model": pl.Boolean,
    **{name: pl.Float64 for name in ANSWER if name not in ("diameter_mm", "model_confidence")},
}  # fmt: skip
_ELLIPSE = ("center_x_px", "center_y_px", "minor_px", "major_px", "angle_deg")


@dataclass(frozen=True)
class EyeCamera:
    """The pinhole of an eye camera.

    Attributes:
        focal_px: focal length, px of the recorded picture.
        center_px: (x, y) where the optical axis meets the picture, px of the eye's view; None: its middle.

    Raises:
        InputError: the focal length is not above 0.
    """

    focal_px: float
    center_px: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        numbers = (self.focal_px, *(self.center_px or ()))
        if not all(math.isfinite(n) for n in numbers) or self.focal_px <= 0:
            raise InputError(f"A focal length is a number of px above 0; got {self.focal_px:g}.")

    @classmethod
    def of_view_angle(cls, degrees: float, width: int) -> EyeCamera:
        """From the horizontal angle that a view of `width` px takes in.

        Raises:
            InputError: no angle between 1 and 170 degrees.
        """
        if not 1.0 <= degrees <= 170.0:
            raise InputError(f"A field of view lies between 1 and 170 degrees; got {degrees:g}.")
        return cls(0.5 * width / math.tan(math.radians(degrees) / 2.0))


@dataclass(frozen=True)
class SphereSettings:
    """How the eyeball is fitted.

    Attributes:
        fit: "whole": one sphere for the recording (a camera that keeps its place); "running": a sphere that
            follows the last observations, as in Pupil Capture (a headset that slips).
        refraction: correct for the cornea; off only for pictures without one (rendered, or a printed eye).

    Raises:
        InputError: an unknown fit.
    """

    fit: str = WHOLE
    refraction: bool = True

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise InputError(f"Unknown fit {self.fit!r}: give {' or '.join(FITS)}.")


@dataclass(frozen=True, eq=False)
class Asked:
    """What is sent to the worker of one view, and which samples it is about."""

    view: View
    camera: EyeCamera
    rows: pl.DataFrame
    numbers: FloatArray

    @property
    def request(self) -> dict[str, Any]:
        """An element of the worker's `views`."""
        height, width = self.view.size
        return {"focal_px": self.camera.focal_px, "size": [width, height], "rows": self.numbers.tolist()}

    @property
    def offset(self) -> tuple[float, float]:
        """What to add to px of the whole picture to get pye3d's."""
        (x0, y0), (height, width) = self.view.region[:2], self.view.size
        cx, cy = self.camera.center_px or ((width - 1) / 2.0, (height - 1) / 2.0)
        return width / 2.0 - cx - x0, height / 2.0 - cy - y0


def request_of(
    signals: pl.DataFrame,
    view: View,
    camera: EyeCamera,
    *,
    blinks: pl.DataFrame | None = None,
    doubts: pl.DataFrame | None = None,
) -> Asked:
    """Ask about one eye.

    Args:
        signals: table of a recording.
        view: which eye, and where its picture is.
        camera: that filmed it.
        blinks, doubts: tables of the recording; samples near blinks and doubtful ones do not shape the model.

    Raises:
        InputError: no pupil in this view, or too few clean samples.
    """
    eye = eye_rows(signals, view.index, blinks, doubts)
    pupil = signals.filter((pl.col("object") == "pupil") & (pl.col("view") == view.index)).sort("frame_idx")
    rim = pl.col("rim_share").fill_null(1.0) if "rim_share" in pupil.columns else pl.lit(1.0)
    shaped = pl.col("minor_px") < ROUNDEST * pl.col("major_px")
    rows = pupil.with_columns(pl.Series("shapes_model", eye.clean) & (rim >= CLEAR_RIM) & shaped)
    rows = rows.filter((pl.col("state") == TRACKED) & pl.all_horizontal(pl.col(_ELLIPSE).is_not_null()))
    sure = int(rows["shapes_model"].sum())
    if sure < MIN_SAMPLES:
        raise InputError(
            f"View {view.index}: an eyeball needs at least {MIN_SAMPLES} clean samples of the pupil "
            f"(tracked, no blink, not doubtful, {CLEAR_RIM:.0%} of its rim in sight); there are {sure}."
        )
    keys = rows.select(*_KEYS, "shapes_model", pl.col(_ELLIPSE).cast(pl.Float64))
    asked = Asked(view, camera, keys, np.zeros((0, 7)))
    x, y = (rows[c].to_numpy() + shift for c, shift in zip(_ELLIPSE[:2], asked.offset, strict=True))
    time = (rows["timestamp_ns"] - rows["timestamp_ns"][0]).to_numpy() / 1e9
    confidence = np.where(rows["shapes_model"].to_numpy(), SURE, FOLLOWED)
    # Pupil's angle is that of the minor axis.
    angle = rows["angle_deg"].to_numpy() - 90.0
    major = rows["major_px"].to_numpy()
    minor = np.minimum(rows["minor_px"].to_numpy(), ROUNDEST * major)
    columns = (time, x, y, minor, major, angle, confidence)
    return Asked(view, camera, keys, np.stack(columns, axis=1).astype(np.float64))


def table_of(signals: pl.DataFrame, asked: Asked, results: Sequence[Sequence[float]]) -> pl.DataFrame:
    """Rows of `eye3d.csv` for one view: every frame, empty where the pupil was not tracked.

    Args:
        signals: of the recording.
        asked: of `request_of`.
        results: of the worker, one for each of its rows.
    """
    found = pl.DataFrame(
        np.array(results, dtype=np.float64).reshape(-1, len(ANSWER)), schema=list(ANSWER), orient="row"
    ).fill_nan(None)
    dx, dy = asked.offset
    axis = [pl.col(name) / -pl.col("normal_z") for name in ("normal_x", "normal_y")]
    found = found.with_columns(
        *(pl.col(f"{what}_center_x_px") - dx for what in ("projected_sphere", "ellipse")),
        *(pl.col(f"{what}_center_y_px") - dy for what in ("projected_sphere", "ellipse")),
        # An eye turned away from the camera has no such direction.
        *(
            pl.when(pl.col("normal_z") < 0).then(tangent.arctan().degrees()).alias(name)
            for tangent, name in zip(axis, DIRECTION_COLUMNS, strict=True)
        ),
    )
    made = pl.concat([asked.rows.select("frame_idx", "shapes_model"), found], how="horizontal")
    mine = (pl.col("object") == "pupil") & (pl.col("view") == asked.view.index)
    frames = signals.filter(mine).sort("frame_idx").select(*_KEYS)
    joined = frames.join(made, on="frame_idx", how="left", maintain_order="left")
    return joined.select(pl.col(name).cast(kind) for name, kind in EYE3D_COLUMNS.items())


def summary_of(table: pl.DataFrame, asked: Asked, rms_mm: float | None) -> dict[str, Any]:
    """What one view's model is worth: samples, how far the eye turned, where the eyeball is, its scatter."""
    there = table.drop_nulls("model_confidence")
    x, y = (there[name].drop_nulls() for name in DIRECTION_COLUMNS)
    middle = {c: there[c].median() for c in EYE3D_COLUMNS if c.startswith("sphere_center")}
    return {
        "view": asked.view.index,
        "focal_px": asked.camera.focal_px,
        "samples": len(table),
        "with_pupil": len(there),
        "shape_model": int(there["shapes_model"].sum()),
        "confident": float((there["model_confidence"] >= 1.0).mean() or 0.0),  # type: ignore[arg-type]
        "range_x_deg": _range(x),
        "range_y_deg": _range(y),
        "diameter_mm": there["diameter_mm"].median(),
        **middle,
        "rms_mm": rms_mm,
    }


def _range(values: pl.Series) -> float | None:
    """Between the 5th and the 95th percentile."""
    low, high = values.quantile(0.05), values.quantile(0.95)
    return None if low is None or high is None else float(high - low)
