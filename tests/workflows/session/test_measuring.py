"""Measuring in a thread behind the tracker: order, bounds, and what an error leaves."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_predictor import FakePredictor, eye_truth, write_eye_video
from ocusam.core.errors import InputError
from ocusam.eye import whole_frame
from ocusam.workflows import eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.measuring import BEHIND, Measuring
from ocusam.workflows.session.passes import Step
from ocusam.workflows.session.resume import SessionLog

SETTINGS = RunSettings(views="none", overlay=False, report=False, zoom="off", chunk_frames=8)


def test_steps_come_back_in_order_with_what_was_measured() -> None:
    waits = np.random.default_rng(0).uniform(0, 0.003, 20)

    def on_frame(objects: list[Any]) -> dict[str, Any]:
        time.sleep(waits[objects[0]])
        return {"n": objects[0]}

    with Measuring(on_frame, lambda objects: [(objects[0],)]) as measuring:
        for i in range(20):
            measuring.start(Step(i, [[i]]))  # type: ignore[list-item]
        taken = [measuring.take() for _ in range(20)]
    assert [(m.step.frame, m.shapes, m.masks) for m in taken] == [
        (i, [{"n": i}], [[(i,)]]) for i in range(20)
    ]


def test_the_tracker_is_never_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = measured = 0
    most = 0
    measure = whole_frame.measure_object

    class Counting(FakePredictor):
        def propagate(self, *args: Any, **kwargs: Any) -> Any:
            nonlocal tracked
            for output in super().propagate(*args, **kwargs):
                tracked += 1
                yield output

    def slow(item: Any, spots: Any = ()) -> Any:
        nonlocal measured, most
        most = max(most, tracked - measured)
        time.sleep(0.005)
        measured += 1
        return measure(item, spots)

    monkeypatch.setattr(whole_frame, "measure_object", slow)
    video = write_eye_video(tmp_path / "eye.mp4", eye_truth(20))
    recording = eye.track_eye(video, "pupil:60,55", model=Counting(), settings=SETTINGS)
    assert recording.signals["frame_idx"].to_list() == list(range(20))
    assert 1 <= most <= BEHIND + 2


def test_what_cannot_be_measured_costs_no_frame_that_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_eye_video(tmp_path / "eye.mp4", eye_truth(20))
    whole = eye.track_eye(video, "pupil:60,55", model=FakePredictor(), out=tmp_path / "a", settings=SETTINGS)
    measure = whole_frame.measure_object

    def failing(item: Any, spots: Any = ()) -> Any:
        if item.frame_idx == 12:
            raise InputError("not finite")
        return measure(item, spots)

    monkeypatch.setattr(whole_frame, "measure_object", failing)
    with pytest.raises(InputError, match=r"not finite.*--resume"):
        eye.track_eye(video, "pupil:60,55", model=FakePredictor(), out=tmp_path / "b", settings=SETTINGS)
    log = SessionLog.read(tmp_path / "b" / "masklets")
    # Frames behind the one that failed were tracked already: they must not seem to be measured.
    assert log is not None and [(c.first, c.last) for c in log.chunks] == [(0, 7)]
    assert whole.num_frames == 20
