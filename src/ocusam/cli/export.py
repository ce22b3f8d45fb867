"""`ocusam export RUN --format FORMAT -o OUT`: results in the files of others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocusam.cli import console
from ocusam.core.errors import InputError

if TYPE_CHECKING:
    from ocusam.workflows.results.finished_run import FinishedRun

EXAMPLE = "Example: ocusam export results --format bids -o study --subject 01 --task reading --eyes left"


class Format(StrEnum):
    """What can be written."""

    BIDS = "bids"
    PUPIL_CORE = "pupil-core"
    PARQUET = "parquet"
    FILTERED = "filtered"
    PNG = "masks-png"
    COCO = "masks-coco"
    NPZ = "masks-npz"


@console.reports_errors
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            show_default=False,
            help="bids: dataset with physio and physioevents; pupil-core: pupil_positions.csv; parquet: all "
            "tables; filtered: signals_filtered.csv, by the filters asked for; masks-png: "
            "OUT/OBJECT/FRAME.png; masks-coco: masks.json with RLE; masks-npz: masks.npz.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.", show_default=False)],
    eyes: Annotated[
        str | None,
        typer.Option(
            "--eyes",
            show_default=False,
            help="Which eye each view shows, in order: left, right, cyclopean (bids), - to leave it out; "
            "for example left,right. Needed for bids; pupil-core else takes the view's number.",
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="bids: participant's label.", show_default=False)
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="bids: task's label.", show_default=False)
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="bids: session's label.", show_default=False)
    ] = None,
    run_number: Annotated[
        int | None, typer.Option("--run", min=1, help="bids: run, from 1.", show_default=False)
    ] = None,
    start: Annotated[
        float, typer.Option("--start", help="bids: first frame after the start of neural data, seconds.")
    ] = 0.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="bids: replace the files of the same recording.")
    ] = False,
    median: Annotated[
        int, typer.Option("--median", help="filtered: odd width of a running median, samples; 0: off.")
    ] = 0,
    savgol: Annotated[
        int, typer.Option("--savgol", help="filtered: odd width of a Savitzky-Golay filter, samples; 0: off.")
    ] = 0,
    savgol_degree: Annotated[
        int, typer.Option("--savgol-degree", help="filtered: degree of its polynomial.")
    ] = 2,
    interpolate: Annotated[
        float,
        typer.Option(
            "--interpolate", metavar="MS", help="filtered: longest gap that is bridged, ms; 0: none."
        ),
    ] = 0.0,
    margin: Annotated[
        float,
        typer.Option(
            "--margin", metavar="MS", help="filtered: samples this close to a gap count as missing first, ms."
        ),
    ] = 0.0,
) -> None:
    """Write the results of a run for other tools: BIDS, Pupil Core, Parquet, filtered signals, masks as PNG,
    COCO or NPZ."""
    from ocusam.eye.filters import Filters
    from ocusam.workflows.results.export_bids import BidsLabels, write_bids
    from ocusam.workflows.results.export_tables import (
        write_filtered,
        write_parquet,
        write_pupil_positions,
    )
    from ocusam.workflows.results.finished_run import open_run

    finished = open_run(run)
    named = None if eyes is None else [eye.strip() for eye in eyes.split(",")]
    if format is Format.BIDS:
        if subject is None or task is None or named is None:
            raise InputError("BIDS wants to know whose recording it is: give --subject, --task and --eyes.")
        labels = BidsLabels(subject, task, named, session, run_number, start, overwrite)
        written = [str(path) for path in write_bids(finished, out, labels)]
    elif format is Format.PUPIL_CORE:
        written = [str(write_pupil_positions(finished, out, named))]
    elif format is Format.PARQUET:
        written = [str(path) for path in write_parquet(finished, out)]
    elif format is Format.FILTERED:
        filters = Filters(median, savgol, savgol_degree, interpolate, margin)
        written = [str(path) for path in write_filtered(finished, out, filters)]
    else:
        written = [_masks(finished, format, out)]
    for line in written:
        console.out().print(f"written {line}")


def _masks(run: FinishedRun, format: Format, out: Path) -> str:
    from ocusam.workflows.results.export_masks import write_coco, write_npz, write_png

    with console.bar() as progress:
        if format is Format.PNG:
            return f"{write_png(run.masklets, out, progress)} pictures below {out}"
        if format is Format.COCO:
            path = out / "masks.json"
            return f"{path}: {write_coco(run.masklets, path, progress)} masks"
        path = out / "masks.npz"
        return f"{path}: {write_npz(run.masklets, path, progress)} objects"
