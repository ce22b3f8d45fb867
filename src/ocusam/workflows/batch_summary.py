"""The summary of a batch: what became of each recording.

Purpose: rows for `summary.csv`, read from the runs' own folders.

Notable choices: a run counts as finished when its `run.json` says so, whoever made it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import OutputError
from ocusam.eye.signals import TRACKED
from ocusam.workflows.inputs.recording_list import BatchItem

FINISHED, FAILED, INTERRUPTED, NOT_RUN = "finished", "failed", "interrupted", "not run"
SUMMARY = "summary.csv"
SUMMARY_COLUMNS: dict[str, type[pl.DataType]] = {
    "recording": pl.String,
    "participant": pl.String,
    "status": pl.String,
    "frames": pl.Int64,
    "fps": pl.Float64,
    "share_tracked": pl.Float64,
    "blinks": pl.Int64,
    "message": pl.String,
    "video": pl.String,
    "out": pl.String,
}

Row = dict[str, Any]


def run_status(folder: Path) -> str | None:
    """What a run's folder says of itself: "running", "finished", ...; None where there is no readable run."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    status = record.get("status") if isinstance(record, dict) else None
    return status if isinstance(status, str) else None


def finished_row(item: BatchItem, message: str = "") -> Row:
    """The row of a finished recording, from its folder.

    The share of tracked frames is that of the pupil (of all eyes together), or of all objects where no pupil
    was tracked."""
    record = json.loads((item.out / "run.json").read_text(encoding="utf-8"))
    row = make_row(item, FINISHED, message=message)
    frames, seconds = record.get("frames"), record.get("seconds")
    row["frames"] = frames
    if frames and seconds:
        row["fps"] = round(frames / seconds, 2)
    try:
        signals = pl.scan_csv(item.out / "signals.csv", glob=False).select("object", "state").collect()
        row["blinks"] = pl.scan_csv(item.out / "blinks.csv", glob=False).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError) as error:
        row["message"] = f"its tables cannot be read ({str(error).splitlines()[0]})"
        return row
    pupil = signals.filter(pl.col("object") == "pupil")
    seen = pupil if pupil.height else signals
    row["share_tracked"] = round(seen.filter(pl.col("state") == TRACKED).height / max(1, seen.height), 4)
    if record.get("truncated") and not message:
        row["message"] = "the video breaks off; tracked as far as it can be read"
    return row


def make_row(item: BatchItem, status: str, *, message: str = "") -> Row:
    """The row of a recording of which only the fate is known."""
    row: Row = dict.fromkeys(SUMMARY_COLUMNS)
    known = {"recording": item.name, "participant": item.participant, "video": item.video, "out": item.out}
    row |= {key: str(value) for key, value in known.items()}
    return row | {"status": status, "message": " ".join(message.split())}


def make_table(rows: list[Row]) -> pl.DataFrame:
    """The summary, columns `SUMMARY_COLUMNS`."""
    return pl.DataFrame(rows, schema=SUMMARY_COLUMNS, orient="row")


def write_summary(out: Path, rows: list[Row]) -> None:
    """Put `summary.csv` into the folder of a batch, in place of an earlier one.

    Raises:
        OutputError: it cannot be written.
    """
    part = out / f".{SUMMARY}.part"
    try:
        out.mkdir(parents=True, exist_ok=True)
        make_table(rows).write_csv(part)
        part.replace(out / SUMMARY)
    except OSError as error:
        raise OutputError(f"Cannot write {out / SUMMARY} ({error}).") from None
