"""`ocusam camera` as typed, with a network too small to see anything."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fake_predictor import eye_truth, write_eye_video
from ocusam.cli.main import app
from ocusam.model.build import make_network
from ocusam.model.config import miniature
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows import camera
from ocusam.workflows.inputs.prompt_pack import read_json
from ocusam.workflows.session.models import OpenedModel

runner = CliRunner()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("camera") / "eye.mp4", eye_truth(5))


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = SAM2VideoPredictor(make_network(miniature(64)))
    monkeypatch.setattr(camera, "open_predictor", lambda *a: OpenedModel(predictor, {"model": "miniature"}))


@pytest.mark.usefixtures("small_network")
def test_a_good_run(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    out = tmp_path / "run"
    arguments = ["camera", str(video), "--point", "pupil:60,55", "--record", str(out), "--max-frames", "4"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    for words in ("no window: ", "4 frames, 0 dropped", "latency: median", f"written to {out}"):
        assert words in result.output
    assert (out / "signals.csv").is_file()
    given = ["camera", str(video), "--prompts", str(out / "prompts.json"), "--point", "iris:60,80"]
    result = runner.invoke(app, [*given, "--record", str(tmp_path / "two"), "--max-frames", "2"])
    assert result.exit_code == 0, result.output
    assert read_json(tmp_path / "two" / "prompts.json").names == ["pupil", "iris"]
    again = runner.invoke(app, arguments)
    assert again.exit_code == 2 and "another run" in again.stderr


def test_nobody_clicks(tmp_path: Path) -> None:
    opening = write_eye_video(tmp_path / "opening.mp4", eye_truth(22, range(10)))
    closed = write_eye_video(tmp_path / "closed.mp4", [None] * 22)
    result = runner.invoke(app, ["camera", str(opening), "--no-window", "--max-frames", "20"])
    assert result.exit_code == 0, result.output
    for words in ("19 frames passed while", "view 0: found by itself, pupil:", "1 frames, 0 dropped"):
        assert words in result.output
    result = runner.invoke(app, ["camera", str(closed), "--no-window"])
    assert result.exit_code == 2 and "2 of 22 frames" in result.stderr
    assert f"ocusam camera {closed} --point pupil:" in result.stderr


@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["none.mp4", "-p", "pupil:60,55"], "none.mp4"),
        (["VIDEO", "--model", "sam2.1_hiera_tiny"], "--point"),
        (["VIDEO", "-p", "pupil:900,55"], "outside"),
        (["VIDEO", "--prompts", "none.json"], "none.json"),
        (["VIDEO", "-p", "pupil:60,55", "--glints", "many"], "a number from 1 to 8"),
        (["VIDEO", "-p", "pupil:60,55", "--max-frames", "0"], "max_frames"),
    ],
)
def test_what_is_refused(video: Path, arguments: list[str], word: str) -> None:
    given = [str(video) if a == "VIDEO" else a for a in arguments]
    result = runner.invoke(app, ["camera", *given, "--no-window"])
    assert result.exit_code == 2, result.output
    assert word in result.stderr and "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1
