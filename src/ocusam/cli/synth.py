"""`ocusam synth OUT`: look at rendered eyes: a contact sheet, or one clip as a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console

EXAMPLE = "Example: ocusam synth sheet.png --seed 1 --count 48 --outlines"


@console.reports_errors
def synth(
    out: Annotated[
        Path, typer.Argument(help="A .png for a contact sheet, a .mp4 for one clip.", show_default=False)
    ],
    seed: Annotated[int, typer.Option("--seed", help="First seed; everything follows from it.")] = 0,
    count: Annotated[
        int, typer.Option("--count", min=1, help="Eyes on the sheet, or frames of the clip.")
    ] = 48,
    size: Annotated[int, typer.Option("--size", min=32, help="Width and height of a picture, px.")] = 256,
    outlines: Annotated[bool, typer.Option("--outlines", help="Draw the truth on the pictures.")] = False,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second of a clip.")] = 120.0,
) -> None:
    """Rendered eyes, the training data of nano: a contact sheet (.png) or one clip (.mp4)."""
    from ocusam.core.errors import OutputError
    from ocusam.synthetic.contact_sheet import draw_truth, write_contact_sheet
    from ocusam.synthetic.eye import render_eye_clip
    from ocusam.video.writer import VideoWriter

    if out.suffix.lower() == ".png":
        write_contact_sheet(out, range(seed, seed + count), size=(size, size), outlines=outlines)
    elif out.suffix.lower() == ".mp4":
        clip = render_eye_clip(seed, num_frames=count, size=(size, size), fps=fps)
        with VideoWriter(out, fps, (size, size)) as writer:
            for i, frame in enumerate(clip.frames):
                writer.write(draw_truth(clip, i)[..., ::-1] if outlines else frame)
    else:
        raise OutputError(f"{out}: give a name that ends in .png (contact sheet) or .mp4 (one clip).")
    console.out().print(f"written to {out}")
