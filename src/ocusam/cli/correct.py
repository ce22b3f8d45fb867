"""`ocusam correct OUT --point NAME:X,Y@FRAME`: correct a finished run anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console, options

EXAMPLE = "Example: ocusam correct results --point pupil:120,80@5000 --direction both"

Folder = Annotated[Path, typer.Argument(help="Folder of `ocusam eye` or `ocusam track`.", show_default=False)]
Direction = Annotated[
    str, typer.Option(help="Where to track anew from the corrected frame: forward, backward, both.")
]
First = Annotated[
    int | None,
    typer.Option("--from", metavar="FRAME", show_default=False, help="Frames before this one stay."),
]
Last = Annotated[
    int | None, typer.Option("--to", metavar="FRAME", show_default=False, help="Frames after this one stay.")
]
ToTheEnd = Annotated[
    bool,
    typer.Option(
        "--to-the-end",
        help="Track on even where the new masks have met the old ones (an IoU of 0.98 or more on 16 frames "
        "in a row).",
    ),
]
Moved = Annotated[
    Path | None,
    typer.Option("--video", show_default=False, help="The video, where it lies elsewhere than at the run."),
]


@console.reports_errors
def correct(
    folder: Folder,
    point: options.Points = None,
    prompts: options.Prompts = None,
    direction: Direction = "forward",
    first: First = None,
    last: Last = None,
    to_the_end: ToTheEnd = False,
    video: Moved = None,
) -> None:
    """Correct a finished run anywhere: click on any frame, and masks, tables and overlay follow.

    Frame numbers count from 0. Without points a correction that was broken off is finished."""
    from ocusam.workflows.correct import CorrectSettings
    from ocusam.workflows.correct import correct as run
    from ocusam.workflows.session.meeting import STOP_IOU

    pack = options.read_pack(point, prompts)
    settings = CorrectSettings(direction, first, last, None if to_the_end else STOP_IOU)
    with console.bar() as progress:
        done = run(folder, pack, settings=settings, video=video, progress=progress)
    console.out().print(
        f"{done.retracked} frames tracked anew, {done.replayed} to remember what was before them; "
        f"{done.encoded} pictures encoded, {done.seconds:.1f} s\nupdated {folder}"
    )
