"""`ocusam gaze RUN --targets targets.csv`: where someone looked, in degrees and on the screen."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocusam.cli import console
from ocusam.core.errors import InputError

if TYPE_CHECKING:
    from ocusam.eye.targets import Screen
    from ocusam.workflows.results.gaze_tables import Gaze

EXAMPLE = "Example: ocusam gaze results --targets targets.csv"


class Unit(StrEnum):
    """Of the columns x and y."""

    DEG = "deg"
    PX = "px"


class Origin(StrEnum):
    """Of places in px."""

    TOP_LEFT = "top-left"
    CENTER = "center"


class Clock(StrEnum):
    """What the times of the targets count from."""

    RECORDING = "recording"
    FIRST_FRAME = "first-frame"


class Feature(StrEnum):
    """What gaze is computed from."""

    PUPIL_CR = "pupil_cr"
    PUPIL = "pupil"
    EYE3D = "eye3d"


class Method(StrEnum):
    """How events are found."""

    ADAPTIVE = "adaptive"
    IVT = "ivt"
    IDT = "idt"
    REMODNAV = "remodnav"


@console.reports_errors
def gaze(
    run: Annotated[Path, typer.Argument(help="Folder that `ocusam eye` wrote.", show_default=False)],
    targets: Annotated[
        list[Path] | None,
        typer.Option(
            "--targets",
            "-t",
            show_default=False,
            help="Table (CSV or TSV) of what was looked at: t in s (or start and end, or start_ns), x and y "
            "(or x_deg, y_deg; x_px, y_px), optionally duration in s, use (calibration or validation) and "
            "block. Several calibrations in one recording: repeat the option, or number them in block.",
        ),
    ] = None,
    validate: Annotated[
        list[Path] | None,
        typer.Option(
            "--validate",
            show_default=False,
            help="Table of targets that were looked at to check: they only tell the error and the drift. "
            "May be repeated.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            show_default=False,
            help="calibration.json of another recording of the same person and camera, instead of "
            "calibrating; "
            "targets then tell how far off it is.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            show_default=False,
            help="Folder for gaze.csv, gaze_events.csv, calibration.json, report.html (and gaze_both.csv, "
            "gaze_both_events.csv); default: that of the run.",
        ),
    ] = None,
    unit: Annotated[Unit, typer.Option("--unit", help="Unit of plain columns x and y.")] = Unit.DEG,
    screen: Annotated[
        str | None,
        typer.Option(
            "--screen",
            metavar="WxH,WxH,D",
            show_default=False,
            help="Screen: size in px, size in mm, distance of the eye in mm, as 1920x1080,531x299,600. "
            "Needed for "
            "targets in px; gives gaze in px too.",
        ),
    ] = None,
    origin: Annotated[
        Origin, typer.Option("--origin", help="Of places in px: top-left (y down) or center (y up).")
    ] = Origin.TOP_LEFT,
    clock: Annotated[
        Clock,
        typer.Option("--clock", help="Times count on the clock of signals.csv, or from the first frame."),
    ] = Clock.RECORDING,
    feature: Annotated[
        Feature | None,
        typer.Option(
            "--feature",
            show_default=False,
            help="pupil_cr: vector from a reflection to the pupil; pupil: its centre; eye3d: direction by "
            "the model of `ocusam eye3d`, run before. Default: leave-one-out says which of the first two.",
        ),
    ] = None,
    reflection: Annotated[
        str | None,
        typer.Option(
            "--reflection", show_default=False, help="Which reflection, for example cr0; default: the best."
        ),
    ] = None,
    size_correction: Annotated[
        bool | None,
        typer.Option(
            "--size-correction/--no-size-correction",
            show_default=False,
            help="With the pupil's diameter as part of the model; default: leave-one-out says.",
        ),
    ] = None,
    eyes: Annotated[
        str | None,
        typer.Option(
            "--eyes",
            show_default=False,
            help="Which eye each view shows, in order: left, right, or - to leave it out of gaze of both "
            "eyes; for example left,right. Default: two views are two eyes, more are not joined.",
        ),
    ] = None,
    events: Annotated[
        Method, typer.Option("--events", help="How fixations and saccades are found.")
    ] = Method.ADAPTIVE,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
) -> None:
    """Gaze from a tracked recording: calibrate on targets, apply, and say how accurate and precise it is.

    Writes gaze.csv, gaze_events.csv (degrees), calibration.json, report.html with gaze, and for two eyes
    gaze_both.csv and gaze_both_events.csv.
    """
    from ocusam.eye.calibration import Choice
    from ocusam.eye.events import EventRules
    from ocusam.eye.targets import TargetSettings
    from ocusam.workflows.gaze import run_gaze
    from ocusam.workflows.results.gaze_tables import GazeSettings

    settings = GazeSettings(
        TargetSettings(unit.value, read_screen(screen), origin.value, clock.value),
        Choice(feature.value if feature is not None else None, reflection, None, size_correction),
        EventRules(method=events.value),
    )
    with console.bar() as progress:
        found = run_gaze(
            run,
            targets,
            validate=validate or (),
            calibration=calibration,
            out=out,
            settings=settings,
            eyes=None if eyes is None else [eye.strip() for eye in eyes.split(",")],
            report=report,
            progress=progress,
        )
    for line in describe(found):
        console.out().print(line)
    console.out().print(f"written to {run if out is None else out}")


def read_screen(text: str | None) -> Screen | None:
    """A screen from "1920x1080,531x299,600".

    Raises:
        InputError: it cannot be read.
    """
    from ocusam.eye.targets import Screen

    if text is None:
        return None
    try:
        px, mm, distance = text.split(",")
        (w, h), (a, b) = px.lower().split("x"), mm.lower().split("x")
        return Screen((int(w), int(h)), (float(a), float(b)), float(distance))
    except InputError:
        raise
    except ValueError:
        raise InputError(
            f"The screen {text!r} cannot be read: give px, mm and distance in mm, as 1920x1080,531x299,600."
        ) from None


def describe(found: Gaze) -> list[str]:
    """What the command prints: one line a view and calibration, one for each target that could not be used,
    and what validations tell."""
    lines = []
    for row in found.summary().iter_rows(named=True):
        lines += _of_calibration(found, row)
    if found.both is not None:
        lines.append(_of_both(found.both.summary()))
    for row in found.targets.filter(found.targets["note"] != "").iter_rows(named=True):
        where = f"validation {row['validation']}, " if row["validation"] else _which(found, row)
        lines.append(f"{where}view {row['view']}: target {row['target']} not used: {row['note']}")
    lines += _of_validations(found)
    for one in found.fitted:
        known = {view: why for view, why in one.skipped.items() if view not in found.skipped}
        lines += [
            f"calibration {one.number}, view {view}: not possible, another one stays in force: {why}"
            for view, why in known.items()
        ]
    lines += [f"view {view}: no gaze: {why}" for view, why in found.skipped.items()]
    return lines


def _which(found: Gaze, row: dict[str, Any]) -> str:
    """Of which calibration a line speaks, where there are several."""
    return f"calibration {row['calibration']}, " if len(found.fitted) > 1 else ""


def _of_calibration(found: Gaze, row: dict[str, Any]) -> list[str]:
    """The lines about one row of the summary."""
    view, one = row["view"], found.fitted[row["calibration"] - 1]
    head = f"{_which(found, row)}view {view}: "
    what = f"{row['feature']} ({row['reflection']})" if row["reflection"] else row["feature"]
    size = " with size correction" if row["with_size"] else ""
    line = (
        f"{head}{what}, {row['model']}{size}: accuracy {row['accuracy_deg']:.2f} deg "
        f"(leave-one-out, {row['targets']} targets)"
    )
    if row["precision_rms_s2s_deg"] is not None:
        line += f"; RMS-S2S {row['precision_rms_s2s_deg']:.3f} deg"
    line += f"; data loss {row['data_loss']:.1%}"
    if len(found.fitted) > 1:
        since = (one.begins_ns or 0) - int(str(found.table["timestamp_ns"].min()))
        line += f"; begins {since / 1e9:.1f} s after the first frame ({one.name})"
    lines = [line]
    if view in one.suspects:
        lines.append(f"{head}{one.suspects[view].told()}")
    if row["accuracy_deg"] >= (middle := _by_the_middle(found, view, row["calibration"])):
        lines.append(
            f"{head}that is no better than to say always the middle of the targets "
            f"({middle:.2f} deg): check their times (--clock) and places"
        )
    for share, name in (("outside_targets", "places"), ("outside_sizes", "pupil sizes")):
        if (row[share] or 0.0) > 0.05:
            lines.append(f"{head}{row[share]:.0%} of gaze lies outside the calibrated {name}")
    return lines


def _of_validations(found: Gaze) -> list[str]:
    """Two lines for every view and validation: mean error and drift; the error at every target."""
    lines = []
    rows = found.validations.to_dicts() + ([] if found.both is None else found.both.validations.to_dicts())
    for row in rows:
        eye = "both eyes" if row["view"] is None else f"view {row['view']}"
        head = f"validation {row['validation']}, {eye}: "
        if row["accuracy_deg"] is None:
            lines.append(f"{head}no target could be used ({row['name']})")
            continue
        lines.append(
            f"{head}error {row['accuracy_deg']:.2f} deg (mean of {row['targets']} targets for validation, "
            f"worst {row['accuracy_max_deg']:.2f}); drift ({row['drift_x_deg']:+.2f}, "
            f"{row['drift_y_deg']:+.2f}) deg{_since(found, row)} ({row['name']})"
        )
        table = found.targets if found.both is None or row["view"] is not None else found.both.targets
        mine = table.filter(table["validation"] == row["validation"])
        mine = mine if row["view"] is None else mine.filter(mine["view"] == row["view"])
        each = mine.drop_nulls("accuracy_deg").select("target", "x_deg", "y_deg", "accuracy_deg").rows()
        at_each = ", ".join(f"{error:.2f} at ({x:g}, {y:g})" for _, x, y, error in each)
        lines.append(f"{head}target by target: {at_each} deg")
    return lines


def _since(found: Gaze, row: dict[str, Any]) -> str:
    seconds = row["since_calibration_s"]
    if seconds is None:
        return " since the calibration"
    which = f"calibration {row['calibration']}" if len(found.fitted) > 1 else "the calibration"
    return f" in {seconds:.0f} s since {which}" if seconds >= 0 else f", {-seconds:.0f} s before {which}"


def _by_the_middle(found: Gaze, view: int, calibration: int) -> float:
    """Mean distance of the targets that calibrated a view from their middle, deg: the accuracy of who knows
    nothing but the targets. Infinite where none is known."""
    table = found.targets.filter(found.targets["calibration"] == calibration)
    mine = table.filter(
        (table["view"] == view) & (table["use"] == "calibration") & table["accuracy_deg"].is_not_null()
    )
    xy = mine.select("x_deg", "y_deg").to_numpy()
    if not len(xy):
        return math.inf
    return sum(math.dist(place, xy.mean(axis=0)) for place in xy) / len(xy)


def _of_both(both: dict[str, Any]) -> str:
    """The line about both eyes together."""
    first, second = both["eyes"]
    line = f"both eyes ({first}, {second}), mean: "
    if both["accuracy_deg"] is not None:
        line += f"accuracy {both['accuracy_deg']:.2f} deg (leave-one-out, {both['targets']} targets)"
    else:
        line += "accuracy unknown (no target that both held)"
    if len(both["by_calibration"]) > 1:
        each = ", ".join(f"{one['accuracy_deg']:.2f}" for one in both["by_calibration"])
        line += f", by calibration {each} deg"
    if both["precision_rms_s2s_deg"] is not None:
        line += f"; RMS-S2S {both['precision_rms_s2s_deg']:.3f} deg"
    if both["vergence_x_deg_median"] is not None:
        apart = ", ".join(f"{both[f'vergence_{axis}_deg_median']:+.2f}" for axis in "xy")
        line += f"; {first} minus {second} ({apart}) deg in the middle"
    return f"{line}; both seen in {both['with_both_eyes']:.1%}; data loss {both['data_loss']:.1%}"
