"""What a training writes down."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ocusam.core.errors import ModelError
from ocusam.training.log import TrainingLog
from ocusam.training.losses import LossTerms


def _terms(value: float) -> LossTerms:
    one = torch.tensor(value)
    return LossTerms(one, one, one, one, one, torch.zeros(1))


def _write(log: TrainingLog) -> None:
    log.add(_terms(1.0), {"pupil": (1.0, 2)}, 3.0)
    log.add(_terms(2.0), {"pupil": (0.9, 1)}, 5.0)
    log.write(2, rate=1e-3, seconds=10.0, seconds_per_step=5.0, minutes_left=1.0)


def test_rows_hold_means_of_the_steps_between(tmp_path: Path) -> None:
    lines: list[str] = []
    log = TrainingLog(tmp_path, lines.append)
    _write(log)
    head, row = (line.split(",") for line in (tmp_path / "log.csv").read_text().split())
    values = dict(zip(head, row, strict=True))
    assert float(values["loss"]) == 1.5 and float(values["norm"]) == 4
    assert float(values["iou_pupil"]) == pytest.approx(1.9 / 3, rel=1e-4)
    assert values["iou_iris"] == "" and "pupil 0.633" in lines[0]


def test_a_missing_tensorboard_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModelError, match="pip install tensorboard"):
        TrainingLog(tmp_path, print, tensorboard=True)


def test_curves_go_to_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[tuple[str, float, int]] = []
    purged: list[int] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert folder == str(tmp_path / "tensorboard")
            purged.append(purge_step)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            points.append((name, value, step))

        def flush(self) -> None:
            pass

    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    log = TrainingLog(tmp_path, lambda line: None, tensorboard=True)
    _write(log)
    log.scored(2, "", {"pupil": 0.5})
    assert ("train/loss", 1.5, 2) in points and ("held_out/pupil", 0.5, 2) in points
    again = TrainingLog(tmp_path, lambda line: None, tensorboard=True)
    again.forget_after(1)  # goes on from a checkpoint: what was drawn past it comes once more
    _write(again)
    assert purged == [1, 2]
