"""The eye camera's focal length from what a user has."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.workflows.inputs.eye_camera import cameras_of

TWO = [View(0, (0, 0, 192, 192)), View(1, (192, 0, 384, 192))]
MATRIX = [[283.0, 0.0, 96.0], [0.0, 284.0, 95.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "content",
    [
        {"camera_matrix": MATRIX, "resolution": [192, 192]},
        {"K": MATRIX},
        {"cameraMatrix": {"rows": 3, "cols": 3, "data": [v for row in MATRIX for v in row]}},
    ],
)
def test_a_json_file(tmp_path: Path, content: dict[str, object]) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(content))
    cameras = cameras_of(TWO, file=path)
    assert set(cameras) == {0, 1}
    assert cameras[1].focal_px == 283.0 and cameras[1].center_px == (96.0, 95.0)


@pytest.mark.parametrize("suffix", ["yaml", "xml"])
def test_a_file_of_opencv(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"camera.{suffix}"
    store = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    store.write("image_width", 192)
    store.write("image_height", 192)
    store.write("camera_matrix", np.array(MATRIX))
    store.release()
    assert cameras_of(TWO, file=path)[0].focal_px == 283.0


def test_fx_alone_and_an_angle(tmp_path: Path) -> None:
    (tmp_path / "fx.json").write_text('{"fx": 300}')
    camera = cameras_of(TWO, file=tmp_path / "fx.json")[0]
    assert camera.focal_px == 300.0 and camera.center_px is None
    # The angle is that of one view, not of the picture that holds both.
    assert cameras_of(TWO, fov_deg=90.0)[1].focal_px == pytest.approx(96.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"camera_matrix": MATRIX, "resolution": [400, 400]}, "is for pictures of 400 x 400 px"),
        ({"camera_matrix": [[283.0, 0, 96], [0, 300.0, 96], [0, 0, 1]]}, "square pixels"),
        ({"dist_coefs": [0.1]}, "holds no calibration"),
        ({"camera_matrix": [1, 2, 3]}, "holds no calibration"),
        ([3], "holds no calibration"),
        ({"fx": -1}, "above 0"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        cameras_of(TWO, file=path)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes.yaml").write_text("nothing: [to see")
    with pytest.raises(InputError, match="holds no calibration"):
        cameras_of(TWO, file=tmp_path / "notes.yaml")
