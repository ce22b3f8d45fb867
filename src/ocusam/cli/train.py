"""`ocusam train`: make weights from rendered eyes."""

from __future__ import annotations

import typer

from ocusam.cli import console

EXAMPLE = "Example: ocusam train --stage images --out runs/images --minutes 60"
# The training job has its own options, which are passed on as they are.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@console.reports_errors
def train(context: typer.Context) -> None:
    """Train nano on rendered eyes: images first, clips after; goes on from the checkpoint in its folder.

    Without options: shows the options of the training job.
    """
    from ocusam.workflows.train import main

    raise typer.Exit(main(context.args or ["--help"]))
