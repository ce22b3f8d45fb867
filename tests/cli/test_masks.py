"""`ocusam masks` as typed, with a miniature network's weights from a file."""

import dataclasses
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ocusam.cli.main import app
from ocusam.cli.masks import masks
from ocusam.model.build import make_network
from ocusam.weights.checkpoint import save_state
from ocusam.workflows.masks import MaskSettings

runner = CliRunner()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture and weights."""
    folder = tmp_path_factory.mktemp("masks")
    picture = np.random.default_rng(6).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(picture).save(folder / "desk.png")
    torch.manual_seed(4)
    save_state(folder / "mini.safetensors", make_network("miniature").state_dict())
    return folder / "desk.png", folder / "mini.safetensors"


def test_the_size_that_a_network_was_tuned_at(files: tuple[Path, Path], tmp_path: Path) -> None:
    picture, weights = files
    arguments = ["masks", "-m", "miniature", "-w", str(weights), "--points-per-side", "1", "--size", "96"]
    result = runner.invoke(app, [*arguments, str(picture), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out/run.json").read_text())["model"]["image_size"] == 96
    result = runner.invoke(app, [*arguments, str(tmp_path), "-o", str(tmp_path / "none")])
    assert result.exit_code == 2 and "is a folder; give one picture" in result.stderr


def test_a_picture_in_a_folder_out(files: tuple[Path, Path], tmp_path: Path) -> None:
    picture, weights = files
    arguments = ["masks", str(picture), "-o", str(tmp_path / "out"), "-m", "miniature", "-w", str(weights)]
    options = ["--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"]
    result = runner.invoke(app, [*arguments, *options, "--box-nms-thresh", "1"])
    assert result.exit_code == 0, result.output
    assert "12 masks in" in result.output
    data = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert len(data["annotations"]) == 12
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["model"]["model"] == "miniature"
    assert len(run["model"]["weights_sha256"]) == 64
    again = runner.invoke(app, [*arguments, *options])
    assert again.exit_code == 2
    assert "holds another run" in again.stderr and "--resume" not in again.stderr  # it has no such option
    none = ["masks", str(picture), "-o", str(tmp_path / "none"), "-m", "miniature", "-w", str(weights)]
    found = runner.invoke(app, [*none, "--points-per-side", "2", "--pred-iou-thresh", "1"])
    assert found.exit_code == 0 and "0 masks" in found.output and "lower --pred-iou-thresh" in found.output


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["-m", "huge"], "Unknown model"),
        (["-m", "miniature"], "needs weights"),
        (["-w", "none.pt"], "none.pt"),
        (["-m", "miniature", "-w", "WEIGHTS", "--pred-iou-thresh", "2"], "0 to 1"),
        (["-m", "miniature", "-w", "WEIGHTS", "--crop-n-layers", "7"], "layers of crops"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(
    files: tuple[Path, Path], tmp_path: Path, options: list[str], word: str
) -> None:
    typed = [str(files[1]) if option == "WEIGHTS" else option for option in options]
    result = runner.invoke(app, ["masks", str(files[0]), "-o", str(tmp_path / "out"), *typed])
    assert result.exit_code == 2, result.output
    assert word in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_every_option_of_the_generator_is_there_with_its_default() -> None:
    defaults = {f.name: f.default for f in dataclasses.fields(MaskSettings)}
    typed = {name: p.default for name, p in inspect.signature(masks).parameters.items() if name in defaults}
    assert typed == defaults
    result = runner.invoke(app, ["masks", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for name in defaults.keys() - {"use_m2m", "multimask_output"}:
        assert f"--{name.replace('_', '-')}" in result.output
    assert "--use-m2m" in result.output and "--single-mask" in result.output
    assert result.output.count("Example: ocusam masks") == 1


def test_options_arrive(files: tuple[Path, Path], tmp_path: Path) -> None:
    picture, weights = files
    arguments = ["masks", str(picture), "-o", str(tmp_path / "out"), "-m", "miniature", "-w", str(weights)]
    options = ["--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"]
    more = ["--single-mask", "--crop-overlap-ratio", "0.5", "--crop-nms-thresh", "0.9", "--use-m2m"]
    result = runner.invoke(app, [*arguments, *options, *more, "--box-nms-thresh", "1"])
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    assert (settings["crop_overlap_ratio"], settings["crop_nms_thresh"]) == (0.5, 0.9)
    assert settings["multimask_output"] is False and settings["use_m2m"] is True
    assert "4 masks in" in result.output
