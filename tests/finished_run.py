"""A finished run for tests of exports: two eyes side by side, the left one blinks."""

from pathlib import Path

import numpy as np

from fake_predictor import FakePredictor, eye_picture, eye_truth
from ocusam.video.source import SequenceSource
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings

FRAMES, CLOSED = 40, range(20, 27)
START_NS = 1_728_546_126_508_032_160  # a date, as Neon has it: more digits than a float holds
LEFT, RIGHT = eye_truth(FRAMES, CLOSED), eye_truth(FRAMES)


def make_run(folder: Path) -> Path:
    """120 x 320 px, 50 frames per second, pupil and iris in both views."""
    pictures = [
        np.concatenate([eye_picture(a), eye_picture(b)], axis=1) for a, b in zip(LEFT, RIGHT, strict=True)
    ]
    times = START_NS + 20_000_000 * np.arange(FRAMES)
    track_eye(
        SequenceSource(np.stack(pictures), timestamps_ns=times),
        ["pupil:60,55", "iris:90,60", "pupil:220,55"],
        model=FakePredictor(),
        out=folder,
        settings=RunSettings(views="2x1", overlay=False, report=False),
    )
    return folder
