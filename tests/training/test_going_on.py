"""A training that was broken off goes on: after Ctrl-C, a full disk, a picture that cannot be read."""

from __future__ import annotations

import csv
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from ocusam.core.errors import InputError, OcusamError, OutputError, WeightsError
from ocusam.training import clips as clips_file
from ocusam.training.checkpoint_file import read_checkpoint, write_checkpoint
from ocusam.training.clips import BatchMaker, ClipConfig, batches
from ocusam.training.loop import TrainConfig, Trainer
from ocusam.training.optim import OptimConfig, Ranks
from ocusam.training.rendered import Renderer, Wish
from training.conftest import U8, drawn_eye


def _trainer(clips: ClipConfig, folder: Path, renderer: Renderer, **changes: object) -> Trainer:
    config = TrainConfig(
        model="miniature", steps=6, clips=clips, half=False, workers=0, held_out_batches=0, log_every=1,
        optim=OptimConfig(lr=3e-3, warmup_steps=3),
    )  # fmt: skip
    config = replace(config, **changes)  # type: ignore[arg-type]
    return Trainer(config, folder, renderer=renderer, say=lambda line: None)


def _steps(folder: Path) -> list[str]:
    with (folder / "log.csv").open(newline="") as file:
        return [row["step"] for row in csv.DictReader(file)]


@dataclass(frozen=True)
class Broken:
    """A renderer with one picture that cannot be read."""

    after: int

    def __call__(self, wish: Wish) -> tuple[U8, dict[str, U8]]:
        if wish.seed % self.after == 0:
            raise InputError("No such file: cell 7.jpg.")
        return drawn_eye(wish)


def test_an_interrupted_training_keeps_every_step_and_goes_on_to_the_bit(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    whole = _trainer(tiny_pictures, tmp_path / "whole", renderer)
    whole.run()
    asked = iter([False, False, True])
    first = _trainer(tiny_pictures, tmp_path / "parts", renderer)
    with pytest.raises(KeyboardInterrupt, match="step 3 is saved"):
        first.run(lambda: next(asked))
    second = _trainer(tiny_pictures, tmp_path / "parts", renderer)
    assert second.resume() and second.step == 3
    second.run()
    for (name, a), b in zip(
        whole.model.state_dict().items(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert _steps(tmp_path / "parts") == _steps(tmp_path / "whole") == list("123456")


def test_the_wish_to_end_reaches_all_processes(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(tiny_pictures, tmp_path, renderer)
    trainer.ranks = Ranks(0, 2)
    carried = []

    def all_reduce(flat: torch.Tensor) -> None:
        carried.append(flat[-2:].tolist())
        flat[-1] += 2  # the other process was told to end

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    with pytest.raises(KeyboardInterrupt, match="step 1 is saved"):
        trainer.run()
    assert carried == [[0.0, 0.0]] and trainer.checkpoint_path.is_file()


def test_rows_after_the_checkpoint_are_not_written_twice(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    killed = _trainer(tiny_pictures, tmp_path, renderer)
    asked = iter([False, True])
    with pytest.raises(KeyboardInterrupt):
        killed.run(lambda: next(asked))
    saved = killed.checkpoint_path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        killed.run(iter([False, True]).__next__)
    killed.checkpoint_path.write_bytes(saved)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("5,1.0,3e-")  # cut off by the kill
    again = _trainer(tiny_pictures, tmp_path, renderer)
    assert again.resume() and _steps(tmp_path) == ["1", "2"]
    again.run()
    assert _steps(tmp_path) == list("123456")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"text"])
def test_a_damaged_checkpoint_is_said(
    content: bytes, tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    trainer = _trainer(tiny_pictures, tmp_path, renderer)
    trainer.checkpoint_path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"is damaged.*Remove it"):
        trainer.resume()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"model": {}, "optimiser": [], "step": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(OutputError, match=r"cannot be written.*the one before"):
            write_checkpoint(path, {"model": {"a": torch.zeros(100_000)}, "optimiser": [], "step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert read_checkpoint(path)["step"] == 1 and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_read_is_one_line_and_loses_no_step(
    workers: int, tmp_path: Path, tiny_pictures: ClipConfig
) -> None:
    # Of the seeds that the maker draws, the first step's are not divisible by 3, one of a later step's is.
    trainer = _trainer(tiny_pictures, tmp_path, Broken(5), workers=workers, steps=40)
    with pytest.raises(InputError) as caught:
        trainer.run()
    assert str(caught.value) == "No such file: cell 7.jpg."
    assert trainer.step > 0 and read_checkpoint(trainer.checkpoint_path)["step"] == trainer.step


def test_a_background_process_that_died_is_said(
    tiny_pictures: ClipConfig, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loader:
        def __init__(self, *args: object, **options: object) -> None:
            pass

        def __iter__(self) -> Iterator[object]:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(clips_file, "DataLoader", Loader)
    with pytest.raises(OcusamError, match="want of memory"):
        next(iter(batches(BatchMaker(tiny_pictures, 1, renderer), 0, 1)))


def test_background_processes_do_not_hear_ctrl_c_from_their_first_moment_on() -> None:
    before = signal.getsignal(signal.SIGINT)
    with clips_file._deaf_children():
        program = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "True" and signal.getsignal(signal.SIGINT) is before
