"""An annotated picture before the video, and prompts on a later frame, with a network of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fake_predictor import FakePredictor, eye_picture, eye_truth, write_eye_video
from ocusam.cli.main import app
from ocusam.core.errors import PromptError
from ocusam.core.prompts import ObjectPrompt, PromptPack, parse_point
from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.reader import open_video
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.prompt_pack import read_json, reference_picture
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.session import job
from ocusam.workflows.session.follow import follow
from ocusam.workflows.session.models import OpenedModel

FRAMES = np.stack([eye_picture(p) for p in eye_truth(6)])  # 120 x 160
REFERENCE = eye_picture(eye_truth(30)[-1])


@pytest.fixture(scope="module")
def predictor() -> SAM2VideoPredictor:
    torch.manual_seed(0)
    return SAM2VideoPredictor(make_network(get_config("miniature")).eval())


def test_a_reference_is_a_frame_before_the_first(predictor: SAM2VideoPredictor) -> None:
    shown = reference_picture(REFERENCE, [parse_point("pupil:74,62")])
    source = open_video(FRAMES)
    found = list(
        follow(source, [parse_point("iris:90,60@2")], predictor, plan_views(source.size), references=[shown])
    )
    assert [objects[0].frame_idx for objects in found] == list(range(6))
    assert [objects[0].timestamp_ns for objects in found] == source.timestamps_ns.tolist()

    state = predictor.init_state(np.concatenate([REFERENCE[None], FRAMES]))
    predictor.add_new_points_or_box(state, 0, "pupil", points=[[74, 62]], labels=[1])
    predictor.add_new_points_or_box(state, 3, "iris", points=[[90, 60]], labels=[1])
    for objects, out in zip(found, list(predictor.propagate(state, start_frame_idx=0))[1:], strict=True):
        assert [item.name for item in objects] == list(out.obj_ids)
        expected = out.low_res_logits.float().numpy().reshape(len(objects), *objects[0].logits.shape)
        for item, logits in zip(objects, expected, strict=True):
            assert (item.logits == logits).all()


def test_frames_before_a_later_prompt_come_from_a_backward_pass(predictor: SAM2VideoPredictor) -> None:
    source = open_video(FRAMES)
    found = list(follow(source, [parse_point("pupil:62,56@4")], predictor, plan_views(source.size)))
    assert [objects[0].frame_idx for objects in found] == [4, 5, 3, 2, 1, 0]
    state = predictor.init_state(FRAMES)
    predictor.add_new_points_or_box(state, 4, "pupil", points=[[62, 56]], labels=[1])
    forward = list(predictor.propagate(state, start_frame_idx=4))
    backward = [o for o in predictor.propagate(state, start_frame_idx=4, reverse=True) if o.frame_idx < 4]
    for objects, out in zip(found, forward + backward, strict=True):
        assert objects[0].frame_idx == out.frame_idx
        assert (
            objects[0].logits == out.low_res_logits.float().numpy().reshape(objects[0].logits.shape)
        ).all()


def test_prompts_of_a_picture_of_another_size_go_to_its_place_and_view() -> None:
    wide = np.concatenate([FRAMES, FRAMES], axis=2)  # 120 x 320: two eyes
    large = np.repeat(np.repeat(np.concatenate([REFERENCE, REFERENCE], axis=1), 2, axis=0), 2, axis=1)
    mask = np.zeros(large.shape, bool)
    mask[100:140, 440:480] = True
    shown = reference_picture(large, [parse_point("pupil:148.5,124.5"), ObjectPrompt("iris", mask=mask)])
    source, fake = open_video(wide), FakePredictor()
    found = list(follow(source, [], fake, plan_views(source.size, "2x1"), references=[shown]))
    assert sorted((o[0].view.index, o[0].frame_idx) for o in found) == [
        (v, i) for v in (0, 1) for i in range(6)
    ]
    (left,), (right,) = (state.prompts for state in fake.states)
    assert left[:2] == (0, "pupil") and left[2].tolist() == [[74, 62]]
    assert right[:2] == (0, "iris") and np.argwhere(right[2]).min(axis=0).tolist() == [50, 60]


def test_a_run_writes_its_prompts_and_takes_them_back(tmp_path: Path) -> None:
    shown = reference_picture(REFERENCE, [parse_point("pupil:74,62")])
    pack = PromptPack((parse_point("iris:90,60@2"),), (shown,))
    first = track_eye(FRAMES, pack, model=FakePredictor(), out=tmp_path / "a")
    again = track_eye(FRAMES, tmp_path / "a" / "prompts.json", model=FakePredictor(), out=tmp_path / "b")
    assert first.signals.equals(again.signals)
    assert first.signals["frame_idx"].unique().to_list() == list(range(6))
    for name in ("prompts.json", "references/0.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "a" / "run.json").read_text())["references"][0]["size_hw"] == [120, 160]
    with pytest.raises(PromptError, match="belong to pictures of 160 x 120"):
        track_eye(FRAMES[:, :100], tmp_path / "a", model=FakePredictor())
    with pytest.raises(PromptError, match="known names"):
        track_eye(FRAMES, PromptPack((), (reference_picture(REFERENCE, [parse_point("car:1,1")]),)))


@pytest.mark.parametrize("command", ["eye", "track"])
def test_on_the_command_line(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakePredictor()
    monkeypatch.setattr(job, "open_predictor", lambda *a: OpenedModel(fake, {"model": "fake"}))
    video = write_eye_video(tmp_path / "v.mp4", eye_truth(5))
    Image.fromarray(REFERENCE).save(tmp_path / "p.png")
    (tmp_path / "p.txt").write_text("pupil\t74\t62\t1\n")
    (tmp_path / "v.tsv").write_text("iris\t90\t60\t1\n")
    arguments = [command, str(video), "--prompts", str(tmp_path / "v.tsv"), "--point", "iris:88,60@3",
                 "--reference", str(tmp_path / "p.png"), "-o", str(tmp_path / "out")]  # fmt: skip
    alone = CliRunner().invoke(app, arguments)
    assert alone.exit_code == 2 and "--reference-prompts" in alone.stderr
    result = CliRunner().invoke(app, [*arguments, "--reference-prompts", str(tmp_path / "p.txt")])
    assert result.exit_code == 0, result.output
    pack = read_json(tmp_path / "out" / "prompts.json")
    assert [(p.name, p.frame_idx) for p in pack.prompts] == [("iris", 0), ("iris", 3)]
    assert [(f, name) for f, name, *_ in fake.states[0].prompts] == [(0, "pupil"), (1, "iris"), (4, "iris")]
