"""`ocusam eye3d RUN --focal-length PX`: a model of the eyeball from the pupil's ellipses, by pye3d."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocusam.cli import console

if TYPE_CHECKING:
    from ocusam.workflows.results.eye3d_tables import Eye3d

EXAMPLE = "Example: ocusam eye3d results --focal-length 283 --pye3d-python pye3d-env/bin/python"


class Fit(StrEnum):
    """To what the eyeball is fitted."""

    WHOLE = "whole"
    RUNNING = "running"


@console.reports_errors
def eye3d(
    run: Annotated[Path, typer.Argument(help="Folder that `ocusam eye` wrote.", show_default=False)],
    focal_length: Annotated[
        float | None,
        typer.Option(
            "--focal-length",
            metavar="PX",
            show_default=False,
            help="Focal length of the eye camera, px of the recorded picture (fx of its calibration). This, "
            "--fov or --camera has to be given.",
        ),
    ] = None,
    fov: Annotated[
        float | None,
        typer.Option(
            "--fov",
            metavar="DEG",
            show_default=False,
            help="Horizontal field of view of the eye camera (of one view, where a picture holds several "
            "eyes), degrees, 1 to 170.",
        ),
    ] = None,
    camera: Annotated[
        Path | None,
        typer.Option(
            "--camera",
            show_default=False,
            help="File of the camera's calibration: JSON, YAML or XML with camera_matrix (3 x 3, px), or "
            "JSON with fx. Distortion is not used.",
        ),
    ] = None,
    fit: Annotated[
        Fit,
        typer.Option(
            "--fit",
            help="whole: one eyeball for the recording, for cameras that keep their place; running: one that "
            "follows the last samples as in Pupil Capture, for headsets that slip.",
        ),
    ] = Fit.WHOLE,
    refraction: Annotated[
        bool,
        typer.Option(
            "--refraction/--no-refraction",
            help="Correct for the refraction at the cornea; without for rendered or printed eyes.",
        ),
    ] = True,
    pye3d_python: Annotated[
        Path | None,
        typer.Option(
            "--pye3d-python",
            envvar="OCUSAM_PYE3D_PYTHON",
            show_default=False,
            help="Python in whose environment pye3d is installed (it needs numpy 1, ocusam numpy 2): "
            "python3.11 -m venv pye3d-env; pye3d-env/bin/pip install pye3d 'numpy<2' "
            "'opencv-python-headless<4.11'.",
        ),
    ] = None,
) -> None:
    """A 3D model of the eyeball of a tracked recording: its place, gaze direction, pupil in mm. Uses pye3d.

    Writes eye3d.csv and eye3d.json into the run's folder. `ocusam export --format pupil-core` then holds the
    3D rows too, and `ocusam gaze --feature eye3d` calibrates on the direction.
    """
    from ocusam.eye.sphere import SphereSettings
    from ocusam.workflows.eye3d import run_eye3d

    found = run_eye3d(
        run,
        focal_px=focal_length,
        fov_deg=fov,
        camera=camera,
        settings=SphereSettings(fit.value, refraction),
        python=pye3d_python,
    )
    for line in describe(found):
        console.out().print(line)
    console.out().print(f"written to {run}")


def describe(found: Eye3d) -> list[str]:
    """What the command prints: a line or two for each view."""
    lines = []
    for view in found.views:
        place = ", ".join(f"{view[f'sphere_center_{axis}_mm']:.1f}" for axis in "xyz")
        line = (
            f"view {view['view']}: eyeball at ({place}) mm, its pupil {view['diameter_mm']:.2f} mm; "
            f"{view['with_pupil']} of {view['samples']} frames, {view['confident']:.0%} plausible"
        )
        if view["rms_mm"] is not None:
            line += f"; lines miss the eyeball's centre by {view['rms_mm']:.2f} mm"
        lines.append(line)
        turned = max(view["range_x_deg"] or 0.0, view["range_y_deg"] or 0.0)
        if turned < 15.0:
            lines.append(
                f"view {view['view']}: the eye turned by only {turned:.0f} deg (90 % of the time): where its "
                "centre is, and with it direction and mm, is badly known"
            )
    return lines + [f"view {view}: no model: {why}" for view, why in found.skipped.items()]
