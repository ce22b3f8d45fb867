"""`ocusam camera SOURCE`: follow objects live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console, options
from ocusam.cli.eye import describe_found

EXAMPLE = "Example: ocusam camera 0 --record session1"


@console.reports_errors
def camera(
    source: Annotated[
        str, typer.Argument(help="Number of a camera (0), file, or rtsp:// address.", show_default=False)
    ],
    point: options.Points = None,
    prompts: options.Prompts = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            "-o",
            show_default=False,
            help="Folder to write, as of `ocusam eye`; must not hold a run.",
        ),
    ] = None,
    drop: Annotated[
        bool | None,
        typer.Option(
            "--drop/--no-drop",
            help="Track the newest frame only; default: for cameras and streams, not for files.",
            show_default=False,
        ),
    ] = None,
    max_frames: Annotated[
        int | None,
        typer.Option(
            "--max-frames",
            help="End after so many frames, those included that pass while the eye is looked for.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        bool, typer.Option("--window/--no-window", help="Show the overlay as it runs, and take clicks.")
    ] = True,
    overlay: options.Overlay = True,
    report: options.Report = True,
    model: options.Model = "nano",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    size: options.Size = "fine",
    compiled: options.Compile = False,
    engine: options.Engine = "torch",
    glints: Annotated[
        str,
        typer.Option(
            help="Corneal reflections in the recording, as of `ocusam eye`: auto (for files; off with "
            "a camera, a stream or --drop), a number from 1 to 8 (look for at most so many, in any "
            "source; it takes time on every frame), or off."
        ),
    ] = "auto",
) -> None:
    """Follow objects live from a camera, a network stream or a file; Ctrl-C or q ends it.

    Without --point and --prompts the eye is looked for on the frames as they come (nano), until one
    convinces; tracking and recording begin with that frame. In the window, a left click is on the pupil, a
    right click is not on it; p, i and c choose pupil, iris or reflection.
    """
    from ocusam.workflows.camera import CameraSettings, run_camera

    settings = CameraSettings(
        drop=drop,
        max_frames=max_frames,
        window=window,
        overlay=overlay,
        report=report,
        dtype=dtype,
        size=size,
        compiled=compiled,
        engine=engine,
        glints=glints,
    )
    with console.bar() as progress:
        run = run_camera(
            source,
            options.read_pack(point, prompts, video=Path(source)),
            model=model,
            weights=weights,
            device=device,
            out=record,
            settings=settings,
            progress=progress,
        )
    screen = console.out()
    if run.no_window is not None:
        screen.print(f"no window: {run.no_window}")
    if run.broken_off is not None:
        screen.print(f"broken off: {run.broken_off}")
    if run.passed:
        screen.print(f"{run.passed} frames passed while the eye was looked for")
    for eye in (run.found or {}).get("eyes", []):
        screen.print(describe_found(eye))
    screen.print(f"{run.num_frames} frames, {run.dropped} dropped, {run.fps:.1f} frames/s")
    if run.latency_ms_median is not None:
        screen.print(
            f"latency: median {run.latency_ms_median:.1f} ms, 95 % within {run.latency_ms_p95:.1f} ms"
        )
    if run.folder is not None:
        screen.print(f"written to {run.folder}")
