"""`ocusam demo`: the main job on a rendered clip, with the error against its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console, options

EXAMPLE = "Example: ocusam demo -o my_demo"


@console.reports_errors
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write; an earlier demo in it is replaced.")
    ] = Path("ocusam_demo"),
    model: options.Model = "nano",
    weights: options.Weights = None,
    device: options.Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Which eye is rendered.")] = 7,
) -> None:
    """Render an eye video, follow pupil and iris from one click each, and compare with the truth."""
    from ocusam.workflows.demo import SIZE, run_demo

    with console.bar() as progress:
        result = run_demo(out, model=model, weights=weights, device=device, seed=seed, progress=progress)
    screen = console.out()
    recording = result.recording
    screen.print(
        f"{recording.num_frames} frames of {SIZE[1]} x {SIZE[0]} px tracked at {recording.fps:.1f} frames/s"
    )
    screen.print(
        f"[bold]median pupil-centre error {result.error_px_median:.2f} px[/bold] of {SIZE[1]} "
        f"({result.found} of {result.scored} frames with the pupil in sight found)",
        markup=True,
    )
    screen.print(f"median error of the pupil's diameter {result.diameter_error_median:.1%}")
    screen.print(
        f"{len(recording.blinks)} blinks; of {result.hidden} frames with a covered pupil "
        f"{result.hidden_called} are called blink or lost"
    )
    screen.print(f"look at {result.folder / 'overlay.mp4'} and {result.folder / 'signals.csv'}")
