"""The window of `ocusam camera`, with OpenCV's functions for it replaced: tests have no screen."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from fake_predictor import eye_truth, write_eye_video
from ocusam.model.build import make_network
from ocusam.model.config import miniature
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows import live_window
from ocusam.workflows.camera import CameraSettings, run_camera
from ocusam.workflows.inputs.prompt_pack import read_json
from ocusam.workflows.live_window import LiveWindow, why_no_window
from ocusam.workflows.session.masklets import Masklets


class Screen:
    """Shows pictures to nobody; its user presses a key, clicks, or closes the window, at a picture."""

    def __init__(self) -> None:
        self.shown: list[NDArray[np.uint8]] = []
        self.windows = 0
        self.closed_at = -1
        self.keys: dict[int, str] = {}
        self.clicks: dict[int, list[tuple[int, int, int]]] = {}
        self.on_mouse: Callable[[int, int, int, int, None], None] | None = None

    def put_up(self, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("DISPLAY", ":0")
        functions = {
            "currentUIFramework": lambda: "fake",
            "namedWindow": lambda *args: self.change(1),
            "destroyWindow": lambda *args: self.change(-1),
            "imshow": lambda title, picture: self.shown.append(picture.copy()),
            "setMouseCallback": lambda title, function: setattr(self, "on_mouse", function),
            "waitKey": lambda ms: self.wait(),
            "getWindowProperty": lambda *args: 0.0 if len(self.shown) - 1 == self.closed_at else 1.0,
        }
        for name, function in functions.items():
            patch.setattr(live_window.cv2, name, function, raising=False)

    def change(self, by: int) -> None:
        self.windows += by

    def wait(self) -> int:
        """What happens while the newest picture is shown: clicks first, then a key."""
        now = len(self.shown) - 1
        for event, x, y in self.clicks.get(now, ()):
            assert self.on_mouse is not None
            self.on_mouse(event, x, y, 0, None)
        return ord(self.keys[now]) if now in self.keys else -1


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("window") / "eye.mp4", eye_truth(6))


@pytest.fixture(scope="module")
def predictor() -> SAM2VideoPredictor:
    torch.manual_seed(7)  # many draws outline all or nothing, whatever is clicked
    return SAM2VideoPredictor(make_network(miniature(64)))


@pytest.fixture(scope="module")
def naming() -> SAM2VideoPredictor:
    """A network that does without a prompt, as nano; but it knows no eye."""
    torch.manual_seed(7)
    return SAM2VideoPredictor(make_network(replace(miniature(64), names_parts=True)))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    screen.put_up(monkeypatch)
    return screen


def test_every_frame_is_shown_and_the_window_closed(
    screen: Screen, video: Path, predictor: SAM2VideoPredictor
) -> None:
    run = run_camera(video, "pupil:60,55", model=predictor, settings=CameraSettings(window=True))
    assert (run.num_frames, run.no_window, screen.windows) == (6, None, 0)
    assert len(screen.shown) == 6
    for picture in screen.shown:
        assert picture.dtype == np.uint8 and picture.shape[0] * 4 == picture.shape[1] * 3
        assert np.ptp(picture, axis=2).max() > 60, "the overlay is in colour, the eye is grey"


@pytest.mark.parametrize("key", ["q", "\x1b"])
def test_a_key_ends_the_run(screen: Screen, video: Path, predictor: SAM2VideoPredictor, key: str) -> None:
    screen.keys = {2: key}
    run = run_camera(video, "pupil:60,55", model=predictor, settings=CameraSettings(window=True))
    assert run.num_frames == 3 and screen.windows == 0


def test_closing_the_window_ends_the_run_and_keeps_the_recording(
    screen: Screen, video: Path, predictor: SAM2VideoPredictor, tmp_path: Path
) -> None:
    screen.closed_at = 3
    settings = CameraSettings(window=True)
    run = run_camera(video, "pupil:60,55", model=predictor, out=tmp_path / "run", settings=settings)
    assert run.num_frames == 4 and (tmp_path / "run" / "signals.csv").is_file()


def test_the_eye_is_looked_for_in_sight_of_the_user(
    screen: Screen, tmp_path: Path, naming: SAM2VideoPredictor
) -> None:
    dark = write_eye_video(tmp_path / "dark.mp4", [None] * 6)
    screen.keys = {4: "q"}
    run = run_camera(dark, model=naming, settings=CameraSettings(window=True))
    assert (run.num_frames, run.passed, len(screen.shown), screen.windows) == (0, 5, 5, 0)
    top, rest = screen.shown[0][:30], screen.shown[0][60:]
    assert np.ptp(top) > 100 > 10 > np.ptp(rest), "a line of text on an even picture"


LEFT, RIGHT = cv2.EVENT_LBUTTONDOWN, cv2.EVENT_RBUTTONDOWN
# Pictures of 160 x 120 px are shown three times as large: 181, 166 is the middle of the pixel 60, 55.
PUPIL, IRIS, SKIN = (181, 166), (181, 241), (31, 31)


def test_clicks_are_prompts_of_the_next_frame_and_repeat_the_run(
    screen: Screen, predictor: SAM2VideoPredictor, tmp_path: Path
) -> None:
    video = write_eye_video(tmp_path / "eye.mp4", eye_truth(12))
    screen.keys = {2: "i", 5: "p"}
    screen.clicks = {3: [(LEFT, *IRIS)], 6: [(RIGHT, *SKIN), (LEFT, *PUPIL)]}
    settings = CameraSettings(window=True, report=False)
    run_camera(video, "pupil:61,55", model=predictor, out=tmp_path / "run", settings=settings)
    told = json.loads((tmp_path / "run" / "run.json").read_text())["prompts"]
    assert told == [
        {"object": "pupil", "frame_idx": 0, "points": [[61.0, 55.0]], "labels": [1]},
        {"object": "iris", "frame_idx": 4, "points": [[60.0, 80.0]], "labels": [1]},
        {"object": "pupil", "frame_idx": 7, "points": [[10.0, 10.0], [60.0, 55.0]], "labels": [0, 1]},
    ]
    signals = pl.read_csv(tmp_path / "run" / "signals.csv")
    assert signals.filter(object="iris")["frame_idx"].to_list() == list(range(4, 12))

    prompts = read_json(tmp_path / "run" / "prompts.json").prompts
    settings = CameraSettings(report=False)
    run_camera(video, prompts, model=predictor, out=tmp_path / "again", settings=settings)
    run_camera(video, prompts[:2], model=predictor, out=tmp_path / "less", settings=settings)
    live, again, less = (
        Masklets.from_folder(tmp_path / name / "masklets") for name in ("run", "again", "less")
    )
    for frame in range(12):
        for name in ("pupil", "iris") if frame >= 4 else ("pupil",):
            assert (live.mask(frame, name) == again.mask(frame, name)).all()
    assert (live.mask(7, "pupil") != less.mask(7, "pupil")).any(), "the later click changes something"


def test_a_click_begins_the_tracking_before_an_eye_is_found(
    screen: Screen, naming: SAM2VideoPredictor, tmp_path: Path
) -> None:
    dark = write_eye_video(tmp_path / "dark.mp4", [None] * 8)
    screen.clicks = {1: [(RIGHT, *PUPIL)], 3: [(LEFT, *PUPIL)]}
    run = run_camera(dark, model=naming, out=tmp_path / "run", settings=CameraSettings(window=True))
    assert (run.passed, run.num_frames, run.found) == (4, 4, None)
    (prompt,) = read_json(tmp_path / "run" / "prompts.json").prompts
    assert (prompt.name, prompt.frame_idx) == ("pupil", 0)
    assert (prompt.points.tolist(), prompt.labels.tolist()) == ([[60.0, 55.0]], [1])
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["passed"] == 4 and "found" not in record
    assert pl.read_csv(tmp_path / "run" / "signals.csv")["timestamp_ns"][0] == 80_000_000


def test_a_click_means_the_same_place_however_large_the_picture_is_shown(screen: Screen) -> None:
    window = LiveWindow()
    screen.clicks = {0: [(LEFT, 0, 0), (LEFT, 479, 239)], 1: [(LEFT, 0, 0), (LEFT, 959, 479)]}
    size, large = (80, 160), (160, 320)
    for shown in (size, large):
        window.show(np.zeros((shown[0] * 3, shown[1] * 3, 3), np.uint8))
        corners = [click.prompt(0, size).points[0].tolist() for click in window.take_clicks()]
        edge = 0.5 - 0.5 * size[1] / (shown[1] * 3)  # half a shown pixel within the picture's border
        far = [size[1] - 1 + edge, size[0] - 1 + edge]
        assert np.allclose(corners, [[-edge, -edge], far], atol=0.01)
    screen.clicks = {2: [(LEFT, -1, 5), (LEFT, 5, 30), (cv2.EVENT_MOUSEMOVE, 5, 5)]}
    window.show(np.zeros((30, 480, 3), np.uint8))
    assert window.take_clicks() == []  # beside the picture, or no click


def test_keys_choose_the_object_and_the_legend_says_so(screen: Screen) -> None:
    window = LiveWindow(["car", "iris", "dog"])
    assert window.name == "car" and "1 car  2 dog" in window.legend
    picture, names = np.zeros((120, 480, 3), np.uint8), []
    screen.keys = dict(enumerate("p2cix"))
    for _ in screen.keys:
        assert window.show(picture)
        names.append(window.name)
        assert f"click: {window.name}, right click: not {window.name}" in window.legend
    assert names == ["pupil", "dog", "cr", "iris", "iris"]
    assert not picture.any() and screen.shown[0].any(), "the legend stands on a copy"
    assert LiveWindow().name == LiveWindow(["iris", "pupil"]).name == "pupil"


def test_why_there_is_no_window(monkeypatch: pytest.MonkeyPatch, screen: Screen) -> None:
    assert why_no_window() is None
    monkeypatch.setattr(live_window.cv2, "currentUIFramework", lambda: "", raising=False)
    assert "opencv-python" in str(why_no_window())
    monkeypatch.setattr(live_window.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert why_no_window() == "there is no screen"
