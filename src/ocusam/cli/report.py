"""`ocusam report OUT`: make report.html of a finished run again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console

EXAMPLE = "Example: ocusam report results --video moved/recording.mp4"


class Method(StrEnum):
    """How events are found on positions in px."""

    ADAPTIVE = "adaptive"
    IVT = "ivt"
    IDT = "idt"


@console.reports_errors
def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `ocusam eye` wrote.", show_default=False)],
    video: Annotated[
        Path | None,
        typer.Option("--video", show_default=False, help="Where the video is now; default: where it was."),
    ] = None,
    events: Annotated[
        Method | None,
        typer.Option(
            "--events",
            show_default=False,
            help="Find fixations and saccades in this way from now on; default: as before (adaptive).",
        ),
    ] = None,
    velocity: Annotated[
        float | None,
        typer.Option("--velocity", min=0.0, show_default=False, help="ivt: threshold, px per second."),
    ] = None,
    dispersion: Annotated[
        float | None,
        typer.Option("--dispersion", min=0.0, show_default=False, help="idt: threshold, px."),
    ] = None,
    factor: Annotated[
        float,
        typer.Option("--factor", min=0.1, help="adaptive: multiple of the velocity's standard deviation."),
    ] = 6.0,
) -> None:
    """Make report.html of a finished run again, with events.csv, quality.csv and doubtful.csv."""
    from ocusam.eye.events import EventRules
    from ocusam.workflows.results.report import remake

    rules = None
    if events is not None:
        rules = EventRules(events.value, factor, velocity_threshold=velocity, dispersion_threshold=dispersion)
    with console.bar() as progress:
        path = remake(folder, video=video, rules=rules, progress=progress)
    console.out().print(f"written to {path} ({path.stat().st_size / 1e6:.1f} MB)")
