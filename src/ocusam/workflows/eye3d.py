"""An eyeball fitted to a finished run: `ocusam eye3d`.

Purpose: read the run, ask pye3d, write `eye3d.csv` and `eye3d.json` beside the signals.

Notable choices: everything is computed before the first file is written; files of an earlier call are
replaced.

What it does not know: the video; the pupil's ellipses are all that the model sees.
"""

from __future__ import annotations

import json
from pathlib import Path

from ocusam.eye.sphere import SphereSettings
from ocusam.workflows.inputs.eye_camera import cameras_of
from ocusam.workflows.results.eye3d_tables import FILES, Eye3d, model_eyes
from ocusam.workflows.results.finished_run import open_run
from ocusam.workflows.results.gaze_files import sha256
from ocusam.workflows.session.atomic import write_bytes
from ocusam.workflows.session.run_folder import now


def run_eye3d(
    run: str | Path,
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    camera: str | Path | None = None,
    settings: SphereSettings | None = None,
    python: str | Path | None = None,
) -> Eye3d:
    """Fit an eyeball to every eye of a finished run, and write what was found into its folder.

    Args:
        run: folder of `ocusam eye`.
        focal_px, fov_deg, camera: the eye camera, by one of them: focal length (px of the recorded picture),
            horizontal field of view of a view (deg), file of its calibration.
        settings: how the model is fitted.
        python: the Python in whose environment pye3d is installed; None: this one.

    Raises:
        InputError: no finished run, no focal length, no pye3d, too few samples; see the message.
        OutputError: the folder cannot be written.
    """
    finished = open_run(run)
    cameras = cameras_of(finished.views, focal_px=focal_px, fov_deg=fov_deg, file=camera)
    found = model_eyes(finished, cameras, settings, python=python)
    facts = {"made": now(), "signals_sha256": sha256(finished.folder / "signals.csv")}
    text = {
        FILES[0]: found.table.write_csv(None, null_value="", float_precision=6),
        FILES[1]: json.dumps({**facts, **found.record()}, indent=2, ensure_ascii=False) + "\n",
    }
    for name, content in text.items():
        write_bytes(finished.folder / name, content.encode("utf-8"))
    return found
