"""The summary tells which recordings somebody has to look at."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ocusam.eye.quality import QUALITY_COLUMNS
from ocusam.video.source import SequenceSource
from ocusam.workflows.batch_summary import before, finished_row
from ocusam.workflows.inputs.frame_times import clock_of, digest, read_times
from ocusam.workflows.inputs.recording_list import BatchItem
from ocusam.workflows.inputs.settings import RunSettings


def write_run(
    folder: Path, lost: dict[int, int], record: dict[str, object], **quality: list[float]
) -> BatchItem:
    """A run of 20 frames, the last `lost[view]` of which are lost."""
    rows = [
        (frame, view, "pupil", *(("lost", None) if frame >= 20 - gone else ("tracked", 30.0 + view)))
        for view, gone in lost.items()
        for frame in range(20)
    ]
    names = ["frame_idx", "view", "object", "state", "major_px"]
    folder.mkdir()
    pl.DataFrame(rows, schema=names, orient="row").write_csv(folder / "signals.csv")
    pl.DataFrame({"view": []}).write_csv(folder / "blinks.csv")
    table = {"view": list(lost), "object": ["pupil"] * len(lost), "lost": list(lost.values()), **quality}
    missing = {name: [None] * len(lost) for name in QUALITY_COLUMNS if name not in table}
    pl.DataFrame(table | missing).write_csv(folder / "quality.csv")
    (folder / "run.json").write_text(json.dumps({"status": "finished", "frames": 20, **record}))
    return BatchItem(folder.name, Path("v.mp4"), folder)


def test_a_good_recording_asks_for_nothing(tmp_path: Path) -> None:
    record = {
        "input": {"clock": "cam.csv (s)"},
        "found": {"eyes": [{"view": 0, "found": True, "score": 0.97}]},
    }
    row = finished_row(
        write_run(tmp_path / "r", {0: 1}, record, doubtful_share=[0.01], median_predicted_iou=[0.94])
    )
    assert row["look_at"] == "" and row["clock"] == "cam.csv (s)"
    guessed = {"input": {"clock": clock_of(SequenceSource(np.zeros((2, 4, 6), np.uint8)))}}
    assert finished_row(write_run(tmp_path / "g", {0: 0}, guessed))["look_at"] == "its times are a guess"
    assert (row["lost"], row["median_diameter_px"], row["median_predicted_iou"]) == (1, 30.0, 0.94)


def test_of_two_eyes_the_worse_counts(tmp_path: Path) -> None:
    """Half of one eye's frames are lost: the share of both together would hide it."""
    record = {
        "found": {"eyes": [{"view": 0, "found": True, "score": 0.65}, {"view": 1, "found": False}]},
        "recoveries": [{}, {}],
        "zoom": {"at_border": [{"view": 0, "frames": 7}]},
    }
    item = write_run(
        tmp_path / "r", {0: 0, 1: 10}, record, doubtful_share=[0.0, 0.25], median_predicted_iou=[0.9, 0.5],
        data_loss=[0.0, 0.5],
    )  # fmt: skip
    row = finished_row(item)
    assert row["share_tracked"] == 0.75 and row["data_loss"] == 0.5 and row["lost"] == 10
    assert row["look_at"].split("; ") == [
        "pupil of view 1 lost on 50% of the frames",
        "25% of the pupil's frames doubtful",
        "predicted IoU 0.50",
        "eye of view 0 found with a score of 0.65",
        "at the border of the zoom on 7 frames",
        "pupil found again by itself 2 times",
    ]


@pytest.mark.parametrize("content", [None, "view\n0\n"])
def test_a_run_without_its_quality_is_still_counted(content: str | None, tmp_path: Path) -> None:
    item = write_run(tmp_path / "r", {0: 10}, {})
    (item.out / "quality.csv").unlink()
    if content is not None:
        (item.out / "quality.csv").write_text(content)
    row = finished_row(item)
    assert row["frames"] == 20 and row["message"] == "" and row["data_loss"] is None
    assert row["look_at"] == "pupil of view 0 lost on 50% of the frames"


def test_a_finished_run_that_was_made_in_another_way_is_told(tmp_path: Path) -> None:
    """Run again with --times, a batch had kept the old clock without a word."""
    settings = RunSettings(size="fast")
    record = {"settings": settings.to_dict(), "input": {"clock": "presentation times"}}
    item = write_run(tmp_path / "r", {0: 0}, record)
    assert before(item, settings) == "was finished before"
    assert "size fast, now fine" in before(item, RunSettings())
    other = before(replace(item, times=Path("cam.csv")), settings)
    assert "clock: presentation times" in other and "remove its folder" in other
    assert "clock" in before(item, RunSettings(size="fast", fps=200.0))
    assert before(write_run(tmp_path / "old", {0: 0}, {}), settings) == "was finished before"


def test_a_finished_run_whose_times_have_changed_since_is_told(tmp_path: Path) -> None:
    """Another file of times, or the same one corrected, had left the old clock without a word."""
    times = tmp_path / "cam.csv"
    times.write_text("t\n" + "".join(f"{0.02 * i}\n" for i in range(20)))
    hashed = digest(read_times(times)[0])
    settings = RunSettings()
    record = {"settings": settings.to_dict(), "input": {"clock": "cam.csv", "times_sha256": hashed}}
    item = replace(write_run(tmp_path / "r", {0: 0}, record), times=times)
    assert before(item, settings) == "was finished before"
    moved = times.rename(tmp_path / "again.csv")
    assert before(replace(item, times=moved), settings) == "was finished before"
    moved.write_text(moved.read_text().replace("0.04\n", "0.05\n"))
    assert "clock: cam.csv" in before(replace(item, times=moved), settings)
    assert "clock" in before(replace(item, times=tmp_path / "gone.csv"), settings)
    assert "clock" in before(replace(item, times=None), settings)
