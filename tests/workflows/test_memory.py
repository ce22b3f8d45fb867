"""What the jobs keep does not grow with the video."""

from pathlib import Path

import numpy as np
import pytest

from fake_predictor import FakePredictor, eye_picture
from ocusam.core.geometry import Ellipse
from ocusam.video.source import SequenceSource
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings


class DrawnWhenAsked:
    """3,000 pictures, none of which is kept."""

    def __len__(self) -> int:
        return 3000

    def __getitem__(self, index: int) -> np.ndarray:
        if index >= len(self):
            raise IndexError
        return eye_picture(Ellipse((80 + 20 * np.sin(index / 40), 60), (30, 26), 0))


def resident_mib() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.slow
def test_3000_frames_in_constant_memory(tmp_path: Path) -> None:
    at: dict[int, float] = {}

    def watch(done: int, total: int | None, what: str) -> None:
        if what == "tracking" and done % 100 == 0:
            at[done] = resident_mib()

    rec = track_eye(
        SequenceSource(DrawnWhenAsked(), fps=100.0),
        ["pupil:80,60", "iris:110,60"],
        model=FakePredictor(),
        out=tmp_path / "run",
        settings=RunSettings(overlay=False),
        progress=watch,
    )
    assert rec.num_frames == 3000
    assert max(at.values()) - at[100] < 50
