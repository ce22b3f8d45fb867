"""Masks of a recording's reflections: their light.

Purpose: what leaves a run as masks (`ocusam export`, `ocusam davis-export`, `EyeRecording.masklets`). The
network's masks of something a few px large are poor: they may cover the pupil behind it. The rows of a
followed reflection are those of its light (`reflections.py`), and so is its mask here: the pixels within its
ellipse, none where it was lost. Reflections that nobody clicked have masks too.

Notable choices: nothing is written; `masklets/` keeps what the network said, since going on and correcting
start there. Rows are picked out of the signals when a mask is first asked for.

What it does not know: reflections that stayed with the network's rows; their masks are the network's.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import KNOWN_PATTERN
from ocusam.workflows.session.masklets import KEY, Masklets

_SHAPE = ["center_x_px", "center_y_px", "major_px", "minor_px", "angle_deg"]
_COLUMNS = [*KEY, "timestamp_ns", "predicted_iou", *_SHAPE]


class LightMasklets(Masklets):
    """Masklets in which followed reflections have their light.

    Args:
        masklets: the network's.
        signals: the recording's rows.
    """

    def __init__(self, masklets: Masklets, signals: LongRows | pl.DataFrame) -> None:
        self.__dict__.update(masklets.__dict__)
        self._signals = LongRows.of(signals)

    @cached_property
    def _followed(self) -> pl.DataFrame:
        """The rows of followed reflections, in order of time: those that the network says nothing of."""
        own = pl.col("object").str.contains(f"^{KNOWN_PATTERN}$") & pl.col("predicted_iou").is_null()
        rows = [part.select(_COLUMNS).filter(own) for part in self._signals.windows()]
        return pl.concat(rows).sort(KEY) if rows else pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.Int64))

    @cached_property
    def _frames(self) -> NDArray[np.int64]:
        return self._followed["frame_idx"].to_numpy()

    @property
    def table(self) -> pl.DataFrame:
        """As `Masklets.table`; followed reflections have neither predicted IoU nor object score."""
        followed = self._followed.select(
            "frame_idx",
            "timestamp_ns",
            "view",
            "object",
            predicted_iou=pl.lit(None, pl.Float64),
            object_score=pl.lit(None, pl.Float64),
        )
        known = super().table
        if followed.is_empty():
            return known
        return pl.concat([known.join(followed, on=KEY, how="anti"), followed]).sort(KEY)

    @property
    def objects(self) -> list[str]:
        """Names of the objects."""
        return sorted({*super().objects, *self._followed["object"].unique().to_list()})

    def masks(self, frame_idx: int) -> dict[tuple[int, str], NDArray[np.bool_]]:
        """As `Masklets.masks`."""
        found = super().masks(frame_idx)
        first, last = np.searchsorted(self._frames, [frame_idx, frame_idx + 1]).tolist()
        for row in self._followed[first:last].iter_rows(named=True):
            values = [row[name] for name in _SHAPE]
            if None in values:
                mask = np.zeros(self.size, dtype=np.bool_)
            else:
                x, y, major, minor, angle = values
                mask = Ellipse((x, y), (major, minor), angle).mask(self.size)
            found[int(row["view"]), str(row["object"])] = mask
        return dict(sorted(found.items()))

    def mask(self, frame_idx: int, name: str, view: int = 0) -> NDArray[np.bool_]:
        """As `Masklets.mask`."""
        found = self.masks(frame_idx).get((view, name))
        if found is None:
            raise InputError(
                f"No mask of {name!r} in view {view} on frame {frame_idx}; objects: "
                f"{', '.join(self.objects)}."
            )
        return found
