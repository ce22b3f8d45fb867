"""Gaze of a tracked recording: calibrated, applied, checked, with events in degrees.

Purpose: from the tables of a run and a table of targets (or an earlier calibration) to `gaze.csv`,
`gaze_events.csv` and `calibration.json`. The command, `EyeRecording.calibrate` and the page share it.

Notable choices: every eye (view) is calibrated for itself; one that cannot be is told with the reason, and
only when none can it is an error. Two eyes are also joined to one (`gaze_both`). `calibration.json` holds all
that `gaze` needs to be computed again, also for another recording of the same person with the same camera,
and the SHA-256 of the signals it was computed from: gaze older than its signals (after a correction) is not
shown.

What it does not know: files of targets (`workflows.gaze`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError
from ocusam.core.version import __version__
from ocusam.eye.calibration import (
    CHECK_COLUMNS,
    GAZE_COLUMNS,
    OUTSIDE_SIZES,
    OUTSIDE_TARGETS,
    Calibration,
    Choice,
    Suspect,
    calibrate,
    drift,
    suspect,
)
from ocusam.eye.calibration.both_eyes import eyes_of
from ocusam.eye.calibration.held_gaze import DIRECTION_COLUMNS, EYE3D
from ocusam.eye.events import EventRules, event_columns, find_events, with_both_eyes
from ocusam.eye.quality import windowed_precision
from ocusam.eye.signals import TRACKED
from ocusam.eye.targets import CALIBRATION, VALIDATION, Screen, TargetSettings, make_targets
from ocusam.workflows.results.gaze_both import BothEyes, join_eyes

FILES = ("gaze.csv", "gaze_events.csv", "calibration.json")
SCREEN_COLUMNS = ("screen_x_px", "screen_y_px")
FORMAT = 1


@dataclass(frozen=True)
class GazeSettings:
    """How gaze is computed.

    Attributes:
        targets: how the table of targets is read.
        choice: what the calibration may choose from.
        rules: how events are found on gaze in degrees.
        eyes: view -> "left" or "right", as far as known; None: two views are two eyes.
    """

    targets: TargetSettings = field(default_factory=TargetSettings)
    choice: Choice = field(default_factory=Choice)
    rules: EventRules = field(default_factory=EventRules)
    eyes: Mapping[int, str] | None = None


@dataclass(frozen=True, eq=False)
class EyeTables:
    """What gaze is made from; tables of a run."""

    signals: pl.DataFrame
    blinks: pl.DataFrame
    doubtful: pl.DataFrame

    @property
    def span(self) -> tuple[int, int]:
        """Times of the first and last frame, ns."""
        time = self.signals["timestamp_ns"]
        return int(str(time.min())), int(str(time.max()))


@dataclass(frozen=True, eq=False)
class Gaze:
    """Gaze of a recording.

    Attributes:
        table: one row per frame and calibrated view: frame_idx, timestamp_ns, view, gaze_x_deg, gaze_y_deg
            (empty where the eye is not seen), outside_targets, outside_sizes (beyond what was calibrated),
            and screen_x_px, screen_y_px where the screen is known.
        events: fixations, saccades and blinks in degrees (columns: `eye.events.event_columns("deg")`).
        calibrations: view -> its calibration.
        targets: one row per view and target: view, and `eye.calibration.CHECK_COLUMNS`.
        skipped: view -> why it could not be calibrated.
        screen: or None.
        rules: how events were found.
        both: gaze of both eyes together; None with one eye.
        suspects: view -> the one mistake in the targets that would explain a poor calibration.
    """

    table: pl.DataFrame
    events: pl.DataFrame
    calibrations: dict[int, Calibration]
    targets: pl.DataFrame
    skipped: dict[int, str]
    screen: Screen | None
    rules: EventRules
    both: BothEyes | None = None
    suspects: dict[int, Suspect] = field(default_factory=dict)

    def summary(self) -> pl.DataFrame:
        """One row per view: accuracy (leave-one-out, and on validation targets), precision of the whole
        recording, samples with gaze, shares of them outside of what was calibrated."""
        rows = []
        for view, calibration in self.calibrations.items():
            mine = self.targets.filter((pl.col("view") == view) & pl.col("accuracy_deg").is_not_null())
            errors = {
                use: mine.filter(pl.col("use") == use)["accuracy_deg"] for use in (CALIBRATION, VALIDATION)
            }
            part = self.table.filter(pl.col("view") == view)
            seen = part.drop_nulls(list(GAZE_COLUMNS))
            step = part["timestamp_ns"].diff().median()
            xy = part.select(pl.col(GAZE_COLUMNS).fill_null(float("nan"))).to_numpy()
            step_ns = float(step) if isinstance(step, int | float) else 0.0
            precise = windowed_precision(xy, step_ns, time_ns=part["timestamp_ns"].to_numpy())
            rows.append({
                "view": view, "feature": calibration.feature, "reflection": calibration.reflection,
                "model": calibration.model, "with_size": calibration.with_size,
                "targets": len(errors[CALIBRATION]), "accuracy_deg": calibration.accuracy,
                "accuracy_max_deg": errors[CALIBRATION].max(),
                "validation_targets": len(errors[VALIDATION]),
                "validation_accuracy_deg": errors[VALIDATION].mean(),
                "precision_rms_s2s_deg": precise[0], "precision_std_deg": precise[1], "bcea_deg2": precise[2],
                "samples": len(part), "data_loss": 1.0 - len(seen) / max(len(part), 1),
                "outside_targets": seen[OUTSIDE_TARGETS].mean(), "outside_sizes": seen[OUTSIDE_SIZES].mean(),
            })  # fmt: skip
        return pl.DataFrame(
            rows, schema_overrides={"validation_accuracy_deg": pl.Float64}, infer_schema_length=None
        )

    def record(self) -> dict[str, Any]:
        """`calibration.json`, without where it comes from."""
        return {
            "format": FORMAT,
            "ocusam": __version__,
            "unit": "deg",
            "screen": self.screen.to_dict() if self.screen is not None else None,
            "event_rules": asdict(self.rules),
            "views": {str(view): calibration.to_dict() for view, calibration in self.calibrations.items()},
            "skipped": {str(view): why for view, why in self.skipped.items()},
            "targets": self.targets.to_dicts(),
            "summary": self.summary().to_dicts(),
            "both": self.both.summary() if self.both is not None else None,
            "suspects": {str(view): asdict(found) for view, found in self.suspects.items()},
        }

    def to_pymovements(self, view: int | None = None) -> Any:
        """Gaze of one eye as a `pymovements.Gaze`: `time` in ms from the first frame, `position` [x, y] in
        degrees; its events too.

        Raises:
            InputError: no such view.
        """
        import pymovements as pm  # takes seconds to import

        view = next(iter(self.calibrations)) if view is None else view
        if view not in self.calibrations:
            known = ", ".join(str(v) for v in self.calibrations)
            raise InputError(f"View {view} has no gaze; calibrated views: {known}.")
        rows = self.table.filter(pl.col("view") == view).sort("frame_idx")
        start, step = rows["timestamp_ns"][0], rows["timestamp_ns"].diff().median()
        x, y = (pl.col(name) for name in GAZE_COLUMNS)
        samples = rows.select(
            ((pl.col("timestamp_ns") - start) / 1e6).alias("time"), x.alias("x"), y.alias("y")
        )
        mine = self.events.filter(pl.col("view") == view)
        events = pm.Events(
            name=mine["event"].to_list(),
            onsets=((mine["onset_ns"] - start) / 1e6).to_list(),
            offsets=((mine["offset_ns"] - start) / 1e6).to_list(),
        )
        rate = 1e9 / float(step) if isinstance(step, int | float) and step > 0 else None
        return pm.Gaze(
            samples, pm.Experiment(sampling_rate=rate) if rate else None, events, time_column="time",
            time_unit="ms", position_columns=["x", "y"], metadata={"view": view, "unit": "deg"},
        )  # fmt: skip


def calibrate_recording(
    tables: EyeTables, targets: pl.DataFrame, settings: GazeSettings | None = None
) -> Gaze:
    """Calibrate every eye of a recording and apply it.

    Args:
        tables: of the recording.
        targets: see `eye.targets.make_targets`.
        settings: how.

    Raises:
        InputError: the targets cannot be used, or no eye can be calibrated.
    """
    settings = settings or GazeSettings()
    made = make_targets(targets, *tables.span, settings.targets)
    known: dict[str, Any] = {"blinks": tables.blinks, "doubts": tables.doubtful}
    found: dict[int, Calibration] = {}
    skipped: dict[int, str] = {}
    for view in _views(tables.signals):
        try:
            found[view] = calibrate(tables.signals, made, **known, view=view, choice=settings.choice)
        except InputError as error:
            skipped[view] = str(error)
    if not found:
        raise InputError(" ".join(dict.fromkeys(skipped.values())))
    odd = {view: suspect(mine, tables.signals, made, **known, view=view) for view, mine in found.items()}
    gaze = apply_calibrations(
        tables, found, made.filter(pl.col("use") == VALIDATION), settings=settings, skipped=skipped
    )
    return replace(gaze, suspects={view: mistake for view, mistake in odd.items() if mistake is not None})


def apply_calibrations(
    tables: EyeTables,
    calibrations: Mapping[int, Calibration],
    validation: pl.DataFrame | None = None,
    *,
    settings: GazeSettings | None = None,
    skipped: Mapping[int, str] | None = None,
) -> Gaze:
    """Gaze of a recording by calibrations that are there.

    Args:
        tables: of the recording.
        calibrations: view -> calibration.
        validation: targets to check them on, of `make_targets`, or None.
        settings: screen and event rules.
        skipped: views left out already, and why.

    Raises:
        InputError: no view of the recording has a calibration, or a reflection it needs was not tracked.
    """
    settings = settings or GazeSettings()
    views = [view for view in _views(tables.signals) if view in calibrations]
    if not views:
        raise InputError(
            f"The calibration is for view {', '.join(map(str, calibrations))}, the recording has pupils in "
            f"view "
            f"{', '.join(map(str, _views(tables.signals))) or 'none'}."
        )
    signals, checks = tables.signals, [pl.DataFrame(schema={"view": pl.Int64, **CHECK_COLUMNS})]
    for view in views:
        mine = calibrations[view]
        tracked = tables.signals.filter((pl.col("view") == view) & (pl.col("state") == TRACKED))["object"]
        if mine.reflection and mine.reflection not in set(tracked):
            raise InputError(
                f"The calibration of view {view} needs the reflection {mine.reflection!r}: track it."
            )
        if mine.feature == EYE3D and not set(DIRECTION_COLUMNS) <= set(tables.signals.columns):
            raise InputError(
                f"The calibration of view {view} needs a model of the eyeball: run `ocusam eye3d` before."
            )
        signals = mine.apply(signals, view=view)
        parts = [mine.checked]
        if validation is not None and len(validation):
            known = {"blinks": tables.blinks, "doubts": tables.doubtful}
            parts.append(drift(mine, tables.signals, validation, **known, view=view))
        checks += [part.select(pl.lit(view, dtype=pl.Int64).alias("view"), *CHECK_COLUMNS) for part in parts]
    table = _table(signals, views, settings.targets.screen)
    events = gaze_events(table, tables.blinks, settings.rules)
    found = {view: calibrations[view] for view in views}
    checked = pl.concat(checks).sort("view", "use", "target")
    screen, rules, eyes = settings.targets.screen, settings.rules, eyes_of(views, settings.eyes)
    both = join_eyes(table, checked, tables.blinks, eyes, rules) if eyes else None
    if both is not None and screen is not None:
        both = replace(both, table=_on_screen(both.table, screen))
    return Gaze(table, events, found, checked, dict(skipped or {}), screen, rules, both)


def gaze_events(table: pl.DataFrame, blinks: pl.DataFrame, rules: EventRules | None = None) -> pl.DataFrame:
    """Events of all eyes from gaze in degrees."""
    found = [pl.DataFrame(schema=event_columns("deg"))]
    for (view,), part in sorted(table.group_by("view"), key=lambda item: int(str(item[0][0]))):
        x, y = (pl.col(name) for name in GAZE_COLUMNS)
        samples = part.sort("frame_idx").select("frame_idx", "timestamp_ns", x.alias("x"), y.alias("y"))
        found.append(find_events(samples, rules, blinks=blinks, view=int(str(view)), unit="deg"))
    return with_both_eyes(pl.concat(found).sort("onset_ns", "view"))


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
    """(view -> calibration, all of it) of a `calibration.json`.

    Raises:
        InputError: absent, or something else.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        views = {int(view): value for view, value in known["views"].items()}
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


