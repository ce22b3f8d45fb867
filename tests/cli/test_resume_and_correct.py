"""`--resume` and `ocusam correct` as typed: exit codes, and what people are told to do next."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fake_predictor import FakePredictor, eye_truth, write_eye_video
from ocusam.cli.main import app
from ocusam.workflows import correct
from ocusam.workflows.correct import Correction, CorrectSettings
from ocusam.workflows.session import job
from ocusam.workflows.session.models import OpenedModel

runner = CliRunner()


class Interrupted(FakePredictor):
    """Presses Ctrl-C while its 11th frame is tracked."""

    def propagate(self, *args: Any, **kwargs: Any) -> Any:
        for i, out in enumerate(super().propagate(*args, **kwargs)):
            if i == 10:
                os.kill(os.getpid(), signal.SIGINT)
            yield out


@pytest.mark.parametrize("command", ["eye", "track"])
def test_ctrl_c_and_on(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, out = write_eye_video(tmp_path / "v.mp4", eye_truth(20)), tmp_path / "run"
    use = {"predictor": Interrupted()}
    opened = lambda *a: OpenedModel(use["predictor"], {"model": "fake"})  # noqa: E731
    monkeypatch.setattr(job, "open_predictor", opened)
    arguments = [command, str(video), "-o", str(out), "--no-overlay"]
    result = runner.invoke(app, [*arguments, "--point", "pupil:60,55"])
    assert result.exit_code == 130 and "--resume" in result.stderr
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    use["predictor"] = FakePredictor()
    refused = runner.invoke(app, [*arguments, "--point", "pupil:60,55"])
    assert refused.exit_code == 2 and "--resume" in refused.stderr
    went_on = runner.invoke(app, [*arguments, "--resume"])
    assert went_on.exit_code == 0 and "20 frames" in went_on.output, went_on.output
    assert json.loads((out / "run.json").read_text())["status"] == "finished"


def test_correct_passes_on_what_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def stand_in(folder: Path, prompts: Any, **options: Any) -> Correction:
        seen.update(folder=folder, prompts=prompts.prompts, **options)
        return Correction(folder, 7, 12, 19, 1.5)

    monkeypatch.setattr(correct, "correct", stand_in)
    typed = ["--point", "pupil:5,6@50", "--direction", "both", "--from", "40", "--to", "60", "--to-the-end"]
    result = runner.invoke(app, ["correct", str(tmp_path), *typed])
    assert result.exit_code == 0, result.output
    assert "12 frames tracked anew, 7 to remember" in result.output and "19 pictures encoded" in result.output
    assert seen["settings"] == CorrectSettings("both", 40, 60, None)
    assert seen["prompts"][0].frame_idx == 50 and seen["video"] is None


def test_correct_needs_a_run(tmp_path: Path) -> None:
    result = runner.invoke(app, ["correct", str(tmp_path), "--point", "pupil:5,6@50"])
    assert result.exit_code == 2 and "holds no run" in result.stderr and "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
