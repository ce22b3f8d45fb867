"""Files of `ocusam gaze`, read: gaze that still fits its signals, calibrations, the screen.

Notable choices: `calibration.json` holds the SHA-256 of the signals that gaze was computed from: gaze older
than its signals (after a correction) is not shown. Calibrations of earlier versions are read, too.

What it does not know: how they are made (`gaze_tables`) and written (`workflows.gaze`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError
from ocusam.eye.calibration import Calibration
from ocusam.eye.events import event_columns
from ocusam.eye.targets import Screen

FILES = ("gaze.csv", "gaze_events.csv", "calibration.json")
SCREEN_COLUMNS = ("screen_x_px", "screen_y_px")


def read_gaze(folder: Path, signals: Path) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]] | None:
    """(gaze, its events, calibration.json) of a folder; None where there is none, or it is older than the
    signals.

    Raises:
        InputError: the files are damaged.
    """
    table, events, record = (folder / name for name in FILES)
    if not all(path.is_file() for path in (table, events, record, signals)):
        return None
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["signals_sha256"] != sha256(signals):
            return None
        types: dict[str, type[pl.DataType]] = {"event": pl.String, **event_columns("deg")}
        return (
            pl.read_csv(table, infer_schema_length=None, glob=False),
            pl.read_csv(events, schema_overrides=types, infer_schema_length=None, glob=False),
            known,
        )
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"The gaze in {folder} cannot be read ({str(error).splitlines()[0]}); run `ocusam gaze` again."
        ) from None


def read_calibrations(path: Path) -> tuple[dict[int, Calibration], dict[str, Any]]:
    """(view -> its last calibration, all of it) of a `calibration.json`.

    Raises:
        InputError: absent, or something else.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        views: dict[int, Any] = {}
        # Files of format 1 have one calibration, and no list.
        for one in known.get("calibrations") or [known]:
            views |= {int(view): value for view, value in one["views"].items()}
    except FileNotFoundError:
        raise InputError(
            f"There is no calibration {path}; `ocusam gaze RUN --targets FILE` makes one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as a calibration.json of `ocusam gaze` ({error}).") from None
    return {view: Calibration.from_dict(value) for view, value in views.items()}, known


def screen_of(known: dict[str, Any]) -> Screen | None:
    """The screen in a calibration.json, or None."""
    screen = known.get("screen")
    if not screen:
        return None
    (w, h), (a, b) = screen["size_px"], screen["size_mm"]
    return Screen((int(w), int(h)), (float(a), float(b)), float(screen["distance_mm"]))


def sha256(path: Path) -> str:
    """Of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
