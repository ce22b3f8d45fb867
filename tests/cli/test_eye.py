"""What `ocusam eye` prints of a run."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from ocusam.cli.console import counted
from ocusam.cli.eye import describe_clock, describe_nominal
from ocusam.video.source import SequenceSource
from ocusam.workflows.inputs.frame_times import clock_of


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


def test_a_guessed_frame_rate_is_told(tmp_path: Path) -> None:
    assert describe_nominal(tmp_path) == []
    for clock, told in (
        (clock_of(SequenceSource(np.zeros((2, 4, 6), np.uint8))), True),
        (clock_of(SequenceSource(np.zeros((2, 4, 6), np.uint8), fps=30.0)), False),
        ("cam.csv (s)", False),
    ):
        (tmp_path / "run.json").write_text(json.dumps({"input": {"clock": clock}}))
        lines = describe_nominal(tmp_path)
        assert bool(lines) == told and all("30 frames per second are assumed" in line for line in lines)
