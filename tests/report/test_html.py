"""The page of a recording: what stands in it, and that it holds together."""

import base64
import json
import re

import numpy as np
import polars as pl
import pytest

from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import classify
from ocusam.eye.events import find_events
from ocusam.eye.long_rows import LongRows
from ocusam.eye.quality import doubtful, quality
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.report.html import ReportTables, Thumbnail, methods, render

RECORD = {
    "ocusam": "0.1.0",
    "input": {"path": "/data/<odd> name.mp4", "size_hw": [120, 160]},
    "model": {"model": "nano", "weights_sha256": "abcdef0123456789", "image_size": 256},
    "versions": {"python": "3.11", "torch": "2", "pymovements": "0.28"},
}


def tables_from(start_ns: int) -> ReportTables:
    rng, table = np.random.default_rng(0), SignalTable()
    x = np.repeat([60.0, 70.0, 55.0, 66.0], 100) + rng.normal(0, 0.05, 400)
    for i in range(400):
        area = 0.0 if 150 <= i < 170 else 250.0 if i in (149, 170) else 660.0
        shape = Ellipse((float(x[i]), 50.0), (30, 28)) if area else None
        table.add(
            i,
            start_ns + i * 5_000_000,
            0,
            "pupil",
            Measurement(shape, area, 0.2 if i == 320 else 0.9, 3.0, 0.9),
        )
    signals, blinks = classify(table.table())
    pupil = signals.select("frame_idx", "timestamp_ns", x="center_x_px", y="center_y_px")
    events = find_events(pupil, blinks=blinks)
    doubts = doubtful(signals)
    return ReportTables(LongRows.of(signals), blinks, events, quality(signals, doubts), doubts)


@pytest.fixture(scope="module")
def tables() -> ReportTables:
    return tables_from(0)


def data_of(page: str, name: str) -> list[dict[str, object]]:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert found is not None
    value = json.loads(found[1])
    assert isinstance(value, list)
    return value


def test_the_page_holds_everything_and_needs_nothing(tables: ReportTables) -> None:
    picture = np.full((60, 80, 3), 128, np.uint8)
    page = render(tables, RECORD, [Thumbnail(320, 1_600_000_000, picture, "doubtful </script><b>")])
    figures, pictures = data_of(page, "figures"), data_of(page, "pictures")
    assert [f["id"] for f in figures] == ["traces-0", "main-sequence"]
    shapes = figures[0]["layout"]["shapes"]  # type: ignore[index]
    assert [(s["x0"], s["x1"]) for s in shapes] == [(0.745, 0.855)]
    assert figures[0]["layout"]["hovermode"] == "x"  # type: ignore[index] # a click needs no line below it
    names = [t["name"] for t in figures[0]["data"]]  # type: ignore[attr-defined]
    axes = [t["yaxis"] for t in figures[0]["data"]]  # type: ignore[attr-defined]
    assert axes == ["y", "y2", "y3", "y4", "y3"]  # doubtful frames are marked on the diameter
    assert names == ["x", "y", "diameter", "lid opening", "doubtful"]
    assert base64.b64decode(str(pictures[0]["jpeg"]))[:2] == b"\xff\xd8"
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page.split("<script>")[0])
    assert "&lt;odd&gt; name.mp4" in page and "<odd>" not in page
    for words in ("RMS-S2S", "BCEA", "data loss", "low predicted IoU", "abcdef012345"):
        assert words in page


def test_times_count_from_the_first_frame(tables: ReportTables) -> None:
    """Eye trackers' clocks run since 1970; nobody can read such an axis."""
    start = 1_728_546_128_584_953_160
    picture = np.full((60, 80, 3), 128, np.uint8)
    record = RECORD | {"input": {"path": "a", "size_hw": [120, 160], "clock": "ps1.time"}}
    near = render(tables, record, [Thumbnail(320, 1_600_000_000, picture)])
    far = render(tables_from(start), record, [Thumbnail(320, start + 1_600_000_000, picture)])
    assert data_of(far, "figures") == data_of(near, "figures")
    assert data_of(far, "pictures") == data_of(near, "pictures")
    rows = [re.findall(r'data-seconds="([^"]*)"', page) for page in (near, far)]
    assert rows[0] == rows[1] and "1.6000" in rows[0]
    assert "the first frame, which is at 1728546128.585 s (ps1.time)" in far


def test_methods_say_whose_times_they_are(tables: ReportTables) -> None:
    """A video's presentation times need not be those of capture, and readers cannot know which they are."""
    plain = RECORD | {"input": {"path": "a", "size_hw": [120, 160], "clock": "presentation times"}}
    assert "need not be those of capture" in methods(tables, plain)
    own = RECORD | {"input": {"path": "a", "size_hw": [120, 160], "clock": "cam.csv (column time, s)"}}
    assert "Times of the frames: cam.csv (column time, s)." in methods(tables, own)


def test_methods_paragraph_counts(tables: ReportTables) -> None:
    text = methods(tables, RECORD)
    for words in ("160 x 120 px", "200.0 Hz", "nano", "Blinks (n = 1)", "Saccades (n = 3)", "data loss 5.0%"):
        assert words in text, text


def test_a_recording_with_nothing_in_it() -> None:
    table = SignalTable()
    table.add(0, 0, 0, "pupil", Measurement(None, 0.0, 0.1, -3.0))
    signals, blinks = classify(table.table())
    doubts = doubtful(signals)
    empty = pl.DataFrame(
        schema={
            **find_events(
                pl.DataFrame({"frame_idx": [0], "timestamp_ns": [0], "x": [None], "y": [None]})
            ).schema
        }
    )
    page = render(ReportTables(LongRows.of(signals), blinks, empty, quality(signals, doubts), doubts), {}, [])
    assert "No saccades were found" in page and "video was not at hand" in page
