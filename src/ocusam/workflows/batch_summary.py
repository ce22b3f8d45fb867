"""The summary of a batch: what became of each recording.

Purpose: rows for `summary.csv`, read from the runs' own folders.

Notable choices: a run counts as finished when its `run.json` says so, whoever made it. Of several eyes the
worst counts: the summary is there to find the recordings that somebody has to look at. `look_at` says why, in
words; its limits are meant to let no bad recording pass, not to be right.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import OcusamError, OutputError
from ocusam.eye.signals import LOST, TRACKED
from ocusam.workflows.inputs.frame_times import NOMINAL, digest, read_times
from ocusam.workflows.inputs.recording_list import BatchItem
from ocusam.workflows.inputs.settings import RunSettings

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
    "look_at": pl.String,
    "lost": pl.Int64,
    "data_loss": pl.Float64,
    "doubtful_share": pl.Float64,
    "median_predicted_iou": pl.Float64,
    "precision_rms_s2s_px": pl.Float64,
    "median_diameter_px": pl.Float64,
    "clock": pl.String,
}
_TOLD = (
    "size",
    "dtype",
    "engine",
    "glints",
    "recover",
    "clear_clicks",
    "cross_negatives",
    "mm_per_px",
    "iris_mm",
)
# From where on a recording is to be looked at.
MOST_LOST, MOST_DOUBTFUL, LEAST_IOU, SURE_SCORE = 0.05, 0.05, 0.7, 0.8

Row = dict[str, Any]


def run_status(folder: Path) -> str | None:
    """What a run's folder says of itself: "running", "finished", ...; None where there is no readable run."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    status = record.get("status") if isinstance(record, dict) else None
    return status if isinstance(status, str) else None


def before(item: BatchItem, settings: RunSettings) -> str:
    """What is said of a recording that is passed over since its run is finished: also where that was made in
    another way than is asked for now, since nobody would notice."""
    record = json.loads((item.out / "run.json").read_text(encoding="utf-8"))
    was, now = record.get("settings", {}), settings.to_dict()
    other = [f"{key} {was[key]}, now {now[key]}" for key in _TOLD if key in was and was[key] != now[key]]
    known = record.get("input", {})
    if known.get("fps_stated") != settings.fps or not _same_times(known, item, settings):
        other.append(f"clock: {known.get('clock')}")
    if not other:
        return "was finished before"
    return f"was finished before in another way ({'; '.join(other)}); remove its folder to have it done again"


def _same_times(known: dict[str, Any], item: BatchItem, settings: RunSettings) -> bool:
    """Whether a run had the times that the list names now."""
    if item.times is None or known.get("times_sha256") is None:
        return item.times is None and known.get("times_sha256") is None
    try:
        now = read_times(str(item.times), settings.times_column, settings.times_unit)[0]
    except OcusamError:
        return False
    return bool(digest(now) == known["times_sha256"])


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
        columns = pl.scan_csv(item.out / "signals.csv", glob=False).select(
            "view", "object", "state", "major_px"
        )
        signals = columns.collect()
        row["blinks"] = pl.scan_csv(item.out / "blinks.csv", glob=False).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError) as error:
        row["message"] = f"its tables cannot be read ({str(error).splitlines()[0]})"
        return row
    pupil = signals.filter(pl.col("object") == "pupil")
    seen = pupil if pupil.height else signals
    row["share_tracked"] = round(seen.filter(pl.col("state") == TRACKED).height / max(1, seen.height), 4)
    if record.get("truncated") and not message:
        row["message"] = "the video breaks off; tracked as far as it can be read"
    row["clock"] = record.get("input", {}).get("clock")
    row |= _figures(item.out, pupil)
    row["look_at"] = "; ".join(_reasons(row, record, pupil))
    return row


def _figures(folder: Path, pupil: pl.DataFrame) -> Row:
    """Quality of the pupil: of several eyes the worst, of their diameters the first eye's."""
    row: Row = {}
    first = pupil.filter(pl.col("view") == pupil["view"].min(), pl.col("major_px").is_not_null())
    if len(first):
        row["median_diameter_px"] = _rounded(first["major_px"].cast(pl.Float64).median())
    try:
        quality = pl.read_csv(folder / "quality.csv", glob=False).filter(pl.col("object") == "pupil")
    except (OSError, pl.exceptions.PolarsError):  # of an older or a damaged run; its signals are there
        return row
    for name in ("lost", "data_loss", "doubtful_share", "precision_rms_s2s_px"):
        row[name] = _rounded(quality[name].cast(pl.Float64).max()) if name in quality.columns else None
    row["lost"] = None if row["lost"] is None else int(row["lost"])
    row["median_predicted_iou"] = _rounded(quality["median_predicted_iou"].cast(pl.Float64).min())
    return row


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 4)


def _reasons(row: Row, record: dict[str, Any], pupil: pl.DataFrame) -> list[str]:
    """Why somebody should look at a recording."""
    out = ["its times are a guess"] if NOMINAL in str(row["clock"]) else []
    by_view = pupil.group_by("view").agg((pl.col("state") == LOST).mean().alias("lost")).sort("view")
    for view, lost in by_view.iter_rows():
        if lost > MOST_LOST:
            out.append(f"pupil of view {view} lost on {lost:.0%} of the frames")
    if (row.get("doubtful_share") or 0.0) > MOST_DOUBTFUL:
        out.append(f"{row['doubtful_share']:.0%} of the pupil's frames doubtful")
    if row.get("median_predicted_iou") is not None and row["median_predicted_iou"] < LEAST_IOU:
        out.append(f"predicted IoU {row['median_predicted_iou']:.2f}")
    for eye in (record.get("found") or {}).get("eyes", []):
        if eye.get("found") and eye.get("score", 1.0) < SURE_SCORE:
            out.append(f"eye of view {eye['view']} found with a score of {eye['score']:.2f}")
    for at in (record.get("zoom") or {}).get("at_border", []):
        out.append(f"at the border of the zoom on {at['frames']} frames")
    if record.get("recoveries"):
        out.append(f"pupil found again by itself {len(record['recoveries'])} times")
    return out


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
