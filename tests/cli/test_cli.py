"""The commands as typed: help, good runs with a stand-in for the network, and everything a user can get
wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from fake_predictor import FakePredictor, eye_truth, write_eye_video
from ocusam.cli.main import app
from ocusam.core.version import __version__
from ocusam.weights.checkpoint import save_state
from ocusam.workflows import no_click
from ocusam.workflows.session import job
from ocusam.workflows.session.models import OpenedModel

runner = CliRunner()
GROUP = typer.main.get_command(app)
assert isinstance(GROUP, typer.core.TyperGroup)
COMMANDS = sorted(GROUP.commands)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("cli") / "eye.mp4", eye_truth(40, range(20, 30)))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (job, no_click):
        monkeypatch.setattr(
            module, "open_predictor", lambda *a: OpenedModel(FakePredictor(), {"model": "fake"})
        )


def refused(arguments: list[str], *words: str) -> None:
    """The command ends with exit code 2 and one line on stderr that holds all the words."""
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0 and result.output.strip() == f"ocusam {__version__}"


def test_version_does_not_wait_for_torch(repository_root: Path) -> None:
    code = "import sys, ocusam, ocusam.cli.main; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(repository_root / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_one_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert result.output.count("Example: ocusam " + command) == 1


@pytest.mark.parametrize("command", [*COMMANDS, "models export", "models fetch", "models verify"])
def test_help_shows_every_word_of_every_option(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich takes [words] in brackets for markup, and cuts off words that are too long for their column."""
    monkeypatch.setenv("COLUMNS", "80")
    found = GROUP
    for name in command.split():
        found = found.commands[name]  # type: ignore[attr-defined]
    result = runner.invoke(app, [*command.split(), "--help"])
    shown = "".join(result.output.replace("│", " ").split())
    for option in found.params:
        for word in (getattr(option, "help", None) or "").split():
            assert word in shown, (option.name, word)


def test_the_list_of_commands_is_not_cut_off() -> None:
    for arguments in (["--help"], ["models", "--help"]):
        listed = runner.invoke(app, arguments).output.partition("Commands:")[2]
        assert listed.count("\n  ") >= 3 and "..." not in listed


