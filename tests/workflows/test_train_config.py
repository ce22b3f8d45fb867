"""A training's file becomes the plan it describes, and nothing is silently misread."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ocusam.core.errors import InputError
from ocusam.training.augment import AugmentConfig
from ocusam.training.clips import ClipConfig
from ocusam.training.loop import TrainConfig
from ocusam.training.optim import OptimConfig
from ocusam.workflows.train_config import DataConfig, MasksConfig, plan_of, read_plan

CONFIGS = Path(__file__).parents[2] / "configs"
FILE = Path("training.toml")


def _plan(stage: dict[str, Any], **rest: Any) -> Any:
    return plan_of({"stage": [{"kind": "images", **stage}], **rest}, FILE)


def test_fields_of_all_parts_reach_their_places() -> None:
    plan = _plan(
        {
            "steps": 7, "size": 128, "lr": 1, "layer_decay": 0.8, "augment": {"flip": 0.25},
            "alongside": [{"share": 0.4, "size": 192, "prompt_shares": [1, 0, 0, 0]}],
        },
        seed=3,
    )  # fmt: skip
    config = plan.stages[0].config
    assert (config.steps, config.seed, config.clips.size, config.clips.grid) == (7, 3, 128, 64)
    assert (config.optim.lr, config.optim.layer_decay, config.clips.augment.flip) == (1.0, 0.8, 0.25)
    share, other = config.alongside[0]
    assert (share, other.size, other.grid, other.augment.flip) == (0.4, 192, 96, 0.25)
    assert other.prompt_shares == (1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"stepps": 3}, r"stage 1: unknown stepps\. Known: .*steps"),
        ({"augment": {"flop": 1}}, r"augment: unknown flop\. Known: flip"),
        ({"alongside": [{"share": 0.5, "lr": 1.0}]}, r"alongside 1: unknown lr"),
        ({"alongside": [{"share": 1.5}]}, r"together at most 1"),
        ({"steps": 0}, r"steps = 0; it is at least 1"),
        ({"log_every": 0}, r"log_every = 0; it is at least 1"),
        ({"lr": -1.0}, r"lr = -1, clip_norm = 1; they are above 0"),
        ({"ema_decay": 2.0}, r"ema_decay = 2; it is from 0 to 1"),
        ({"lr": "fast"}, r"lr = 'fast'; it is a float"),
        ({"steps": 3.5}, r"steps = 3\.5; it is a int"),
        ({"half": 1}, r"half = 1; it is a bool"),
        ({"size": 100}, r"multiple of 32"),
        ({"frames": 3}, r"use kind = 'clips'"),
        ({"kind": "videos"}, r"use 'parts', 'images' or 'clips'"),
        ({"kind": "clips", "parts_only": True}, "single rendered pictures"),
        ({"prompt_shares": [0, 0, 0, 1]}, r"leaves nothing to learn"),
    ],
)
def test_what_is_wrong_is_named(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _plan(stage)


def test_data_are_checked() -> None:
    with pytest.raises(InputError, match=r"format = 'avi'; use one of davis"):
        _plan({}, data={"masks": [{"format": "avi", "path": "x"}]})
    with pytest.raises(InputError, match=r"only with \[\[data.masks\]\]"):
        _plan({}, data={"rendered": 0.5})
    plan = _plan({}, data={"masks": [{"format": "davis", "path": "x", "names": {1: "pupil"}}]})
    assert plan.data.masks[0].names == {"1": "pupil"}
    clips = plan.stages[0].config.clips
    assert clips.group == 1 and clips.augment.frame_eye == 0 and clips.two_eyes == 0


def test_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('model = "nano"\n[[stage]]\nkind = "clips"\nsteps = 5\n')
    (tmp_path / "a.yaml").write_text("model: nano\nstage:\n  - kind: clips\n    steps: 5\n")
    assert read_plan(tmp_path / "a.toml") == read_plan(tmp_path / "a.yaml")
    (tmp_path / "b.toml").write_text("model = \n")
    with pytest.raises(InputError, match="cannot be understood"):
        read_plan(tmp_path / "b.toml")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.name)
def test_the_files_that_ship_can_be_read(path: Path) -> None:
    assert read_plan(path).stages


def test_numbers_as_yaml_and_files_as_windows_write_them(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("model: miniature\nstage:\n  - {kind: images, size: 64, lr: 1e-3}\n")
    assert read_plan(tmp_path / "t.yaml").stages[0].config.optim.lr == 1e-3
    text = 'model = "miniature"\n[[stage]]\nkind = "images"\nsize = 64\n'
    (tmp_path / "t.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_plan(tmp_path / "t.toml").stages[0].config.clips.size == 64
    masks = "[[data.masks]]\nformat = 'labelme'\npath = 'x'\nsequence = true\ninstances = true\n"
    (tmp_path / "t.toml").write_text(text + masks)
    with pytest.raises(InputError, match="instances = true is for single pictures"):
        read_plan(tmp_path / "t.toml")


def test_the_page_names_every_key() -> None:
    page = (CONFIGS.parent / "docs" / "training.md").read_text()
    parts = (TrainConfig, ClipConfig, OptimConfig, AugmentConfig, DataConfig, MasksConfig)
    keys = {field.name for part in parts for field in dataclasses.fields(part)} - {"clips", "optim", "masks"}
    missing = [key for key in sorted(keys) if f"{key}`" not in page and f"{key} = " not in page]
    assert not missing
