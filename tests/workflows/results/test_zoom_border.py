import polars as pl
import pytest

from ocusam.eye.quality import DOUBTFUL_COLUMNS
from ocusam.workflows.results.zoom_border import REASON, at_border, with_border_doubts, zoom_of_record

REGION = (100, 50, 300, 250)


def signals(rows: list[tuple[float | None, str]], view: int = 0) -> pl.DataFrame:
    """A pupil of 40 px at (x, 150)."""
    return pl.DataFrame(
        {
            "frame_idx": range(len(rows)),
            "timestamp_ns": [i * 10_000_000 for i in range(len(rows))],
            "view": [view] * len(rows),
            "object": ["pupil"] * len(rows),
            "state": [state for _, state in rows],
            "center_x_px": [x for x, _ in rows],
            "center_y_px": [None if x is None else 150.0 for x, _ in rows],
            "major_px": [None if x is None else 40.0 for x, _ in rows],
        },
        schema_overrides={"center_x_px": pl.Float64, "major_px": pl.Float64},
    )


def doubts(frames: dict[int, tuple[float, str]]) -> pl.DataFrame:
    rows = [(k + 1, f, f * 10_000_000, 0, "pupil", *v) for k, (f, v) in enumerate(frames.items())]
    return pl.DataFrame(rows, schema=DOUBTFUL_COLUMNS, orient="row")


def test_frames_near_the_border_are_doubtful_with_that_reason() -> None:
    # Away from it, just within, at 1/4 of a diameter, cut by it.
    table = signals([(200.0, "tracked"), (131.0, "tracked"), (129.0, "tracked"), (105.0, "tracked")])
    found = with_border_doubts(doubts({0: (2.5, "jump"), 3: (1.0, "shape change")}), table, {0: REGION})
    assert found.columns == list(DOUBTFUL_COLUMNS) and found["rank"].to_list() == [1, 2, 3]
    assert found.select("frame_idx", "reason").rows() == [
        (3, f"shape change; {REASON}"), (0, "jump"), (2, REASON),
    ]  # fmt: skip
    assert found["score"].to_list() == pytest.approx([4.0, 2.5, 1.1])


def test_without_zoom_nothing_changes() -> None:
    known, table = doubts({0: (2.5, "jump")}), signals([(5.0, "tracked")])
    assert with_border_doubts(known, table, {}).equals(known)
    assert at_border(table, {}, (480, 640)) == []


def test_a_pupil_lost_at_the_border_counts_and_the_hint_names_a_larger_rectangle() -> None:
    rows = [(200.0, "tracked")] * 20 + [(290.0, "tracked")] * 3 + [(None, "lost")] * 30
    assert at_border(signals(rows), {0: REGION}, (280, 640)) == [
        {"view": 0, "frames": 33, "first_frame": 20, "larger": "50,0,350,280"}
    ]
    # Lost elsewhere, a blink, or a passing touch: no word.
    middle = [(200.0, "tracked")] * 20 + [(None, "lost")] * 30
    blink = [(290.0, "tracked")] * 2 + [(None, "blink")] * 30
    assert at_border(signals(middle), {0: REGION}, (280, 640)) == []
    assert at_border(signals(blink), {0: REGION}, (280, 640)) == []


def test_the_rectangle_is_read_back_from_a_record() -> None:
    record = {"views": [[0, 0, 192, 192], [192, 0, 384, 192]], "settings": {"zoom": "200,10,300,110"}}
    assert zoom_of_record(record) == {1: (200, 10, 300, 110)}
    assert zoom_of_record({**record, "settings": {"zoom": "off"}}) == {}
    assert zoom_of_record({"views": [[0, 0, 9, 9]]}) == {}
