"""What `ocusam eye` prints of a run."""

import polars as pl

from ocusam.cli.console import counted
from ocusam.cli.eye import describe_clock


def test_a_clock_with_holes_and_an_uneven_one_are_told() -> None:
    row = {
        "view": 0,
        "frames": 300,
        "tracked": 298,
        "data_loss": 1 - 298 / 494,
        "sampling_hz": 200.0,
        "sampling_jitter_ms": 56.0,
    }
    (line,) = describe_clock(pl.DataFrame([row, row | {"tracked": 200, "data_loss": 1 - 200 / 494}]))
    assert "at 200 Hz there is room for 494 frames" in line and "the 194 that are not" in line
    even = row | {"tracked": 290, "data_loss": 1 - 290 / 300, "sampling_jitter_ms": 0.1}
    assert describe_clock(pl.DataFrame([even])) == []
    (line,) = describe_clock(pl.DataFrame([even | {"sampling_jitter_ms": 1.5}]))
    assert "median of 5.0 ms, standard deviation 1.5 ms" in line
    for nothing in (
        {"tracked": 0, "data_loss": 1.0},
        {"data_loss": None},
        {"sampling_jitter_ms": None},
        {"sampling_hz": None},  # one frame, or most with the time of the frame before
    ):
        assert describe_clock(pl.DataFrame([even | nothing], schema=pl.DataFrame([row]).schema)) == []


def test_one_is_no_plural() -> None:
    assert [counted(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
