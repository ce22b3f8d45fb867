import math

import cv2
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.signals import (
    COLUMNS,
    LOST,
    TRACKED,
    Measurement,
    SignalTable,
    ellipse_of,
    is_reflection,
    measure,
)

FIRST_COLUMNS = [
    "frame_idx",
    "timestamp_ns",
    "view",
    "object",
    "state",
    "center_x_px",
    "center_y_px",
    "major_px",
]
FIRST_COLUMNS += ["minor_px", "angle_deg", "area_px", "predicted_iou", "object_score"]


def disc_logits(shape: Ellipse, size: tuple[int, int]) -> np.ndarray:
    yy, xx = np.mgrid[0 : size[0], 0 : size[1]]
    return -shape.distance(np.stack([xx, yy], axis=-1)).astype(np.float32)


def test_the_agreed_columns_come_first_in_order() -> None:
    assert list(COLUMNS)[: len(FIRST_COLUMNS)] == FIRST_COLUMNS


def test_measuring_a_pupil_in_the_second_view() -> None:
    shape = Ellipse((40.2, 30.4), (24, 20), 70)
    m = measure(
        disc_logits(shape, (64, 80)), (64, 80), "pupil", predicted_iou=0.9, object_score=3.0, origin=(80, 0)
    )
    assert m.ellipse is not None
    assert m.ellipse.center == pytest.approx((120.2, 30.4), abs=0.05)
    assert m.ellipse.axes == pytest.approx((24, 20), abs=0.2)
    assert m.area_px == pytest.approx(shape.area, rel=0.03)


def test_an_absent_object_is_not_measured_whatever_its_mask() -> None:
    logits = disc_logits(Ellipse((40, 30), (24, 20)), (64, 80))
    for absent in (0.0, -2.0, math.nan):
        m = measure(logits, (64, 80), "pupil", predicted_iou=0.9, object_score=absent)
        assert m.ellipse is None
        assert m.area_px == 0


def test_sclera_has_an_area_but_no_ellipse() -> None:
    m = measure(
        disc_logits(Ellipse((40, 30), (24, 20)), (64, 80)),
        (64, 80),
        "sclera",
        predicted_iou=1,
        object_score=1,
    )
    assert m.ellipse is None
    assert m.area_px > 300


def test_a_reflection_of_few_pixels_still_has_a_centre() -> None:
    shape = Ellipse((40.3, 30.0), (4.0, 4.0))
    m = measure(disc_logits(shape, (64, 80)), (64, 80), "cr0", predicted_iou=1, object_score=1)
    assert m.ellipse is not None
    assert m.ellipse.center == pytest.approx(shape.center, abs=0.3)
    assert is_reflection("cr0") and is_reflection("corneal_reflection2") and not is_reflection("crx")


def test_rows_come_out_in_order_of_time_with_gaps_empty() -> None:
    table = SignalTable()
    here = Measurement(Ellipse((1, 2), (4, 3), 10), 9.0, 0.8, 2.0)
    for frame in (5, 6, 4, 3):  # a forward pass, then a backward one
        measured = here if frame != 4 else Measurement(None, 0.0, math.nan, -3.0)
        table.add(frame, frame * 1000, 0, "pupil", measured)
    rows = table.table()
    assert rows["frame_idx"].to_list() == [3, 4, 5, 6]
    assert rows["state"].to_list() == [TRACKED, LOST, TRACKED, TRACKED]
    lost = rows.row(1, named=True)
    assert all(lost[c] is None for c in ("center_x_px", "major_px", "angle_deg", "area_px", "predicted_iou"))
    assert lost["object_score"] == -3.0
    assert ellipse_of(lost) is None
    assert ellipse_of(rows.row(0, named=True)) == here.ellipse
    assert rows.schema == pl.Schema(COLUMNS)


def test_an_empty_table_has_the_columns() -> None:
    assert SignalTable().table().columns == list(COLUMNS)


def test_many_rows_are_packed() -> None:
    table = SignalTable()
    for frame in range(9000):
        table.add(frame, frame, 0, "pupil", Measurement(None, 0.0, 0.5, -1.0))
    assert len(table._rows) < 5000
    assert table.table()["frame_idx"].to_list() == list(range(9000))


def _pupil_with_a_shadow() -> tuple[NDArray[np.uint8], NDArray[np.float32], Ellipse, Ellipse]:
    """Four lamps on the rim of a pupil whose left part is paler, so that most of what is left of an edge is
    that of the darker part. Picture, mask logits, the pupil, the darker part."""
    pupil, dark = Ellipse((60.0, 60.0), (44, 36)), Ellipse((63.0, 60.0), (35, 34))
    y, x = np.mgrid[0:120, 0:120]
    places = np.stack([x, y], axis=-1)
    grey = np.where(dark.contains(places), 20.0, np.where(pupil.contains(places), 52.0, 75.0))
    for angle in np.radians((-60, 60, 130, 230)):
        at = (round(60 + 22 * float(np.cos(angle))), round(60 + 18 * float(np.sin(angle))))
        cv2.circle(grey, at, 4, 250.0, -1)
    grey = cv2.GaussianBlur(grey, (0, 0), 0.9) + np.random.default_rng(0).normal(0, 1.5, grey.shape)
    logits = cv2.resize(-pupil.distance(places).astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    return grey.clip(0, 255).astype(np.uint8), logits, pupil, dark


def test_a_good_mask_of_a_pupil_is_not_left_for_an_edge_far_from_it() -> None:
    picture, logits, pupil, dark = _pupil_with_a_shadow()
    sure, unsure = (
        measure(logits, (120, 120), "pupil", predicted_iou=iou, object_score=3.0, picture=picture)
        for iou in (0.95, 0.5)
    )
    assert sure.ellipse is not None and sure.ellipse.iou(pupil) > 0.95
    # A poor mask may itself lie beside the pupil: then the clearer edge is followed.
    assert unsure.edge == "picture"
    assert unsure.ellipse is not None and unsure.ellipse.iou(dark) > 0.9
