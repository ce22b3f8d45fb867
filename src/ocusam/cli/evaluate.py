"""`ocusam evaluate ANNOTATIONS`: score the whole job on annotated recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocusam.cli import console, options
from ocusam.cli.davis import davis_score

if TYPE_CHECKING:
    from rich.table import Table

    from ocusam.workflows.evaluate import ClipResult
    from ocusam.workflows.scoring.annotations import Clip
    from ocusam.workflows.session.follow import Progress

EXAMPLE = (
    "Example: ocusam evaluate ../shared/data/annotations.json --weights nano.safetensors --pictures pictures"
)


@console.reports_errors
def evaluate(
    annotations: Annotated[
        Path,
        typer.Argument(
            help="annotations.json (its conventions are inside), or a folder of true masks.",
            show_default=False,
        ),
    ],
    result: Annotated[
        Path | None,
        typer.Argument(help="Folder of masks to score as `davis-score` does.", show_default=False),
    ] = None,
    weights: options.Weights = None,
    model: options.Model = "nano",
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    size: options.Size = "fine",
    engine: options.Engine = "torch",
    clips: Annotated[
        str | None, typer.Option("--clips", help="Names, comma-separated; default: all.")
    ] = None,
    objects: Annotated[str, typer.Option("--objects", help="Which objects are clicked.")] = "pupil,iris",
    every: Annotated[
        int,
        typer.Option(
            "--every", min=1, help="Track only every so-manieth frame and the annotated ones: quick."
        ),
    ] = 1,
    stills: Annotated[
        bool, typer.Option("--stills", help="Each annotated frame by itself, clicked where its truth says.")
    ] = False,
    zoom: options.Zoom = "auto",
    cross_negatives: options.CrossNegatives = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON file for all figures.", show_default=False)
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            "--overlay-dir",
            show_default=False,
            help="Folder for pictures of annotated frames with truth (green) and finding (red).",
        ),
    ] = None,
) -> None:
    """Track annotated recordings from their first clicks and compare with their truth."""
    if result is not None:
        # Two folders of masks: nothing to track.
        davis_score(annotations, result, out=out)
        return
    from ocusam.workflows.evaluate import evaluate as run
    from ocusam.workflows.evaluate import write_json
    from ocusam.workflows.inputs.settings import RunSettings

    wanted = [name.strip() for name in clips.split(",")] if clips else None
    names = tuple(name.strip() for name in objects.split(","))
    with console.bar() as progress:

        def start(clip: Clip) -> Progress:
            return lambda done, total, what: progress(done, total, f"{clip.name} {what}")

        settings = RunSettings(
            zoom=zoom,
            masklets=pictures is not None,
            overlay=False,
            cross_negatives=cross_negatives,
            dtype=dtype,
            size=size,
            engine=engine,
        )
        options_of_run: dict[str, Any] = {} if stills else {"every": every, "settings": settings}
        results = run(
            annotations,
            clips=wanted,
            pictures=pictures,
            on_clip=start,
            stills=stills,
            model=model,
            weights=weights,
            device=device,
            computing=settings,
            objects=names,
            **options_of_run,
        )
    console.wide().print(_table(results))
    if out is not None:
        write_json(out, results, annotations)
        console.out().print(f"written to {out}")


def _table(results: dict[str, ClipResult]) -> Table:
    """Centre error relative to the pupil's diameter; IoU with lost frames as zero, and without them."""
    from rich.table import Table

    table = Table("clip", "object", "found", "err", "px", "IoU", "found", "closed", "false", "lost", "fps")
    for name, result in results.items():
        for object_name, s in result.scores.items():
            if not s.scored and object_name != "pupil":
                continue
            called = "-" if s.closed_called is None else f"{round(s.closed_called * s.closed)}/{s.closed}"
            table.add_row(
                name,
                object_name,
                f"{s.found}/{s.scored}",
                _text(s.error_rel_median, "{:.1%}"),
                _text(s.error_px_median, "{:.2f}"),
                _text(s.iou_median, "{:.3f}"),
                _text(s.iou_median_found, "{:.3f}"),
                called,
                _text(s.false_blinks, "{:.1%}"),
                _text(s.open_lost, "{:.1%}"),
                f"{result.fps:.1f}",
            )
    table.caption = (
        "found: of the frames scored; err: median distance of the centres over the true diameter; IoU: "
        "median of the filled ellipses, lost frames as zero, then without them; closed: closed frames called "
        "blink or lost; false, lost: share of open frames called blink, lost"
    )
    return table


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
