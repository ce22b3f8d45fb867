"""An iris that is assumed but not tracked is refused before anything is written."""

from pathlib import Path

import numpy as np
import pytest

from fake_predictor import FakePredictor, eye_picture, eye_truth
from ocusam.core.errors import InputError, PromptError
from ocusam.core.masklet import View
from ocusam.core.prompts import ReferencePicture, parse_point
from ocusam.video.source import SequenceSource
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.scale import check_iris
from ocusam.workflows.inputs.settings import RunSettings

TWO = [View(0, (0, 0, 160, 120)), View(1, (160, 0, 320, 120))]


def test_every_pupil_needs_its_iris() -> None:
    pupils = [parse_point("pupil:60,55"), parse_point("pupil:220,55")]
    one, both = (
        [*pupils, parse_point("iris:90,60")],
        [*pupils, *map(parse_point, ("iris:90,60", "iris:250,60"))],
    )
    check_iris(None, pupils)
    check_iris(11.7, one)  # the views are not known yet
    check_iris(11.7, both, (), TWO)
    with pytest.raises(PromptError, match=r"iris_mm=11.7 needs an iris, and none is tracked\. Click"):
        check_iris(11.7, pupils)
    with pytest.raises(PromptError, match=r"none is tracked in view 1\. .*--mm-per-px"):
        check_iris(11.7, one, (), TWO)
    shown = ReferencePicture("r", np.zeros((4, 4, 3), np.uint8), (parse_point("iris:1,1"),))
    check_iris(11.7, pupils, [shown], TWO)


def test_it_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    pictures = np.stack([eye_picture(p) for p in eye_truth(4)])
    wide = np.concatenate([pictures, pictures], axis=2)
    settings = RunSettings(iris_mm=11.7, views="2x1")
    for points in (["pupil:60,55"], ["pupil:60,55", "pupil:220,55", "iris:90,60"]):
        with pytest.raises(PromptError, match="needs an iris"):
            track_eye(
                SequenceSource(wide), points, model=FakePredictor(), out=tmp_path / "r", settings=settings
            )
    assert list(tmp_path.iterdir()) == []


def test_an_eye_that_was_found_without_its_iris_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search may find no iris (here: none is looked at)."""
    pictures = np.stack([eye_picture(p) for p in eye_truth(60)])
    settings = RunSettings(iris_mm=11.7, overlay=False, report=False)
    import ocusam.workflows.eye as module

    real = module.start_without_click

    def without_iris(*args: object, **options: object) -> object:
        start = real(*args, **options)  # type: ignore[arg-type]
        object.__setattr__(start.pack, "prompts", tuple(p for p in start.pack.prompts if p.name != "iris"))
        return start

    monkeypatch.setattr(module, "start_without_click", without_iris)
    with pytest.raises(PromptError, match="found without a click, an iris did not show"):
        track_eye(SequenceSource(pictures), model=FakePredictor(), out=tmp_path / "r", settings=settings)
    assert list(tmp_path.iterdir()) == []


def test_settings_refuse_both_and_nonsense() -> None:
    with pytest.raises(InputError, match="--mm-per-px or --iris-mm"):
        RunSettings(mm_per_px=0.05, iris_mm=11.7)
    with pytest.raises(InputError, match="mm_per_px=0: give a number above 0"):
        RunSettings(mm_per_px=0)
