"""The tables of one recording, from what was measured frame by frame.

Purpose: `signals.csv`, `blinks.csv`, `events.csv`, `quality.csv`, `doubtful.csv`, made in one place for runs
from a file, live runs, and reports of finished runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.eye.blink import BLINK_COLUMNS, LID_OPENING, classify_rows
from ocusam.eye.events import EventRules, event_columns, find_events, with_both_eyes
from ocusam.eye.long_rows import LongRows
from ocusam.eye.quality import doubtful, quality
from ocusam.eye.reflection import with_pupil_cr_vectors
from ocusam.eye.scale import DIAMETER_MM, Scaling, scales_of, with_diameters
from ocusam.eye.signals import COLUMNS
from ocusam.report.html import ReportTables
from ocusam.workflows.inputs.zoom import Region
from ocusam.workflows.results.free_memory import give_back, lean
from ocusam.workflows.results.zoom_border import with_border_doubts
from ocusam.workflows.session.recovered import with_recovered, with_recovered_doubts


@lean()
def make_tables(
    rows: pl.DataFrame | LongRows | None,
    views: Sequence[View] = (),
    rules: EventRules | None = None,
    *,
    zoom: Mapping[int, Region] | None = None,
    recoveries: Sequence[Mapping[str, Any]] = (),
    scaling: Scaling | None = None,
) -> ReportTables:
    """All tables of a recording.

    Args:
        rows: as measured (`eye.signals.SignalTable`); in memory or not.
        views: where the eyes lie in the picture; tells a pupil that leaves its view from a blink.
        rules: how events are found, on the pupil's centre in px.
        zoom: view -> the rectangle in which it was tracked, where that was not all of it.
        recoveries: clicks that the tracker entered by itself (`session.lookout`).
        scaling: where the pupil's diameter in mm comes from; None: it stays empty.
    """
    assert rows is not None, "an eye's job measures every frame"
    signals, blinks = classify_rows(LongRows.of(rows), regions={view.index: view.region for view in views})
    give_back()
    signals = signals.changed(with_pupil_cr_vectors).changed(lambda part: with_recovered(part, recoveries))
    scales = scales_of(signals, scaling)
    give_back()
    signals = signals.changed(lambda part: with_diameters(part, scales))
    return replace(_tables(signals, blinks, rules, zoom, recovered=bool(recoveries)), scales=tuple(scales))


def _tables(
    signals: LongRows,
    blinks: pl.DataFrame,
    rules: EventRules | None,
    zoom: Mapping[int, Region] | None,
    *,
    recovered: bool = True,
) -> ReportTables:
    """The tables that follow from signals and blinks; recovered: there may be clicks of the tracker's own."""
    doubts = with_border_doubts(doubtful(signals), signals, zoom or {})
    doubts = with_recovered_doubts(doubts, signals) if recovered else doubts
    give_back()
    events = pupil_events(signals, blinks, rules, doubts)
    give_back()
    found = quality(signals, doubts)
    give_back()
    return ReportTables(signals, blinks, events, found, doubts, rules=rules or EventRules())


def pupil_events(
    signals: LongRows,
    blinks: pl.DataFrame,
    rules: EventRules | None = None,
    doubts: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Events of all eyes from the pupil's centre, in px of the picture."""
    found = [pl.DataFrame(schema=event_columns("px"))]
    for view in [view for view, name in signals.objects if name == "pupil"]:
        rows = signals.rows(view, "pupil")
        columns = {"x": "center_x_px", "y": "center_y_px", "diameter_px": "major_px"}
        samples = pl.DataFrame({"frame_idx": rows.frame_idx, "timestamp_ns": rows.time_ns})
        for name, column in columns.items():
            samples = samples.with_columns(pl.Series(name, rows.numbers(column), nan_to_null=True))
        if doubts is not None:
            mine = doubts.filter((pl.col("object") == "pupil") & (pl.col("view") == view))["frame_idx"]
            samples = samples.with_columns(doubtful=pl.col("frame_idx").is_in(mine.implode()))
        del rows
        found.append(find_events(samples, rules, blinks=blinks, view=view, unit="px"))
    return with_both_eyes(pl.concat(found).sort("onset_ns", "view"))


def named(tables: ReportTables) -> dict[str, Iterable[pl.DataFrame]]:
    """File name -> table, in parts."""
    return {
        "signals.csv": tables.signals.windows(),
        "blinks.csv": [tables.blinks],
        "events.csv": [tables.events],
        "quality.csv": [tables.quality],
        "doubtful.csv": [tables.doubtful],
    }


def rules_of(record: dict[str, Any]) -> EventRules | None:
    """How a run's events were found, from its `run.json`; None: as ever."""
    known = record.get("event_rules")
    try:
        return None if known is None else EventRules(**known)
    except TypeError as error:
        raise InputError(f"The event_rules in run.json are not of this version ({error}).") from None


def read_tables(
    folder: Path, rules: EventRules | None = None, *, zoom: Mapping[int, Region] | None = None
) -> ReportTables:
    """The tables of a finished run. Signals and blinks are read, the others follow from them and are made
    anew; `zoom` as for `make_tables`.

    Raises:
        InputError: the folder holds no signals, or they cannot be read.
    """
    try:
        signals = _read(folder / "signals.csv", {**COLUMNS, LID_OPENING: pl.Float64, DIAMETER_MM: pl.Float64})
        blinks = _read(folder / "blinks.csv", BLINK_COLUMNS)
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no finished run of `ocusam eye` (signals.csv, blinks.csv); give its folder."
        ) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"The tables of {folder} cannot be read ({error}).") from None
    return _tables(LongRows.of(signals), blinks, rules, zoom)


def _read(path: Path, columns: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    """A table with at least these columns; those that an older version did not write are empty."""
    with open(path, encoding="utf-8") as file:
        heads = file.readline().strip().split(",")
    types = {c: t for c, t in columns.items() if c in heads}
    table = pl.read_csv(path, schema_overrides=types, infer_schema_length=None, glob=False)
    return table.with_columns(pl.lit(None, dtype=t).alias(c) for c, t in columns.items() if c not in heads)
