"""Stages follow one another, a broken-off training goes on, and one's own masks can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ocusam.core.errors import InputError, ModelError, OcusamError, OutputError, WeightsError
from ocusam.model.config import get_config
from ocusam.model.sam2 import SAM2
from ocusam.training.optim import Ranks
from ocusam.training.own_clips import OwnClips
from ocusam.weights.checkpoint import load_state, read_metadata, save_state
from ocusam.workflows import train as job
from ocusam.workflows.inputs.weights_on_hand import describe_weights
from ocusam.workflows.train_config import TrainingPlan, plan_of

SMALL: dict[str, Any] = {
    "steps": 2, "size": 64, "pictures": 1, "objects": 2, "workers": 0, "held_out_batches": 1, "half": False,
    "log_every": 1, "correction_share": 1.0, "max_corrections": 2,
}  # fmt: skip


def _plan(home: Path, **rest: Any) -> TrainingPlan:
    stages = [{"kind": "images", "name": "a"}, {"kind": "clips", "name": "b", "frames": 2}]
    content = {"model": "miniature", "stage": [SMALL | stage for stage in stages], **rest}
    return plan_of(content, home / "t.toml")


@pytest.fixture
def cups(tmp_path: Path) -> Path:
    """Two DAVIS videos of three frames with a red square that moves."""
    for video in ("one", "two"):
        for kind, mode in (("JPEGImages", "jpg"), ("Annotations", "png")):
            (tmp_path / kind / video).mkdir(parents=True)
            for k in range(3):
                values = np.zeros((48, 64), np.uint8)
                values[10:34, 10 + 4 * k : 34 + 4 * k] = 1
                if kind == "Annotations":
                    picture = Image.fromarray(values)
                    picture.putpalette([0, 0, 0, 255, 0, 0])
                else:
                    picture = Image.fromarray(values[..., None] * np.array([250, 20, 20], np.uint8))
                picture.save(tmp_path / kind / video / f"{k:05d}.{mode}")
    return tmp_path


def test_stages_follow_one_another_and_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    plan, lines = _plan(tmp_path), list[str]()
    path = job.train(plan, tmp_path / "out", say=lines.append, command="ocusam train t.toml")
    final, last = load_state(path), load_state(tmp_path / "out/2-b/latest.safetensors")
    assert path.name == "weights.safetensors" and read_metadata(path)["command"] == "ocusam train t.toml"
    for name, value in last.items():
        assert torch.equal(final[name], value.half().float()), name
    assert any("held out, step 2" in line for line in lines)
    shown = describe_weights(path.parent)
    assert {"network: --model miniature", "command: ocusam train t.toml", "step: 2"} <= set(shown)
    use = f"ocusam track VIDEO --point NAME:X,Y --model miniature --weights {path} -o OUT"
    assert use in lines[-1]
    lines.clear()
    job.train(plan, tmp_path / "out", say=lines.append)
    assert [line for line in lines if "done, 2 steps" in line] == lines[:2]
    assert job.export_so_far(plan, tmp_path / "out", tmp_path / "now.pt") == 2


def test_another_plan_needs_another_folder(tmp_path: Path) -> None:
    job._claim(_plan(tmp_path), tmp_path / "out", first=True)
    other = _plan(tmp_path, seed=5)
    with pytest.raises(OutputError, match=r"stages 1\.config\.seed.*weights = '.*out/weights\.safetensors'"):
        job._claim(other, tmp_path / "out", first=True)
    with pytest.raises(OutputError, match="of another plan"):
        job.export_so_far(other, tmp_path / "out", tmp_path / "w.pt")


def test_what_changes_no_weights_may_change_when_a_training_goes_on(tmp_path: Path) -> None:
    job._claim(_plan(tmp_path), tmp_path / "out", first=True)
    stages = [
        SMALL | {"kind": "images", "name": "a", "workers": 3, "log_every": 7},
        SMALL | {"kind": "clips", "name": "b", "frames": 2, "score_every": 9, "checkpoint_minutes": 1.0},
    ]
    content = {"model": "miniature", "store": "float32", "stage": stages}
    job._claim(plan_of(content, tmp_path / "t.toml"), tmp_path / "out", first=True)


def test_weights_written_on_the_way_have_statistics_of_ones_own_pictures(
    cups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _plan(cups, data={"masks": [{"format": "davis", "path": "Annotations"}]})
    made = []

    class Spy(job.Trainer):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append(options["renderer"])
            super().__init__(*args, **options)

    job.train(plan, cups / "out", say=lambda line: None)
    monkeypatch.setattr(job, "Trainer", Spy)
    job.export_so_far(plan, cups / "out", cups / "now.pt")
    assert isinstance(made[0], OwnClips)


def test_ones_own_masks_are_trained_on(cups: Path) -> None:
    masks = [{"format": "davis", "path": "Annotations", "names": {"1": "cup"}}]
    plan = _plan(cups, data={"masks": masks, "rendered": 0.2, "held_out": 2})
    assert "davis one: 3 annotated frames" in job.describe(plan)
    path = job.train(plan, cups / "out", say=lambda line: None)
    log = (cups / "out/2-b/log.csv").read_text().splitlines()
    assert "iou_object" in log[0] and path.is_file()


def test_start_from_weights_that_are_here(cups: Path) -> None:
    masks = [{"format": "davis", "path": "Annotations"}]
    with pytest.raises(WeightsError, match="No such weights file"):
        job.starting_weights(_plan(cups, weights="none.pt", data={"masks": masks}))
    with pytest.raises(WeightsError, match="ocusam models fetch miniature"):
        job.starting_weights(_plan(cups, weights="published"))
    (cups / "before").mkdir()
    state = SAM2(get_config("miniature")).state_dict()
    save_state(
        cups / "before/weights.safetensors", {f"module.{name}": value for name, value in state.items()}
    )
    plan = _plan(cups, weights="before")
    start = job.starting_weights(plan)
    trainer = job.Trainer(plan.stages[0].config, cups / "t", weights=start, say=lambda line: None)
    assert torch.equal(trainer.model.no_mem_embed, state["no_mem_embed"])


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"path": "nowhere"}, "No such file or folder"),
        ({"path": "Annotations", "pictures": "empty"}, r"no picture 00000.jpg or 00000.png in .*empty"),
        ({"path": "JPEGImages"}, "holds no masks"),
    ],
)
def test_masks_that_cannot_be_used(cups: Path, masks: dict[str, Any], message: str) -> None:
    (cups / "empty").mkdir()
    with pytest.raises(OcusamError, match=message):
        job.sources(_plan(cups, data={"masks": [{"format": "davis", **masks}]}))


def test_clips_longer_than_every_video_and_devices_that_are_not_there(cups: Path) -> None:
    plan = plan_of(
        {
            "model": "miniature",
            "stage": [SMALL | {"kind": "clips", "frames": 9}],
            "data": {"masks": [{"format": "davis", "path": "Annotations"}]},
        },
        cups / "t.toml",
    )
    with pytest.raises(InputError, match="the longest annotated video has 3"):
        job.sources(plan)
    with pytest.raises(ModelError, match="cannot be used"):
        job._processes("abacus")
    with pytest.raises(InputError, match="batches of 1 for 2 processes"):
        job._enough_for(Ranks(0, 2), plan)
