"""Any objects through any video: `ocusam track` and `ocusam.track`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.core.prompts import PromptPack
from ocusam.eye.long_rows import LongRows
from ocusam.workflows.inputs.prompt_tables import as_pack
from ocusam.workflows.inputs.settings import PromptsLike, RunSettings
from ocusam.workflows.inputs.zoom import AUTO, OFF
from ocusam.workflows.results.overlay_video import write_overlay
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.job import Job, Kind, Tracked, prepare, run
from ocusam.workflows.session.masklets import Masklets

KIND = Kind("track")


def track(
    video: Any,
    prompts: PromptsLike | PromptPack | Path | None,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    settings: RunSettings | None = None,
    progress: Progress | None = None,
) -> Masklets:
    """Track objects through a video.

    Args:
        video: a file, a folder of pictures, an array (T, H, W[, 3]), a list of pictures, or a `VideoSource`.
        prompts: what to track: `ObjectPrompt`s, texts like "ball:320,240@7", or a mapping {"ball": (x, y)};
            px of the whole picture, frame 0 unless said otherwise; a `PromptPack`; or a file of prompts
            (`workflows.prompt_pack`). Any names.
        model: a model's name, a `Sam2Config`, or a ready video predictor.
        weights: a checkpoint file; None for the packaged weights of `nano`.
        device: where the network runs.
        out: folder to write (`run.json`, `masklets/`, `overlay.mp4`), or None to keep the masks in memory.
        settings: further options; with `resume` a run that was broken off goes on, and `prompts` may be
            None.
        progress: called after every frame with (done, in all or None, what).

    Returns:
        The masks of every object on every frame.

    Raises:
        OcusamError: a family of errors a user can mend; what was computed before is kept in `out`.
    """
    settings = settings or RunSettings(views="none")
    settings = replace(settings, zoom=OFF) if settings.zoom == AUTO else settings
    job = prepare(
        video,
        as_pack(prompts, video),
        model=model,
        weights=weights,
        device=device,
        out=out,
        settings=settings,
        kind=KIND,
    )
    tracked = run(job, TrackWork(), progress=progress)
    assert tracked.masklets is not None or not settings.masklets
    masklets = tracked.masklets if tracked.masklets is not None else Masklets.empty(job.source.size)
    masklets.truncated = tracked.truncated
    return masklets


class TrackWork:
    """What `ocusam track` does with what is tracked: nothing but to keep the masks and draw them."""

    def on_frame(self, objects: list[ObjectFrame]) -> dict[str, Ellipse]:
        """Nothing is measured."""
        return {}

    def apart(self) -> None:
        """Nothing is measured."""
        return None

    def rows(self) -> None:
        """Nothing is measured."""
        return None

    def finish(self, job: Job, tracked: Tracked, progress: Progress | None) -> None:
        """Write the overlay."""
        if job.folder is not None and job.settings.overlay:
            finish_overlay(job, tracked, None, progress)


def finish_overlay(job: Job, tracked: Tracked, signals: LongRows | None, progress: Progress | None) -> None:
    """Draw `overlay.mp4`, unless it is there and nothing was tracked since."""
    assert job.folder is not None
    path = job.folder.file("overlay.mp4")
    if path.exists() and not tracked.steps:
        return
    path.unlink(missing_ok=True)
    write_overlay(
        path, job.source, tracked.masklets, signals, num_frames=tracked.num_frames, progress=progress
    )
