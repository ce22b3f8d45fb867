"""`ocusam models`: known networks and the weights that are here; `fetch NAME`, `show FILE`, `verify`, `export
NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocusam.cli import console, options

EXAMPLE = "Example: ocusam models fetch sam2.1_hiera_tiny"
AGAIN = {"packaged": "install ocusam again", "fetched": "remove it and fetch it again"}

app = typer.Typer(invoke_without_command=True, epilog=EXAMPLE)


@app.callback()
@console.reports_errors
def models(context: typer.Context) -> None:
    """Known networks, and which weights are here; fetch and verify published ones; write
    networks for other programs (export).

    Weights are kept in the folder that OCUSAM_WEIGHTS names, else in the cache of huggingface_hub.
    """
    if context.invoked_subcommand is None:
        _show(verify=False)


@app.command("fetch", epilog=EXAMPLE, short_help="Fetch published weights, and verify them.")
@console.reports_errors
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a published network.", show_default=False)],
) -> None:
    """Fetch published weights and compare their SHA-256 with what the hub announces."""
    from ocusam.workflows.inputs.weights_on_hand import fetch_model

    found = fetch_model(name)
    state = "verified" if found.verified else "not verified: the hub announces no SHA-256"
    console.out().print(f"{found.name}: {found.path} ({'packaged' if found.where == 'packaged' else state})")


@app.command(
    "export",
    epilog="Example: ocusam models export nano -o nano_onnx --format onnx",
    short_help="Write a network's parts as ONNX or OpenVINO files.",
)
@console.reports_errors
def export(
    name: Annotated[
        str, typer.Argument(help="Name of a network, or its YAML file or folder.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write; must not hold anything.", show_default=False)
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="onnx|openvino",
            help="onnx needs `pip install onnx onnxscript`, openvino `pip install openvino`.",
        ),
    ] = "onnx",
    weights: options.Weights = None,
    size: options.Size = "fine",
) -> None:
    """Write the parts of a network for other programs, in float32: image encoder, memory attention, prompt
    encoder (points, boxes, masks), mask decoder, memory encoder; and network.json: how they are used."""
    from ocusam.workflows.export_network import export_network

    screen = console.out()
    files = export_network(
        name, out, form, weights=weights, size=size, progress=lambda part: screen.print(f"{part} ...")
    )
    screen.print(f"written {len(files)} files to {out}")


@app.command(
    "show",
    epilog="Example: ocusam models show runs/mine/weights.safetensors",
    short_help="What a file of weights is, and how it was made.",
)
@console.reports_errors
def show(
    weights: Annotated[
        Path, typer.Argument(help="File of weights, or the folder of a training.", show_default=False)
    ],
) -> None:
    """Say which network a file of weights belongs to and, of weights that `ocusam train` made, how: command,
    steps, hours, size of the input, masks, versions."""
    from ocusam.workflows.inputs.weights_on_hand import describe_weights

    for line in describe_weights(weights):
        console.out().print(line)


@app.command(
    "verify", epilog="Example: ocusam models verify", short_help="Read and check all weights at hand."
)
@console.reports_errors
def verify() -> None:
    """Read all weights that are here and compare their SHA-256; exit code 2 if one is damaged."""
    _show(verify=True)


def _show(*, verify: bool) -> None:
    from rich.table import Table

    from ocusam.core.errors import WeightsError
    from ocusam.workflows.inputs.weights_on_hand import list_models

    table = Table("model", "input px", "weights")
    damaged = []
    for known in list_models(verify=verify):
        state = known.where or "not here: ocusam models fetch NAME, or give --weights FILE"
        if verify and known.where:
            state += {True: ", verified", False: ", DAMAGED", None: ", no SHA-256 known"}[known.verified]
        if known.verified is False:
            damaged.append(f"{known.path} ({AGAIN[known.where]})")
        table.add_row(known.name, str(known.image_size), state)
    console.wide().print(table)
    if damaged:
        raise WeightsError(f"Damaged: {', '.join(damaged)}.")
