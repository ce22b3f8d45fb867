"""`ocusam convert IN OUT`: weights into another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console

EXAMPLE = "Example: ocusam convert sam2.1_hiera_tiny.pt for_transformers --format huggingface"


@console.reports_errors
def convert(
    source: Annotated[
        Path, typer.Argument(help=".pt, .safetensors, or a folder of transformers.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(help="File to write; a folder for huggingface.", show_default=False)
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="official (.pt), safetensors (official names), or huggingface (folder for transformers, or "
            "one .safetensors).",
        ),
    ] = "safetensors",
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Name or YAML file; default: recognised.", show_default=False),
    ] = None,
) -> None:
    """Weights in another form: published .pt, safetensors, or what transformers loads."""
    from ocusam.workflows.convert import convert as run

    done = run(source, target, form, model)
    screen = console.out()
    screen.print(f"{done.name}: {done.num_tensors} tensors")
    for path in done.files:
        screen.print(f"written to {path}")
