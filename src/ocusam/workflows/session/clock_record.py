"""What a run's record says of times that came from elsewhere (`inputs.frame_times`), and how they come back.

Purpose: a run goes on, and is corrected, only with the times it began with; their file may have moved along
with the run, as the video may.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocusam.core.errors import InputError
from ocusam.video.source import VideoSource
from ocusam.workflows.inputs.frame_times import clock_of, digest
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.run_folder import way_from

FREE = ("times", "times_from_run", "times_column", "times_unit")
"""Parts of the record that may differ when a run goes on: the times are known by their hash."""


def clock_record(settings: RunSettings, source: VideoSource, folder: Path) -> dict[str, Any]:
    """Entries of `input` in the `run.json` of a `folder`."""
    out: dict[str, Any] = {"clock": clock_of(source)}
    if settings.fps is not None:
        out["fps_stated"] = settings.fps
    if settings.times is not None:
        out |= {
            "times": settings.times,
            "times_from_run": way_from(folder, Path(settings.times)),
            "times_column": settings.times_column,
            "times_unit": settings.times_unit,
            "times_sha256": digest(source.timestamps_ns),
        }
    return out


def settings_of_record(record: dict[str, Any], folder: Path) -> RunSettings:
    """The settings of the run in `folder`, with its times where they lie now.

    Raises:
        InputError: their file is gone.
    """
    known = record.get("input", {})
    places = [folder / known["times_from_run"]] if known.get("times_from_run") else []
    places += [Path(known["times"])] if known.get("times") else []
    found = next((place for place in places if place.is_file()), None)
    if places and found is None:
        raise InputError(
            f"The times of the run in {folder} are not at {' or '.join(map(str, places))}: put the file back."
        )
    return RunSettings(
        **record["settings"],
        times=None if found is None else str(found),
        times_column=known.get("times_column"),
        times_unit=known.get("times_unit"),
        fps=known.get("fps_stated"),
    )
