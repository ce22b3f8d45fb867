"""Trials of an experiment: what the pupil and the eye did in each, against a baseline before it.

Purpose: each trial (`trial_table.make_trials`) gets figures of its own, and its samples on its own clock
(`measure_trials`).

Notable choices: pupil values count where the pupil is tracked, farther than 50 ms from any blink, and not on
a doubtful frame (as for a calibration, `calibration.held_gaze`); nothing is interpolated. The baseline is the
median of such samples in a window around the start, and it is subtracted: dividing lets a few odd baselines
distort everything (Mathôt, Fabius, Van Heusden and Van der Stigchel 2018, DOI 10.3758/s13428-017-1007-2). z
is over all such samples of the recording. An event belongs to the trial in which it begins; one that began
before is not counted, though its rest is in the trial. A trial without an end keeps its row, without figures.

What it does not know: conditions, which are carried along; whether a baseline is long enough.
"""

from __future__ import annotations

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
from ocusam.eye.trial_table import OWN, TrialSettings, free_names

FloatArray = NDArray[np.float64]
PER_MS = 1e-6


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
        Diameters are mm where all eyes have a scale, else px; the unit stands in the columns' names.
    """
    rows: list[dict[str, Any]] = []
    parts: list[pl.DataFrame] = []
    views = data.signals.filter(pl.col("object") == "pupil")["view"].unique().sort().to_list()
    unit = _unit_of(data.signals)
    for view in views:
        eye = _Eye(data, view, unit)
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
    about = trials.rename(free_names([c for c in trials.columns if c not in OWN], figures.columns))
    about = about.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    table = about.join(figures, on="row", how="left", maintain_order="left").drop("row")
    first = ("trial", "view", "start_ns", "end_ns")
    return table.select(*first, *(c for c in table.columns if c not in first)), pl.concat(parts)


def _unit_of(signals: pl.DataFrame) -> str:
    """mm where every eye that was tracked has a scale: in one table there is one unit."""
    if DIAMETER_MM not in signals.columns:
        return "px"
    seen = signals.filter((pl.col("object") == "pupil") & (pl.col("state") == TRACKED))
    scaled = seen.group_by("view").agg(pl.col(DIAMETER_MM).is_not_null().any())[DIAMETER_MM]
    return "mm" if len(scaled) and scaled.all() else "px"


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
        # An eye without gaze (its calibration failed) has no events, which is not that it made none.
        known_eye = data.gaze is None or view in data.gaze["view"]
        known_events = data.events if known_eye else None
        self.events = None if known_events is None else known_events.filter(pl.col("view") == view)
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
        begun = pl.lit(start, dtype=pl.Int64).alias("start_ns")  # names may come again in every block
        order = ("frame_idx", "timestamp_ns", "view", "time_ms", "state", "usable")
        rest = [c for c in samples.columns if c not in order]
        clean = {k: (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in row.items()}
        return clean, samples.select(own, *order[:3], begun, *order[3:], *rest)

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
