"""The table of trials, or a log of messages, as an experiment writes it: when each trial began and ended.

Purpose: `make_trials` turns it into spans of the recording, by what `TrialSettings` say.

Notable choices: a trial is a row with a start and an end, or two messages in a log: of messages that match,
each start goes with the first end before the next start. A trial whose end is missing (an aborted one) keeps
its row; nobody can know its end. Most trials outside the recording mean another clock, and are refused.

What it does not know: conditions, which are carried along; what is measured in a trial (`trials`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.targets import CLOCKS, MOST_S

FloatArray = NDArray[np.float64]
STARTS, ENDS = ("start", "start_s", "t", "time", "onset"), ("end", "end_s")
LENGTHS = ("duration", "duration_s")
MESSAGES = ("message", "msg", "event", "trigger", "label")
GAPS = ("NA", "N/A", "n/a", "nan", "NaN", "None")
"""What programs write where there is no value."""
OWN = ("trial", "start_ns", "end_ns")


@dataclass(frozen=True)
class TrialSettings:
    """How trials are read and measured.

    Attributes:
        start, end: regular expressions that the messages of a log match at a trial's start and end; a group
            in `start` is the trial's name. None: each row of the table is a trial.
        clock: what times count from: "recording" (the clock of timestamp_ns) or "first-frame".
        baseline_s: window of the baseline, s from the trial's start.

    Raises:
        InputError: an expression that is none, an empty window, an unknown clock.
    """

    start: str | None = None
    end: str | None = None
    clock: str = CLOCKS[0]
    baseline_s: tuple[float, float] = (-0.2, 0.0)

    def __post_init__(self) -> None:
        for text in (self.start, self.end):
            try:
                re.compile(text or "")
            except re.error as error:
                raise InputError(f"{text!r} is no regular expression ({error}).") from None
        if self.end is not None and self.start is None:
            raise InputError("A message that ends trials needs one that starts them (--start).")
        if not -MOST_S < self.baseline_s[0] < self.baseline_s[1] < MOST_S:
            raise InputError(f"The baseline runs from {self.baseline_s[0]:g} to {self.baseline_s[1]:g} s.")
        if self.clock not in CLOCKS:
            raise InputError(f"Unknown clock {self.clock!r} of trials; give {' or '.join(CLOCKS)}.")


def make_trials(table: pl.DataFrame, span: tuple[int, int], settings: TrialSettings) -> pl.DataFrame:
    """Trials as spans of time.

    Args:
        table: when: `start` (or start_s, t, time, onset: s) or `start_ns`; until when: `end`, `end_s` or
            `duration` (s), `end_ns` (an empty cell: nobody knows), or no such column (until the next trial,
            or the recording's end); optionally `trial`, its name. A log has times and a column `message` (or
            msg, event, trigger, label).
        span: times of the recording's first and last frame, ns.
        settings: how to read it.

    Returns:
        `trial` (text), `start_ns`, `end_ns`, and all other columns as they were (of a log, those of the
        message that starts the trial), in order of time.

    Raises:
        InputError: columns that are missing, cells that are no numbers, trials that end before they begin, no
            message that matches, or most trials outside the recording.
    """
    first, last = span
    zero = first if settings.clock == CLOCKS[1] else 0
    column = _column(table, STARTS)
    if column is None:
        raise InputError(
            f"The trials need a time: {', '.join(STARTS)} (s) or start_ns; got {', '.join(table.columns)}."
        )
    start, used = _times(table, column, zero), [column]
    if settings.start is not None:
        rows, names, ends = _from_messages(table, start, settings)
        open_ended = settings.end is None
    else:
        rows, names = list(range(len(table))), [None] * len(table)
        ends, column = _ends(table, start, zero)
        open_ended = column is None
        used += [] if column is None else [column]
    about = table[rows]
    if "trial" in table.columns and not any(names):
        names = about["trial"].cast(pl.String).to_list()
        used.append("trial")
    made = pl.DataFrame({
        "trial": pl.Series([name or str(i + 1) for i, name in enumerate(names)], dtype=pl.String),
        "start_ns": start[rows], "end_ns": pl.Series(ends, dtype=pl.Int64),
    })  # fmt: skip
    rest = about.drop(used)
    made = pl.concat([made, rest.rename(free_names(rest.columns, OWN))], how="horizontal")
    made = made.sort("start_ns", maintain_order=True)
    if open_ended:
        following = pl.col("start_ns").shift(-1, fill_value=last + 1)
        # The last may begin after the recording has stopped: then nobody knows its end.
        made = made.with_columns(
            end_ns=pl.when((following <= last) | (pl.col("start_ns") <= last)).then(following)
        )
    _check(made, span, settings)
    return made


def _from_messages(
    table: pl.DataFrame, time: pl.Series, settings: TrialSettings
) -> tuple[list[int], list[str | None], list[int | None]]:
    """Of every trial: the row of the message that starts it, its name by the message, its end."""
    column = next((name for name in MESSAGES if name in table.columns), None)
    if column is None:
        raise InputError(
            f"A log of messages needs a column {', '.join(MESSAGES)}; got {', '.join(table.columns)}."
        )
    messages = table[column].cast(pl.String).fill_null("").to_list()
    rows: list[int] = []
    names: list[str | None] = []
    ends: list[int | None] = []
    for index in np.argsort(time.to_numpy(), kind="stable").tolist():
        found = re.search(settings.start or "", messages[index])
        pending = bool(ends) and ends[-1] is None
        if found:
            rows.append(index)
            names.append(found[1] if found.re.groups else None)
            ends.append(None)
        elif pending and settings.end is not None and re.search(settings.end, messages[index]):
            ends[-1] = int(time[index])
    if not rows:
        raise InputError(f"No message in the column {column!r} matches {settings.start!r}.")
    if settings.end is not None and not any(end is not None for end in ends):
        raise InputError(f"No message in the column {column!r} after a start matches {settings.end!r}.")
    return rows, names, ends


def _ends(table: pl.DataFrame, start: pl.Series, zero: int) -> tuple[list[int | None], str | None]:
    """Ends by the table, and the column they are from."""
    if (column := _column(table, ENDS)) is not None:
        return _times(table, column, zero, gaps=True).to_list(), column
    column = next((name for name in LENGTHS if name in table.columns), None)
    if column is not None:
        return (start + _times(table, column, 0, gaps=True)).to_list(), column
    return [None] * len(table), None


def _check(made: pl.DataFrame, span: tuple[int, int], settings: TrialSettings) -> None:
    if made.is_empty():
        raise InputError("The table of trials has no rows.")
    inside = made["start_ns"].is_between(*span).sum()
    if 2 * inside < len(made):
        other = "first-frame" if settings.clock == CLOCKS[0] else CLOCKS[0]
        raise InputError(
            f"{len(made) - inside} of {len(made)} trials lie outside the recording, which runs from "
            f"{span[0] / 1e9:.3f} s to {span[1] / 1e9:.3f} s (the trials begin from "
            f"{made['start_ns'][0] / 1e9:.3f} s to {made['start_ns'][-1] / 1e9:.3f} s). Are the times in s? "
            f"Nanoseconds go into start_ns; if they count from elsewhere, say so (--clock {other})."
        )
    short = made.filter(pl.col("end_ns") <= pl.col("start_ns"))
    if len(short):
        raise InputError(f"The trial {short['trial'][0]!r} ends before it begins.")


def free_names(columns: list[str], taken: Iterable[str]) -> dict[str, str]:
    """New names for those of a table's columns that are ours: NAME_given."""
    taken, out = set(taken), {}
    for name in columns:
        if name in taken:
            new = f"{name}_given"
            while new in taken or new in columns:
                new += "_given"
            out[name] = new
    return out


