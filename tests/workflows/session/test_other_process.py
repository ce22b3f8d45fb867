"""Measuring in a program of its own: the same numbers, and what happens when it ends or fails."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fake_predictor import FakePredictor, eye_truth, write_eye_video
from ocusam.core.errors import InputError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.eye.whole_frame import measure_frame
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session import job, measuring, other_process
from ocusam.workflows.session.measuring import Apart, Measuring
from ocusam.workflows.session.other_process import OtherProcess
from ocusam.workflows.session.passes import Step

VIEW = View(0, (0, 0, 160, 120))
MEASURE = partial(measure_frame, spots=True)
PATIENCE_S = 120.0


def _frame(i: int, *, finite: bool = True) -> list[ObjectFrame]:
    """A pupil with a light on it, iris and reflection, on a colour picture."""
    rows, cols = np.mgrid[:120, :160]
    away = np.hypot(cols - 80 - i, rows - 60)
    picture = np.stack(
        [np.where(away < 20, 30, np.where(away < 45, 100, 180)) + c for c in (0, 3, 7)], axis=2
    )
    picture[np.hypot(cols - 76 - i, rows - 52) < 3] = 250
    picture = (
        (picture + np.random.default_rng(i).integers(-3, 4, picture.shape)).clip(0, 255).astype(np.uint8)
    )
    radii = {"pupil": 20.0, "iris": 45.0, "cr0": 3.0}
    middles = {"cr0": (76.0 + i, 52.0)}
    objects = []
    for name, radius in radii.items():
        x, y = middles.get(name, (80.0 + i, 60.0))
        logits = (radius - np.hypot(cols - x, rows - y)).astype(np.float32)
        if not finite and name == "iris":
            logits[60, 80] = np.inf
        objects.append(ObjectFrame(i, i * 1000, VIEW, name, logits, None, 0.9, 3.0, picture, 900.0))
    return objects


@pytest.fixture(scope="module")
def other() -> Iterator[OtherProcess]:
    process = OtherProcess(MEASURE)
    assert process.wait(PATIENCE_S)
    yield process
    process.close()


def test_numbers_are_those_measured_here(other: OtherProcess) -> None:
    before = other.there
    for i in range(3):
        here, there = MEASURE(_frame(i)), other(_frame(i))
        assert there.objects == here.objects and there.spots == here.spots
        assert [m.edge for m in there.objects] == ["picture"] * 3 and len(there.spots) >= 21
    assert other.there == before + 3


def test_an_error_there_is_raised_here_and_the_next_frame_is_measured(other: OtherProcess) -> None:
    before = other.there
    with pytest.raises(InputError, match="not finite"):
        other(_frame(0, finite=False))
    assert other(_frame(1)).objects == MEASURE(_frame(1)).objects
    assert other.there == before + 2


def test_frames_are_sent_before_the_first_is_answered(other: OtherProcess) -> None:
    before = other.there
    answers = [other.ask(_frame(i, finite=i != 1)) for i in range(4)]
    assert other.there == before
    assert answers[0]().objects == MEASURE(_frame(0)).objects
    with pytest.raises(InputError, match="not finite"):
        answers[1]()
    assert [a().objects for a in answers[2:]] == [MEASURE(_frame(i)).objects for i in (2, 3)]
    assert other.there == before + 4


def _stopped() -> tuple[OtherProcess, subprocess.Popen[bytes]]:
    """One that understood what to do and then hangs."""
    other = OtherProcess(MEASURE)
    assert other.wait(PATIENCE_S)
    assert other._process is not None
    os.kill(other._process.pid, signal.SIGSTOP)
    return other, other._process


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no such signal")
def test_frames_that_it_owes_when_it_ends_are_measured_here() -> None:
    ended, process = _stopped()
    answers = [ended.ask(_frame(i)) for i in range(3)]
    process.kill()
    assert [a().objects for a in answers] == [MEASURE(_frame(i)).objects for i in range(3)]
    assert ended.there == 0
    ended.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no such signal")
def test_one_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_process, "_PATIENCE_S", 0.3)
    hanging, process = _stopped()
    for i in range(40):  # more than a pipe holds
        hanging.ask(_frame(i % 3))
    hanging.close()
    assert process.poll() == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_without_it_frames_are_measured_here() -> None:
    ended = OtherProcess(MEASURE)
    assert ended.wait(PATIENCE_S)
    assert ended._process is not None
    os.kill(ended._process.pid, signal.SIGINT)  # Ctrl-C is not for it
    assert ended(_frame(0)).objects == MEASURE(_frame(0)).objects and ended.there == 1
    os.kill(ended._process.pid, signal.SIGKILL)
    ended._process.wait()
    assert ended(_frame(1)).objects == MEASURE(_frame(1)).objects and ended.there == 1
    ended.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no such signal")
def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_process, "_LONGEST_S", 0.5)
    hanging, process = _stopped()
    assert hanging(_frame(0)).objects == MEASURE(_frame(0)).objects and hanging.there == 0
    assert process.poll() == -signal.SIGKILL
    assert hanging(_frame(1)).objects == MEASURE(_frame(1)).objects
    hanging.close()


def test_where_it_cannot_be_started_frames_are_measured_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in (str(tmp_path / "none"), "/bin/false"):
        monkeypatch.setattr("sys.executable", program)
        none = OtherProcess(MEASURE)
        assert not none.wait(0.5)
        assert none(_frame(0)).objects == MEASURE(_frame(0)).objects and none.there == 0
        none.close()


def test_it_ends_with_the_measuring() -> None:
    kept: list[Any] = []

    def keep(objects: list[ObjectFrame], found: Any) -> dict[str, Any]:
        kept.append((objects[0].frame_idx, found.objects))
        return {}

    with Measuring(lambda objects: {}, lambda objects: [], Apart(MEASURE, keep)) as behind:
        other = behind._other
        assert other is not None and other.wait(PATIENCE_S)
        process = other._process
        for i in range(2):
            behind.start(Step(i, [_frame(i)]))
        for _ in range(2):
            behind.take()
    assert kept == [(i, MEASURE(_frame(i)).objects) for i in range(2)] and other.there == 2
    assert process is not None and process.poll() == 0


def test_a_run_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_eye_video(tmp_path / "eye.mp4", eye_truth(12))
    settings = RunSettings(views="none", overlay=False, report=False, zoom="off", chunk_frames=5)
    here = track_eye(video, "pupil:60,55", model=FakePredictor(), settings=settings)
    made: list[OtherProcess] = []

    class Waiting(OtherProcess):
        def __init__(self, measure: Any) -> None:
            super().__init__(measure)
            assert self.wait(PATIENCE_S)
            made.append(self)

    monkeypatch.setattr(measuring, "OtherProcess", Waiting)
    monkeypatch.setattr(job, "FEWEST_FRAMES", 1)
    monkeypatch.setattr(job, "FEWEST_MEASURED", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    there = track_eye(video, "pupil:60,55", model=FakePredictor(), settings=settings)
    assert there.signals.equals(here.signals)
    assert [process.there for process in made] == [12]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="asks Linux whether it has ended")
def test_it_ends_when_the_program_that_started_it_is_killed() -> None:
    code = (
        "import sys, time; from functools import partial; from ocusam.eye.whole_frame import measure_frame; "
        "from ocusam.workflows.session.other_process import OtherProcess; "
        "other = OtherProcess(partial(measure_frame, spots=True)); assert other.wait(100); "
        "print(other._process.pid, flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        number = int(program.stdout.readline())
        assert Path(f"/proc/{number}").is_dir()
        program.kill()
    until = time.monotonic() + 20.0
    while _runs(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(number)


def _runs(number: int) -> bool:
    """Whether a program is there and is not only waiting for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
