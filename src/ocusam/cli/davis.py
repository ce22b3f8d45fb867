"""`ocusam davis-score` and `ocusam davis-export`: masks of videos in DAVIS and SA-V folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocusam.cli import console

if TYPE_CHECKING:
    from rich.table import Table

    from ocusam.workflows.davis import DavisScores

SCORE_EXAMPLE = "Example: ocusam davis-score DAVIS/Annotations/480p results -o scores.json"
EXPORT_EXAMPLE = "Example: ocusam davis-export my_run -o results --frame-names DAVIS/JPEGImages/480p/bear"


@console.reports_errors
def davis_score(
    truth: Annotated[
        Path,
        typer.Argument(
            help="Folder of VIDEO/FRAME.png (palette) or VIDEO/OBJECT/FRAME.png.", show_default=False
        ),
    ],
    result: Annotated[Path, typer.Argument(help="The results, in the same layout.", show_default=False)],
    all_frames: Annotated[
        bool, typer.Option("--all-frames/--skip-ends", help="Score the first and the last frame too.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON file for all figures.", show_default=False)
    ] = None,
) -> None:
    """Score masks of videos as DAVIS and SA-V do: J (region), F (boundary) and J&F."""
    import json

    from ocusam.workflows.davis import score_folders, write_text

    with console.bar(unit="videos") as progress:
        scores = score_folders(truth, result, skip_first_and_last=not all_frames, progress=progress)
    console.out().print(_table(scores))
    if out is not None:
        about = {"truth": str(truth), "result": str(result), **scores.to_dict()}
        write_text(out, json.dumps(about, indent=2) + "\n")
        console.out().print(f"written to {out}")


@console.reports_errors
def davis_export(
    run: Annotated[Path, typer.Argument(help="Folder that `ocusam track` wrote.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder; the video becomes a folder in it.", show_default=False),
    ],
    video: Annotated[
        str | None, typer.Option("--video", help="Name of the video's folder; default: that of its file.")
    ] = None,
    layout: Annotated[
        str, typer.Option("--layout", help="palette (FRAME.png) or objects (OBJECT/FRAME.png).")
    ] = "palette",
    frame_names: Annotated[
        Path | None,
        typer.Option(
            "--frame-names",
            show_default=False,
            help="Folder of the video's pictures, whose names the frames get; default: 00000, 00001, ...",
        ),
    ] = None,
) -> None:
    """Write the masks of a run as PNG files in the folders of DAVIS or SA-V."""
    from ocusam.core.errors import InputError
    from ocusam.workflows.davis import export_masklets, names_of_pictures, open_run

    if layout not in ("palette", "objects"):
        raise InputError(f"--layout {layout}: use palette or objects.")
    masklets, name = open_run(run)
    names = names_of_pictures(frame_names) if frame_names is not None else None
    target = video or name
    objects = export_masklets(
        masklets, out, target, layout="objects" if layout == "objects" else "palette", frame_names=names
    )
    numbered = ", ".join(f"{number}: {what}" for number, what in objects.items())
    console.out().print(f"{masklets.num_frames} frames, objects {numbered}\nwritten to {out / target}")


def _table(scores: DavisScores) -> Table:
    from rich.table import Table

    table = Table("video", "object", "frames", "J&F", "J", "F")
    for score in scores.objects:
        figures = (score.jf, score.j, score.f)
        table.add_row(score.video, score.object, str(score.frames), *(f"{100 * v:.1f}" for v in figures))
    table.add_section()
    total = (scores.jf, scores.j, scores.f)
    table.add_row("mean", f"{len(scores.objects)} objects", "", *(f"{100 * value:.1f}" for value in total))
    return table
