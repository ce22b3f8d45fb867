"""`ocusam report OUT`: make report.html of a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console

EXAMPLE = "Example: ocusam report results --video moved/recording.mp4"


@console.reports_errors
def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `ocusam eye` wrote.", show_default=False)],
    video: Annotated[
        Path | None,
        typer.Option("--video", show_default=False, help="Where the video is now; default: where it was."),
    ] = None,
) -> None:
    """Make report.html of a finished run again, with events.csv, quality.csv and doubtful.csv."""
    from ocusam.workflows.results.report import remake

    with console.bar() as progress:
        path = remake(folder, video=video, progress=progress)
    console.out().print(f"written to {path} ({path.stat().st_size / 1e6:.1f} MB)")
