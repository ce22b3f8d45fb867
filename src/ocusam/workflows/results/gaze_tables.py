"""Gaze of a tracked recording: calibrated, applied, checked, with events in degrees.

Purpose: from the tables of a run and a table of targets (or an earlier calibration) to `gaze.csv`,
`gaze_events.csv` and `calibration.json`. The command, `EyeRecording.calibrate` and the page share it.

Notable choices: every eye (view) is calibrated for itself; one that cannot be is told with the reason, and
only when none can it is an error. Of several calibrations each sample gets the one in force
(`eye.calibration.in_force`). Two eyes are also joined to one (`gaze_both`). `calibration.json` holds all
that `gaze` needs to be computed again, also for another recording of the same person with the same camera.

What it does not know: files of targets (`workflows.gaze`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl

from ocusam.core.errors import InputError
from ocusam.core.version import __version__
from ocusam.eye.calibration import (
    CHECK_COLUMNS,
    GAZE_COLUMNS,
    IN_FORCE,
    OUTSIDE_SIZES,
    OUTSIDE_TARGETS,
    Calibration,
    Choice,
    Fitted,
    Shown,
    calibrate,
    drift,
    split,
    suspect,
)
from ocusam.eye.calibration.both_eyes import eyes_of
from ocusam.eye.calibration.held_gaze import DIRECTION_COLUMNS, EYE3D
from ocusam.eye.calibration.in_force import at, numbers, spans, without_switches
from ocusam.eye.calibration.shown import NamedTargets, until_the_next
from ocusam.eye.calibration.validation import ROUND, validated
from ocusam.eye.events import EventRules, event_columns, find_events, with_both_eyes
from ocusam.eye.signals import TRACKED
from ocusam.eye.targets import BLOCK, END_COLUMNS, Screen, TargetSettings, make_targets
from ocusam.workflows.results.gaze_both import BothEyes, join_eyes
from ocusam.workflows.results.gaze_files import SCREEN_COLUMNS
from ocusam.workflows.results.gaze_summary import summary_of

FORMAT = 2
Tables = pl.DataFrame | Sequence[pl.DataFrame | NamedTargets]
"""A table of targets, or several, with their names or without."""


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
            calibration (number of the one in force), and screen_x_px, screen_y_px where the screen is known.
        events: fixations, saccades and blinks in degrees (columns: `eye.events.event_columns("deg")`).
        fitted: the calibrations, in order of time.
        targets: one row per view and target: view, calibration, validation (number, empty for targets that
            were fitted), and `eye.calibration.CHECK_COLUMNS`.
        validations: one row per view and validation (`eye.calibration.validation.VALIDATION_COLUMNS`).
        skipped: view -> why it has no gaze.
        screen: or None.
        rules: how events were found.
        both: gaze of both eyes together; None with one eye.
    """

    table: pl.DataFrame
    events: pl.DataFrame
    fitted: tuple[Fitted, ...]
    targets: pl.DataFrame
    validations: pl.DataFrame
    skipped: dict[int, str]
    screen: Screen | None
    rules: EventRules
    both: BothEyes | None = None

    @property
    def calibrations(self) -> dict[int, Calibration]:
        """View -> its last calibration."""
        return last_of(self.fitted)

    def summary(self) -> pl.DataFrame:
        """One row per view and calibration: accuracy (leave-one-out, and on validation targets); precision,
        samples with gaze, shares of them outside of what was calibrated, while it was in force."""
        return summary_of(self.fitted, self.table, self.targets)

    def record(self) -> dict[str, Any]:
        """`calibration.json`, without where it comes from."""
        return {
            "format": FORMAT,
            "ocusam": __version__,
            "unit": "deg",
            "screen": self.screen.to_dict() if self.screen is not None else None,
            "event_rules": asdict(self.rules),
            "calibrations": [
                {
                    **{name: getattr(one, name) for name in ("number", "name", "begins_ns", "ends_ns")},
                    "views": {str(view): mine.to_dict() for view, mine in one.views.items()},
                    "skipped": {str(view): why for view, why in one.skipped.items()},
                    "suspects": {str(view): asdict(found) for view, found in one.suspects.items()},
                }
                for one in self.fitted
            ],
            "skipped": {str(view): why for view, why in self.skipped.items()},
            "targets": self.targets.to_dicts(),
            "summary": self.summary().to_dicts(),
            "validations": self.validations.to_dicts(),
            "both": self.both.summary() if self.both is not None else None,
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
    tables: EyeTables, targets: Tables, settings: GazeSettings | None = None, *, validate: Tables = ()
) -> Gaze:
    """Calibrate every eye of a recording and apply it.

    Args:
        tables: of the recording.
        targets: see `eye.targets.make_targets`; one table for each calibration, or with a column `block`.
        settings: how.
        validate: targets that are only checked.

    Raises:
        InputError: the targets cannot be used, or no eye can be calibrated.
    """
    settings = settings or GazeSettings()
    shown, rounds = split(*made_targets(tables, targets, validate, settings))
    if not shown:
        raise InputError("There are no targets to calibrate on.")
    fitted = [_fitted(tables, one, number, settings) for number, one in enumerate(shown, start=1)]
    for one in fitted:
        if not one.views:
            raise InputError(_refusal(one, len(fitted)))
    skipped = {v: why for v, why in fitted[-1].skipped.items() if v not in last_of(fitted)}
    return apply_calibrations(tables, fitted, rounds, settings=settings, skipped=skipped)


