"""Trials of an experiment: what the pupil and the eye did in each, against a baseline before it.

Purpose: a table of trials as experiments log it becomes spans of the recording (`make_trials`); each gets
figures of its own, and its samples on its own clock (`measure_trials`).

Notable choices. A trial is a row with a start and an end, or two messages in a log: of messages that match,
each start goes with the first end before the next start. Pupil values count where the pupil is tracked,
farther than 50 ms from any blink, and not on a doubtful frame (as for a calibration,
`calibration.held_gaze`); nothing is interpolated. The baseline is the median of such samples in a window
around the start, and it is subtracted: dividing lets a few odd baselines distort everything (Mathôt, Fabius,
Van Heusden and Van der Stigchel 2018, DOI 10.3758/s13428-017-1007-2). z is over all such samples of the
recording. An event belongs to the trial in which it begins; one that began before is not counted, though its
rest is in the trial. A trial whose end is missing from the log keeps its row, without figures.

What it does not know: conditions, which are carried along; whether a baseline is long enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.calibration.held_gaze import eye_rows
from ocusam.eye.events import FIXATION, SACCADE
from ocusam.eye.scale import DIAMETER_MM
from ocusam.eye.signals import TRACKED
from ocusam.eye.targets import CLOCKS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
STARTS, ENDS = ("start", "start_s", "t", "time", "onset"), ("end", "end_s")
LENGTHS = ("duration", "duration_s")
MESSAGES = ("message", "msg", "event", "trigger", "label")
_OWN = ("trial", "start_ns", "end_ns")
PER_MS = 1e-6


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
        if not self.baseline_s[0] < self.baseline_s[1]:
            raise InputError(f"The baseline runs from {self.baseline_s[0]:g} to {self.baseline_s[1]:g} s.")
        if self.clock not in CLOCKS:
            raise InputError(f"Unknown clock {self.clock!r} of trials; give {' or '.join(CLOCKS)}.")


@dataclass(frozen=True, eq=False)
class EyeData:
    """What trials are measured on: tables of a recording; `events` with a unit in their columns, `gaze` where
    there is one."""

    signals: pl.DataFrame
    blinks: pl.DataFrame
    doubts: pl.DataFrame
    events: pl.DataFrame | None = None
    gaze: pl.DataFrame | None = None

    @property
    def span(self) -> tuple[int, int]:
        """Times of the first and the last frame, ns."""
        time = self.signals["timestamp_ns"]
        return int(time.min() or 0), int(time.max() or 0)  # type: ignore[arg-type]


def make_trials(table: pl.DataFrame, span: tuple[int, int], settings: TrialSettings) -> pl.DataFrame:
    """Trials as spans of time.

    Args:
        table: when: `start` (or start_s, t, time, onset: s) or `start_ns`; until when: `end`, `end_s` or
            `duration` (s), `end_ns`, or nothing (until the next trial, or the recording's end); optionally
            `trial`, its name. A log has times and a column `message` (or msg, event, trigger, label).
        span: times of the recording's first and last frame, ns.
        settings: how to read it.

    Returns:
        `trial` (text), `start_ns`, `end_ns`, and all other columns as they were, in order of time.

    Raises:
        InputError: columns that are missing, cells that are no numbers, trials that end before they begin, no
            message that matches, or most trials outside the recording.
    """
    first, last = span
    zero = first if settings.clock == CLOCKS[1] else 0
    start = _times(table, STARTS, zero)
    if start is None:
        raise InputError(
            f"The trials need a time: {', '.join(STARTS)} (s) or start_ns; got {', '.join(table.columns)}."
        )
    if settings.start is not None:
        made = _from_messages(table, start, settings)
    else:
        end = _times(table, ENDS, zero)
        length = next((name for name in LENGTHS if name in table.columns), None)
        if end is None and length is not None:
            end = start + np.round(_numbers(table, length) * 1e9).astype(np.int64)
        name = table["trial"].cast(pl.String) if "trial" in table.columns else _counted(len(table))
        rest = [
            c for c in table.columns if c not in (*STARTS, "start_ns", *ENDS, "end_ns", *LENGTHS, "trial")
        ]
        ends = pl.Series("end_ns", [None] * len(table) if end is None else end, dtype=pl.Int64)
        made = pl.DataFrame([name.alias("trial"), pl.Series("start_ns", start), ends])
        made = pl.concat([made, table.select(rest)], how="horizontal") if rest else made
    made = made.sort("start_ns", maintain_order=True)
    if settings.end is None:
        following = pl.col("start_ns").shift(-1, fill_value=last + 1)
        made = made.with_columns(pl.col("end_ns").fill_null(following))
    _check(made, span, settings)
    return made.select(*_OWN, *(c for c in made.columns if c not in _OWN))


def _from_messages(table: pl.DataFrame, time: IntArray, settings: TrialSettings) -> pl.DataFrame:
    column = next((name for name in MESSAGES if name in table.columns), None)
    if column is None:
        raise InputError(
            f"A log of messages needs a column {', '.join(MESSAGES)}; got {', '.join(table.columns)}."
        )
    rows: list[tuple[str, int, int | None, str]] = []
    for index in np.argsort(time, kind="stable").tolist():
        message = str(table[column][index] or "")
        found = re.search(settings.start or "", message)
        if found:
            name = found[1] if found.re.groups else str(len(rows) + 1)
            rows.append((name, int(time[index]), None, message))
        elif settings.end is not None and rows and rows[-1][2] is None and re.search(settings.end, message):
            rows[-1] = (*rows[-1][:2], int(time[index]), rows[-1][3])
    if not rows:
        raise InputError(f"No message in the column {column!r} matches {settings.start!r}.")
    if settings.end is not None and all(row[2] is None for row in rows):
        raise InputError(f"No message in the column {column!r} after a start matches {settings.end!r}.")
    schema = {"trial": pl.String, "start_ns": pl.Int64, "end_ns": pl.Int64, "message": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


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


def measure_trials(
    data: EyeData, trials: pl.DataFrame, settings: TrialSettings
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Figures of every trial, and its samples.

    Args:
        data: tables of the recording.
        trials: from `make_trials`.
        settings: the baseline.

    Returns:
        (one row per trial and view, one row per sample from the baseline's start to the trial's end).
        Diameters are mm where the recording has a scale, else px; the unit stands in the columns' names.
    """
    has_mm = DIAMETER_MM in data.signals.columns and data.signals[DIAMETER_MM].is_not_null().any()
    rows: list[dict[str, Any]] = []
    parts: list[pl.DataFrame] = []
    views = data.signals.filter(pl.col("object") == "pupil")["view"].unique().sort().to_list()
    for view in views:
        eye = _Eye(data, view, "mm" if has_mm else "px")
        for number, trial in enumerate(trials.iter_rows(named=True)):
            if trial["end_ns"] is None:
                rows.append({"row": number, "view": view})
                continue
            row, samples = eye.measure(trial, settings)
            rows.append({"row": number, **row})
            parts.append(samples)
    if not parts:
        raise InputError("The recording has no pupil." if not views else "No trial has an end.")
    figures = pl.DataFrame(max(rows, key=len), infer_schema_length=None).clear()
    figures = pl.concat([figures, pl.DataFrame(rows, infer_schema_length=None)], how="diagonal_relaxed")
    given = {c: f"{c}_given" for c in trials.columns if c not in _OWN and c in figures.columns}
    about = trials.rename(given).with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    table = about.join(figures, on="row", how="left", maintain_order="left").drop("row")
    first = ("trial", "view", "start_ns", "end_ns")
    return table.select(*first, *(c for c in table.columns if c not in first)), pl.concat(parts)


class _Eye:
    """One view of a recording, ready to be cut into trials."""

    def __init__(self, data: EyeData, view: int, unit: str) -> None:
        self.view, self.unit = view, unit
        mine = (pl.col("view") == view) & (pl.col("object") == "pupil")
        pupil = data.signals.filter(mine).sort("frame_idx")
        rows = eye_rows(pupil, view, data.blinks, data.doubts)
        self.time = rows.time_ns
        self.step = float(np.median(np.diff(rows.time_ns))) if len(rows.time_ns) > 1 else 1.0
        self.tracked = (pupil["state"] == TRACKED).to_numpy()
        size = pupil[DIAMETER_MM if unit == "mm" else "major_px"].cast(pl.Float64).fill_null(float("nan"))
        self.size = np.where(self.tracked & rows.clean, size.to_numpy(), np.nan)
        seen = self.size[np.isfinite(self.size)]
        spread = float(seen.std(ddof=1)) if len(seen) > 1 else 0.0
        z = (self.size - seen.mean()) / spread if spread > 1e-9 else np.full(len(self.size), np.nan)
        self.samples = pupil.select("frame_idx", "timestamp_ns", "view", "state").with_columns(
            pl.Series("usable", np.isfinite(self.size)),
            pl.Series(f"diameter_{unit}", self.size).fill_nan(None),
            pl.Series("diameter_z", z).fill_nan(None),
        )
        if data.gaze is not None:
            known = [c for c in data.gaze.columns if c.startswith(("gaze_", "screen_"))]
            gaze = data.gaze.filter(pl.col("view") == view).select("frame_idx", *known)
            self.samples = self.samples.join(gaze, on="frame_idx", how="left", maintain_order="left")
        self.events = data.events.filter(pl.col("view") == view) if data.events is not None else None
        self.blinks = data.blinks.filter(pl.col("view") == view)

    def measure(self, trial: dict[str, Any], settings: TrialSettings) -> tuple[dict[str, Any], pl.DataFrame]:
        """The row of one trial, and its samples."""
        start, end = int(trial["start_ns"]), int(trial["end_ns"])
        low, high = (start + round(s * 1e9) for s in settings.baseline_s)
        before, within = self._within(low, high), self._within(start, end)
        expected = max(1, round((end - start) / self.step))
        usable = self.size[within]
        usable = usable[np.isfinite(usable)]
        base = self.size[before]
        base = base[np.isfinite(base)]
        baseline = float(np.median(base)) if len(base) else float("nan")
        row: dict[str, Any] = {
            "view": self.view, "duration_ms": (end - start) * PER_MS, "samples": within.stop - within.start,
            "data_loss": float(np.clip(1.0 - self.tracked[within].sum() / expected, 0.0, 1.0)),
            "usable_share": min(1.0, len(usable) / expected), "baseline_samples": len(base),
            f"baseline_{self.unit}": baseline, **self._pupil(within, baseline, start),
            **self._blinks(start, end), **self._moves(start, end),
        }  # fmt: skip
        around = slice(min(before.start, within.start), max(before.stop, within.stop))
        name = f"diameter_{self.unit}"
        samples = self.samples[around].with_columns(
            ((pl.col("timestamp_ns") - start) * PER_MS).alias("time_ms"),
            (pl.col(name) - baseline).fill_nan(None).alias(f"diameter_change_{self.unit}"),
        )
        own = pl.lit(str(trial["trial"])).alias("trial")
        order = ("frame_idx", "timestamp_ns", "view", "time_ms", "state", "usable")
        rest = [c for c in samples.columns if c not in order]
        clean = {k: (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in row.items()}
        return clean, samples.select(own, *order, *rest)

    def _within(self, low: int, high: int) -> slice:
        """Frames from `low` on and before `high`."""
        first, last = np.searchsorted(self.time, [low, high]).tolist()
        return slice(first, max(first, last))

    def _pupil(self, within: slice, baseline: float, start: int) -> dict[str, Any]:
        size, time = self.size[within], self.time[within]
        names = ("mean", "change_mean", "change_min", "change_max")
        out: dict[str, Any] = {f"diameter_{name}_{self.unit}": None for name in names}
        out |= {"diameter_change_min_ms": None, "diameter_change_max_ms": None, "diameter_mean_z": None}
        if not np.isfinite(size).any():
            return out
        change = size - baseline
        out[f"diameter_mean_{self.unit}"] = float(np.nanmean(size))
        z = self.samples["diameter_z"][within].drop_nulls()
        out["diameter_mean_z"] = z.mean() if len(z) else None
        if np.isfinite(baseline):
            least, most = int(np.nanargmin(change)), int(np.nanargmax(change))
            out[f"diameter_change_mean_{self.unit}"] = float(np.nanmean(change))
            out[f"diameter_change_min_{self.unit}"] = float(change[least])
            out[f"diameter_change_max_{self.unit}"] = float(change[most])
            out["diameter_change_min_ms"] = float((time[least] - start) * PER_MS)
            out["diameter_change_max_ms"] = float((time[most] - start) * PER_MS)
        return out

    def _blinks(self, start: int, end: int) -> dict[str, Any]:
        spans = self.blinks.select(
            (pl.col("offset_ns").clip(None, end) - pl.col("onset_ns").clip(start, None)).alias("span")
        )
        time = int(spans.filter(pl.col("span") > 0)["span"].sum() or 0)
        mine = self.blinks.filter(pl.col("onset_ns").is_between(start, end - 1))
        return {"blinks": len(mine), "blink_share": time / (end - start)}

    def _moves(self, start: int, end: int) -> dict[str, Any]:
        if self.events is None:
            return {}
        mine = self.events.filter(pl.col("onset_ns").is_between(start, end - 1)).sort("onset_ns")
        fixations, saccades = (mine.filter(pl.col("event") == kind) for kind in (FIXATION, SACCADE))
        amplitude = next(c for c in mine.columns if c.startswith("amplitude_"))
        mean = amplitude.replace("_", "_mean_", 1)
        first = saccades.head(1)
        return {
            "fixations": len(fixations),
            "fixation_duration_mean_ms": fixations["duration_ms"].mean() if len(fixations) else None,
            "saccades": len(saccades),
            f"saccade_{mean}": saccades[amplitude].mean() if len(saccades) else None,
            "first_saccade_ms": (int(first["onset_ns"][0]) - start) * PER_MS if len(first) else None,
            f"first_saccade_{amplitude}": first[amplitude][0] if len(first) else None,
        }


def _counted(count: int) -> pl.Series:
    return pl.Series([str(i + 1) for i in range(count)], dtype=pl.String)


def _times(table: pl.DataFrame, names: tuple[str, ...], zero: int) -> IntArray | None:
    """Times in ns on the recording's clock, from the first column of these that there is."""
    exact = f"{names[0]}_ns"
    if exact in table.columns:
        values = _numbers(table, exact)
        whole = table[exact].cast(pl.Int64, strict=False)
        if whole.null_count() or (values % 1).any():
            raise InputError(f"The column {exact!r} of the trials holds whole nanoseconds.")
        return np.asarray(whole.to_numpy() + zero, dtype=np.int64)
    name = next((name for name in names if name in table.columns), None)
    if name is None:
        return None
    return np.asarray(np.round(_numbers(table, name) * 1e9).astype(np.int64) + zero, dtype=np.int64)


def _numbers(table: pl.DataFrame, name: str) -> FloatArray:
    values = table[name].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(f"The column {name!r} of the trials has no number in row {int(bad[0]) + 1}.")
    return np.asarray(values, dtype=np.float64)
