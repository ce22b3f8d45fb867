import json
from pathlib import Path

import numpy as np
import pytest

from fake_predictor import FakePredictor, eye_picture, eye_truth
from ocusam.core.errors import OutputError
from ocusam.video.source import SequenceSource
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.no_click import settings_of_run, start_without_click


def test_the_start_of_a_run(tmp_path: Path) -> None:
    source = SequenceSource([eye_picture(e) for e in eye_truth(4)])
    start = start_without_click(source, model=FakePredictor(), weights=None, device="cpu",
                                out=tmp_path / "run", settings=RunSettings(chunk_frames=7))  # fmt: skip
    assert [p.name for p in start.pack.prompts][:1] == ["pupil"]
    assert start.settings == RunSettings(chunk_frames=7)  # one eye: the views stay as they were
    assert json.dumps(start.finding.to_dict())
    assert source.read(0).image.shape == (120, 160, 3)  # a caller's source is not closed
    assert not (tmp_path / "run").exists()


def test_a_folder_with_another_run_is_refused_before_looking(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="another run"):
        start_without_click(np.zeros((2, 50, 50), np.uint8), model=FakePredictor(), weights=None,
                            device="cpu", out=tmp_path, settings=RunSettings())  # fmt: skip


def test_a_run_goes_on_with_the_views_that_were_found(tmp_path: Path) -> None:
    assert settings_of_run(tmp_path, RunSettings()).views == "auto"
    (tmp_path / "run.json").write_text(json.dumps({"found": {"views": "2x1"}}))
    assert settings_of_run(tmp_path, RunSettings(resume=True)) == RunSettings(views="2x1", resume=True)
