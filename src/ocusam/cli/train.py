"""`ocusam train`: make weights from rendered eyes or from one's own masks."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console, options

EXAMPLE = "Example: ocusam train configs/nano.toml -o runs/nano"


@console.reports_errors
def train(
    config: Annotated[
        Path, typer.Argument(help="The training as a .toml or .yaml file; see docs/training.md.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the training. One that holds it already is gone on with.",
            show_default=False,
        ),
    ],
    device: options.Device = "cpu",
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Threads of this process; default: what PyTorch takes."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            help="Background processes that make batches, 0: none; default: as the file says, else 1.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read the file, the weights and the masks, say what is there, stop."),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            show_default=False,
            help="Only write the averaged weights reached so far here (.safetensors or .pt).",
        ),
    ] = None,
) -> None:
    """Train a network: nano on rendered eyes, or any model further on your own masks.

    Runs the stages of the file one after the other, with a checkpoint every few minutes; the same command
    goes on where it was broken off. Several processes: torchrun --nproc-per-node N -m ocusam train ...
    """
    from ocusam.workflows import train as job
    from ocusam.workflows.train_config import read_plan

    plan = read_plan(config)
    if check:
        for line in job.describe(plan):
            console.out().print(line)
        return
    if export is not None:
        console.out().print(f"step {job.export_so_far(plan, out, export)} written to {export}")
        return
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    command = shlex.join(["ocusam", *sys.argv[1:]])
    job.train(plan, out, device=device, workers=workers, say=_say, command=command)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
