"""The window of `ocusam camera`, with OpenCV's functions for it replaced: tests have no screen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fake_predictor import eye_truth, write_eye_video
from ocusam.model.build import make_network
from ocusam.model.config import miniature
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows import live_window
from ocusam.workflows.camera import CameraSettings, run_camera
from ocusam.workflows.live_window import why_no_window


class Screen:
    """Shows pictures to nobody; its user presses a key, or closes the window, at a picture."""

    def __init__(self) -> None:
        self.shown: list[NDArray[np.uint8]] = []
        self.windows = 0
        self.key, self.key_at, self.closed_at = 0, -1, -1

    def put_up(self, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("DISPLAY", ":0")
        functions = {
            "currentUIFramework": lambda: "fake",
            "namedWindow": lambda *args: self.change(1),
            "destroyWindow": lambda *args: self.change(-1),
            "imshow": lambda title, picture: self.shown.append(picture.copy()),
            "waitKey": lambda ms: self.key if len(self.shown) - 1 == self.key_at else -1,
            "getWindowProperty": lambda *args: 0.0 if len(self.shown) - 1 == self.closed_at else 1.0,
        }
        for name, function in functions.items():
            patch.setattr(live_window.cv2, name, function, raising=False)

    def change(self, by: int) -> None:
        self.windows += by


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("window") / "eye.mp4", eye_truth(6))


@pytest.fixture(scope="module")
def predictor() -> SAM2VideoPredictor:
    return SAM2VideoPredictor(make_network(miniature(64)))


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


@pytest.mark.parametrize("key", [ord("q"), 27])
def test_a_key_ends_the_run(screen: Screen, video: Path, predictor: SAM2VideoPredictor, key: int) -> None:
    screen.key, screen.key_at = key, 2
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
    screen: Screen, tmp_path: Path, predictor: SAM2VideoPredictor
) -> None:
    dark = write_eye_video(tmp_path / "dark.mp4", [None] * 6)
    screen.key, screen.key_at = ord("q"), 4
    naming = make_network(replace(miniature(64), names_parts=True))
    run = run_camera(dark, model=SAM2VideoPredictor(naming), settings=CameraSettings(window=True))
    assert (run.num_frames, run.passed, len(screen.shown), screen.windows) == (0, 5, 5, 0)
    top, rest = screen.shown[0][:30], screen.shown[0][60:]
    assert np.ptp(top) > 100 > 10 > np.ptp(rest), "a line of text on an even picture"


def test_why_there_is_no_window(monkeypatch: pytest.MonkeyPatch, screen: Screen) -> None:
    assert why_no_window() is None
    monkeypatch.setattr(live_window.cv2, "currentUIFramework", lambda: "", raising=False)
    assert "opencv-python" in str(why_no_window())
    monkeypatch.setattr(live_window.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert why_no_window() == "there is no screen"
