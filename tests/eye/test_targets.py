"""Tables of targets as people have them."""

import numpy as np
import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.eye.targets import TARGET_COLUMNS, Screen, TargetSettings, angle_between, make_targets

SCREEN = Screen((1920, 1080), (531.0, 299.0), 600.0)
LAST = 100_000_000_000


def make(table: dict[str, list[object]], settings: TargetSettings | None = None) -> pl.DataFrame:
    return make_targets(pl.DataFrame(table), 0, LAST, settings)


def test_degrees_of_a_screen() -> None:
    middle = np.array([[959.5, 539.5]])
    assert SCREEN.to_degrees(middle) == pytest.approx(np.zeros((1, 2)))
    # A tenth of 600 mm to the right.
    right = middle + np.array([[60.0 * 1920 / 531, 0.0]])
    assert SCREEN.to_degrees(right) == pytest.approx(np.array([[np.degrees(np.arctan(0.1)), 0.0]]))
    some = np.random.default_rng(0).uniform(0, 1900, (20, 2))
    assert SCREEN.to_px(SCREEN.to_degrees(some)) == pytest.approx(some)
    assert np.isnan(SCREEN.to_px(np.array([[89.5, 0.0]]))[0, 0])


def test_angles_are_those_of_directions() -> None:
    a, b = (
        np.array([[0.0, 0.0], [20.0, 15.0], [30.0, 0.0]]),
        np.array([[3.0, 0.0], [20.0, 15.0], [-30.0, 0.0]]),
    )
    assert angle_between(a, b) == pytest.approx([3.0, 0.0, 60.0])
    # At 20, 15 degrees a step in x is smaller than its number says.
    assert 0.9 < angle_between(np.array([20.0, 15.0]), np.array([[21.0, 15.0]]))[0] < 0.98


def test_times_in_every_form() -> None:
    plain = make({"t": [2.0, 1.0, 9.0], "x": [0, 1, 2], "y": [0, 0, 0]})
    assert dict(plain.schema) == TARGET_COLUMNS and plain["target"].to_list() == [2, 1, 3]
    # Until the next one, at most 3 s; the last one as long as usual.
    assert plain["end_ns"].to_list() == [2_000_000_000, 5_000_000_000, 12_000_000_000]
    ends = make({"start": [1.0], "end": [2.5], "x": [0], "y": [0]})
    assert (
        ends["end_ns"].to_list()
        == make({"t": [1], "duration": [1.5], "x": [0], "y": [0]})["end_ns"].to_list()
    )
    exact = 1_728_546_126_508_032_161
    ns = pl.DataFrame({"start_ns": [exact], "end_ns": [exact + 7], "x": [0.0], "y": [0.0]})
    assert make_targets(ns, exact - 9, exact + 9)["start_ns"][0] == exact
    later = make_targets(
        pl.DataFrame({"t": [1.0], "x": [0.0], "y": [0.0]}),
        exact,
        exact + LAST,
        TargetSettings(clock="first-frame"),
    )
    assert later["start_ns"][0] == exact + 1_000_000_000
    assert make_targets(plain, 0, 1).equals(plain.sort("start_ns"))


def test_places_in_px() -> None:
    here = {"t": [1.0], "x_px": [959.5], "y_px": [0.0]}
    made = make(here, TargetSettings(screen=SCREEN))
    assert made["x_deg"][0] == pytest.approx(0) and made["y_deg"][0] < -13
    centred = make({"t": [1.0], "x": [0.0], "y": [100.0]}, TargetSettings("px", SCREEN, "center"))
    assert centred["y_deg"][0] == pytest.approx(-np.degrees(np.arctan(100 * 299 / 1080 / 600)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": [1], "y": [1]}, "a time .* is missing; got x, y"),
        ({"t": [1], "x": [1]}, "a place .* is missing"),
        ({"t": [1], "x": [1], "y": [1], "durations": [1]}, "did you mean 'duration"),
        ({"t": [1], "start": [1], "x": [1], "y": [1]}, "both 't' and 'start'"),
        ({"t": [1], "x": [1], "y": [1], "x_px": [1], "y_px": [1]}, "different units"),
        ({"t": [1, 2], "x": ["3", "left"], "y": [1, 2]}, "no numbers: 'left' in row 2"),
        ({"t": [5e6, 6e7], "x": [1, 2], "y": [1, 2]}, "In µs they would lie inside"),
        ({"t": [1e9, 8e9], "x": [1, 2], "y": [1, 2]}, "In ns they would lie inside.*start_ns"),
        ({"t": [5e18, 6e18], "x": [1, 2], "y": [1, 2]}, "nanoseconds go into start_ns"),
        ({"start_ns": [5.5, 6.5], "x": [1, 2], "y": [1, 2]}, "in s go into t"),
        ({"start_ns": [5, 6], "x": [1, 2], "y": [1, 2]}, "from 5 to 6: whole nanoseconds"),
        ({"t": [1, None], "x": [1, 2], "y": [1, 2]}, "'t' of the targets has no number in row 2"),
        ({"t": [1], "x": [960], "y": [540]}, "unit px"),
        ({"t": [1], "x_px": [960], "y_px": [540]}, "need the screen"),
        ({"t": [1e9], "x": [1], "y": [1]}, r"runs from 0.000 s to 100.000 s.*clock first-frame"),
        ({"start": [2.0], "end": [1.0], "x": [1], "y": [1]}, "ends before it begins"),
        ({"t": [1], "x": [1], "y": [1], "use": ["test"]}, "calibration or validation"),
        ({"t": [], "x": [], "y": []}, "no rows"),
    ],
)
def test_what_a_user_can_get_wrong(table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(table)


def test_other_columns_are_left_alone() -> None:
    made = make({"t": [1], "x": [1], "y": [1], "trial": ["a"], "colour": ["red"], "use": ["Validation "]})
    assert made["use"].to_list() == ["validation"]
    with pytest.raises(InputError, match="top-left or center"):
        TargetSettings(origin="middle")
    with pytest.raises(InputError, match="above 0"):
        Screen((1920, 1080), (531.0, 0.0), 600.0)
