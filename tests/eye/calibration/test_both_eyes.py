"""The mean of two eyes: who has part in it, what they differ by, how accurate it is."""

import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.eye.blink import BLINK_COLUMNS
from ocusam.eye.calibration.both_eyes import both_blinks, both_checks, both_eyes, eyes_of, without_seams

# (left x, right x) of six frames; y is twice that.
GAZE = [(1.0, 3.0), (2.0, None), (None, 5.0), (None, None), (4.0, 4.0), (6.0, 8.0)]
EYES = {"left": [1], "right": [0]}


def table() -> pl.DataFrame:
    rows = [
        {
            "frame_idx": i, "timestamp_ns": i * 10, "view": view, "gaze_x_deg": x,
            "gaze_y_deg": None if x is None else 2 * x,
            "outside_targets": None if x is None else x > 7, "outside_sizes": None if x is None else False,
        }
        for i, pair in enumerate(GAZE) for view, x in zip((1, 0), pair, strict=True)
    ]  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def test_the_mean_of_the_eyes_that_are_there() -> None:
    both = both_eyes(table(), EYES)
    assert both["gaze_x_deg"].to_list() == [2.0, 2.0, 5.0, None, 4.0, 7.0]
    assert both["gaze_y_deg"].to_list() == [4.0, 4.0, 10.0, None, 8.0, 14.0]
    assert both["eyes"].to_list() == ["left+right", "left", "right", "", "left+right", "left+right"]
    assert both["vergence_x_deg"].to_list() == [-2.0, None, None, None, 0.0, -2.0]
    assert both["outside_targets"].to_list() == [False, False, False, None, False, True]
    # One eye more or less moves the mean by half of what they differ: no event may go across.
    assert without_seams(both)["gaze_x_deg"].to_list() == [2.0, None, None, None, None, 7.0]
    with pytest.raises(InputError, match="two eyes"):
        both_eyes(table(), {"left": [0, 1]})


def test_several_views_of_an_eye_count_as_one() -> None:
    third = table().filter(pl.col("view") == 1).with_columns(pl.col("gaze_x_deg") + 1, view=pl.lit(2))
    both = both_eyes(pl.concat([table(), third.select(table().columns)], how="vertical_relaxed"),
                     {"left": [1, 2], "right": [0]})  # fmt: skip
    assert both["gaze_x_deg"].to_list()[:2] == [pytest.approx((1.5 + 3.0) / 2), 2.5]


def test_which_views_are_eyes() -> None:
    assert eyes_of([0, 1]) == {"view 0": [0], "view 1": [1]}
    assert eyes_of([0]) == {} and eyes_of([0, 1, 2, 3]) == {}
    assert eyes_of([0, 1], {0: "right", 1: "left"}) == EYES
    assert eyes_of([0, 1, 2], {0: "left", 2: "right"}) == {"left": [0], "right": [2]}
    assert eyes_of([0, 1], {0: "left", 1: "left"}) == {}


def test_blinks_of_both_are_those_that_overlap() -> None:
    def blink(view: int, on: int, off: int) -> dict[str, object]:
        return {"view": view, "onset_ns": on, "offset_ns": off, "onset_frame": on, "offset_frame": off,
                "duration_ms": 0.0, "kind": "full", "amplitude": 1.0}  # fmt: skip

    rows = [blink(0, 10, 30), blink(1, 12, 34), blink(0, 50, 60), blink(1, 80, 90)]
    found = both_blinks(pl.DataFrame(rows, schema=BLINK_COLUMNS), EYES)
    assert found.select("onset_ns", "offset_ns", "offset_frame").rows() == [(10, 34, 34)]


def test_the_accuracy_of_the_mean() -> None:
    rows = [
        {"view": view, "use": "calibration", "target": target, "x_deg": 0.0, "y_deg": 0.0, "offset_x_deg": x,
         "offset_y_deg": 0.0, "accuracy_deg": accuracy}
        for view, target, x, accuracy in (
            (0, 1, 0.4, 0.4), (1, 1, -0.2, 0.2), (0, 2, 0.3, 0.3), (1, 2, None, None), (0, 3, 0.2, 0.2),
            (1, 3, 0.2, 0.2),
        )
    ]  # fmt: skip
    found = both_checks(pl.DataFrame(rows), EYES)
    assert found["target"].to_list() == [1, 3]  # one eye did not hold the second
    assert found["accuracy_deg"].to_list() == pytest.approx([0.1, 0.2], abs=1e-9)
