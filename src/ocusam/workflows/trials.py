"""Trials of a finished run: `ocusam trials`.

Purpose: read the run and the experiment's table, measure, write `trials.csv`, `trial_samples.csv` and
`trials.json` (how they were made).

Notable choices: events and gaze are those of `ocusam gaze` where they fit the signals, else events in px.
A table of trials is often called `trials.csv` too: one that is not ours is never written over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from ocusam.core.errors import OutputError
from ocusam.eye.quality import doubtful
from ocusam.eye.trial_table import TrialSettings, make_trials
from ocusam.eye.trials import EyeData, measure_trials
from ocusam.workflows.inputs.table_text import read_table
from ocusam.workflows.results.finished_run import open_run
from ocusam.workflows.results.gaze_files import read_gaze, sha256
from ocusam.workflows.session.atomic import write_bytes
from ocusam.workflows.session.run_folder import now

FILES = ("trials.csv", "trial_samples.csv", "trials.json")
OWN_HEADS = (b"trial,view,start_ns,", b"trial,frame_idx,")
"""How the tables written here begin."""


@dataclass(frozen=True, eq=False)
class Trials:
    """What was measured.

    Attributes:
        table: one row per trial and view.
        samples: one row per sample, trial and view.
        unit: "deg" where events are those of gaze, "px", or None without events.
        outside: trial, start_ns and end_ns of those that reach beyond the recording; what is missing of them
            counts as data loss.
    """

    table: pl.DataFrame
    samples: pl.DataFrame
    unit: str | None
    outside: pl.DataFrame


def run_trials(
    run: str | Path,
    trials: str | Path | pl.DataFrame,
    *,
    out: str | Path | None = None,
    settings: TrialSettings | None = None,
) -> Trials:
    """Measure the trials of a finished run, and write the tables.

    Args:
        run: folder of `ocusam eye`.
        trials: table of trials or log of messages (file or data frame, see `eye.trial_table.make_trials`).
        out: folder to write; None: that of the run.
        settings: how it is read, and the baseline.

    Raises:
        InputError: no finished run, or a table that cannot be used; says why.
        OutputError: the folder cannot be written, or holds a table of that name that is not ours.
    """
    folder, settings = Path(run), settings or TrialSettings()
    place = folder if out is None else Path(out)
    _check_free(place, None if isinstance(trials, pl.DataFrame) else Path(trials))
    finished = open_run(folder)
    table = trials if isinstance(trials, pl.DataFrame) else read_table(Path(trials), "trials")
    known = (folder / "doubtful.csv").is_file()
    doubts = finished.table("doubtful") if known else doubtful(finished.signals)
    gaze = read_gaze(folder, folder / "signals.csv")
    events, places = (gaze[1], gaze[0]) if gaze is not None else (finished.events, None)
    data = EyeData(finished.signals, finished.blinks, doubts, events, places)
    made = make_trials(table, data.span, settings)
    found, samples = measure_trials(data, made, settings)
    outside = _outside(made, data)
    unit = None if events is None else "px" if gaze is None else "deg"
    facts = {
        "made": now(),
        "run": str(folder),
        "signals_sha256": sha256(folder / "signals.csv"),
        "trials": None if isinstance(trials, pl.DataFrame) else str(trials),
        "settings": asdict(settings),
        "events": unit,
        "outside_recording": outside["trial"].to_list(),
    }
    for name, content in zip(FILES[:2], (found, samples), strict=True):
        write_bytes(place / name, content.write_csv(None, null_value="", float_precision=6).encode("utf-8"))
    write_bytes(place / FILES[2], (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))
    return Trials(found, samples, unit, outside)


def _outside(made: pl.DataFrame, data: EyeData) -> pl.DataFrame:
    """Trials of which a part lies where nothing was filmed: more than the time of two frames, since a trial
    that ends with the recording ends after its last frame."""
    (first, last), time = data.span, data.signals["timestamp_ns"].unique().sort()
    step = 2 * float(time.diff().median() or 0)  # type: ignore[arg-type]
    beyond = (pl.col("start_ns") < first - step) | (pl.col("end_ns") > last + step)
    return made.filter(beyond).select("trial", "start_ns", "end_ns")


def _check_free(place: Path, given: Path | None) -> None:
    """Refuse to write over the experiment's own table, whatever was given as trials."""
    for name in FILES[:2]:
        try:
            with open(place / name, "rb") as file:
                ours = file.readline().startswith(OWN_HEADS)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(f"{place / name} cannot be read ({error}).") from None
        if not ours or (given is not None and given.exists() and given.samefile(place / name)):
            raise OutputError(
                f"{place / name} is a table of your own, which would be lost: give another folder (--out)."
            )
