from pathlib import Path

import polars as pl

from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import COLUMNS, Measurement, SignalTable
from ocusam.workflows.session.session_files import on_disk


def test_rows_of_an_older_version_stand_beside_new_ones(tmp_path: Path) -> None:
    parts = []
    for frame in (0, 1):
        table = SignalTable()
        table.add(frame, frame, 0, "pupil", Measurement(None, 0.0, 0.5, -1.0, eye_area_px=70.0 + frame))
        parts.append(table.table().with_columns(spots=pl.lit(b"x")))
    parts[0] = parts[0].drop("eye_area_px")  # measured before there was such a thing
    for i, part in enumerate(parts):
        part.write_parquet(tmp_path / f"rows_{i}.parquet")
    rows = LongRows([on_disk(tmp_path / f"rows_{i}.parquet") for i in (0, 1)])
    assert rows.table().columns == [*COLUMNS, "spots"]
    assert rows.table()["eye_area_px"].to_list() == [None, 71.0]
    assert rows.rows(0, "pupil").read("eye_area_px").tolist()[1] == 71.0