def with_screen(settings: GazeSettings, screen: Screen | None) -> GazeSettings:
    """The settings with a screen where they have none."""
    if settings.targets.screen is not None or screen is None:
        return settings
    return replace(settings, targets=replace(settings.targets, screen=screen))


def _views(signals: pl.DataFrame) -> list[int]:
    return sorted(int(v) for v in signals.filter(pl.col("object") == "pupil")["view"].unique())


def _table(signals: pl.DataFrame, views: list[int], screen: Screen | None) -> pl.DataFrame:
    rows = signals.filter((pl.col("object") == "pupil") & pl.col("view").is_in(views))
    names = ("frame_idx", "timestamp_ns", "view", *GAZE_COLUMNS, OUTSIDE_TARGETS, OUTSIDE_SIZES)
    table = rows.select(names).sort("frame_idx", "view")
    return table if screen is None else _on_screen(table, screen)


def _on_screen(table: pl.DataFrame, screen: Screen) -> pl.DataFrame:
    """With gaze in px besides."""
    px = screen.to_px(table.select(pl.col(GAZE_COLUMNS).fill_null(float("nan"))).to_numpy())
    return table.with_columns(
        pl.Series(name, px[:, k]).fill_nan(None) for k, name in enumerate(SCREEN_COLUMNS)
    )
