"""The eye camera's focal length: given, from its field of view, or from a file of its calibration.

Purpose: what a user knows of a camera becomes an `EyeCamera` for every view.

Notable choices: a file is JSON, YAML or XML as OpenCV's calibration writes it (`camera_matrix`, also as
`cameraMatrix` or `K`), or JSON with `fx` alone. A matrix says for which size of picture it is; where the file
names another one than was recorded, it is refused, since cropping and scaling change the numbers differently.

What it does not know: distortion coefficients; they are not read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.eye.sphere import EyeCamera

_MATRICES = ("camera_matrix", "cameraMatrix", "K")
_SQUARE = 0.02  # by which fx and fy may differ
HOW = (
    "A model of the eyeball needs the eye camera's focal length: give --focal-length PX, --fov DEG (the "
    "horizontal angle that a view takes in), or --camera FILE (its calibration)."
)


def cameras_of(
    views: Sequence[View],
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    file: str | Path | None = None,
) -> dict[int, EyeCamera]:
    """A camera for every view, from one of the three.

    Args:
        views: of the run.
        focal_px: focal length, px of the recorded picture.
        fov_deg: horizontal field of view, of each view.
        file: the calibration of the camera.

    Raises:
        InputError: none or several are given, or they cannot be used.
    """
    given = [value for value in (focal_px, fov_deg, file) if value is not None]
    if len(given) != 1:
        raise InputError(HOW if not given else f"{HOW} One of them, not {len(given)}.")
    if file is not None:
        camera, size = read_camera(Path(file))
        for view in views:
            if size is not None and size != view.size[::-1]:
                raise InputError(
                    f"{file} is for pictures of {size[0]} x {size[1]} px, the eye's view has "
                    f"{view.size[1]} x {view.size[0]} px: give --focal-length for this size."
                )
        return {view.index: camera for view in views}
    if focal_px is not None:
        return {view.index: EyeCamera(focal_px) for view in views}
    assert fov_deg is not None
    return {view.index: EyeCamera.of_view_angle(fov_deg, view.size[1]) for view in views}


def read_camera(path: Path) -> tuple[EyeCamera, tuple[int, int] | None]:
    """(camera, (width, height) it is for or None) of a calibration file.

    Raises:
        InputError: it cannot be read, or holds no focal length.
    """
    if not path.is_file():
        raise InputError(f"There is no calibration of a camera {path}.")
    try:
        known = _read(path)
        matrix, size = known.get("matrix"), known.get("size")
        fx, fy = (known["fx"],) * 2 if matrix is None else (matrix[0, 0], matrix[1, 1])
        center = None if matrix is None else (float(matrix[0, 2]), float(matrix[1, 2]))
        camera = EyeCamera(float(fx), center)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, cv2.error, SystemError) as error:
        # OpenCV's constructor lets its own errors through as a SystemError.
        raise InputError(
            f"{path} holds no calibration of a camera ({str(error).splitlines()[0]}): give JSON, YAML or XML "
            "with a 3 x 3 camera_matrix, or JSON with fx."
        ) from None
    if abs(fx / fy - 1.0) > _SQUARE:
        raise InputError(f"{path}: fx {fx:g} and fy {fy:g} differ; the model wants square pixels.")
    return camera, size


def _read(path: Path) -> dict[str, Any]:
    """`matrix` (3, 3) or `fx`, and `size`, as far as they are there."""
    if path.suffix.lower() == ".json":
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = next((raw[name] for name in _MATRICES if name in raw), None)
        matrix = found.get("data", found) if isinstance(found, dict) else found
        size = raw.get("resolution") or raw.get("image_size")
        size = size or ([raw["image_width"], raw["image_height"]] if "image_width" in raw else None)
    else:
        store = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        nodes = [store.getNode(name) for name in _MATRICES]
        matrix = next((node.mat() for node in nodes if not node.empty()), None)
        wide, high = store.getNode("image_width"), store.getNode("image_height")
        size = None if wide.empty() or high.empty() else [wide.real(), high.real()]
        raw = {}
        store.release()
    known: dict[str, Any] = {"size": None if size is None else (int(size[0]), int(size[1]))}
    if matrix is not None:
        return {**known, "matrix": np.array(matrix, dtype=np.float64).reshape(3, 3)}
    return {**known, "fx": raw["fx"]}
