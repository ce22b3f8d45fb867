"""What people read of pupils that were lost and found again by the tracker itself (`session.lookout`).

Purpose: the column `recovered` of the signals, a reason among the doubtful frames, and the entries of
`run.json`.

Notable choices: the click was nobody's but the tracker's, so its frame weighs as much as one reason can among
the doubtful ones: it is the first to look at. The reason follows from the column, so that a report made later
from the tables alone says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import polars as pl

from ocusam.eye.long_rows import LongRows
from ocusam.eye.quality import DOUBTFUL_COLUMNS

RECOVERED = "recovered"
"""Column added to the signals: true on the rows of frames on which the tracker clicked a lost pupil."""

REASON = "found again by itself"
_WEIGHT = 3.0  # as in `eye.quality`: what one reason can weigh at most
_KEY = ["frame_idx", "view", "object"]
# Of use to the session only.
_INNER = ("way", "frame")


def told(recoveries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Recoveries as `run.json` tells them.

    Returns:
        For each: `frame_idx`, `timestamp_ns`, `view`, `object`, `click` (px of the picture),
        `lost_since_frame`, `lost_ms`, and why: `picture_probability`, `network_agreement` and `score`, 0..1.
    """
    return [{key: value for key, value in r.items() if key not in _INNER} for r in recoveries]


def with_recovered(signals: pl.DataFrame, recoveries: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The table with the column `RECOVERED`, in place of one that it has."""
    clicked = pl.lit(False)
    for (view, name), own in groupby(sorted(recoveries, key=_object), _object):
        here = (pl.col("view") == view) & (pl.col("object") == name)
        clicked = clicked | (here & pl.col("frame_idx").is_in([int(r["frame_idx"]) for r in own]))
    return signals.with_columns(clicked.alias(RECOVERED))


def with_recovered_doubts(doubts: pl.DataFrame, signals: pl.DataFrame | LongRows) -> pl.DataFrame:
    """The table of doubtful frames (`eye.quality.doubtful`) with those that `RECOVERED` names, where the
    signals have that column."""
    found = [
        rows.filter(RECOVERED).select(*_KEY, pl.col("timestamp_ns").alias("at"))
        for rows in LongRows.of(signals).windows()
        if RECOVERED in rows.columns
    ]
    if not any(len(rows) for rows in found):
        return doubts
    clicked = pl.concat(found)
    both = doubts.drop("rank").join(clicked, on=_KEY, how="full", coalesce=True)
    here = pl.col("at").is_not_null()
    joined = both.select(
        "frame_idx",
        pl.coalesce("timestamp_ns", "at").alias("timestamp_ns"),
        "view",
        "object",
        (pl.col("score").fill_null(0.0) + pl.when(here).then(_WEIGHT).otherwise(0.0)).alias("score"),
        pl.concat_str(
            [pl.when(here).then(pl.lit(REASON)), pl.col("reason")], separator="; ", ignore_nulls=True
        ).alias("reason"),
    )
    joined = joined.sort(["score", "view", "object", "frame_idx"], descending=[True, False, False, False])
    return joined.with_row_index("rank", offset=1).cast(DOUBTFUL_COLUMNS)  # type: ignore[arg-type]


def _object(recovery: Mapping[str, Any]) -> tuple[int, str]:
    return int(recovery["view"]), str(recovery["object"])
