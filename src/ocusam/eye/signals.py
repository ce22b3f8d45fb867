"""Masks into signals: one row per frame and object.

Purpose: measure one object on one frame (`measure`), and collect the rows of a whole recording in little
memory (`SignalTable`) for `signals.csv`.

Notable choices: columns, units and order are fixed (`COLUMNS`), more columns follow them; a frame without the
object has its row too, with empty values and the state lost or blink. The centre, axes and angle are those of
the *fitted ellipse* (the complete outline, sub-pixel, `ellipse.py`); `area_px` is the area of the visible
mask. The ellipse of a pupil or an iris is refined on the picture's own edge where that is clear (`rim.py`), a
reflection on its own light (`reflection`); the column `edge` says which it is, "picture" or "mask". Where
lids leave an iris's outline open, its pupil says where the centre is and how it is turned. Sclera has none:
its centre and axes stay empty. A reflection, small and round, falls back to the moments of its logits when an
ellipse cannot be fitted. Rows are packed into columns as they come: about a hundred bytes a row.

What it does not know: time beyond the time stamps it is given, and other objects but for `Beside` (see
`whole_frame.py`, `blink`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.contour import Contour, outer_contour
from ocusam.eye.ellipse import EllipseFit, fit_rim
from ocusam.eye.reflection.spot import Spot, locate_reflection
from ocusam.eye.rim import RimFit, refine_rim

# Object names with a meaning for eye measurements; the reflections may be numbered (cr0, cr1, ...).
KNOWN_OBJECTS = (
    "pupil",
    "iris",
    "sclera",
    "corneal_reflection",
    "cr",
    "cr0",
    "cr1",
    "cr2",
    "cr3",
    "cr4",
    "cr5",
)
KNOWN_PATTERN = r"(corneal_reflection|cr)\d*"

TRACKED, BLINK, LOST = "tracked", "blink", "lost"

COLUMNS: dict[str, type[pl.DataType]] = {
    "frame_idx": pl.Int64,
    "timestamp_ns": pl.Int64,
    "view": pl.Int64,
    "object": pl.String,
    "state": pl.String,
    "center_x_px": pl.Float64,
    "center_y_px": pl.Float64,
    "major_px": pl.Float64,
    "minor_px": pl.Float64,
    "angle_deg": pl.Float64,
    "area_px": pl.Float64,
    "predicted_iou": pl.Float64,
    "object_score": pl.Float64,
    "rim_share": pl.Float64,
    "fit_rms_px": pl.Float64,
    "parts": pl.Int64,
    "edge": pl.String,
    "center_sd_px": pl.Float64,
    "major_sd_px": pl.Float64,
    "minor_sd_px": pl.Float64,
    "angle_sd_deg": pl.Float64,
    "eye_area_px": pl.Float64,
}
_PACK_EVERY = 4096
# Predicted IoU from which on an edge far from a pupil's mask is another one (of a shadow inside). A mask of
# which the network is less sure may itself lie beside the pupil, and the edge mends it.
_SURE = 0.85


@dataclass(frozen=True)
class Measurement:
    """What one mask says about one object on one frame; None where there is no value.

    Attributes:
        ellipse: complete outline in px of the whole picture.
        area_px: visible area, px^2; 0 when there is no mask.
        predicted_iou: the network's own estimate of its mask's quality, 0..1.
        object_score: the network's logit that the object is there (above 0: there).
        rim_share: share of the ellipse's outline that was seen, 0..1.
        fit_rms_px: distance of the seen outline from the ellipse.
        parts: number of connected parts of the mask.
        edge: what the ellipse was fitted to: "picture" or "mask"; None without one.
        center_sd_px, major_sd_px, minor_sd_px, angle_sd_deg: standard deviations by the picture's noise
            (`rim.RimFit`, `reflection.Spot`).
        eye_area_px: area of the open eye around it, px^2, as the network sees it without a prompt; with the
            pupil, also where that is hidden.
    """

    ellipse: Ellipse | None
    area_px: float
    predicted_iou: float
    object_score: float
    rim_share: float | None = None
    fit_rms_px: float | None = None
    parts: int = 0
    edge: str | None = None
    center_sd_px: float | None = None
    major_sd_px: float | None = None
    minor_sd_px: float | None = None
    angle_sd_deg: float | None = None
    eye_area_px: float | None = None


@dataclass(frozen=True)
class Beside:
    """What is known already of the same view on the same frame, px of the view.

    Attributes:
        spots: bright spots around the pupil: a reflection is one of them, if there are any.
        pupil: the pupil's outline, where it is well founded: an iris lies around it.
    """

    spots: Sequence[Spot] = ()
    pupil: Ellipse | None = None


_NOTHING = Beside()


def is_reflection(name: str) -> bool:
    """Whether an object name means a corneal reflection."""
    return re.fullmatch(KNOWN_PATTERN, name) is not None


def measure(
    logits: NDArray[np.float32],
    size: tuple[int, int],
    name: str,
    *,
    predicted_iou: float,
    object_score: float,
    origin: tuple[float, float] = (0.0, 0.0),
    picture: NDArray[np.uint8] | None = None,
    beside: Beside = _NOTHING,
) -> Measurement:
    """Measure one object on one frame.

    Args:
        logits: (h, w) mask logits over the view, any resolution.
        size: (height, width) of the view in px.
        name: the object's name: decides whether an ellipse makes sense.
        predicted_iou: the network's estimate, 0..1.
        object_score: the network's logit; at or below 0 the object counts as absent and the mask is not
            looked at.
        origin: (x, y) of the view's first pixel in the whole picture.
        picture: (H, W) grey or (H, W, 3) RGB of the view, to refine outlines on; None: by the mask
            alone.
        beside: what is known of the frame's other objects.
    """
    contour = outer_contour(logits, size) if object_score > 0 else None
    if contour is None:
        return Measurement(None, 0.0, predicted_iou, object_score)
    light = _light(contour, picture, beside.spots) if is_reflection(name) and picture is not None else None
    if light is not None:
        return Measurement(
            light.ellipse.translated(*origin),
            contour.area_px,
            predicted_iou,
            object_score,
            parts=contour.parts,
            edge="picture",
            center_sd_px=light.center_sd_px,
        )
    inner = _within(beside.pupil, contour) if name == "iris" else None
    fit: EllipseFit | None = (
        None if name == "sclera" else fit_rim(contour, both_lids=name == "iris", inner=inner)
    )
    ellipse = fit.ellipse if fit is not None else None
    if ellipse is None and is_reflection(name):
        ellipse = _moments(contour)
    share, rms = (fit.rim_share, fit.rms_px) if fit is not None else (None, None)
    edge = None if ellipse is None else "mask"
    deviations: tuple[float | None, ...] = (None,) * 4
    if ellipse is not None and picture is not None and name in ("pupil", "iris"):
        hold = name == "iris" or predicted_iou >= _SURE
        rim = _refined(picture, fit, contour, hold, inner) if fit is not None else None
        if rim is not None:
            ellipse, edge, share, rms = rim.ellipse, "picture", rim.share, rim.rms_px
            deviations = (rim.center_sd_px, rim.major_sd_px, rim.minor_sd_px, rim.angle_sd_deg)
    if ellipse is not None:
        ellipse = ellipse.translated(*origin)
    return Measurement(
        ellipse,
        contour.area_px,
        predicted_iou,
        object_score,
        share,
        rms,
        contour.parts,
        edge,
        *deviations,
    )


def _light(contour: Contour, picture: NDArray[np.uint8], spots: Sequence[Spot]) -> Spot | None:
    """The light that a reflection's mask means: the nearest to its middle. Masks of reflections are poor and
    may be as large as a pupil; none farther away than a known spot needs to be looked for."""
    mask = _moments(contour)
    if mask is None:
        return None
    known = (2.0 * math.dist(s.ellipse.center, mask.center) + s.ellipse.major for s in spots)
    return locate_reflection(picture, Ellipse(mask.center, (min(mask.major, *known, math.inf),) * 2))


def _refined(
    picture: NDArray[np.uint8], fit: EllipseFit, contour: Contour, hold: bool, inner: Ellipse | None
) -> RimFit | None:
    """The picture's edge, looked for where the mask's outline is true rim, then all around."""
    rim = contour.points[fit.rim]
    return refine_rim(picture, fit.ellipse, rim, else_around=True, hold=hold, inner=inner)


def _within(pupil: Ellipse | None, contour: Contour) -> Ellipse | None:
    """The pupil, if it can be the pupil of this iris."""
    if pupil is None or pupil.area >= contour.area_px:
        return None
    outline = contour.points.astype(np.float32)[:, None]
    return pupil if cv2.pointPolygonTest(outline, pupil.center, False) > 0 else None


def _moments(contour: Contour) -> Ellipse | None:
    """A circle of the contour's area about its centroid (polygon formula)."""
    x, y = contour.points.T
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    cross = x * y2 - x2 * y
    total = float(cross.sum())
    if abs(total) < 1e-9 or contour.area_px <= 0:
        return None
    center = (float(((x + x2) * cross).sum() / (3 * total)), float(((y + y2) * cross).sum() / (3 * total)))
    diameter = 2.0 * math.sqrt(contour.area_px / math.pi)
    return Ellipse(center, (diameter, diameter), 0.0)


