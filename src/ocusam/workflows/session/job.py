"""What every tracking job does around its own measurements: check, open, loop, keep the masks, write the
folder.

Purpose: `prepare` refuses bad input before anything is written; `run` goes through the video and hands each
frame's objects to the job's `Work`.

Notable choices: cheap checks come before the network is built. Memory does not grow with the video: masks and
rows go to chunks, pictures are dropped. A video that breaks off is tracked as far as it decodes, and the
record says how far that was. With `settings.resume` a run goes on where it stands (`resume`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import polars as pl
import torch

from ocusam.core.errors import InputError, OcusamError, PromptError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt, PromptPack, ReferencePicture, check_inside, check_names
from ocusam.core.version import __version__
from ocusam.eye.long_rows import LongRows
from ocusam.tracking.ahead import threads_of_tracking
from ocusam.tracking.snapshot import put
from ocusam.video.source import VideoSource
from ocusam.workflows.find.clicks import ClearClicks
from ocusam.workflows.inputs.frame_times import open_timed
from ocusam.workflows.inputs.prompt_pack import FILE_NAME, read_json, write_json
from ocusam.workflows.inputs.settings import RunSettings, with_cross_negatives
from ocusam.workflows.inputs.views import plan_views, split_prompts
from ocusam.workflows.inputs.zoom import zoomed
from ocusam.workflows.session.clock_record import clock_record
from ocusam.workflows.session.follow import NO_PROMPT, Progress, Tracker
from ocusam.workflows.session.going import go_on, with_how_to_go_on
from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.measuring import Apart
from ocusam.workflows.session.models import OpenedModel, open_predictor
from ocusam.workflows.session.other_process import FEWEST_FRAMES, FEWEST_MEASURED
from ocusam.workflows.session.recovered import told
from ocusam.workflows.session.resume import SessionLog, check_same, read_record
from ocusam.workflows.session.run_folder import RunFolder, check_free, describe_input, now
from ocusam.workflows.session.session_files import Cadence, SessionFiles


@dataclass(frozen=True)
class Kind:
    """What sort of job it is.

    Attributes:
        name: the command, as `run.json` tells it.
        known_names: names that objects may have; None: any.
        pattern: further names, a regular expression.
    """

    name: str
    known_names: tuple[str, ...] | None = None
    pattern: str | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """A checked job, ready to run; `views` are narrowed where there is zoom, `clear` says what its clicks
    mean."""

    source: VideoSource
    prompts: list[ObjectPrompt]
    views: list[View]
    model: OpenedModel
    settings: RunSettings
    folder: RunFolder | None
    references: tuple[ReferencePicture, ...] = ()
    clear: ClearClicks | None = None


@dataclass(frozen=True, eq=False)
class Tracked:
    """What the loop leaves behind.

    Attributes:
        masklets: the masks (None when not kept).
        rows: what was measured, one row per frame, view and object (None when nothing is), read from the
            disk when asked for, since hours of rows are large.
        num_frames: frames tracked (each counted once, whatever the number of views).
        truncated: the video announced more frames than could be read.
        seconds: time in the loop, of this call.
        steps: pictures tracked in this call, each view counted.
        recoveries: clicks that the tracker entered by itself (`session.lookout`).
    """

    masklets: Masklets | None
    rows: LongRows | None
    num_frames: int
    truncated: bool
    seconds: float
    steps: int
    recoveries: list[dict[str, Any]] = field(default_factory=list)


class Work(Protocol):
    """What a kind of job does with what is tracked. It keeps nothing between frames but the rows that wait:
    a run that goes on in another process must come to the same. A frame may come twice; the second time
    counts."""

    def on_frame(self, objects: list[ObjectFrame]) -> Mapping[str, Ellipse]:
        """Measure all objects of one view on one frame. Returns shapes by name, px of the whole picture."""

    def apart(self) -> Apart | None:
        """`on_frame` in two halves; None where nothing is measured."""

    def rows(self) -> pl.DataFrame | None:
        """What was measured since the last call, with the columns `masklets.KEY`; None: never anything."""

    def finish(self, job: Job, tracked: Tracked, progress: Progress | None) -> None:
        """Write the results into the folder, which is still open. May run again, with the same outcome."""


def prepare(
    video: Any,
    prompts: Sequence[ObjectPrompt] | PromptPack,
    *,
    model: Any,
    weights: str | Path | None,
    device: str,
    out: str | Path | None,
    settings: RunSettings,
    kind: Kind,
) -> Job:
    """Check everything a user can get wrong, then open source and network.

    Args:
        video: anything `video.reader.open_video` takes.
        prompts: what to track, px of the whole picture; in a pack with annotated pictures shown before it.
        model, weights, device: see `models.open_predictor`.
        out: folder to write, or None.
        settings: options.
        kind: what sort of job it is.

    Raises:
        OcusamError: the family; nothing has been written.
    """
    old = None
    if out is not None and settings.resume:
        old = read_record(Path(out))
    if out is not None and old is None:
        check_free(Path(out))
    pack = prompts if isinstance(prompts, PromptPack) else PromptPack(tuple(prompts))
    given = bool(pack)
    if out is not None and old is not None and not given:
        pack = read_json(Path(out) / FILE_NAME)
    if not pack:
        raise PromptError(NO_PROMPT)
    if kind.known_names is not None:
        shown = [prompt for reference in pack.references for prompt in reference.prompts]
        check_names([*pack.prompts, *shown], kind.known_names, pattern=kind.pattern)
    source = open_timed(video, settings)
    try:
        whole = plan_views(source.size, settings.views)
        views = zoomed(whole, settings.zoom)
        pack.check_size(source.size)
        check_inside(pack.prompts, source.size, source.num_frames)
        split_prompts(pack.prompts, views)  # refuses what points at a place that is not tracked
        if settings.cross_negatives:
            pack = replace(
                pack,
                prompts=tuple(with_cross_negatives(list(pack.prompts))),
                references=tuple(
                    replace(r, prompts=tuple(with_cross_negatives(list(r.prompts)))) for r in pack.references
                ),
            )
        opened = open_predictor(model, weights, device, settings)
    except BaseException:
        source.close()
        raise
    folder = None
    if out is not None:
        record = {
            "job": kind.name,
            "input": input_record(video, source, Path(out), settings),
            "model": opened.record,
            "prompts": [p.to_dict() for p in pack.prompts],
            "references": [
                {
                    "name": r.name,
                    "size_hw": list(r.image.shape[:2]),
                    "prompts": [p.to_dict() for p in r.prompts],
                }
                for r in pack.references
            ],
            "views": [list(v.region) for v in whole],
            "settings": settings.to_dict(),
        }
        folder = _open_folder(Path(out), record, old, given, source)
    return Job(source, list(pack.prompts), views, opened, settings, folder, pack.references)


def input_record(video: Any, source: VideoSource, folder: Path, settings: RunSettings) -> dict[str, Any]:
    """What the `run.json` of a `folder` says of the input, by which it is known again."""
    return {
        **describe_input(video, folder),
        "size_hw": list(source.size),
        "fps": source.fps,
        "frames_announced": source.num_frames,
        **clock_record(settings, source, folder),
    }


def _open_folder(
    out: Path, record: dict[str, Any], old: dict[str, Any] | None, given: bool, source: VideoSource
) -> RunFolder:
    if old is None:
        return RunFolder(out, record)
    try:
        check_same(out, old, {"ocusam": __version__, **record}, given)
    except BaseException:
        source.close()
        raise
    ended = ("status", "finished", "stopped", "reason")
    kept = {key: value for key, value in old.items() if key not in ended}
    settings = {"settings": record["settings"], "resumed": [*old.get("resumed", []), now()]}
    return RunFolder(out, {**kept, **settings}, going_on=True)


def run(job: Job, work: Work, *, progress: Progress | None = None) -> Tracked:
    """Track the whole video, or the rest of it.

    Args:
        job: from `prepare`.
        work: what is done with what is tracked.
        progress: called after every frame with (done, in all, what).

    Raises:
        OcusamError: the family. Where nothing was computed, the folder holds nothing of this run then; else
            what is done stays, and the message says how to go on.
        KeyboardInterrupt: likewise.
    """
    cores = torch.get_num_threads()
    with ExitStack() as stack:
        stack.callback(job.source.close)
        # Its own threads would only take the cores from those that track and measure: all pictures are small.
        stack.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(1)
        stack.enter_context(threads_of_tracking(getattr(job.model.predictor, "model", None), job.source))
        chunks = None
        if job.folder is not None:
            stack.enter_context(job.folder)
            chunks = job.folder.file("masklets")
        cadence = Cadence(job.settings.chunk_frames, job.settings.snapshot_frames, job.settings.masklets)
        files = SessionFiles(chunks, job.source.size, cadence, work.rows)
        tracker = open_session(job, files)
        started, before = time.perf_counter(), files.log.steps
        count, views = job.source.num_frames, len(files.log.passes[0].starts)
        total = None if count is None else count * views
        try:
            recover = job.settings.recover
            apart = work.apart()
            if apart is not None and not (cores > 1 and _pays(files.log, total, apart.beside)):
                apart = None
            go_on(tracker, files, work.on_frame, progress=progress, total=total, recover=recover, apart=apart)
        finally:
            if job.folder is not None:
                job.folder.computed = job.folder.computed or bool(files.log.chunks)
        return conclude(job, work, files, time.perf_counter() - started, before, progress)


def _pays(log: SessionLog, total: int | None, beside: int) -> bool:
    """Whether so much is to be measured that another program pays for itself."""
    if total is None:
        return False
    objects, frames = beside + sum(len(names) for names in log.passes[0].objects.values()), total - log.steps
    return frames >= FEWEST_FRAMES and objects * frames >= FEWEST_MEASURED


def open_session(job: Job, files: SessionFiles) -> Tracker:
    """A tracker at the place where the job's session stands: at its beginning, or where it was left."""
    tracker = Tracker(job.source, job.model.predictor, job.views, job.references)
    log = SessionLog.read(files.folder) if files.folder is not None else None
    memories = files.reopen(log) if log is not None else {}
    if any(memories.values()):
        for view, memory in memories.items():
            put(tracker.state(view), memory)
        return tracker
    if job.folder is not None and log is None:
        write_json(job.folder.path, PromptPack(tuple(job.prompts), job.references, job.source.size))
    passes = tracker.begin(job.prompts, job.clear)
    if job.clear is not None and job.folder is not None:
        corners = {view.index: view.region[:2] for view in job.views}
        job.folder.record["clicks"] = job.clear.in_video(corners, tracker.ahead)
        job.folder.write_json("run.json", job.folder.record)
    if log is None:
        files.begin(SessionLog(ahead=tracker.ahead, passes=passes))
    return tracker


def conclude(
    job: Job,
    work: Work,
    files: SessionFiles,
    seconds: float,
    steps_before: int,
    progress: Progress | None,
) -> Tracked:
    """Sum up, let the job write its results, and note the figures in the record."""
    log = files.log
    if not log.frames:
        raise InputError("The video has no frame that could be tracked.")
    try:
        files.compact()
        steps = log.steps - steps_before
        tracked = Tracked(
            files.masklets(), files.rows(), log.frames, log.truncated, seconds, steps, log.recoveries
        )
        work.finish(job, tracked, progress)
        if job.folder is not None:
            spent = float(job.folder.record.get("seconds", 0.0)) + tracked.seconds
            job.folder.record.update(
                frames=tracked.num_frames, truncated=tracked.truncated, seconds=round(spent, 2)
            )
            if log.recoveries:
                job.folder.record["recoveries"] = told(log.recoveries)
            if log.corrections:
                job.folder.record["corrections"] = log.corrections
        return tracked
    except (OcusamError, KeyboardInterrupt) as error:
        raise with_how_to_go_on(error, files) from None
