"""Live runs on files that stand in for cameras, with a network too small to see anything."""

import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from fake_predictor import eye_picture, eye_truth, write_eye_video
from ocusam.core.errors import InputError, OutputError, PromptError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.core.prompts import PromptPack, ReferencePicture, parse_point
from ocusam.eye.whole_frame import Measured
from ocusam.model.build import make_network
from ocusam.model.config import miniature
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.live import FileFeed
from ocusam.video.source import Frame
from ocusam.workflows import camera
from ocusam.workflows.camera import CameraSettings, run_camera
from ocusam.workflows.eye import track_eye
from ocusam.workflows.find.weighing import CONVINCING
from ocusam.workflows.inputs.prompt_pack import read_json
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.latencies import Latencies
from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.models import OpenedModel, open_predictor


@pytest.fixture(scope="module")
def predictor() -> SAM2VideoPredictor:
    torch.manual_seed(7)
    return SAM2VideoPredictor(make_network(miniature(64)))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("camera") / "eye.mp4", eye_truth(12))


def test_a_recording_holds_what_an_eye_run_holds(
    predictor: SAM2VideoPredictor, video: Path, tmp_path: Path
) -> None:
    out, seen = tmp_path / "run", []
    run = run_camera(
        video,
        ["pupil:60,55", "iris:60,80@3"],
        model=predictor,
        out=out,
        settings=CameraSettings(max_frames=10),
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert (run.num_frames, run.dropped, run.interrupted, run.folder) == (10, 0, False, out)
    assert run.latency_ms_median is not None and run.latency_ms_p95 is not None
    assert 0 < run.latency_ms_median <= run.latency_ms_p95
    assert seen[-1] == (10, 10)
    tables = {f"{name}.csv" for name in ("signals", "blinks", "quality", "events", "doubtful")}
    names = {"run.json", "prompts.json", "masklets", "overlay.mp4", "report.html", *tables}
    assert {path.name for path in out.iterdir()} == names
    assert (out / "report.html").read_text().count('"why":') == 10  # frames of the overlay
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished" and record["frames"] == 10 and record["dropped"] == 0
    assert read_json(out / "prompts.json").names == ["pupil", "iris"]
    signals = pl.read_csv(out / "signals.csv")
    assert signals.filter(object="pupil")["frame_idx"].to_list() == list(range(10))
    assert signals.filter(object="iris")["frame_idx"].to_list() == list(range(3, 10))
    assert Masklets.from_folder(out / "masklets").num_frames == 10


def test_a_live_run_gives_the_masks_of_the_offline_predictor(
    predictor: SAM2VideoPredictor, tmp_path: Path
) -> None:
    path = write_eye_video(tmp_path / "long.mp4", eye_truth(20))
    out = tmp_path / "run"
    run_camera(path, "pupil:60,55", model=predictor, out=out, settings=CameraSettings(overlay=False))
    found = Masklets.from_folder(out / "masklets")
    state = predictor.init_state(path)
    predictor.add_new_points_or_box(state, 0, "pupil", [[60, 55]], [1])
    count = 0
    for output in predictor.propagate(state):
        assert (found.mask(output.frame_idx, "pupil") == output.masks[0]).all()
        count += 1
    assert count == found.num_frames == 20


def test_frames_are_dropped_by_choice(predictor: SAM2VideoPredictor, video: Path) -> None:
    run = run_camera(video, "pupil:60,55", model=predictor, settings=CameraSettings(drop=True))
    assert run.num_frames + run.dropped == 12 and run.folder is None


class Interrupted(FileFeed):
    """Ctrl-C falls on the fifth frame."""

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            if frame.frame_idx == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield frame


def test_ctrl_c_keeps_what_is_recorded(predictor: SAM2VideoPredictor, video: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    run = run_camera(Interrupted(video), "pupil:60,55", model=predictor, out=tmp_path / "run")
    assert run.interrupted and run.num_frames == 4
    assert signal.getsignal(signal.SIGINT) is before
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished" and record["interrupted"] is True
    assert len(pl.read_csv(tmp_path / "run" / "signals.csv")) == 4
    assert (tmp_path / "run" / "overlay.mp4").stat().st_size > 0


@pytest.fixture(scope="module")
def nano() -> OpenedModel:
    return open_predictor("nano")


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An eye that is closed on frames 0 to 9 of 24; 50 frames a second, so frames 0 and 19 are looked at."""
    return write_eye_video(tmp_path_factory.mktemp("opening") / "eye.mp4", eye_truth(24, range(10)))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("closed") / "eye.mp4", eye_truth(24, range(24)))


def test_without_a_prompt_tracking_begins_where_an_eye_convinces(
    nano: OpenedModel, opening: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int | None, str]] = []
    settings = CameraSettings(max_frames=22)
    run = run_camera(
        opening,
        model=nano,
        out=tmp_path / "run",
        settings=settings,
        progress=lambda *now: told.append(now),
    )
    assert (run.num_frames, run.passed, run.folder) == (3, 19, tmp_path / "run")
    assert told[18:20] == [(19, None, "looking for the eye"), (1, 3, "tracking")] and len(told) == 22
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    found = record["found"]
    assert (found["frames_passed"], found["looks"], found["convincing_from"]) == (19, 2, CONVINCING)
    (eye,) = found["eyes"]
    assert eye["found"] and eye["frame_idx"] == 0 and eye["score"] >= CONVINCING and found == run.found
    prompts = read_json(tmp_path / "run" / "prompts.json").prompts
    assert prompts[0].name == "pupil" and {prompt.frame_idx for prompt in prompts} == {0}
    assert prompts[0].points.tolist() == [eye["click"]]
    truth = eye_truth(24)[19]
    assert truth is not None and truth.scaled(0.9, about=truth.center).contains(eye["click"])
    pupil = pl.read_csv(tmp_path / "run" / "signals.csv").filter(object="pupil")
    assert pupil["frame_idx"].to_list() == [0, 1, 2]
    assert pupil["timestamp_ns"].to_list() == [380_000_000, 400_000_000, 420_000_000]


def test_what_was_found_is_tracked_as_if_it_had_been_clicked(
    nano: OpenedModel, opening: Path, tmp_path: Path
) -> None:
    settings = CameraSettings(overlay=False, report=False)
    run_camera(opening, model=nano, out=tmp_path / "found", settings=settings)
    prompts = read_json(tmp_path / "found" / "prompts.json").prompts
    clicks = [replace(prompt, frame_idx=19) for prompt in prompts]
    run_camera(opening, clicks, model=nano, out=tmp_path / "clicked", settings=settings)
    found, clicked = (Masklets.from_folder(tmp_path / name / "masklets") for name in ("found", "clicked"))
    assert found.num_frames == 5
    for frame in range(5):
        assert found.mask(frame, "pupil").any()
        assert (found.mask(frame, "pupil") == clicked.mask(frame + 19, "pupil")).all()


def test_a_source_without_an_eye_is_told(nano: OpenedModel, closed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(PromptError, match=r"2 of 24 frames.*ocusam camera .* --point pupil:.*@"):
        run_camera(closed, model=nano, out=out)
    with pytest.raises(PromptError, match="1 of 5 frames"):
        run_camera(closed, model=nano, out=out, settings=CameraSettings(max_frames=5))
    with pytest.raises(PromptError, match=r"Say where the pupil is: .*--point pupil:X,Y$"):
        run_camera(closed, model=nano, out=out, settings=CameraSettings(drop=True))
    assert not out.exists()


def test_ctrl_c_while_the_eye_is_looked_for(nano: OpenedModel, closed: Path, tmp_path: Path) -> None:
    run = run_camera(Interrupted(closed), model=nano, out=tmp_path / "run")
    assert run.interrupted and (run.num_frames, run.passed, run.found, run.folder) == (0, 4, None, None)
    assert not (tmp_path / "run").exists()


def test_a_network_that_names_no_parts_needs_a_prompt(video: Path) -> None:
    with pytest.raises(PromptError, match="at least one point"):
        run_camera(video, model="sam2.1_hiera_tiny")  # told before its weights are missed


class Resized(FileFeed):
    """The fourth picture is smaller."""

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            cut = frame.image[: 60 if frame.frame_idx == 3 else None]
            yield Frame(frame.frame_idx, frame.timestamp_ns, cut)


def test_a_recording_outlives_a_source_that_goes_wrong(
    predictor: SAM2VideoPredictor, video: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="size"):
        run_camera(Resized(video), "pupil:60,55", model=predictor)
    run = run_camera(Resized(video), "pupil:60,55", model=predictor, out=tmp_path / "run")
    assert run.num_frames == 3 and run.broken_off is not None
    assert len(pl.read_csv(tmp_path / "run" / "signals.csv")) == 3


def test_without_a_window_the_run_goes_on_and_says_so(
    predictor: SAM2VideoPredictor, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    settings = CameraSettings(window=True, max_frames=2)
    run = run_camera(video, "pupil:60,55", model=predictor, settings=settings)
    assert run.num_frames == 2 and run.no_window


def test_what_is_refused(predictor: SAM2VideoPredictor, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(PromptError, match="outside the picture"):
        run_camera(video, "pupil:600,55", model=predictor, out=out)
    with pytest.raises(PromptError, match="at least one point"):
        run_camera(video, [], model=predictor, out=out)
    with pytest.raises(InputError, match="max_frames"):
        CameraSettings(max_frames=0)
    with pytest.raises(InputError):
        run_camera(tmp_path / "none.mp4", "pupil:60,55", model=predictor, out=out)
    assert not out.exists()
    out.mkdir()
    (out / "run.json").touch()
    with pytest.raises(OutputError, match="another run"):
        run_camera(video, "pupil:60,55", model=predictor, out=out)


def test_prompts_from_a_file(predictor: SAM2VideoPredictor, video: Path, tmp_path: Path) -> None:
    settings = CameraSettings(overlay=False, report=False)
    for name, prompts in (("one", "pupil:60,55"), ("two", tmp_path / "one"), ("three", "table")):
        if prompts == "table":
            prompts = tmp_path / "camera.txt"
            prompts.write_text("pupil\t60\t55\t1\n")
        run_camera(video, prompts, model=predictor, out=tmp_path / name, settings=settings)
    one, two, three = (Masklets.from_folder(tmp_path / name / "masklets") for name in ("one", "two", "three"))
    for frame in range(12):
        mask = one.mask(frame, "pupil")
        assert (two.mask(frame, "pupil") == mask).all() and (three.mask(frame, "pupil") == mask).all()
    told = [json.loads((tmp_path / n / "run.json").read_text())["prompts"] for n in ("one", "two", "three")]
    assert told[0] == told[1] == told[2]


def test_prompts_that_do_not_fit_a_live_run(
    predictor: SAM2VideoPredictor, video: Path, tmp_path: Path
) -> None:
    pupil = parse_point("pupil:60,55")
    with pytest.raises(PromptError, match="640 x 480 px"):
        run_camera(video, PromptPack((pupil,), size_hw=(480, 640)), model=predictor, out=tmp_path / "run")
    shown = ReferencePicture("p07.png", np.zeros((120, 160, 3), np.uint8), (pupil,))
    with pytest.raises(PromptError, match="no annotated picture"):
        run_camera(video, PromptPack(references=(shown,)), model=predictor, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _with_lamps(frames: int) -> NDArray[np.uint8]:
    """A pupil that moves, and two reflections that go half of its way."""
    rows, cols = np.mgrid[:120, :160]
    out = []
    for i in range(frames):
        x, y = 75.0 + 9.0 * math.sin(i / 6.0), 58.0 + 3.0 * math.cos(i / 4.0)
        light = eye_picture(Ellipse((x, y), (30.0, 27.0), 20.0)).astype(np.float64)
        for away in (-5.0, 5.0):
            a, b = 75.0 + 0.5 * (x - 75.0) + away, 58.0 + 0.5 * (y - 58.0) - 2.0
            light += 220.0 * np.exp(-((cols - a) ** 2 + (rows - b) ** 2) / (2 * 1.1**2))
        out.append(np.clip(light, 0, 255).astype(np.uint8))
    return np.stack(out)


def test_reflections_of_a_file_are_those_of_an_eye_run(nano: OpenedModel, tmp_path: Path) -> None:
    """Nobody clicked a reflection; the frames are the same, and so is what both runs write."""
    video = _with_lamps(40)
    settings = RunSettings(overlay=False, report=False, zoom="off", recover=False)
    track_eye(video, "pupil:75,65", model=nano.predictor, out=tmp_path / "eye", settings=settings)
    for name, glints in (("auto", "auto"), ("one", 1), ("off", "off")):
        live = CameraSettings(overlay=False, report=False, glints=glints)
        run_camera(video, "pupil:75,65", model=nano, out=tmp_path / name, settings=live)
    eye, auto, one, off = (
        pl.read_csv(tmp_path / name / "signals.csv") for name in ("eye", "auto", "one", "off")
    )
    assert sorted(eye["object"].unique()) == ["cr0", "cr1", "pupil"] and auto.equals(eye)
    assert sorted(one["object"].unique()) == ["cr0", "pupil"]
    assert off["object"].unique().to_list() == ["pupil"]


def test_reflections_are_left_out_where_they_would_cost_latency(
    predictor: SAM2VideoPredictor, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    measure = camera.measure_frame

    def note(objects: list[ObjectFrame], *, spots: bool) -> Measured:
        looked.append(spots)
        return measure(objects, spots=spots)

    monkeypatch.setattr(camera, "measure_frame", note)
    for name, drop, glints, spots in (
        ("a", True, "auto", False),
        ("b", True, "2", True),
        ("c", False, "auto", True),
        ("d", False, "off", False),
    ):
        looked.clear()
        settings = CameraSettings(drop=drop, glints=glints, max_frames=2, overlay=False, report=False)
        run_camera(video, "pupil:60,55", model=predictor, out=tmp_path / name, settings=settings)
        assert looked and set(looked) == {spots}
        told = json.loads((tmp_path / name / "run.json").read_text())["settings"]["glints"]
        assert told == ("off" if not spots else glints)
    with pytest.raises(InputError, match="auto, off or a number"):
        CameraSettings(glints="many")


def test_percentiles_of_latencies() -> None:
    latencies = Latencies()
    assert latencies.percentile(50) is None
    values = np.random.default_rng(0).permutation(np.arange(1, 101)) / 1000
    for value in values:
        latencies.add(float(value))
    assert latencies.percentile(50) == 50.0 and latencies.percentile(95) == 95.0
