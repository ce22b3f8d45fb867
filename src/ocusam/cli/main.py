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
    trials,
)
from ocusam.core.version import __version__

app = typer.Typer(
    name="ocusam",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich would swallow [words] in brackets and cut off long ones
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


# One short line each for `ocusam --help`, which would cut the first sentence of a long help off.
for _name, _command, _example, _does in (
    ("demo", demo.demo, demo.EXAMPLE, "The whole job on a rendered clip, and its error."),
    ("eye", eye.eye, eye.EXAMPLE, "An eye video into signals, events, overlay, report."),
    ("batch", batch.batch, batch.EXAMPLE, "The same for a folder or a list of recordings."),
    ("correct", correct.correct, correct.EXAMPLE, "Click again on any frame of a finished run."),
    ("report", report.report, report.EXAMPLE, "Make report.html of a finished run again."),
    ("gaze", gaze.gaze, gaze.EXAMPLE, "Gaze from a finished run and a table of targets."),
    ("trials", trials.trials, trials.EXAMPLE, "Pupil and eye movements of every trial."),
    ("eye3d", eye3d.eye3d, eye3d.EXAMPLE, "A 3D model of the eyeball from a finished run."),
    ("export", export.export, export.EXAMPLE, "A run as BIDS, Pupil Core, Parquet, PNG, COCO, NPZ."),
    ("track", track.track, track.EXAMPLE, "Masks of any objects through any video."),
    ("camera", camera.camera, camera.EXAMPLE, "The same, live, from a camera, a stream or a file."),
    ("masks", masks.masks, masks.EXAMPLE, "Everything in a picture."),
    ("convert", convert.convert, convert.EXAMPLE, "Weights in another form."),
    ("evaluate", evaluate.evaluate, evaluate.EXAMPLE, "Scores on annotated eye recordings."),
    ("davis-score", davis.davis_score, davis.SCORE_EXAMPLE, "J, F, J&F of masks in DAVIS or SA-V folders."),
    ("davis-export", davis.davis_export, davis.EXPORT_EXAMPLE, "A run as DAVIS or SA-V folders."),
    ("synth", synth.synth, synth.EXAMPLE, "Look at rendered eyes."),
    ("train", train.train, train.EXAMPLE, "Make weights, from rendered eyes or your own masks."),
):  # fmt: skip
    app.command(_name, epilog=_example, short_help=_does)(_command)
app.add_typer(models.app, name="models", short_help="Known networks and the weights at hand; fetch, verify.")


def main() -> None:
    """Entry point of the installed command."""
    app()
