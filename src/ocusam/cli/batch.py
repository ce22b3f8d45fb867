"""`ocusam batch SOURCE -o OUT`: many recordings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from ocusam.cli import console, options

if TYPE_CHECKING:
    from ocusam.workflows.batch import BatchResult, Watcher
    from ocusam.workflows.batch_summary import Row

EXAMPLE = "Example: ocusam batch recordings.csv -o results --jobs 4"
SOME_FAILED = 1


@console.reports_errors
def batch(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of videos, TIFF stacks and folders of pictures (subfolders too), or a CSV with the "
            "columns video, participant, prompts, point, reference, reference_prompts, out, views, times; "
            "only video is required.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for all runs and summary.csv; may hold earlier ones.",
            show_default=False,
        ),
    ],
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Recordings at once; the cores are divided among them.")
    ] = 1,
    point: options.Points = None,
    prompts: options.Prompts = None,
    reference: options.Reference = None,
    reference_prompts: options.ReferencePrompts = None,
    model: options.Model = "nano",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    views: options.Views = "auto",
    zoom: options.Zoom = "auto",
    overlay: options.Overlay = True,
    report: options.Report = True,
    cross_negatives: options.CrossNegatives = False,
    snapshots: options.SnapshotFrames = 64,
    recover: options.Recover = True,
    clear_clicks: options.ClearClicks = True,
    dtype: options.Dtype = "float32",
    size: options.Size = "fine",
    compiled: options.Compile = False,
    engine: options.Engine = "torch",
    glints: options.Glints = "auto",
    mm_per_px: options.MmPerPx = None,
    iris_mm: options.IrisMm = None,
    times: Annotated[
        str | None,
        typer.Option(
            "--times",
            metavar="PATTERN",
            show_default=False,
            help="Files with a time for every frame, beside the videos: {name}_times.csv, where {name} "
            "stands for the video's name without its ending. What they hold: see `ocusam eye --help`.",
        ),
    ] = None,
    times_column: options.TimesColumn = None,
    times_unit: options.TimesUnit = None,
    fps: options.Fps = None,
    start_over: Annotated[
        bool,
        typer.Option(
            "--start-over",
            help="Runs that were broken off begin anew instead of going on (after a change of prompts).",
        ),
    ] = False,
) -> None:
    """Eye movements from many recordings. A failure stops no other; run it again for what is missing.

    Prompts, clicks and views given here hold for recordings that have none of their own. Ends with exit code
    1 when a recording failed."""
    from ocusam.workflows.batch import BatchOptions, run_batch
    from ocusam.workflows.inputs.recording_list import BatchItem, list_recordings
    from ocusam.workflows.inputs.settings import RunSettings

    options.read_points(point)  # a misspelt click is told at once, not once per recording
    common = BatchItem("", source, out, "", prompts, tuple(point or ()), reference, reference_prompts, views)
    items = list_recordings(source, out, common, times)
    settings = RunSettings(
        zoom=zoom,
        overlay=overlay,
        report=report,
        cross_negatives=cross_negatives,
        snapshot_frames=snapshots,
        recover=recover,
        clear_clicks=clear_clicks,
        dtype=dtype,
        size=size,
        compiled=compiled,
        engine=engine,
        glints=glints,
        mm_per_px=mm_per_px,
        iris_mm=iris_mm,
        times_column=times_column,
        times_unit=times_unit,
        fps=fps,
    )
    with _watcher(len(items)) as watcher:
        wanted = BatchOptions(model, weights, device, settings, jobs, start_over=start_over)
        result = run_batch(items, out, wanted, watcher)
    _report(result, out)
    if result.interrupted:
        raise typer.Exit(console.INTERRUPTED)
    if result.failed:
        raise typer.Exit(SOME_FAILED)


@contextmanager
def _watcher(count: int) -> Iterator[Watcher]:
    """One bar for the batch and one for each recording that runs; a line for each that has ended."""
    from ocusam.workflows.batch import Watcher

    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=screen, disable=not screen.is_terminal)
    whole = bars.add_task("recordings", total=count)
    tasks: dict[str, TaskID] = {}

    def progress(name: str, done: int, total: int | None) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(escape(name), total=total)
        bars.update(tasks[name], completed=done, total=total)

    def done(row: Row) -> None:
        if row["recording"] in tasks:
            bars.remove_task(tasks.pop(row["recording"]))
        bars.advance(whole)
        message = f": {row['message']}" if row["message"] else ""
        screen.print(f"{row['recording']} {row['status']}{message}", markup=False)

    with bars:
        yield Watcher(progress, done)


def _report(result: BatchResult, out: Path) -> None:
    from ocusam.workflows.batch_summary import SUMMARY

    table = Table()
    for name, how in (("recording", "left"), ("status", "left"), ("frames", "right"), ("frames/s", "right"),
                      ("tracked", "right"), ("blinks", "right"), ("look at", "left"),
                      ("message", "left")):  # fmt: skip
        table.add_column(name, justify=how, overflow="fold")  # type: ignore[arg-type]
    for row in result.summary.iter_rows(named=True):
        share = row["share_tracked"]
        numbers = (row["frames"], row["fps"], None if share is None else f"{share:.1%}", row["blinks"])
        cells = ["" if value is None else str(value) for value in numbers]
        told = (escape(row["look_at"] or ""), escape(row["message"]))
        table.add_row(escape(row["recording"]), row["status"], *cells, *told)
    console.wide().print(table)
    counts = result.summary["status"].value_counts().sort("status").iter_rows()
    console.out().print(", ".join(f"{count} {status}" for status, count in counts))
    console.out().print(f"written to {out / SUMMARY}")
    if result.interrupted:
        Console(stderr=True).print("Interrupted. Give the same command again to go on.")
