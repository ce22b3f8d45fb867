"""Options that several commands share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.core.prompts import ObjectPrompt, merge_prompts, parse_point

Video = Annotated[
    Path, typer.Argument(help="Video file, or a folder of JPEG or PNG pictures.", show_default=False)
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder to write; must not hold another run.", show_default=False)
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        "-p",
        metavar="NAME:X,Y[@FRAME]",
        show_default=False,
        help="A click, px of the picture; repeat for more. -NAME:X,Y is a point not on it.",
    ),
]
Model = Annotated[str, typer.Option("--model", "-m", help="Name of the network, see `ocusam models`.")]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", "-w", show_default=False, help="Checkpoint; default: the packaged weights of nano."
    ),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")]
Views = Annotated[
    str, typer.Option("--views", help="Several eyes in one picture: auto, none, or COLUMNSxROWS such as 2x1.")
]
Overlay = Annotated[bool, typer.Option("--overlay/--no-overlay", help="Write overlay.mp4.")]
CrossNegatives = Annotated[
    bool,
    typer.Option(
        "--cross-negatives", help="Use clicks on the pupil as points not on the iris, and the like."
    ),
]


def read_points(points: list[str] | None) -> list[ObjectPrompt]:
    """Prompts of the --point options.

    Raises:
        PromptError: one cannot be read.
    """
    return merge_prompts(parse_point(text) for text in points or [])
