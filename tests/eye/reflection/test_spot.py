"""Reflections located on rendered eyes and on drawn spots with exact truth."""

from __future__ import annotations

import math

import cv2
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection import locate_reflection, with_pupil_cr_vectors
from ocusam.eye.reflection.find import find_spots
from ocusam.eye.reflection.follow import nearest
from ocusam.eye.signals import COLUMNS
from ocusam.synthetic.eye import iter_eye_frames, lab_style


def _spot(x: float, y: float, height: float, sigma: float = 2.0) -> NDArray[np.uint8]:
    """A Gaussian spot on grey 50, cut off at 255; (60, 80)."""
    rows, cols = np.mgrid[:60, :80]
    light = 50 + height * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.asarray(np.clip(np.round(light), 0, 255), dtype=np.uint8)


@pytest.mark.parametrize("height", [60.0, 180.0, 900.0], ids=["faint", "bright", "saturated"])
def test_a_spot_is_located_to_a_tenth_of_a_pixel(height: float) -> None:
    found = locate_reflection(_spot(40.3, 29.6, height), Ellipse((42.0, 28.5), (6.0, 6.0), 0.0))
    assert found is not None
    assert math.dist(found.ellipse.center, (40.3, 29.6)) < 0.1
    assert found.saturated == (height > 205)


def test_the_spot_meant_is_taken_where_there_are_two() -> None:
    picture = np.maximum(_spot(30.0, 30.0, 150.0), _spot(42.0, 30.0, 200.0))
    found = locate_reflection(picture, Ellipse((31.0, 30.5), (6.0, 6.0), 0.0))
    assert found is not None
    assert math.dist(found.ellipse.center, (30.0, 30.0)) < 0.3


def test_two_spots_that_touch_are_told_apart() -> None:
    # Plateaus of about 4.5 px half width whose middles lie 10 px apart, with a bridge between them.
    picture = np.maximum(_spot(34.0, 30.0, 2000.0), _spot(44.0, 30.0, 2000.0))
    picture[29:32, 34:45] = 255
    for x, click in ((34.0, 33.0), (44.0, 45.0)):
        found = locate_reflection(picture, Ellipse((click, 30.5), (9.0, 9.0), 0.0))
        assert found is not None
        assert math.dist(found.ellipse.center, (x, 30.0)) < 0.8


@pytest.mark.parametrize("way", ["located", "found"])
def test_a_blurred_reflection_on_the_pupils_rim_is_not_drawn_to_the_iris(way: str) -> None:
    """A lamp several times as bright as the camera's limit, on a rim, blurred by 2.2 px."""
    rows, cols = np.mgrid[:90, :110] * 1.0
    light = np.where(np.hypot(cols - 40.0, rows - 45.0) < 22.0, 25.0, 70.0)
    light[np.hypot(cols - 62.0, rows - 45.0) < 3.6] = 400.0
    picture = np.asarray(np.clip(cv2.GaussianBlur(light, (0, 0), 2.2), 0, 255), np.uint8)
    truth = _middle(np.hypot(cols - 62.0, rows - 45.0) < 3.6)
    if way == "located":
        spot = locate_reflection(picture, Ellipse((62.0, 44.0), (8.0, 8.0), 0.0))
    else:
        spot = nearest(find_spots(picture, Ellipse((40.0, 45.0), (44.0, 44.0))), Ellipse(truth, (8.0, 8.0)))
    assert spot is not None and spot.saturated
    assert math.dist(spot.ellipse.center, truth) < 0.12


def _middle(inside: NDArray[np.bool_]) -> tuple[float, float]:
    rows, cols = np.nonzero(inside)
    return float(cols.mean()), float(rows.mean())


def test_no_spot_no_answer() -> None:
    assert locate_reflection(_spot(40.0, 30.0, 5.0), Ellipse((40.0, 30.0), (6.0, 6.0), 0.0)) is None
    assert locate_reflection(_spot(40.0, 30.0, 100.0), Ellipse((300.0, 300.0), (6.0, 6.0), 0.0)) is None


def test_rendered_reflections_are_located() -> None:
    errors = []
    for frame in iter_eye_frames(7, 12, (360, 480), 60.0, lab_style()):
        for name, truth in frame.ellipses.items():
            if not name.startswith("cr") or truth is None or frame.coverage[name].max() < 200:
                continue
            start = Ellipse((truth.center[0] + 1.5, truth.center[1] - 1.0), truth.axes, truth.angle)
            found = locate_reflection(frame.image, start)
            assert found is not None
            errors.append(math.dist(found.ellipse.center, truth.center))
    assert len(errors) >= 12
    assert float(np.median(errors)) < 0.15


def test_vectors_stand_in_the_rows_of_reflections() -> None:
    rows = [
        {"frame_idx": 0, "view": 0, "object": "pupil", "center_x_px": 10.0, "center_y_px": 20.0},
        {"frame_idx": 0, "view": 0, "object": "cr0", "center_x_px": 13.0, "center_y_px": 18.0},
        {"frame_idx": 1, "view": 0, "object": "pupil", "center_x_px": None, "center_y_px": None},
        {"frame_idx": 1, "view": 0, "object": "cr0", "center_x_px": 13.0, "center_y_px": 18.0},
    ]
    table = pl.DataFrame(rows, schema={name: COLUMNS[name] for name in rows[0]})
    out = with_pupil_cr_vectors(table)
    assert out["pupil_cr_x_px"].to_list() == [None, -3.0, None, None]
    assert out["pupil_cr_y_px"].to_list() == [None, 2.0, None, None]
    assert with_pupil_cr_vectors(out).equals(out)


def test_the_pupils_rim_beneath_a_blurred_lamp_does_not_draw_its_centre() -> None:
    fine, blur = 4, 2.2
    rows, cols = ((np.mgrid[: 90 * fine, : 90 * fine] + 0.5) / fine - 0.5).astype(np.float32)
    off = []
    for turn in np.deg2rad([20.0, 75.0, 140.0, 260.0]):
        x, y = 45.3 + 28.5 * math.cos(turn), 44.6 + 28.5 * math.sin(turn)
        light = np.where(np.hypot(cols - 45.3, rows - 44.6) < 30.0, 7.0, 60.0).astype(np.float32)
        light[np.hypot(cols - x, rows - y) < 3.6] = 1000.0
        light = cv2.GaussianBlur(light, (0, 0), blur * fine).reshape(90, fine, 90, fine).mean((1, 3))
        picture = np.clip(np.round(light), 0, 255).astype(np.uint8)
        found = locate_reflection(picture, Ellipse((x + 0.4, y - 0.3), (8.0, 8.0), 0.0))
        assert found is not None
        off.append(math.dist(found.ellipse.center, (x, y)))
    # By a polynomial alone 0.09 px.
    assert np.mean(off) < 0.04
