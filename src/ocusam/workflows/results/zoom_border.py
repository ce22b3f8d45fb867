"""Where the eye came to the border of the rectangle in which it was tracked (`--zoom`).

Purpose: a headset slips and the eye leaves the rectangle. Frames on which the pupil is near its border are
doubtful, with that reason, and a recording with many of them is told so.

Notable choices: near is less than `NEAR` pupil diameters between the pupil's outline and the border; the
pupil's usual size counts, since what is cut by the border looks smaller. Sides of the rectangle that are the
picture's own count too: a pupil there is cut as well. A stretch without a pupil (no blink) belongs to the
border when the pupil was last seen near it.

What it does not know: where an eye is that has left the rectangle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from ocusam.core.masklet import View
from ocusam.eye.long_rows import LongRows, state_texts
from ocusam.eye.quality import DOUBTFUL_COLUMNS
from ocusam.eye.signals import LOST, TRACKED
from ocusam.workflows.inputs.zoom import Region, zoom_regions, zoom_text, zoomed

NEAR = 0.25
REASON = "at the border of the zoom"
MANY = 0.01
"""Share of a recording's frames from which the border is worth a word."""
_LEAST = 5
_WORST = 3.0  # as in `eye.quality`: what one reason can weigh at most


def zoom_of_record(record: Mapping[str, Any]) -> dict[int, Region]:
    """view -> its rectangle, from a run's `run.json`; empty without zoom."""
    text = str(record.get("settings", {}).get("zoom", ""))
    if not text or not record.get("views"):
        return {}
    whole = [View(i, (int(a), int(b), int(c), int(d))) for i, (a, b, c, d) in enumerate(record["views"])]
    return zoom_regions(zoomed(whole, text), text)


def with_border_doubts(
    doubts: pl.DataFrame, signals: pl.DataFrame | LongRows, zoom: Mapping[int, Region]
) -> pl.DataFrame:
    """The table of doubtful frames with those at the border of a rectangle.

    Args:
        doubts: from `eye.quality.doubtful`.
        signals: with states, from `eye.blink.classify`.
        zoom: view -> (x0, y0, x1, y1) px of the picture, x1 and y1 exclusive.
    """
    rows = LongRows.of(signals)
    tables = [_near(rows, view, region) for view, region in sorted(zoom.items())]
    near = pl.concat(tables).filter(pl.col("weight") > 0) if tables else None
    if near is None or near.is_empty():
        return doubts
    key = ["frame_idx", "view", "object"]
    both = doubts.drop("rank").join(near.drop("state"), on=key, how="full", coalesce=True)
    reasons = pl.when(pl.col("weight").is_not_null()).then(pl.lit(REASON))
    joined = both.select(
        "frame_idx",
        pl.coalesce("timestamp_ns", "timestamp_ns_right").alias("timestamp_ns"),
        "view",
        "object",
        (pl.col("score").fill_null(0.0) + pl.col("weight").fill_null(0.0)).alias("score"),
        pl.concat_str([pl.col("reason"), reasons], separator="; ", ignore_nulls=True).alias("reason"),
    )
    joined = joined.sort(["score", "view", "object", "frame_idx"], descending=[True, False, False, False])
    return joined.with_row_index("rank", offset=1).cast(DOUBTFUL_COLUMNS)  # type: ignore[arg-type]


def at_border(
    signals: pl.DataFrame | LongRows, zoom: Mapping[int, Region], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Views whose eye came to its rectangle's border often enough to say so.

    Args:
        signals: with states.
        zoom: view -> its rectangle.
        size: (height, width) px of the picture.

    Returns:
        For each: `view`, `frames` (pupil near the border, or gone after it was), `first_frame`, and `larger`,
        a `--zoom` text that reaches half as far again.
    """
    out = []
    for view, region in sorted(zoom.items()):
        rows = _near(LongRows.of(signals), view, region)
        near = (rows["weight"] > 0).to_numpy()
        # Gone while it was near: carry the last thing known through the frames without a pupil.
        last_near = (
            rows.select(
                pl.when(pl.col("state") == TRACKED)
                .then(pl.col("weight") > 0)
                .otherwise(None)
                .forward_fill()
                .fill_null(False)
                .alias("near")
            )["near"]
        ).to_numpy()
        here = near | (last_near & (rows["state"] == LOST).to_numpy())
        if here.sum() >= max(_LEAST, MANY * len(rows)):
            first = int(rows["frame_idx"].to_numpy()[here][0])
            larger = zoom_text([_larger(region, size)])
            out.append({"view": view, "frames": int(here.sum()), "first_frame": first, "larger": larger})
    return out


def _larger(region: Region, size: tuple[int, int]) -> Region:
    x0, y0, x1, y1 = region
    dx, dy = (x1 - x0) // 4, (y1 - y0) // 4
    return max(0, x0 - dx), max(0, y0 - dy), min(size[1], x1 + dx), min(size[0], y1 + dy)


def _near(signals: LongRows, view: int, region: Region) -> pl.DataFrame:
    """The pupil's rows of a view with `weight`: 0 away from the border, 1 at `NEAR`, more beyond."""
    rows = signals.rows(view, "pupil")
    x, y, major = (rows.numbers(c) for c in ("center_x_px", "center_y_px", "major_px"))
    usual = float(np.nanmedian(major)) if np.isfinite(major).any() else 1.0
    x0, y0, x1, y1 = region
    gap = np.minimum.reduce([x - x0, y - y0, x1 - 1 - x, y1 - 1 - y]) - usual / 2.0
    with np.errstate(invalid="ignore"):
        weight = np.where(rows.tracked & (gap < NEAR * usual), 2.0 - gap / (NEAR * usual), 0.0)
    columns = {"frame_idx": rows.frame_idx, "timestamp_ns": rows.time_ns}
    return pl.DataFrame(columns).with_columns(
        pl.lit(view, dtype=pl.Int64).alias("view"),
        pl.lit("pupil").alias("object"),
        state_texts(rows.states).alias("state"),
        pl.Series("weight", np.nan_to_num(np.clip(weight, 0.0, _WORST), nan=0.0)),
    )
