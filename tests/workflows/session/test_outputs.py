from types import SimpleNamespace

import numpy as np
import polars as pl

from ocusam.core.masklet import View
from ocusam.workflows.eye import EyeWork
from ocusam.workflows.session.outputs import objects_of

VIEW = View(1, (10, 20, 50, 50))  # 40 x 30 px of the picture


def output(**more: float) -> SimpleNamespace:
    """Pupil and iris, neither of them in sight."""
    return SimpleNamespace(
        frame_idx=3,
        timestamp_ns=30,
        obj_ids=["pupil", "iris"],
        low_res_logits=np.full((2, 1, 8, 8), -9.0, np.float32),
        predicted_iou=np.zeros(2, np.float32),
        object_score=np.full(2, -5.0, np.float32),
        non_overlap=False,
        **more,
    )


def rows(out: SimpleNamespace) -> pl.DataFrame:
    work = EyeWork()
    work.on_frame(objects_of(out, VIEW))
    return work.rows()


def test_the_open_eye_is_measured_in_the_views_pixels_even_where_the_pupil_is_hidden() -> None:
    found = dict(rows(output(eye_share=0.25)).select("object", "eye_area_px").iter_rows())
    assert found == {"pupil": 300.0, "iris": None}


def test_a_tracker_that_does_not_say_leaves_it_empty() -> None:
    assert rows(output())["eye_area_px"].null_count() == 2
    assert rows(output(eye_share=float("nan")))["eye_area_px"].null_count() == 2
