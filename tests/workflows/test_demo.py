from pathlib import Path

import pytest

from fake_predictor import FakePredictor
from ocusam.core.errors import OutputError
from ocusam.workflows.demo import run_demo


def test_the_demo_runs_twice_in_one_folder(tmp_path: Path) -> None:
    for _ in range(2):
        result = run_demo(tmp_path / "demo", model=FakePredictor(), num_frames=6)
    assert {"demo_eye.mp4", "demo_truth.csv", "signals.csv", "overlay.mp4", "run.json"} <= {
        p.name for p in (tmp_path / "demo").iterdir()
    }
    assert result.recording.num_frames == 6 and 0 <= result.found <= result.scored <= 6


def test_another_run_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="another run"):
        run_demo(tmp_path, model=FakePredictor(), num_frames=4)
    assert (tmp_path / "run.json").read_text() == "{}"
