"""`ocusam davis-score` and `ocusam davis-export` as typed."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ocusam.cli.main import app
from ocusam.core.masklet import ObjectFrame, View
from ocusam.workflows.scoring.davis_folders import write_video
from ocusam.workflows.session.masklets import MaskletWriter

runner = CliRunner()
SIZE = (40, 40)


def mask(t: int) -> np.ndarray:
    out = np.zeros(SIZE, dtype=bool)
    out[10:20, 5 + t : 15 + t] = True
    return out


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What `ocusam track` leaves behind, as far as it matters here."""
    folder = tmp_path / "run"
    writer, logits = MaskletWriter(folder / "masklets", SIZE), np.zeros((10, 10), dtype=np.float32)
    for t in range(4):
        writer.add([ObjectFrame(t, t, View(0, (0, 0, 40, 40)), "ball", logits, mask(t), 1.0, 5.0)])
    writer.finish()
    (folder / "run.json").write_text(json.dumps({"input": {"path": "films/bear.mp4"}}))
    return folder


@pytest.mark.parametrize("layout", ["palette", "objects"])
def test_a_run_exported_and_scored(run: Path, tmp_path: Path, layout: str) -> None:
    out, truth = tmp_path / "out", tmp_path / "truth"
    result = runner.invoke(app, ["davis-export", str(run), "-o", str(out), "--layout", layout])
    assert result.exit_code == 0, result.output
    assert "4 frames, objects 1: ball" in result.output
    frames = [(f"{t:05d}", {1: mask(t + (2 if t == 1 else 0))}) for t in range(4)]
    write_video(truth / "bear", frames, SIZE, [1], "objects" if layout == "objects" else "palette")
    json_file = tmp_path / "scores.json"
    result = runner.invoke(app, ["davis-score", str(truth), str(out), "-o", str(json_file)])
    assert result.exit_code == 0, result.output
    assert "bear" in result.output and "mean" in result.output
    scores = json.loads(json_file.read_text())
    assert scores["j"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["f"] == pytest.approx((0.55 + 1) / 2)
    assert scores["objects"][0]["frames"] == 2
    by_evaluate = tmp_path / "again.json"
    result = runner.invoke(app, ["evaluate", str(truth), str(out), "-o", str(by_evaluate)])
    assert result.exit_code == 0, result.output
    assert by_evaluate.read_text() == json_file.read_text()
    again = runner.invoke(app, ["davis-export", str(run), "-o", str(out), "--layout", layout])
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_frame_names_and_the_videos_name(run: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "pictures", [(f"{8 * t}", {}) for t in range(4)], SIZE, [1])
    typed = ["davis-export", str(run), "-o", str(tmp_path / "out"), "--video", "other"]
    result = runner.invoke(app, [*typed, "--frame-names", str(tmp_path / "pictures")])
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "out" / "other").iterdir())
    assert names == ["0.png", "16.png", "24.png", "8.png"]


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        (["davis-score", "none", "none"], "not a folder"),
        (["evaluate", "none", "none"], "not a folder"),
        (["davis-export", "none", "-o", "OUT"], "no masklets"),
        (["davis-export", "RUN", "-o", "OUT", "--layout", "tree"], "palette or objects"),
        (["davis-export", "RUN", "-o", "OUT", "--video", "a/b"], "name of a folder"),
        (["davis-export", "RUN", "-o", "OUT", "--frame-names", "none"], "not a folder"),
    ],
)
def test_bad_input_ends_with_2(run: Path, tmp_path: Path, typed: list[str], word: str) -> None:
    places = {"RUN": str(run), "OUT": str(tmp_path / "out")}
    result = runner.invoke(app, [places.get(part, part) for part in typed])
    assert result.exit_code == 2, result.output
    assert word in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["davis-score", "davis-export"])
def test_help_has_one_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert result.output.count(f"Example: ocusam {command}") == 1
