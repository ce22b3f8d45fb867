"""The pupil's diameter in mm, from a stated scale or an assumed diameter of the iris.

Purpose: one factor for each eye, mm of the pupil's plane in one px of the picture, and the column
`DIAMETER_MM` that follows from it and `major_px`.

Notable choices: the iris (the limbus, as it is seen) hardly changes in adults, so its diameter in px says how
large a px is. White-to-white it measures 11.71 +- 0.42 mm (mean and SD of 743 eyes of 390 healthy people, 10
to 80 years: Ruefer, Schroeder and Erb 2005, Cornea 24(3):259-261, DOI 10.1097/01.ico.0000148312.01805.53).
Its major axis in the picture is hardly foreshortened when the eye turns. The factor is one for the whole
recording, from the median of that axis over frames on which the rim was well seen, so that the noise of the
iris on single frames does not get into the pupil. What counts as well seen is loosened step by step where too
few frames are left (`_STEPS`); what it came to is told.

What it does not know: how far away the eye is. A camera that slips, or moves to and fro, changes the true
scale while this one stays. A person's iris differs from the assumed one by 3.6 % (SD), which scales all of
that person's values alike. mm are those of the pupil as it is seen through the cornea (the entrance pupil),
which is larger than the pupil itself (Aguirre 2018, DOI 10.1101/325548). Lens distortion is not corrected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.long_rows import LongRows, ObjectRows
from ocusam.eye.signals import TRACKED

DIAMETER_MM = "diameter_mm"
"""Column added to the pupil's rows: `major_px` in mm; empty where it is, and where there is no scale."""

STATED, BY_IRIS = "stated", "iris"
IRIS_SD_SHARE = 0.42 / 11.71
"""SD of the iris's diameter between people, as a share of it (Ruefer et al. 2005)."""
_LEAST_FRAMES = 10
# (on the picture's own edge, least share of the rim in sight); the first that leaves enough frames is taken,
# the last one also with fewer. A mask's edge lies where the network puts it, so the picture's comes first.
_STEPS = ((True, 0.5), (True, 0.35), (False, 0.35))
_SD_PER_MAD = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Scaling:
    """How px become mm: by one of both, or not at all.

    Attributes:
        mm_per_px: stated: mm in one px at the distance of the eye.
        iris_mm: assumed diameter of the visible iris, mm.

    Raises:
        InputError: both, or a value that is not above 0.
    """

    mm_per_px: float | None = None
    iris_mm: float | None = None

    def __post_init__(self) -> None:
        for name, value, unit in (
            ("mm_per_px", self.mm_per_px, "mm per px at the distance of the eye, such as 0.05"),
            ("iris_mm", self.iris_mm, "the iris's diameter in mm; adults have about 11.7"),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name}={value:g}: give a number above 0, {unit}.")
        if self.mm_per_px is not None and self.iris_mm is not None:
            raise InputError(
                f"mm_per_px={self.mm_per_px:g} and iris_mm={self.iris_mm:g} both say how large a px is: give "
                "one of them (--mm-per-px or --iris-mm)."
            )


@dataclass(frozen=True)
class PupilScale:
    """The scale of one eye.

    Attributes:
        view: which eye.
        by: "stated" or "iris".
        mm_per_px: the factor; None where no iris was seen well enough.
        iris_mm: the assumed diameter.
        iris_px: median of the iris's major axis over `frames`.
        scatter: robust SD (1.4826 MAD) of that axis on single frames, as a share of the median.
        frames: how many were used.
        edge: "picture" or "mask": what the ellipses of those frames were fitted to at least.
        least_rim_share: share of the rim that was seen on each of them at least.
    """

    view: int
    by: str
    mm_per_px: float | None
    iris_mm: float | None = None
    iris_px: float | None = None
    scatter: float | None = None
    frames: int | None = None
    edge: str | None = None
    least_rim_share: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: those that there are, and always the factor."""
        known = asdict(self)
        return {key: v for key, v in known.items() if v is not None or key == "mm_per_px"}


def scales_of(signals: LongRows, wanted: Scaling | None) -> list[PupilScale]:
    """The scale of every eye whose pupil was tracked; none where nothing was asked for.

    Args:
        signals: rows of a recording, with their final states.
        wanted: where mm come from.
    """
    if wanted is None or (wanted.mm_per_px is None and wanted.iris_mm is None):
        return []
    found = []
    for view in [view for view, name in signals.objects if name == "pupil"]:
        if wanted.iris_mm is None:
            found.append(PupilScale(view, STATED, wanted.mm_per_px))
        else:
            iris = signals.rows(view, "iris") if (view, "iris") in signals.objects else None
            found.append(scale_by_iris(view, iris, wanted.iris_mm))
    return found


def scale_by_iris(view: int, iris: ObjectRows | None, iris_mm: float) -> PupilScale:
    """The scale of one eye from the rows of its iris; None: it was not tracked."""
    if iris is None:
        return PupilScale(view, BY_IRIS, None, iris_mm, frames=0)
    major, share = iris.numbers("major_px"), iris.numbers("rim_share")
    # Only ellipses on the picture's own edge have a deviation.
    on_picture = np.isfinite(iris.read("major_sd_px"))
    measured: NDArray[np.bool_] = np.isfinite(major) & (major > 0)
    here = measured
    for picture, least in _STEPS:
        here = measured & (share >= least)
        if picture:
            here &= on_picture
        if here.sum() >= _LEAST_FRAMES:
            break
    used = major[here]
    if not len(used):
        return PupilScale(view, BY_IRIS, None, iris_mm, frames=0)
    size = float(np.median(used))
    scatter = _SD_PER_MAD * float(np.median(np.abs(used - size))) / size
    return PupilScale(
        view,
        BY_IRIS,
        iris_mm / size,
        iris_mm,
        iris_px=size,
        scatter=scatter,
        frames=len(used),
        edge="picture" if picture else "mask",
        least_rim_share=least,
    )


def with_diameters(rows: pl.DataFrame, scales: Sequence[PupilScale]) -> pl.DataFrame:
    """Rows (of some frames or all) with `DIAMETER_MM`, in place of one that they have."""
    factor = pl.lit(None, dtype=pl.Float64)
    for scale in scales:
        value = pl.lit(scale.mm_per_px, dtype=pl.Float64)
        factor = pl.when(pl.col("view") == scale.view).then(value).otherwise(factor)
    valid = (pl.col("object") == "pupil") & (pl.col("state") == TRACKED)
    mm = pl.when(valid).then(pl.col("major_px") * factor)
    return rows.with_columns(mm.cast(pl.Float64).alias(DIAMETER_MM))
