"""Any objects through any video: `ocusam track` and `ocusam.track`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocusam.workflows.follow import Progress
from ocusam.workflows.job import Tracked, prepare, run
from ocusam.workflows.masklets import Masklets
from ocusam.workflows.overlay_video import write_overlay
from ocusam.workflows.settings import PromptsLike, RunSettings, as_prompts


def track(
    video: Any,
    prompts: PromptsLike,
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
            px of the whole picture, frame 0 unless said otherwise. Any names.
        model: a model's name, a `Sam2Config`, or a ready video predictor.
        weights: a checkpoint file; None for the packaged weights of `nano`.
        device: where the network runs.
        out: folder to write (`run.json`, `masklets/`, `overlay.mp4`), or None to keep the masks in memory.
        settings: further options.
        progress: called after every frame with (done, in all or None, what).

    Returns:
        The masks of every object on every frame.

    Raises:
        OcusamError: a family of errors a user can mend; nothing half-written is left.
    """
    settings = settings or RunSettings(views="none")
    job = prepare(
        video, as_prompts(prompts), model=model, weights=weights, device=device, out=out, settings=settings
    )

    def finish(tracked: Tracked) -> None:
        if job.folder is not None and settings.overlay:
            write_overlay(
                job.folder.file("overlay.mp4"),
                job.source,
                tracked.masklets,
                None,
                num_frames=tracked.num_frames,
                progress=progress,
            )

    tracked = run(job, lambda objects: None, finish, progress=progress)
    assert tracked.masklets is not None or not settings.masklets
    return tracked.masklets if tracked.masklets is not None else Masklets.empty(job.source.size)