class SignalTable:
    """Rows of `signals.csv`, collected one by one in any order of frames."""

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []
        self._packed: list[pl.DataFrame] = []

    def add(self, frame_idx: int, timestamp_ns: int, view: int, name: str, measured: Measurement) -> None:
        """Append the row of one object on one frame. The state is a first one: tracked or lost (see
        `blink.py`)."""
        e = measured.ellipse
        here = measured.area_px > 0 and (e is not None or name == "sclera")
        shape = (None,) * 5 if e is None else (e.center[0], e.center[1], e.major, e.minor, e.angle)
        deviations = (
            measured.center_sd_px,
            measured.major_sd_px,
            measured.minor_sd_px,
            measured.angle_sd_deg,
        )
        self._rows.append(
            (
                frame_idx,
                timestamp_ns,
                view,
                name,
                TRACKED if here else LOST,
                *shape,
                measured.area_px if here else None,
                _known(measured.predicted_iou),
                _known(measured.object_score),
                measured.rim_share,
                measured.fit_rms_px,
                measured.parts if here else None,
                measured.edge if here else None,
                *(deviations if here else (None,) * 4),
                measured.eye_area_px,
            )
        )
        if len(self._rows) >= _PACK_EVERY:
            self._pack()

    def _pack(self) -> None:
        if self._rows:
            self._packed.append(pl.DataFrame(self._rows, schema=COLUMNS, orient="row"))
            self._rows = []

    def table(self) -> pl.DataFrame:
        """All rows, ordered by frame, view and object; when a frame was measured twice the later row
        counts."""
        self._pack()
        if not self._packed:
            return pl.DataFrame(schema=COLUMNS)
        self._packed = [pl.concat(self._packed)]
        key = ["frame_idx", "view", "object"]
        return self._packed[0].unique(subset=key, keep="last", maintain_order=True).sort(key)


def _known(value: float) -> float | None:
    """None for a number that is not one (a tracker without an answer)."""
    return value if math.isfinite(value) else None


def ellipse_of(row: dict[str, object]) -> Ellipse | None:
    """The ellipse of one row (a dict from `DataFrame.iter_rows(named=True)`), None where it is empty."""
    values = [row[c] for c in ("center_x_px", "center_y_px", "major_px", "minor_px", "angle_deg")]
    if any(v is None for v in values):
        return None
    x, y, major, minor, angle = (float(v) for v in values)  # type: ignore[arg-type]
    return Ellipse((x, y), (major, minor), angle)
