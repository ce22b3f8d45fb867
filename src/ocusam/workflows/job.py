"""What every tracking job does around its own measurements: check, open, loop, keep the masks, write the
folder.

Purpose: `prepare` refuses bad input before anything is written; `run` goes through the video and hands each
frame's objects to the job.

Notable choices: cheap checks come before the network is built. Memory does not grow with the video: masks go
to chunks, pictures are dropped. A video that breaks off is tracked as far as it decodes, and the record says
how far that was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocusam.core.errors import InputError, PromptError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt, check_inside, check_names
from ocusam.video.reader import open_video
from ocusam.video.source import VideoSource
from ocusam.workflows.follow import Progress, follow
from ocusam.workflows.masklets import Masklets, MaskletWriter
from ocusam.workflows.models import OpenedModel, open_predictor
from ocusam.workflows.run_folder import RunFolder, check_free, describe_input
from ocusam.workflows.settings import RunSettings, with_cross_negatives
from ocusam.workflows.views import plan_views


@dataclass(frozen=True, eq=False)
class Job:
    """A checked job, ready to run."""

    source: VideoSource
    prompts: list[ObjectPrompt]
    views: list[View]
    model: OpenedModel
    settings: RunSettings
    folder: RunFolder | None


@dataclass(frozen=True, eq=False)
class Tracked:
    """What the loop leaves behind.

    Attributes:
        masklets: the masks (None when not kept).
        num_frames: frames tracked (each counted once, whatever the number of views).
        truncated: the video announced more frames than could be read.
        seconds: time in the loop.
    """

    masklets: Masklets | None
    num_frames: int
    truncated: bool
    seconds: float


def prepare(
    video: Any,
    prompts: Sequence[ObjectPrompt],
    *,
    model: Any,
    weights: str | Path | None,
    device: str,
    out: str | Path | None,
    settings: RunSettings,
    known_names: tuple[Sequence[str], str] | None = None,
) -> Job:
    """Check everything a user can get wrong, then open source and network.

    Args:
        video: anything `video.reader.open_video` takes.
        prompts: what to track, px of the whole picture.
        model, weights, device: see `models.open_predictor`.
        out: folder to write, or None.
        settings: options.
        known_names: (names, pattern) that objects may have, or None for any.

    Raises:
        OcusamError: the family; nothing has been written.
    """
    if out is not None:
        check_free(Path(out))
    if not prompts:
        raise PromptError("Nothing to track: give at least one point, for example --point pupil:320,240.")
    if known_names is not None:
        check_names(prompts, known_names[0], pattern=known_names[1])
    source = open_video(video)
    try:
        views = plan_views(source.size, settings.views)
        check_inside(prompts, source.size, source.num_frames)
        if settings.cross_negatives:
            prompts = with_cross_negatives(list(prompts))
        opened = open_predictor(model, weights, device)
    except BaseException:
        source.close()
        raise
    folder = None
    if out is not None:
        record = {
            "input": {
                **describe_input(video),
                "size_hw": list(source.size),
                "fps": source.fps,
                "frames_announced": source.num_frames,
            },
            "model": opened.record,
            "prompts": [p.to_dict() for p in prompts],
            "views": [list(v.region) for v in views],
            "settings": settings.to_dict(),
        }
        folder = RunFolder(out, record)
    return Job(source, list(prompts), views, opened, settings, folder)


def run(
    job: Job,
    on_frame: Callable[[list[ObjectFrame]], None],
    finish: Callable[[Tracked], None],
    *,
    progress: Progress | None = None,
) -> Tracked:
    """Track the whole video.

    Args:
        job: from `prepare`.
        on_frame: called with all objects of one view on one frame, in order of tracking.
        finish: called once at the end, while the folder is still open for writing.
        progress: called after every frame with (done, in all, what).

    Raises:
        OcusamError: the family; the folder holds nothing of this run then.
    """
    with ExitStack() as stack:
        stack.callback(job.source.close)
        if job.folder is not None:
            stack.enter_context(job.folder)
        writer = None
        if job.settings.masklets:
            chunks = job.folder.file("masklets") if job.folder is not None else None
            writer = MaskletWriter(chunks, job.source.size, job.settings.chunk_frames)
        started, highest = time.perf_counter(), -1
        for objects in follow(job.source, job.prompts, job.model.predictor, job.views, progress=progress):
            highest = max(highest, objects[0].frame_idx)
            on_frame(objects)
            if writer is not None:
                writer.add(objects)
        if highest < 0:
            raise InputError("The video has no frame that could be tracked.")
        tracked = Tracked(
            writer.finish() if writer is not None else None,
            highest + 1,
            job.source.truncated,
            time.perf_counter() - started,
        )
        finish(tracked)
        if job.folder is not None:
            job.folder.record.update(
                frames=tracked.num_frames, truncated=tracked.truncated, seconds=round(tracked.seconds, 2)
            )
        return tracked