def _column(table: pl.DataFrame, names: tuple[str, ...]) -> str | None:
    """The first of these that there is; before all in whole ns."""
    return next((name for name in (f"{names[0]}_ns", *names) if name in table.columns), None)


def _times(table: pl.DataFrame, name: str, zero: int, *, gaps: bool = False) -> pl.Series:
    """A column in ns on the recording's clock; with `gaps` null where it is empty."""
    values = _numbers(table, name, gaps)
    if name.endswith("_ns"):
        whole = table[name].cast(pl.Int64, strict=False)
        if whole.null_count() > np.isnan(values).sum() or np.nansum(values % 1):
            raise InputError(f"The column {name!r} of the trials holds whole nanoseconds.")
        return whole + zero
    if (np.abs(values) >= MOST_S).any():
        raise InputError(
            f"The column {name!r} of the trials holds {np.nanmax(np.abs(values)):g} s: nanoseconds go into "
            f"{'end_ns' if name in ENDS else 'start_ns'}."
        )
    return pl.Series(np.round(values * 1e9)).fill_nan(None).cast(pl.Int64) + zero


def _numbers(table: pl.DataFrame, name: str, gaps: bool) -> FloatArray:
    given = table[name]
    if gaps and given.dtype == pl.String:
        given = given.set(given.is_in(GAPS), None)
    values = given.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    bad = np.flatnonzero(~np.isfinite(values) & (given.is_not_null().to_numpy() | (not gaps)))
    if len(bad):
        raise InputError(f"The column {name!r} of the trials has no number in row {int(bad[0]) + 1}.")
    return np.asarray(values, dtype=np.float64)
