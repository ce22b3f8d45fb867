"""The command `ocusam`: one file per subcommand, gathered here.

Notable choices: subcommands import what they need when they run, so `ocusam --version` and `--help` are
quick.
"""

from __future__ import annotations

import typer

from ocusam.cli import (
    batch,
    camera,
    convert,
    correct,
    davis,
    demo,
    evaluate,
    export,
    eye,
    eye3d,
    gaze,
    masks,
    models,
    report,
    synth,
    track,
    train,
)
from ocusam.core.version import __version__

app = typer.Typer(
    name="ocusam",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: ocusam eye recording.mp4 --point pupil:320,240 -o results",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ocusam {__version__}")
        raise typer.Exit


@app.callback()
def ocusam(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Eye movements from eye videos, with SAM 2's streaming memory."""


app.command("demo", epilog=demo.EXAMPLE)(demo.demo)
app.command("eye", epilog=eye.EXAMPLE)(eye.eye)
app.command("gaze", epilog=gaze.EXAMPLE)(gaze.gaze)
app.command("eye3d", epilog=eye3d.EXAMPLE)(eye3d.eye3d)
app.command("batch", epilog=batch.EXAMPLE)(batch.batch)
app.command("export", epilog=export.EXAMPLE)(export.export)
app.command("track", epilog=track.EXAMPLE)(track.track)
app.command("correct", epilog=correct.EXAMPLE)(correct.correct)
app.command("evaluate", epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.command("report", epilog=report.EXAMPLE)(report.report)
app.command("masks", epilog=masks.EXAMPLE)(masks.masks)
app.command("davis-score", epilog=davis.SCORE_EXAMPLE)(davis.davis_score)
app.command("davis-export", epilog=davis.EXPORT_EXAMPLE)(davis.davis_export)
app.command("camera", epilog=camera.EXAMPLE)(camera.camera)
app.add_typer(models.app, name="models")
app.command("convert", epilog=convert.EXAMPLE)(convert.convert)
app.command("synth", epilog=synth.EXAMPLE)(synth.synth)
app.command("train", epilog=train.EXAMPLE)(train.train)


def main() -> None:
    """Entry point of the installed command."""
    app()