def test_eye(video: Path, tmp_path: Path, no_network: None) -> None:
    out = tmp_path / "run[a][/b]"  # brackets are no markup
    result = runner.invoke(app, ["eye", str(video), "--point", "pupil:60,55", "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert f"written to {out}" in result.output
    # The drawn pupil is gone from one frame to the next, with no lid seen to move: lost, no blink.
    assert "40 frames" in result.output and "blink 0, lost 10" in result.output
    assert json.loads((out / "run.json").read_text())["status"] == "finished"


def test_eye_without_a_click(video: Path, tmp_path: Path, no_network: None) -> None:
    result = runner.invoke(app, ["eye", str(video), "-o", str(tmp_path / "run"), "--no-overlay"])
    assert result.exit_code == 0, result.output
    assert "found by itself, pupil:" in result.output
    blank = write_eye_video(tmp_path / "blank.mp4", [None] * 5)
    refused(
        ["eye", str(blank), "-o", str(tmp_path / "o")], "No pupil was found", f"{blank} -o", "--point pupil:"
    )
    assert not (tmp_path / "o").exists()


def test_track(video: Path, tmp_path: Path, no_network: None) -> None:
    out = tmp_path / "run"
    result = runner.invoke(app, ["track", str(video), "-p", "ball:60,55", "-o", str(out), "--no-overlay"])
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == ["masklets", "prompts.json", "run.json"]


def test_models() -> None:
    result = runner.invoke(app, ["models"])
    assert result.exit_code == 0
    assert "nano" in result.output and "sam2.1_hiera_tiny" in result.output


def test_synth(tmp_path: Path) -> None:
    sheet, clip = tmp_path / "sheet.png", tmp_path / "clip.mp4"
    assert runner.invoke(app, ["synth", str(sheet), "--count", "2", "--size", "64"]).exit_code == 0
    assert runner.invoke(app, ["synth", str(clip), "--count", "3", "--size", "64"]).exit_code == 0
    assert sheet.stat().st_size > 1000 and clip.stat().st_size > 500
    refused(["synth", str(tmp_path / "x.gif")], ".png", ".mp4")


def test_no_such_file(tmp_path: Path) -> None:
    refused(
        ["eye", str(tmp_path / "none.mp4"), "--point", "pupil:1,1", "-o", str(tmp_path / "o")],
        "No such file",
        "none.mp4",
    )
    assert list(tmp_path.iterdir()) == []


def test_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("this is no video\n" * 100)
    refused(["eye", str(path), "--point", "pupil:1,1", "-o", str(tmp_path / "o")], "text.mp4", "not a video")
    path.write_bytes(b"")
    refused(["eye", str(path), "-o", str(tmp_path / "o")], "text.mp4 is empty (0 bytes)")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["empty folder", "empty file", "audio only"])
def test_zero_frames(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "v"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "empty file":
        path = tmp_path / "v.mp4"
        path.touch()
    else:
        path = tmp_path / "v.wav"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            for packet in stream.encode(frame):
                container.mux(packet)
    refused(["eye", str(path), "--point", "pupil:1,1", "-o", str(tmp_path / "o")], "v")
    assert not (tmp_path / "o").exists()


def test_a_point_outside_says_the_size(video: Path, tmp_path: Path) -> None:
    refused(
        ["eye", str(video), "--point", "pupil:500,20", "-o", str(tmp_path / "o")], "pupil:500,20", "160 x 120"
    )
    refused(["track", str(video), "--point", "a:5,-20", "-o", str(tmp_path / "o")], "a:5,-20", "160 x 120")
    assert list(tmp_path.iterdir()) == []


def test_unreadable_points(video: Path, tmp_path: Path) -> None:
    refused(["eye", str(video), "--point", "pupil 3 4", "-o", str(tmp_path / "o")], "pupil:320,240")
    refused(["track", str(video), "-o", str(tmp_path / "o")], "at least one point")


def test_unknown_names_say_the_known(video: Path, tmp_path: Path) -> None:
    o = str(tmp_path / "o")
    refused(["eye", str(video), "--point", "puppil:5,5", "-o", o], "'puppil'", "pupil, iris, sclera")
    refused(
        ["eye", str(video), "--point", "pupil:5,5", "--model", "huge", "-o", o],
        "huge",
        "nano",
        "sam2.1_hiera_tiny",
    )
    refused(["eye", str(video), "--point", "pupil:5,5", "--views", "many", "-o", o], "many", "auto")
    assert list(tmp_path.iterdir()) == []


def test_a_published_model_needs_weights(video: Path, tmp_path: Path) -> None:
    refused(
        ["eye", str(video), "--point", "pupil:5,5", "-m", "sam2.1_hiera_tiny", "-o", str(tmp_path / "o")],
        "--weights",
    )


def test_weights_that_do_not_fit_name_the_first_three(video: Path, tmp_path: Path) -> None:
    weights = tmp_path / "other.safetensors"
    save_state(weights, {"no_such_tensor": torch.zeros(3)})
    arguments = ["eye", str(video), "--point", "pupil:5,5", "-o", str(tmp_path / "o"), "--weights"]
    refused([*arguments, str(weights)], "other.safetensors", "is missing;", "more)")
    refused([*arguments, str(tmp_path / "none.pt")], "No such weights file")
    assert [p.name for p in tmp_path.iterdir()] == ["other.safetensors"]


def test_a_folder_with_another_run_is_left_as_it_is(video: Path, tmp_path: Path, no_network: None) -> None:
    (tmp_path / "run.json").write_text("{}")
    refused(["eye", str(video), "--point", "pupil:60,55", "-o", str(tmp_path)], "holds another run")
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
    assert (tmp_path / "run.json").read_text() == "{}"


def test_a_truncated_video_says_how_many_frames(tmp_path: Path, no_network: None) -> None:
    whole = write_eye_video(tmp_path / "whole.mkv", eye_truth(200))
    data = whole.read_bytes()
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data[: len(data) // 2])
    for command in ("eye", "track"):
        out = tmp_path / command
        result = runner.invoke(
            app, [command, str(broken), "-p", "pupil:60,55", "-o", str(out), "--no-overlay"]
        )
        assert result.exit_code == 0, result.output
        frames = json.loads((out / "run.json").read_text())["frames"]
        assert 10 < frames < 200
        assert f"{frames} frames (the video breaks off here" in result.output


def test_evaluate_refuses_what_is_no_annotations_file(tmp_path: Path) -> None:
    refused(["evaluate", str(tmp_path / "none.json")], "No such file")
    (tmp_path / "a.json").write_text("[1]")
    refused(["evaluate", str(tmp_path / "a.json")], "not an annotations file")
