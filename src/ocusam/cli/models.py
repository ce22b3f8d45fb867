"""`ocusam models`: known networks and the weights that are here; `fetch NAME`, `verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from ocusam.cli import console

EXAMPLE = "Example: ocusam models fetch sam2.1_hiera_tiny"

app = typer.Typer(invoke_without_command=True, epilog=EXAMPLE)


@app.callback()
@console.reports_errors
def models(context: typer.Context) -> None:
    """Known networks, and which weights are here; fetch and verify published ones.

    Weights are kept in the folder that OCUSAM_WEIGHTS names, else in the cache of huggingface_hub.
    """
    if context.invoked_subcommand is None:
        _show(verify=False)


@app.command("fetch", epilog=EXAMPLE)
@console.reports_errors
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a published network.", show_default=False)],
) -> None:
    """Fetch published weights and compare their SHA-256 with what the hub announces."""
    from ocusam.workflows.inputs.weights_on_hand import fetch_model

    found = fetch_model(name)
    state = "verified" if found.verified else "not verified: the hub announces no SHA-256"
    console.out().print(f"{found.name}: {found.path} ({'packaged' if found.where == 'packaged' else state})")


@app.command("verify", epilog="Example: ocusam models verify")
@console.reports_errors
def verify() -> None:
    """Read all fetched weights and compare their SHA-256; exit code 2 if one is damaged."""
    _show(verify=True)


def _show(*, verify: bool) -> None:
    from rich.table import Table

    from ocusam.core.errors import WeightsError
    from ocusam.workflows.inputs.weights_on_hand import list_models

    table = Table("model", "input px", "weights")
    damaged = []
    for known in list_models(verify=verify):
        state = known.where or "not here: ocusam models fetch NAME, or give --weights FILE"
        if verify and known.where == "fetched":
            state += {True: ", verified", False: ", DAMAGED", None: ", no SHA-256 known"}[known.verified]
        if known.verified is False:
            damaged.append(str(known.path))
        table.add_row(known.name, str(known.image_size), state)
    console.wide().print(table)
    if damaged:
        raise WeightsError(f"Damaged, remove and fetch again: {', '.join(damaged)}.")
