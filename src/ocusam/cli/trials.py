"""`ocusam trials RUN --trials trials.csv`: pupil and eye movements of every trial."""

from __future__ import annotations

import statistics
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocusam.cli import console
from ocusam.core.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from ocusam.workflows.trials import Trials

EXAMPLE = "Example: ocusam trials results --trials trials.csv --baseline=-0.5,0"


class Clock(StrEnum):
    """What the times of the trials count from."""

    RECORDING = "recording"
    FIRST_FRAME = "first-frame"


@console.reports_errors
def trials(
    run: Annotated[Path, typer.Argument(help="Folder that `ocusam eye` wrote.", show_default=False)],
    table: Annotated[
        Path,
        typer.Option(
            "--trials",
            "-t",
            show_default=False,
            help="Table (CSV or TSV) with a trial in each row: start in s (or start_ns), end or duration, "
            "optionally trial (its name); other columns are carried along. Or a log: time and message, with "
            "--start.",
        ),
    ],
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="REGEX",
            show_default=False,
            help="Messages that start a trial; a group in it is the trial's name: 'TRIAL (\\d+) START'.",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--end",
            metavar="REGEX",
            show_default=False,
            help="Messages that end it; default: the next start.",
        ),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline", metavar="FROM,TO", help="Window of the baseline, s from the trial's start."
        ),
    ] = "-0.2,0",
    clock: Annotated[
        Clock,
        typer.Option("--clock", help="Times count on the clock of signals.csv, or from the first frame."),
    ] = Clock.RECORDING,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", show_default=False, help="Folder to write; default: that of the run."),
    ] = None,
) -> None:
    """Pupil size against a baseline, blinks, fixations and saccades of every trial.

    Writes trials.csv (one row per trial and view), trial_samples.csv (every sample on the trial's clock, with
    the diameter minus its baseline and z-scored) and trials.json. After `ocusam gaze` in degrees.
    """
    from ocusam.eye.trial_table import TrialSettings
    from ocusam.workflows.trials import FILES, run_trials

    settings = TrialSettings(start, end, clock.value, read_window(baseline))
    found = run_trials(run, table, out=out, settings=settings)
    for line in describe(found):
        console.out().print(line)
    console.out().print(f"{FILES[0]} and {FILES[1]} written to {run if out is None else out}")


def read_window(text: str) -> tuple[float, float]:
    """A window from "-0.2,0".

    Raises:
        InputError: it cannot be read.
    """
    try:
        low, high = text.split(",")
        return float(low), float(high)
    except ValueError:
        raise InputError(
            f"The window {text!r} cannot be read: give its ends in s, as --baseline=-0.2,0."
        ) from None


def describe(found: Trials) -> list[str]:
    """A line a view, and one for whatever is missing or might be misread."""
    lines = []
    for (view,), part in sorted(found.table.group_by("view"), key=lambda item: str(item[0])):
        shares = part["usable_share"].drop_nulls().to_list()
        share = f"{statistics.median(shares):.0%}" if shares else "no"
        lines.append(
            f"view {view}: {console.counted(len(part), 'trial')}, usable pupil samples {share} in the median "
            f"trial, {console.counted(int(part['blinks'].sum()), 'blink')}"
        )
        lines += _named(f"view {view}: no baseline in", part.filter(part["baseline_samples"] == 0))
    first = found.table.filter(found.table["view"] == found.table["view"].min())
    lines += _named("no end of", first.filter(first["end_ns"].is_null()))
    lines += _named("a part outside the recording, which counts as data loss, of", found.outside)
    again = first.filter(first["trial"].is_duplicated()).unique("trial", maintain_order=True)
    if len(again):
        lines.append(f"names of more than one trial, which start_ns tells apart: {_listed(again)}")
    if found.unit == "px":
        lines.append(
            "fixations and saccades are those of the picture, in px: there is no gaze, or it is older than "
            "signals.csv (`ocusam gaze` makes it)"
        )
    return lines


def _named(what: str, part: pl.DataFrame) -> list[str]:
    """A line that names some trials; none without any."""
    return [f"{what} {console.counted(len(part), 'trial')}: {_listed(part)}"] if len(part) else []


def _listed(part: pl.DataFrame) -> str:
    """Names of the first trials."""
    names = part["trial"].to_list()
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
