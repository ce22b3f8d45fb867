import polars as pl

from ocusam.eye.quality import DOUBTFUL_COLUMNS
from ocusam.workflows.session.recovered import told, with_recovered, with_recovered_doubts

CLICK = {
    "frame_idx": 2,
    "timestamp_ns": 20,
    "view": 0,
    "object": "pupil",
    "click": [1.0, 2.0],
    "way": 0,
    "frame": 3,
}


def signals() -> pl.DataFrame:
    rows = [(f, f * 10, v, name) for f in range(4) for v in range(2) for name in ("iris", "pupil")]
    return pl.DataFrame(rows, schema=["frame_idx", "timestamp_ns", "view", "object"], orient="row")


def clicked(table: pl.DataFrame) -> list[tuple[object, ...]]:
    return table.filter("recovered").select("frame_idx", "view", "object").rows()


def test_only_the_clicked_object_on_its_frame_is_marked() -> None:
    table = with_recovered(signals(), [CLICK, {**CLICK, "view": 1, "frame_idx": 3}])
    assert clicked(table) == [(2, 0, "pupil"), (3, 1, "pupil")]
    assert clicked(with_recovered(table, [CLICK])) == [(2, 0, "pupil")]  # a column that is there is replaced
    assert not with_recovered(signals(), [])["recovered"].any()


def test_a_click_is_the_first_frame_to_doubt() -> None:
    known = [(1, 1, 10, 1, "iris", 2.5, "jump"), (2, 2, 20, 0, "pupil", 1.0, "ragged mask")]
    doubts = pl.DataFrame(known, schema=DOUBTFUL_COLUMNS, orient="row")
    found = with_recovered_doubts(doubts, with_recovered(signals(), [CLICK, {**CLICK, "frame_idx": 3}]))
    assert found.schema == doubts.schema
    assert found.rows() == [
        (1, 2, 20, 0, "pupil", 4.0, "found again by itself; ragged mask"),
        (2, 3, 30, 0, "pupil", 3.0, "found again by itself"),
        (3, 1, 10, 1, "iris", 2.5, "jump"),
    ]
    assert with_recovered_doubts(doubts, signals()).equals(doubts)


def test_people_are_not_told_the_trackers_numbers() -> None:
    assert told([CLICK]) == [{key: value for key, value in CLICK.items() if key not in ("way", "frame")}]
