"""Clicks on a rendered eye become masks, and only those that may."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocusam.core.prompts import ObjectPrompt, PromptPack, ReferencePicture
from ocusam.synthetic.draw import lab_style
from ocusam.synthetic.eye import EyeFrame, iter_eye_frames
from ocusam.tracking.build import build_sam2_video_predictor
from ocusam.video.source import SequenceSource
from ocusam.workflows.eye import track_eye
from ocusam.workflows.find import clicks
from ocusam.workflows.find.clicks import ClearClicks, part_at
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.models import open_predictor

SIZE = (192, 256)


@pytest.fixture(scope="module")
def frames() -> list[EyeFrame]:
    return list(iter_eye_frames(11, 3, SIZE, 60.0, lab_style()))


@pytest.fixture(scope="module")
def nano() -> Any:
    return open_predictor("nano")


def click_on(frame: EyeFrame, name: str) -> ObjectPrompt:
    ellipse = frame.ellipses[name]
    assert ellipse is not None
    x, y = ellipse.center
    return ObjectPrompt(
        name, 0, np.array([[x if name == "pupil" else x + 0.36 * ellipse.major, y]]), np.array([1])
    )


def entered(
    predictor: Any, frames: list[EyeFrame], prompts: list[ObjectPrompt]
) -> tuple[list[ObjectPrompt], Any]:
    clear = ClearClicks()
    state = predictor.init_state(SequenceSource([f.image for f in frames], fps=60.0))
    return clear(predictor, state, 0, prompts), clear.told


def test_clicks_become_masks(nano: Any, frames: list[EyeFrame]) -> None:
    prompts, told = entered(nano.predictor, frames, [click_on(frames[0], n) for n in ("pupil", "iris")])
    for prompt, note in zip(prompts, told, strict=True):
        truth = frames[0].coverage[prompt.name] >= 128
        assert prompt.mask is not None and note["entered"] == "mask"
        assert (prompt.mask & truth).sum() / (prompt.mask | truth).sum() > 0.85


def test_an_unclear_click_is_what_several_looks_say(
    nano: Any, frames: list[EyeFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clicks.LEAST, "pupil", 1.1)
    asked = [click_on(frames[0], n) for n in ("pupil", "iris")]
    prompts, told = entered(nano.predictor, frames, asked)
    truth = frames[0].coverage["pupil"] >= 128
    mask = prompts[0].mask
    assert mask is not None and (mask & truth).sum() / (mask | truth).sum() > 0.85
    assert [note["entered"] for note in told] == [clicks.LOOKS]
    assert prompts[1] is asked[1]  # around a pupil that is unclear
    monkeypatch.setattr(clicks, "_LEAST_SURE", 1.1)
    prompts, told = entered(nano.predictor, frames, asked)
    assert prompts == asked and [note["entered"] for note in told] == [clicks.CLICK]


def test_what_else_a_user_says_stays(nano: Any, frames: list[EyeFrame]) -> None:
    click = click_on(frames[0], "pupil")
    two = replace(click, points=np.repeat(click.points, 2, axis=0), labels=np.array([1, 1]))
    box = ObjectPrompt("iris", 0, box=(90.0, 60.0, 170.0, 140.0))
    other = replace(click, name="cr")
    prompts, told = entered(nano.predictor, frames, [two, box, other])
    assert [p is q for p, q in zip(prompts, (two, box, other), strict=True)] == [True] * 3
    assert told == []


def test_an_iris_without_its_pupil_stays_a_click(nano: Any, frames: list[EyeFrame]) -> None:
    click = click_on(frames[0], "iris")
    assert entered(nano.predictor, frames, [click])[0] == [click]


def test_other_networks_get_the_click(frames: list[EyeFrame]) -> None:
    click = click_on(frames[0], "pupil")
    prompts, told = entered(build_sam2_video_predictor("miniature"), frames, [click])
    assert prompts == [click] and told == []


def test_a_run_tells_and_keeps_the_users_click(nano: Any, frames: list[EyeFrame], tmp_path: Path) -> None:
    click = click_on(frames[0], "pupil")
    settings = RunSettings(overlay=False, report=False, zoom="off")
    source = SequenceSource([f.image for f in frames], fps=60.0)
    track_eye(source, [click], model=nano, out=tmp_path / "run", settings=settings)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [c["entered"] for c in record["clicks"]] == ["mask"]
    assert record["prompts"][0]["points"] == click.points.tolist()
    assert json.loads((tmp_path / "run" / "prompts.json").read_text()) is not None
    source = SequenceSource([f.image for f in frames], fps=60.0)
    bare = replace(settings, clear_clicks=False)
    track_eye(source, [click], model=nano, out=tmp_path / "bare", settings=bare)
    assert "clicks" not in json.loads((tmp_path / "bare" / "run.json").read_text())


def test_what_is_told_is_in_px_of_the_picture_and_frames_of_the_video(
    nano: Any, frames: list[EyeFrame], tmp_path: Path
) -> None:
    """Also where a rectangle of the picture was tracked, behind a reference picture."""
    click = click_on(frames[1], "pupil")
    truth = frames[1].ellipses["pupil"]
    assert truth is not None
    x, y = (round(v) for v in truth.center)
    region = f"{x - 60},{y - 50},{x + 60},{y + 50}"
    settings = RunSettings(overlay=False, report=False, zoom=region)
    pack = PromptPack(
        (replace(click, frame_idx=1),),
        (ReferencePicture("first", np.dstack([frames[0].image] * 3), (click_on(frames[0], "pupil"),)),),
    )
    source = SequenceSource([f.image for f in frames], fps=60.0)
    track_eye(source, pack, model=nano, out=tmp_path / "run", settings=settings)
    (told,) = json.loads((tmp_path / "run" / "run.json").read_text())["clicks"]
    assert told["frame_idx"] == 1
    assert told["click"] == pytest.approx(list(truth.center))
    assert told["ellipse"][:2] == pytest.approx(list(truth.center), abs=2)


def test_the_region_of_a_part_under_the_click_is_one_answer() -> None:
    logits = np.full((40, 60), -4.0, dtype=np.float32)
    logits[10:20, 10:20] = 3.0
    logits[25:35, 40:55] = 2.0
    answer = part_at(logits, (15 / 60, 15 / 40))
    assert answer is not None
    assert (answer.logits > 0).sum() == 100 and answer.logits[30, 50] < 0
    assert 0.85 < answer.predicted_iou < 0.96  # sure inside, hardly anything around
    beside = part_at(logits, (21 / 60, 15 / 40))
    assert beside is not None and np.array_equal(beside.logits, answer.logits)
    assert part_at(logits, (30 / 60, 5 / 40)) is None
    assert part_at(np.full((8, 8), -1.0, dtype=np.float32), (0.5, 0.5)) is None