def made_targets(
    tables: EyeTables, targets: Tables, validate: Tables, settings: GazeSettings
) -> tuple[list[NamedTargets], list[NamedTargets]]:
    """(name, table of `make_targets`) of every table of targets, and of every one to be checked only.

    Raises:
        InputError: one cannot be used; which one is told where there are several.
    """
    first, second = named_targets(targets), named_targets(validate, "validation table")
    made: list[pl.DataFrame] = []
    for name, table in (*first, *second):
        try:
            made.append(make_targets(table, *tables.span, settings.targets))
        except InputError as error:
            raise InputError(f"{name}: {error}" if len(first) + len(second) > 1 else str(error)) from None
    open_ended = [not set(END_COLUMNS) & set(table.columns) for _, table in (*first, *second)]
    made = until_the_next(made, open_ended)
    names = [name for name, _ in (*first, *second)]
    found = list(zip(names, made, strict=True))
    return found[: len(first)], found[len(first) :]


def named_targets(targets: Tables, kind: str = "table") -> list[NamedTargets]:
    """Tables with their names; those without one are numbered."""
    given = [targets] if isinstance(targets, pl.DataFrame) else targets
    return [
        (f"{kind} {number}", one) if isinstance(one, pl.DataFrame) else one
        for number, one in enumerate(given, start=1)
    ]


def last_of(fitted: Sequence[Fitted]) -> dict[int, Calibration]:
    """View -> its last calibration."""
    found: dict[int, Calibration] = {}
    for one in fitted:
        found |= one.views
    return dict(sorted(found.items()))


def _fitted(tables: EyeTables, shown: Shown, number: int, settings: GazeSettings) -> Fitted:
    """One calibration of all eyes; an eye that cannot be calibrated is skipped."""
    known: dict[str, Any] = {"blinks": tables.blinks, "doubts": tables.doubtful}
    made = Fitted(number, shown.name, shown.begins_ns, shown.ends_ns, {})
    for view in _views(tables.signals):
        try:
            mine = calibrate(tables.signals, shown.targets, **known, view=view, choice=settings.choice)
        except InputError as error:
            made.skipped[view] = str(error)
            continue
        made.views[view] = mine
        if (odd := suspect(mine, tables.signals, shown.targets, **known, view=view)) is not None:
            made.suspects[view] = odd
    return made


def _refusal(one: Fitted, of: int) -> str:
    """Why a calibration cannot be made, and what may be done, where there are others."""
    why = " ".join(dict.fromkeys(one.skipped.values()))
    if of == 1:
        return why or "The recording has no pupil: gaze needs one."
    ways = "leave its targets out to go on with the calibration before"
    if f", {BLOCK} " in one.name:
        ways += f"; without the column {BLOCK} all targets of the table are fitted together"
    return f"Calibration {one.number} ({one.name}) cannot be made: {why} If that is as it is, {ways}."


def apply_calibrations(
    tables: EyeTables,
    fitted: Sequence[Fitted],
    rounds: Sequence[Shown] = (),
    *,
    settings: GazeSettings | None = None,
    skipped: Mapping[int, str] | None = None,
) -> Gaze:
    """Gaze of a recording by calibrations that are there.

    Args:
        tables: of the recording.
        fitted: the calibrations, in order of time.
        rounds: validations to check them on.
        settings: screen and event rules.
        skipped: views left out already, and why.

    Raises:
        InputError: no view of the recording has a calibration, or a reflection it needs was not tracked.
    """
    settings = settings or GazeSettings()
    views = [view for view in _views(tables.signals) if view in last_of(fitted)]
    if not views:
        raise InputError(
            f"The calibration is for view {', '.join(map(str, last_of(fitted)))}, the recording has pupils "
            f"in view {', '.join(map(str, _views(tables.signals))) or 'none'}."
        )
    signals = tables.signals
    for view in views:
        for one, *span in spans(fitted, view):
            _check_features(tables.signals, one.views[view], view)
            signals = one.views[view].apply(signals, view=view, span=(span[0], span[1]))
    checked = _checked(tables, fitted, rounds, views)
    table = _table(signals, fitted, views, settings.targets.screen)
    events = gaze_events(table, tables.blinks, settings.rules)
    screen, rules, eyes = settings.targets.screen, settings.rules, eyes_of(views, settings.eyes)
    both = join_eyes(table, checked, tables.blinks, eyes, fitted, rounds, rules) if eyes else None
    if both is not None and screen is not None:
        both = replace(both, table=_on_screen(both.table, screen))
    found = validated(checked, fitted, rounds)
    return Gaze(table, events, tuple(fitted), checked, found, dict(skipped or {}), screen, rules, both)


