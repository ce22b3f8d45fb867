"""Gaze from a finished run and the targets that were looked at: `ocusam gaze`.

Purpose: read the run and the table of targets, calibrate (or take an earlier calibration), write `gaze.csv`,
`gaze_events.csv`, `calibration.json`, with two eyes `gaze_both.csv` and `gaze_both_events.csv`, and make the
page again with them.

Notable choices: everything is computed before the first file is written; files of an earlier call are
replaced. With the calibration of another recording all targets are for validation: they say how far off it is
now; of several it is the last.

What it does not know: the video; nothing is tracked here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError
from ocusam.eye.calibration import Calibration, Fitted, split
from ocusam.eye.quality import doubtful
from ocusam.workflows.inputs.table_text import read_table
from ocusam.workflows.results.export_tables import eyes_of_views
from ocusam.workflows.results.eye3d_tables import read_eye3d, with_directions
from ocusam.workflows.results.eye_tables import read_tables, rules_of
from ocusam.workflows.results.finished_run import FinishedRun, open_run
from ocusam.workflows.results.gaze_both import BOTH_FILES
from ocusam.workflows.results.gaze_files import FILES, read_calibrations, screen_of, sha256
from ocusam.workflows.results.gaze_tables import (
    EyeTables,
    Gaze,
    GazeSettings,
    apply_calibrations,
    calibrate_recording,
    made_targets,
    with_screen,
)
from ocusam.workflows.results.report import page_of, reopen, write_report
from ocusam.workflows.results.zoom_border import zoom_of_record
from ocusam.workflows.session.atomic import write_bytes
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.run_folder import now

Given = str | Path | pl.DataFrame
"""A table of targets: a file, or a data frame."""


def run_gaze(
    run: str | Path,
    targets: Given | Sequence[Given] | None = None,
    *,
    validate: Given | Sequence[Given] = (),
    calibration: str | Path | None = None,
    out: str | Path | None = None,
    settings: GazeSettings | None = None,
    eyes: Sequence[str] | None = None,
    report: bool = True,
    progress: Progress | None = None,
) -> Gaze:
    """Gaze of a finished run.

    Args:
        run: folder of `ocusam eye`.
        targets: table (file or data frame, see `eye.targets.make_targets`), or several, one for each
            calibration; may be left out with `calibration`.
        validate: table or tables of targets that are only checked.
        calibration: a `calibration.json` of another recording of the same person and camera; None: calibrate.
        out: folder to write; None: that of the run.
        settings: how targets are read, what is chosen from, how events are found.
        eyes: "left", "right" or "-" for each view; None: two views are two eyes.
        report: make report.html again.
        progress: called after every picture of the page.

    Raises:
        InputError: no finished run, no usable targets, no calibration; see the message.
        OutputError: the folder cannot be written.
    """
    folder, settings = Path(run), settings or GazeSettings()
    finished = open_run(folder)
    if eyes is not None:
        settings = replace(settings, eyes=eyes_of_views(eyes, finished.views, ("left", "right")))
    tables = _tables(finished)
    shown, checks = (_read(given) for given in (targets, validate))
    if calibration is not None:
        gaze = _by_another(tables, Path(calibration), finished.record, [*shown, *checks], settings)
    elif not shown:
        raise InputError(
            "Give a table of targets (--targets), or the calibration.json of an earlier recording "
            "(--calibration)."
        )
    else:
        gaze = calibrate_recording(tables, shown, settings, validate=checks)
    place = folder if out is None else Path(out)
    facts = {
        "made": now(),
        "run": str(folder),
        "size_hw": list(finished.size),
        "calibrated_on": str(calibration) if calibration is not None else str(folder),
        "signals_sha256": sha256(folder / "signals.csv"),
    }
    write_gaze(place, gaze, facts)
    if report:
        _page(folder, place, progress)
    return gaze


def _tables(run: FinishedRun) -> EyeTables:
    """The run's tables, with the directions of a model of the eyeball where one fits."""
    known_doubts = (run.folder / "doubtful.csv").is_file()
    doubts = run.table("doubtful") if known_doubts else doubtful(run.signals)
    model = read_eye3d(run.folder)
    signals = run.signals if model is None else with_directions(run.signals, model[0])
    return EyeTables(signals, run.blinks, doubts)


