"""Every example runs, is short, and shows what it says; random weights do where `nano` has none yet."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from ocusam.model.build import make_network
from ocusam.weights import registry
from ocusam.weights.checkpoint import save_state

FOLDER = Path(__file__).resolve().parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def some_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    packaged = registry.packaged_weights("nano")
    if packaged is not None:
        return packaged
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("nano") / "nano.safetensors"
    save_state(path, make_network("nano").state_dict())
    return path


@pytest.fixture
def run(some_nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(registry.PACKAGED, "nano", str(some_nano))
    monkeypatch.chdir(tmp_path)

    def run_main(name: str, **arguments: Any) -> Any:
        return runpy.run_path(str(FOLDER / f"{name}.py"))["main"](**arguments)

    return run_main


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short_and_say_how_to_run_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert f"python examples/{path.name}" in text
    assert f'"{path.stem}"' in Path(__file__).read_text(encoding="utf-8"), "run it in a test below"


def test_click_to_mask(run: Any, tmp_path: Path) -> None:
    ious = run("click_to_mask")
    assert len(ious) == 3 and all(0 <= iou <= 1 for iou in ious)
    assert (tmp_path / "click_to_mask.png").is_file()


def test_follow_two_objects(run: Any) -> None:
    areas = run("follow_two_objects", num_frames=3)
    assert {name: len(values) for name, values in areas.items()} == {"pupil": 3, "iris": 3}


def test_pupil_diameter(run: Any) -> None:
    table = run("pupil_diameter", num_frames=4)
    assert table.columns == ["seconds", "state", "diameter_px", "true_px"] and len(table) == 4


def test_many_recordings(run: Any, tmp_path: Path) -> None:
    summary = run("many_recordings", folder=tmp_path / "study", participants=1, num_frames=3)
    assert summary["status"].to_list() == ["finished"], summary["message"].to_list()
    assert summary["frames"].to_list() == [3] and (tmp_path / "study" / "results" / "summary.csv").is_file()


def test_correct_a_frame(run: Any) -> None:
    survived = run("correct_a_frame", num_frames=4)
    assert survived[True] is True
    assert survived.keys() == {False, True}


def test_live_stream(run: Any) -> None:
    followed = run("live_stream", num_frames=5)
    assert followed == [["pupil"]] * 2 + [["pupil", "iris"]] * 2


def test_render_a_dataset(run: Any, tmp_path: Path) -> None:
    table = run("render_a_dataset", out=tmp_path / "eyes", clips=1, num_frames=2)
    assert len(table) == 2 and (tmp_path / "eyes" / "eye_0000" / "00001_pupil.png").is_file()
    assert (tmp_path / "eyes" / "truth.csv").is_file()
