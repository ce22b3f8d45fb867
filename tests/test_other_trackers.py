"""Scoring other programs' pupils beside ours: what needs none of those programs."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocusam.core.errors import OcusamError
from ocusam.core.geometry import Ellipse

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def trackers(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import other_trackers

    return other_trackers


@pytest.fixture
def detectors(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import other_detectors

    return other_detectors


@pytest.mark.parametrize("factors", [(0.75, 1.0), (0.6, 0.8), (2.0, 2.0), (1.0, 1.0)])
def test_an_ellipse_of_a_resized_picture_goes_back_to_the_original(detectors, factors):
    found = {"center": [150.0, 100.0], "axes": [60.0, 24.0], "angle": 33.0, "confidence": 0.9}

    back = detectors.stretched(found, *factors)

    # Every point of the resized outline, moved as the resizing moves it, lies on the outline that came back.
    outline = Ellipse((150.0, 100.0), (60.0, 24.0), 33.0).points(40)
    original = Ellipse(tuple(back["center"]), tuple(back["axes"]), back["angle"])
    assert original.radial((outline + 0.5) * factors - 0.5) == pytest.approx(1.0, abs=1e-9)
    assert back["confidence"] == 0.9


def test_lost_pupils_count_as_zero_and_endlessly_far(trackers):
    truth = Ellipse((50.0, 40.0), (20.0, 16.0), 10.0)

    lost = trackers.scored(truth, None, 0.0)
    right = trackers.scored(truth, truth.translated(3.0, 4.0), 0.9)
    doubted = trackers.scored(truth, truth, 0.59)
    imagined = trackers.scored(None, truth, 0.6)

    assert (lost.reported, lost.iou, lost.off) == (False, 0.0, math.inf)
    assert right.reported and right.off == pytest.approx(5.0 / 20.0) and 0.4 < right.iou < 0.7
    assert not doubted.reported and doubted.iou == pytest.approx(1.0, abs=1e-6)
    assert imagined.reported and imagined.iou is None


def test_cells_of_the_tables(trackers):
    a = trackers.Answer
    answers = [a(True, 0.9, 0.01), a(False, 0.5, 0.4), a(False, 0.0), a(True), a(False), a(False)]

    assert trackers.shape_cell(answers) == ".467 (.500), .400"
    assert trackers.report_cell(answers) == "33%, .900; 1 of 3"
    assert trackers.shape_cell([a(False, 0.0)]) == ".000 (.000), -"
    assert trackers.report_cell([a(False, 0.0)]) == "0%, -; -"


def test_the_best_settings_are_chosen_for_each_eye(trackers):
    truth = Ellipse((50.0, 40.0), (20.0, 16.0), 10.0)
    names = [("d1-left-00001", truth), ("d1-left-00002", None), ("d1-right-00001", truth)]
    shown = [trackers.Shown(n, ("d1",), t, trackers.Answer(True, 1.0, 0.0), {}) for n, t in names]
    good, bad = (truth, 0.2), (truth.translated(9.0, 0.0), 1.0)
    first = {"d1-left-00001": good, "d1-left-00002": (None, 0.0), "d1-right-00001": bad}
    second = {"d1-left-00001": bad, "d1-left-00002": bad, "d1-right-00001": good}

    best = trackers.best_of(shown, [first, second])

    assert best == {"d1-left-00001": good, "d1-left-00002": (None, 0.0), "d1-right-00001": good}


def test_what_is_told_of_an_eye_holds_all_its_pupils(trackers):
    truths = [Ellipse((30.0, 40.0), (20.0, 20.0)), None, Ellipse((90.0, 45.0), (10.0, 10.0))]

    hints = trackers.told(truths, (60, 200))

    # From 20 to 95 and 30 to 50, wider by 20 px, within the picture.
    assert hints == {"diameters": [8.0, 25.0], "box": [0, 10, 115, 59]}


def test_our_answer_comes_from_the_row_of_the_same_picture_only(trackers):
    truth = Ellipse((50.0, 40.0), (20.0, 16.0), 10.0)
    row = {"frame": 3, "score": 4.0, "ellipse_iou_picture": 0.9, "off_px_picture": 2.0, "major_px": 20.004}

    assert trackers.rendered_answer(row, truth) == trackers.Answer(True, 0.9, 0.1)
    gone = row | {"score": -1.0, "ellipse_iou_picture": None, "off_px_picture": None}
    assert trackers.rendered_answer(gone, truth) == trackers.Answer(False, 0.0, math.inf)
    assert trackers.rendered_answer({"frame": 3, "score": 0.5}, None) == trackers.Answer(True)
    with pytest.raises(OcusamError, match="frame 3"):
        trackers.rendered_answer(row | {"major_px": 21.0}, truth)


def test_findings_are_read_back(trackers, tmp_path):
    head = {"versions": {"some-detector": "1.0"}}
    there = {"name": "a", "center": [5.0, 6.0], "axes": [3.0, 9.0], "angle": 120.0, "confidence": 0.7}
    lines = [head, there, {"name": "b", "center": None, "axes": None, "angle": None, "confidence": 0.0}]
    path = tmp_path / "some-detector.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    versions, found = trackers.read_found(path)

    assert versions == {"some-detector": "1.0"} and found["b"] == (None, 0.0)
    ellipse, confidence = found["a"]
    # The minor axis came first, so the major one lies across the angle given.
    assert (ellipse.axes, ellipse.angle, confidence) == ((9.0, 3.0), 30.0, 0.7)


def test_recorded_eyes_are_cut_out_and_joined_with_our_frames(trackers, tmp_path):
    """Two eyes side by side: each its own picture, its truth moved with it, ours by frame and eye."""
    size = (64, 128)
    video = cv2.VideoWriter(str(tmp_path / "two.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, size[::-1])
    for k in range(2):
        picture = np.full((*size, 3), 100 + 100 * k, np.uint8)
        picture[:, 64:] = 10
        video.write(picture)
    video.release()

    def pupil(x):
        return {"cx": x, "cy": 30.0, "major": 20.0, "minor": 16.0, "angle_deg": 5.0}

    frames = [
        {"frame_idx": 1, "eye": "left", "state": "open", "pupil": pupil(30.0), "confidence": "high"},
        {"frame_idx": 1, "eye": "right", "state": "open", "pupil": pupil(94.0), "confidence": "high"},
        {"frame_idx": 0, "eye": "right", "state": "closed", "pupil": None, "confidence": "high"},
        {"frame_idx": 0, "eye": "left", "state": "open", "pupil": pupil(30.0), "confidence": "low"},
    ]
    clicks = [
        {"eye": "left", "frame_idx": 0, "pupil": [30, 30]},
        {"eye": "right", "frame_idx": 0, "pupil": [94, 30]},
    ]
    truth = {"clips": {"two": {"path": "two.avi", "first_click": clicks, "frames": frames}}}
    (tmp_path / "annotations.json").write_text(json.dumps(truth))

    def row(frame, eye, state, iou):
        return {
            "frame_idx": frame,
            "eye": eye,
            "object": "pupil",
            "state": state,
            "iou": iou,
            "error_rel": 0.01,
        }

    ours = [row(1, "left", "tracked", 0.9), row(1, "right", "tracked", 0.8), row(0, "right", "blink", None)]
    (tmp_path / "real.json").write_text(json.dumps({"clips": {"two": {"frames": ours}}}))

    items = list(trackers.recorded(tmp_path / "annotations.json", tmp_path / "real.json"))

    by_name = {shown.name: (shown, picture) for shown, picture in items}
    assert sorted(by_name) == ["two-left-00001", "two-right-00000", "two-right-00001"]
    left, bright = by_name["two-left-00001"]
    right, dark = by_name["two-right-00001"]
    assert left.truth.center == (30.0, 30.0) and right.truth.center == (30.0, 30.0)
    assert bright.shape == dark.shape == (64, 64) and bright[:, :60].mean() > 190 and dark[:, 4:].mean() < 20
    assert (left.ours.iou, right.ours.iou) == (0.9, 0.8) and left.told["diameters"] == [16.0, 25.0]
    closed = by_name["two-right-00000"][0]
    assert closed.truth is None and not closed.ours.reported and closed.ours.iou is None


def test_a_detector_that_is_not_installed_is_left_out(trackers, tmp_path, capsys):
    (tmp_path / "pictures.json").write_text("[]")

    # Without its packages, other_detectors.py cannot even tell their versions.
    assert None is trackers.run_detector("deepvog", Path(sys.executable), tmp_path)
    assert "deepvog" in capsys.readouterr().err and not (tmp_path / "deepvog.jsonl").exists()