def _by_another(
    tables: EyeTables,
    path: Path,
    here: dict[str, Any],
    checks: Sequence[pl.DataFrame | tuple[str, pl.DataFrame]],
    settings: GazeSettings,
) -> Gaze:
    """Gaze by the (last) calibration of another recording; `here` is this run's record."""
    known, record = read_calibrations(path)
    _same_picture(record, here, path)
    settings = with_screen(settings, screen_of(record))
    views = {view: _elsewhere(mine) for view, mine in known.items()}
    rounds = split(*made_targets(tables, [], checks, settings))[1]
    return apply_calibrations(tables, [Fitted(1, str(path), None, None, views)], rounds, settings=settings)


def _read(given: Given | Sequence[Given] | None) -> list[pl.DataFrame | tuple[str, pl.DataFrame]]:
    """Tables, those of files with their names."""
    if given is None:
        return []
    several = [given] if isinstance(given, str | Path | pl.DataFrame) else given
    return [one if isinstance(one, pl.DataFrame) else (str(one), read_targets(Path(one))) for one in several]


def read_targets(path: Path) -> pl.DataFrame:
    """A table of targets (`inputs.table_text.read_table`).

    Raises:
        InputError: it cannot be read.
    """
    return read_table(path, "targets")


def write_gaze(folder: Path, gaze: Gaze, facts: dict[str, Any]) -> None:
    """Write the files: three, and two more where there are two eyes.

    Raises:
        OutputError: the folder cannot be written.
    """
    text = {
        FILES[0]: gaze.table.write_csv(None, null_value="", float_precision=4),
        FILES[1]: gaze.events.write_csv(None, null_value="", float_precision=4),
        FILES[2]: json.dumps({**facts, **gaze.record()}, indent=2, ensure_ascii=False, default=str) + "\n",
    }
    if gaze.both is not None:
        for name, table in zip(BOTH_FILES, (gaze.both.table, gaze.both.events), strict=True):
            text[name] = table.write_csv(None, null_value="", float_precision=4)
    for name, content in text.items():
        write_bytes(folder / name, content.encode("utf-8"))
    for name in BOTH_FILES:
        if name not in text:  # of an earlier call that had two eyes
            (folder / name).unlink(missing_ok=True)


def _elsewhere(calibration: Calibration) -> Calibration:
    """Its targets were shown in another recording: their times mean nothing here."""
    timeless = calibration.checked.with_columns(start_ns=pl.lit(None, dtype=pl.Int64))
    return replace(calibration, checked=timeless)


def _same_picture(calibrated: dict[str, Any], here: dict[str, Any], path: Path) -> None:
    """A calibration is about positions in a picture: of another size it means nothing."""
    there, size = calibrated.get("size_hw"), here["input"]["size_hw"]
    if there is not None and list(there) != list(size):
        raise InputError(
            f"{path} was made on pictures of {there[1]} x {there[0]} px, this run has {size[1]} x {size[0]} "
            f"px: "
            "it does not fit."
        )


def _page(folder: Path, place: Path, progress: Progress | None) -> None:
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    tables = read_tables(folder, rules_of(record), zoom=zoom_of_record(record))
    tables = replace(tables, **page_of(place, folder / "signals.csv"))
    source = reopen(None, record, folder)
    masklets = Masklets.from_folder(folder / "masklets") if (folder / "masklets").is_dir() else None
    try:
        write_report(place / "report.html", tables, record, source, masklets, progress=progress)
    finally:
        if source is not None:
            source.close()
