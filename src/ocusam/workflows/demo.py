"""`ocusam demo`: the whole job on a rendered clip whose truth is known.

Purpose: show on any machine, in under a minute, that everything works from video file to table, and how exact
it is.

Notable choices: the clip is written as an ordinary video file and read back, so the path is the same as for a
recording. It is clicked once on the pupil and once on the iris, where the truth of the first frame says they
are. Only frames with at least half of the pupil in sight enter the centre error; what is said of blinks is
compared with the drawn lid.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ocusam.core.errors import OutputError
from ocusam.core.geometry import Ellipse
from ocusam.core.prompts import ObjectPrompt
from ocusam.eye.signals import TRACKED
from ocusam.synthetic.eye import EyeFrame, iter_eye_frames, lab_style
from ocusam.video.writer import VideoWriter
from ocusam.workflows.eye import EyeRecording, track_eye
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.models import open_predictor
from ocusam.workflows.session.run_folder import check_free, files_of_run

SIZE = (360, 480)
FPS = 60.0
NUM_FRAMES = 180
_OPEN = 0.5  # share of the pupil in sight from which a frame is scored


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo found, and how far from the truth.

    Attributes:
        recording: as of `track_eye`.
        scored: frames with at least half of the pupil in sight.
        found: of these, frames with an ellipse.
        error_px_median: distance of the pupil's centre from its truth; NaN when nothing was found.
        diameter_error_median: relative error of the major axis.
        hidden, hidden_called: frames whose pupil is wholly covered, and how many of them are called blink or
        lost. folder: where everything lies.
    """

    recording: EyeRecording
    scored: int
    found: int
    error_px_median: float
    diameter_error_median: float
    hidden: int
    hidden_called: int
    folder: Path


@dataclass(frozen=True)
class _Truth:
    pupil: Ellipse | None
    visible: float


def run_demo(
    out: str | Path = "ocusam_demo",
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    seed: int = 7,
    num_frames: int = NUM_FRAMES,
    progress: Progress | None = None,
) -> DemoResult:
    """Render, track, measure, compare.

    Args:
        out: folder; an earlier demo in it is replaced, anything else is refused.
        model, weights, device: see `workflows.models.open_predictor`.
        seed: of the rendered clip.
        num_frames: length of the clip.
        progress: called after every frame.

    Raises:
        OcusamError: the family.
    """
    opened = open_predictor(model, weights, device)
    folder = Path(out)
    video = _make_room(folder)
    truth, prompts = _render(video, seed, num_frames, progress)
    recording = track_eye(video, prompts, model=opened, out=folder, progress=progress)
    return _compare(recording, truth, folder)


def _make_room(folder: Path) -> Path:
    """Remove an earlier demo; -> path of the clip to be rendered."""
    video, mark = folder / "demo_eye.mp4", folder / "demo_truth.csv"
    if mark.exists():
        for name in (*files_of_run(folder), video.name, mark.name):
            target = folder / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
    check_free(folder, resumable=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise OutputError(f"The output folder {folder} cannot be made ({error.strerror}).") from None
    return video


def _render(
    video: Path, seed: int, num_frames: int, progress: Progress | None
) -> tuple[list[_Truth], list[ObjectPrompt]]:
    truth: list[_Truth] = []
    prompts: list[ObjectPrompt] = []
    with VideoWriter(video, FPS, SIZE) as writer:
        for i, frame in enumerate(iter_eye_frames(seed, num_frames, SIZE, FPS, lab_style())):
            writer.write(frame.image, frame.timestamp_ns)
            truth.append(_Truth(frame.ellipses["pupil"], frame.pupil_visible_fraction))
            if not prompts and frame.pupil_visible_fraction > 0.95:
                prompts = _clicks(frame, i)
            if progress is not None:
                progress(i + 1, num_frames, "rendering")
    rows = [
        (i, *(t.pupil.center if t.pupil else (None, None)), t.pupil.major if t.pupil else None, t.visible)
        for i, t in enumerate(truth)
    ]
    columns = ["frame_idx", "center_x_px", "center_y_px", "major_px", "visible_fraction"]
    pl.DataFrame(rows, schema=columns, orient="row").write_csv(video.with_name("demo_truth.csv"))
    return truth, prompts


def _clicks(frame: EyeFrame, frame_idx: int) -> list[ObjectPrompt]:
    """One click on the pupil's centre, one on the iris, midway between pupil and limbus, where it is in
    sight."""
    pupil, iris = frame.ellipses["pupil"], frame.ellipses["iris"]
    assert pupil is not None and iris is not None
    middle = Ellipse(
        pupil.center, ((pupil.major + iris.major) / 2, (pupil.minor + iris.minor) / 2), iris.angle
    )
    share = frame.coverage["iris"]
    around = np.round(middle.points(32)).astype(int)
    inside = (around >= 0).all(axis=1) & (around[:, 0] < share.shape[1]) & (around[:, 1] < share.shape[0])
    best = max(around[inside].tolist(), key=lambda p: int(share[p[1], p[0]]))
    on = np.array([1])
    return [
        ObjectPrompt("pupil", frame_idx, np.array([pupil.center]), on),
        ObjectPrompt("iris", frame_idx, np.array([best], dtype=np.float64), on),
    ]


def _compare(recording: EyeRecording, truth: list[_Truth], folder: Path) -> DemoResult:
    errors, diameters, scored, hidden, called = [], [], 0, 0, 0
    for row in recording.signals.filter(pl.col("object") == "pupil").iter_rows(named=True):
        true = truth[int(row["frame_idx"])]
        if true.visible <= 0.0:
            hidden += 1
            called += row["state"] != TRACKED
        if true.pupil is None or true.visible < _OPEN:
            continue
        scored += 1
        if row["center_x_px"] is not None:
            errors.append(math.dist((row["center_x_px"], row["center_y_px"]), true.pupil.center))
            diameters.append(abs(row["major_px"] / true.pupil.major - 1.0))
    return DemoResult(
        recording,
        scored,
        len(errors),
        float(np.median(errors)) if errors else math.nan,
        float(np.median(diameters)) if diameters else math.nan,
        hidden,
        called,
        folder,
    )
