"""A recording in parts gives what the same recording gives as one table."""

import numpy as np
import polars as pl
import pytest

import ocusam.eye.quality as quality_module
from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import LID_OPENING, classify, classify_rows, openness
from ocusam.eye.long_rows import LongRows, Reader
from ocusam.eye.quality import doubtful, quality
from ocusam.eye.signals import Measurement, SignalTable

STEP_NS = 10_000_000


def recording() -> pl.DataFrame:
    """Two views; in the first the eye blinks, and its iris is followed from frame 40 on."""
    rng, table = np.random.default_rng(0), SignalTable()
    for i in range(300):
        lid = 1.0 - 0.9 * np.sin(np.pi * (i - 150) / 20) if 150 <= i < 170 else 1.0
        for view, name, size in ((0, "pupil", 30.0), (0, "iris", 80.0), (1, "pupil", 26.0)):
            if name == "iris" and i < 40:
                continue
            here = view == 1 or lid > 0.3
            x = 60 + float(rng.normal(0, 0.1)) + 9 * (i == 90) + 60 * (name == "iris" and 80 <= i < 85)
            shape = Ellipse((x, 50.0), (size, 0.95 * size), 0.0)
            area = 0.7 * size**2 * (lid if view == 0 else 1.0)
            seen = Measurement(shape if here else None, area if here else 0.0, 0.9, 3.0, 0.9, 0.2, 1, "mask")
            table.add(i, i * STEP_NS, view, name, seen)
    return table.table()


def in_parts(table: pl.DataFrame) -> LongRows:
    """The later half first, backward, then the earlier; some rows wrong at first and right in a last part."""
    frame, corrected = pl.col("frame_idx"), (pl.col("view") == 1) & pl.col("frame_idx").is_between(100, 180)
    wrong = table.with_columns(pl.when(corrected).then(999.0).otherwise(pl.col("major_px")).alias("major_px"))
    parts = [wrong.filter(frame >= 130).reverse(), wrong.filter(frame < 130), table.filter(corrected)]
    return LongRows([reader(part) for part in parts])


def reader(part: pl.DataFrame) -> Reader:
    return lambda names: part if names is None else part.select(names)


def test_tables_do_not_depend_on_parts() -> None:
    table = recording()
    signals, blinks = classify(table)
    rows, found = classify_rows(in_parts(table))
    assert len(blinks) == 1 and found.equals(blinks)
    assert rows.table().equals(signals) and pl.concat(list(rows.windows(37))).equals(signals)
    doubts = doubtful(signals)
    assert len(doubts) and doubtful(rows).equals(doubts)
    assert quality(rows, doubts).equals(quality(signals, doubts))


def test_tables_do_not_depend_on_how_many_frames_are_worked_on_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, _ = classify_rows(in_parts(recording()))
    lids, doubts = rows.rows(0, "pupil").read(LID_OPENING), doubtful(rows)
    found = quality(rows, doubts)
    for module in (openness, quality_module):
        monkeypatch.setattr(module, "BLOCK", 41)
    again, _ = classify_rows(in_parts(recording()))
    np.testing.assert_allclose(again.rows(0, "pupil").read(LID_OPENING), lids, rtol=0, atol=1e-12)
    assert doubtful(again).equals(doubts) and "pupil outside iris" in " ".join(doubts["reason"])
    assert quality(again, doubts).equals(found)


def test_a_block_is_the_same_rows() -> None:
    rows = in_parts(recording())
    iris = rows.rows(0, "iris")
    for own in (iris, iris.on(np.arange(30, 120)), rows.rows(1, "pupil")):
        for first, end in ((0, 7), (5, 83), (-3, 9), (80, 10_000)):
            block, here = own.block(first, end), slice(max(first, 0), end)
            assert block.frame_idx.tolist() == own.frame_idx[here].tolist()
            np.testing.assert_array_equal(block.numbers("major_px"), own.numbers("major_px")[here])
            np.testing.assert_array_equal(block.block(2, 5).read("area_px"), own.read("area_px")[here][2:5])


def test_one_objects_rows_have_the_states_that_were_found() -> None:
    table = recording()
    rows, _ = classify_rows(in_parts(table))
    signals = rows.table()
    for view, name in rows.objects:
        mine = signals.filter((pl.col("view") == view) & (pl.col("object") == name))
        own = rows.rows(view, name)
        assert own.frame_idx.tolist() == mine["frame_idx"].to_list()
        assert own.tracked.tolist() == (mine["state"] == "tracked").to_list()
        assert np.nan_to_num(own.numbers("major_px")).tolist() == mine["major_px"].fill_null(0.0).to_list()
    lids = rows.rows(0, "pupil").read(LID_OPENING)
    assert np.nanmin(lids) == pytest.approx(signals[LID_OPENING].min())


def test_some_frames() -> None:
    rows = in_parts(recording())
    assert rows.on_frames([299, 5, 150])["frame_idx"].unique().to_list() == [5, 150, 299]
    assert rows.frames().tolist() == list(range(300)) and rows.count_frames() == 300
    assert rows.span_ns() == (0, 299 * STEP_NS)
    early = rows.rows(0, "iris").on(np.arange(30, 50))
    assert early.tracked.tolist() == [False] * 10 + [True] * 10
    assert np.isnan(early.read("major_px")[:10]).all()


def test_a_recording_without_rows_has_columns() -> None:
    rows, blinks = classify_rows(LongRows.of(SignalTable().table()))
    assert blinks.is_empty() and rows.table().is_empty() and LID_OPENING in rows.table().columns
    assert rows.span_ns() is None and not len(rows.frames())
