"""What a recording can be turned into, from Python: the methods `to_...` and `load` of `EyeRecording`.

Notable choices: `signals`, `blinks` and the other tables are polars data frames already. What is written for
others is made from the run's folder, so that a recording of last year exports like one of today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl

from ocusam.core.errors import InputError
from ocusam.eye.events import fixations, saccades
from ocusam.eye.filters import Filters
from ocusam.eye.long_rows import LongRows
from ocusam.eye.sphere import EyeCamera, SphereSettings
from ocusam.workflows.results.export_bids import BidsLabels, write_bids
from ocusam.workflows.results.export_tables import (
    filtered,
    to_pandas,
    to_pymovements,
    write_parquet,
    write_pupil_positions,
)
from ocusam.workflows.results.eye3d_tables import Eye3d, model_eyes, read_eye3d, with_directions
from ocusam.workflows.results.finished_run import FinishedRun, open_run
from ocusam.workflows.results.gaze_tables import EyeTables, Gaze, GazeSettings, Tables, calibrate_recording

_ALWAYS = ("blinks", "quality")


class WaysOut:
    """Base of `EyeRecording`; a dataclass with the fields named here."""

    rows: LongRows
    blinks: pl.DataFrame
    events: pl.DataFrame
    doubtful: pl.DataFrame
    folder: Path | None

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The recording that a finished run has left in its folder.

        Raises:
            InputError: no finished run of `ocusam eye` there.
        """
        run = open_run(folder)
        frames, seconds = int(run.record.get("frames", 0)), float(run.record.get("seconds", 0.0))
        kept = any((run.folder / "masklets").glob("chunk_*.parquet"))
        known: dict[str, Any] = {
            "masklets": run.masklets if kept else None,
            "num_frames": frames,
            "truncated": bool(run.record.get("truncated", False)),
            "fps": frames * run.signals["view"].n_unique() / seconds if seconds > 0 else 0.0,
            "folder": run.folder,
            "found": run.record.get("found"),
            "recoveries": tuple(run.record.get("recoveries", ())),
            "zoom": run.record.get("zoom"),
            "scale": run.record.get("scale"),
        }
        values: dict[str, Any] = {}
        for field in fields(cls):  # type: ignore[arg-type]
            if field.name in known:
                values[field.name] = known[field.name]
            elif field.name == "rows":
                values[field.name] = LongRows.of(run.signals)
            elif field.name in _ALWAYS or (run.folder / f"{field.name}.csv").is_file():
                values[field.name] = run.table(field.name)
            elif field.default is MISSING:
                values[field.name] = pl.DataFrame()  # a table that the version of this run did not write
        return cls(**values)

    @cached_property
    def signals(self) -> pl.DataFrame:
        """All rows as one table, 170 bytes a row; read from the run's folder when first asked for."""
        return self.rows.table()

    @property
    def fixations(self) -> pl.DataFrame:
        """The fixations among the events, px."""
        return fixations(self.events)

    @property
    def saccades(self) -> pl.DataFrame:
        """The saccades among the events, px."""
        return saccades(self.events)

    def calibrate(
        self, targets: Tables, settings: GazeSettings | None = None, *, validate: Tables = ()
    ) -> Gaze:
        """Gaze in degrees, from targets that were looked at.

        Args:
            targets: t (s) or start and end, x, y: see `eye.targets.make_targets`; a list of tables, one for
                each calibration, where the recording has several.
            settings: screen, models, event rules.
            validate: a table, or several, of targets that are only checked.

        Raises:
            InputError: the targets cannot be used, or no eye can be calibrated.
        """
        model = None if self.folder is None else read_eye3d(self.folder)
        signals = self.signals if model is None else with_directions(self.signals, model[0])
        return calibrate_recording(
            EyeTables(signals, self.blinks, self.doubtful), targets, settings, validate=validate
        )

    def eye3d(
        self, camera: EyeCamera, settings: SphereSettings | None = None, *, python: str | Path | None = None
    ) -> Eye3d:
        """A model of the eyeball of every eye, by pye3d: directions, pupil in mm (nothing is written).

        Args:
            camera: the eye camera, the same for all views.
            settings: how it is fitted.
            python: the Python in whose environment pye3d is installed; None: this one.

        Raises:
            InputError: the recording was not written, pye3d cannot be used, or there are too few samples.
        """
        run = self._run()
        return model_eyes(run, {view.index: camera for view in run.views}, settings, python=python)

    def filtered(self, **options: Any) -> pl.DataFrame:
        """The signals, filtered: centre and diameter of every object, with `<column>_validity`.

        Args:
            options: of `eye.filters.Filters`, all off unless given: median_samples, savgol_samples,
                savgol_degree, interpolate_ms, margin_ms.

        Raises:
            InputError: an option outside what is allowed, or an unknown one.
        """
        known = [field.name for field in fields(Filters)]
        for name in options:
            if name not in known:
                raise InputError(f"Unknown filter option {name!r}; known: {', '.join(known)}.")
        return filtered(self.signals, Filters(**options))

    def to_pandas(self, table: str = "signals") -> Any:
        """One of the tables as a pandas data frame: "signals", "blinks", "quality", "events".

        Raises:
            InputError: no such table; pandas is not installed.
        """
        found = getattr(self, table, None)
        if not isinstance(found, pl.DataFrame):
            raise InputError(
                f"There is no table {table!r}: give signals, blinks, quality or another that is."
            )
        return to_pandas(found)

    def to_pymovements(self, *, view: int = 0, name: str = "pupil") -> Any:
        """One object's positions as a `pymovements.Gaze`, see `export_tables.to_pymovements`.

        Raises:
            InputError: no such object.
        """
        return to_pymovements(self.signals, self.blinks, view=view, name=name)

    def to_parquet(self, out: str | Path) -> list[Path]:
        """All tables as Parquet files in a folder.

        Raises:
            OcusamError: the recording was not written, or the folder cannot be.
        """
        return write_parquet(self._run(), out)

    def to_pupil_core(self, out: str | Path, eyes: Sequence[str] | None = None) -> Path:
        """`pupil_positions.csv` in a folder, see `export_tables.pupil_positions`.

        Raises:
            OcusamError: the recording was not written, `eyes` do not fit, or the folder cannot be written.
        """
        return write_pupil_positions(self._run(), out, eyes)

    def to_bids(
        self, root: str | Path, *, subject: str, task: str, eyes: Sequence[str], **labels: Any
    ) -> list[Path]:
        """Add the recording to a BIDS dataset; further labels as `export_bids.BidsLabels`.

        Raises:
            OcusamError: the recording was not written, labels do not fit, or the dataset cannot be written.
        """
        return write_bids(self._run(), root, BidsLabels(subject, task, eyes, **labels))

    def _run(self) -> FinishedRun:
        if self.folder is None:
            raise InputError("This recording was not written to a folder: call track_eye(..., out=FOLDER).")
        return open_run(self.folder)