def _check_features(signals: pl.DataFrame, calibration: Calibration, view: int) -> None:
    tracked = signals.filter((pl.col("view") == view) & (pl.col("state") == TRACKED))["object"]
    if calibration.reflection and calibration.reflection not in set(tracked):
        raise InputError(
            f"The calibration of view {view} needs the reflection {calibration.reflection!r}: track it."
        )
    if calibration.feature == EYE3D and not set(DIRECTION_COLUMNS) <= set(signals.columns):
        raise InputError(
            f"The calibration of view {view} needs a model of the eyeball: run `ocusam eye3d` before."
        )


def _checked(
    tables: EyeTables, fitted: Sequence[Fitted], rounds: Sequence[Shown], views: Sequence[int]
) -> pl.DataFrame:
    """All targets of all views: those that were fitted, then validations."""
    keys = {"view": pl.Int64, IN_FORCE: pl.Int64, ROUND: pl.Int64}
    parts = [pl.DataFrame(schema={**keys, **CHECK_COLUMNS})]

    def add(part: pl.DataFrame, *values: int | None) -> None:
        named = (pl.lit(v, dtype=pl.Int64).alias(k) for k, v in zip(keys, values, strict=True))
        parts.append(part.select(*named, *CHECK_COLUMNS))

    for view in views:
        for one in fitted:
            if view in one.views:
                add(one.views[view].checked, view, one.number, None)
        for number, shown in enumerate(rounds, start=1):
            one = at(fitted, view, shown.begins_ns)
            known = {"blinks": tables.blinks, "doubts": tables.doubtful}
            add(
                drift(one.views[view], tables.signals, shown.targets, **known, view=view),
                view,
                one.number,
                number,
            )
    return pl.concat(parts).sort("view", "use", IN_FORCE, ROUND, "target")


def gaze_events(table: pl.DataFrame, blinks: pl.DataFrame, rules: EventRules | None = None) -> pl.DataFrame:
    """Events of all eyes from gaze in degrees."""
    found = [pl.DataFrame(schema=event_columns("deg"))]
    for (view,), part in sorted(table.group_by("view"), key=lambda item: int(str(item[0][0]))):
        x, y = (pl.col(name) for name in GAZE_COLUMNS)
        rows = without_switches(part.sort("frame_idx"))
        samples = rows.select("frame_idx", "timestamp_ns", x.alias("x"), y.alias("y"))
        found.append(find_events(samples, rules, blinks=blinks, view=int(str(view)), unit="deg"))
    return with_both_eyes(pl.concat(found).sort("onset_ns", "view"))


def with_screen(settings: GazeSettings, screen: Screen | None) -> GazeSettings:
    """The settings with a screen where they have none."""
    if settings.targets.screen is not None or screen is None:
        return settings
    return replace(settings, targets=replace(settings.targets, screen=screen))


def _views(signals: pl.DataFrame) -> list[int]:
    return sorted(int(v) for v in signals.filter(pl.col("object") == "pupil")["view"].unique())


def _table(
    signals: pl.DataFrame, fitted: Sequence[Fitted], views: Sequence[int], screen: Screen | None
) -> pl.DataFrame:
    names = ("frame_idx", "timestamp_ns", "view", *GAZE_COLUMNS, OUTSIDE_TARGETS, OUTSIDE_SIZES)
    pupils = signals.filter(pl.col("object") == "pupil").select(names)
    parts = [pupils.filter(pl.col("view") == v).with_columns(numbers(fitted, v)) for v in views]
    table = pl.concat(parts).sort("frame_idx", "view")
    return table if screen is None else _on_screen(table, screen)


def _on_screen(table: pl.DataFrame, screen: Screen) -> pl.DataFrame:
    """With gaze in px besides."""
    px = screen.to_px(table.select(pl.col(GAZE_COLUMNS).fill_null(float("nan"))).to_numpy())
    return table.with_columns(
        pl.Series(name, px[:, k]).fill_nan(None) for k, name in enumerate(SCREEN_COLUMNS)
    )
