"""A model of the eyeball for a finished run: pye3d asked, `eye3d.csv` and `eye3d.json` written and read.

Purpose: `ocusam eye3d`, `EyeRecording.eye3d`, the calibration's feature eye3d and the export to Pupil Core
share it.

Notable choices: pye3d may live in another Python (its wheels need numpy 1, ocusam needs numpy 2): then the
worker file is run by that one as a program. `eye3d.json` holds the SHA-256 of the signals it was made from;
a model older than its signals (after a correction) is not used.

What it does not know: how the model works (`eye.sphere`); where the camera's numbers come from.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError
from ocusam.core.version import __version__
from ocusam.eye.calibration.held_gaze import DIRECTION_COLUMNS
from ocusam.eye.quality import doubtful
from ocusam.eye.sphere import (
    EYE3D_COLUMNS,
    EyeCamera,
    SphereSettings,
    request_of,
    summary_of,
    table_of,
    worker,
)
from ocusam.workflows.results.finished_run import FinishedRun
from ocusam.workflows.results.gaze_files import sha256

FILES = ("eye3d.csv", "eye3d.json")
INSTALL = (
    "pye3d could not be used ({why}). Its wheels need numpy 1 and Python 3.11 or older, ocusam needs "
    "numpy 2, so it lives in an environment of its own: python3.11 -m venv pye3d-env; "
    "pye3d-env/bin/pip install pye3d 'numpy<2' 'opencv-python-headless<4.11'; "
    "then give --pye3d-python pye3d-env/bin/python."
)


@dataclass(frozen=True, eq=False)
class Eye3d:
    """Models of the eyeballs of a recording.

    Attributes:
        table: one row per frame and view (columns `eye.sphere.EYE3D_COLUMNS`), empty without a pupil.
        views: one summary for each view (`eye.sphere.summary_of`).
        settings: how it was fitted.
        version: of pye3d.
        skipped: view -> why it has none.
    """

    table: pl.DataFrame
    views: list[dict[str, Any]]
    settings: SphereSettings
    version: str
    skipped: dict[int, str]

    def record(self) -> dict[str, Any]:
        """`eye3d.json`, without where it comes from."""
        return {
            "ocusam": __version__,
            "pye3d": self.version,
            **asdict(self.settings),
            "views": self.views,
            "skipped": {str(view): why for view, why in self.skipped.items()},
        }


def model_eyes(
    run: FinishedRun,
    cameras: Mapping[int, EyeCamera],
    settings: SphereSettings | None = None,
    *,
    python: str | Path | None = None,
) -> Eye3d:
    """Fit an eyeball to every eye of a run.

    Args:
        run: of `ocusam eye`.
        cameras: view -> camera.
        settings: how.
        python: the Python in whose environment pye3d is installed; None: this one.

    Raises:
        InputError: pye3d cannot be used, or no eye has enough clean samples.
    """
    settings = settings or SphereSettings()
    doubts = run.table("doubtful") if (run.folder / "doubtful.csv").is_file() else doubtful(run.signals)
    asked, skipped = [], {}
    for view in run.views:
        try:
            asked.append(request_of(run.signals, view, cameras[view.index], blinks=run.blinks, doubts=doubts))
        except InputError as error:
            skipped[view.index] = str(error)
    if not asked:
        raise InputError(" ".join(dict.fromkeys(skipped.values())))
    request = {
        "views": [one.request for one in asked],
        "refraction": settings.refraction,
        "whole": settings.fit == "whole",
    }
    found = _here(request) if python is None else _there(request, Path(python))
    tables, views = [], []
    for one, its in zip(asked, found["views"], strict=True):
        tables.append(table_of(run.signals, one, its["results"]))
        views.append(summary_of(tables[-1], one, its["rms_mm"]))
    table = pl.concat(tables).sort("frame_idx", "view")
    return Eye3d(table, views, settings, str(found["version"]), skipped)


def _here(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return worker.answer(request)
    except (ImportError, ValueError, AttributeError) as error:
        # A wheel made for numpy 1 fails with a ValueError.
        raise InputError(INSTALL.format(why=str(error).splitlines()[0])) from None


def _there(request: dict[str, Any], python: Path) -> dict[str, Any]:
    command = [str(python), str(worker.__file__)]
    try:
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"The Python {python} cannot be started ({error.strerror or error}).") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(INSTALL.format(why=f"by {python}: {last}"))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def read_eye3d(folder: Path) -> tuple[pl.DataFrame, dict[str, Any]] | None:
    """(table, record) of a folder's `eye3d.csv`; None where there is none, or it is older than the signals.

    Raises:
        InputError: the files are damaged.
    """
    table, record, signals = (folder / name for name in (*FILES, "signals.csv"))
    if not (table.is_file() and record.is_file() and signals.is_file()):
        return None
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["signals_sha256"] != sha256(signals):
            return None
        return pl.read_csv(table, schema_overrides=EYE3D_COLUMNS, glob=False), known
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"The model in {folder} cannot be read ({str(error).splitlines()[0]}); run `ocusam eye3d` again."
        ) from None


def with_directions(signals: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """The signals, with the direction of the optical axis on the pupils' rows."""
    key = ["frame_idx", "view", "object"]
    known = table.select("frame_idx", "view", pl.lit("pupil").alias("object"), *DIRECTION_COLUMNS)
    return signals.drop(DIRECTION_COLUMNS, strict=False).join(
        known, on=key, how="left", maintain_order="left"
    )
