"""Go back to any frame of a finished run and correct it: `ocusam correct` and `ocusam.correct`.

Purpose: a click on frame 5,000 of a run that is done. The memories of the frames around it are made again
(`recreate`), the click is answered with them, as the video predictor does, and becomes a conditioning memory;
from there the object is tracked anew, forward, backward or both, over as much of the video as is wanted.

Notable choices: a correction is further passes of the same session, so it survives a kill as a run does
(`resume`) and is appended: until it is done the old masks are there. Only the corrected objects are tracked
anew. Frames outside `first` to `last` are trusted and stay. By default a pass ends where its masks meet the
old ones (`meeting`). With `stop_iou=None` the result equals that of a predictor which kept everything in
memory and was corrected in the same way (`add_all_frames_to_correct_as_cond=True`, `memory_window=None`).
The prompts go to `prompts.json`, so that a later run from the beginning has them; there they are known from
the first frame on, and frames before the correction see it too.

What it does not know: objects that the run did not follow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocusam.core.errors import InputError, OutputError, PromptError
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt, PromptPack, check_inside
from ocusam.engines.choice import TORCH
from ocusam.tracking.session import VideoSession
from ocusam.tracking.snapshot import put
from ocusam.workflows.eye import EyeWork
from ocusam.workflows.inputs.frame_times import open_timed
from ocusam.workflows.inputs.input_size import FINE
from ocusam.workflows.inputs.prompt_pack import FILE_NAME, prompt_to_json, read_json, write_json
from ocusam.workflows.inputs.prompt_tables import as_pack
from ocusam.workflows.inputs.settings import FLOAT32, PromptsLike, RunSettings
from ocusam.workflows.inputs.zoom import zoomed
from ocusam.workflows.session.clock_record import settings_of_record
from ocusam.workflows.session.follow import Progress, Tracker
from ocusam.workflows.session.going import go_on
from ocusam.workflows.session.job import Job, Tracked, Work, conclude, input_record, open_session
from ocusam.workflows.session.meeting import STOP_IOU
from ocusam.workflows.session.models import open_predictor
from ocusam.workflows.session.passes import Pass
from ocusam.workflows.session.recreate import Recreation
from ocusam.workflows.session.resume import SessionLog, check_same, read_record
from ocusam.workflows.session.run_folder import RunFolder, input_of_run, now
from ocusam.workflows.session.session_files import Cadence, SessionFiles
from ocusam.workflows.track import TrackWork

DIRECTIONS = ("forward", "backward", "both")


@dataclass(frozen=True)
class CorrectSettings:
    """What a correction may change.

    Attributes:
        direction: "forward", "backward" or "both", from the corrected frame.
        first, last: frames before and after these are trusted and stay; None: the whole video.
        stop_iou: end a pass where its masks meet the old ones, by this IoU (`meeting`); None: never.
    """

    direction: str = "forward"
    first: int | None = None
    last: int | None = None
    stop_iou: float | None = STOP_IOU

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise PromptError(f"Unknown direction {self.direction!r}; give one of {', '.join(DIRECTIONS)}.")
        if self.stop_iou is not None and not 0 < self.stop_iou <= 1:
            raise PromptError(f"stop_iou={self.stop_iou}: give an IoU above 0 and at most 1, or None.")


@dataclass(frozen=True, eq=False)
class Correction:
    """What a correction did.

    Attributes:
        folder: the run.
        replayed: frames tracked once more to make memories again; nothing of theirs was changed.
        retracked: frames (each view counted) that have new masks.
        encoded: pictures that went through the image encoder for both together.
        seconds: all in all.
    """

    folder: Path
    replayed: int
    retracked: int
    encoded: int
    seconds: float


def correct(
    folder: str | Path,
    prompts: PromptsLike | PromptPack | Path | None = None,
    *,
    settings: CorrectSettings | None = None,
    video: Any = None,
    model: Any = None,
    weights: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Correction:
    """Correct a finished run and bring its files up to date.

    Args:
        folder: of `track_eye` or `track`.
        prompts: as for those, on the frames to be corrected: "pupil:120,80@5000"; px of the whole picture.
            None: finish a correction that was broken off.
        settings: where the correction may reach.
        video: None: the file that the run was made from.
        model, weights, device: None: those of the run. A run with a ready predictor needs it again.
        progress: called after every frame with (done, None, what).

    Raises:
        PromptError: an object that the run does not follow, a click outside the picture, or a range without
            the corrected frame.
        InputError: no run, another video, or snapshots that are gone.
        OutputError: the run is not finished.
        OcusamError: the family; what was computed is kept, and the message says how to go on.
    """
    started = time.perf_counter()
    settings = settings or CorrectSettings()
    with ExitStack() as stack:
        job = _reopen(Path(folder), stack, video, model, weights, device)
        pack = as_pack(prompts)
        eye = job.folder is not None and job.folder.record.get("job") == "eye"
        work: Work = EyeWork(job.settings.glints) if eye else TrackWork()
        cadence = Cadence(job.settings.chunk_frames, job.settings.snapshot_frames, job.settings.masklets)
        assert job.folder is not None
        files = SessionFiles(job.folder.file("masklets"), job.source.size, cadence, work.rows)
        tracker, replayed = _begin(job, files, pack, settings)
        stack.enter_context(job.folder)
        before = files.log.steps
        seconds = time.perf_counter() - started
        go_on(tracker, files, work.on_frame, progress=progress)
        tracked: Tracked = conclude(job, work, files, seconds, before, progress)
    sessions = [state for state in tracker.states.values() if isinstance(state, VideoSession)]
    return Correction(
        Path(folder),
        replayed,
        tracked.steps,
        sum(session.encoded for session in sessions),
        time.perf_counter() - started,
    )


def _reopen(
    folder: Path, stack: ExitStack, video: Any, model: Any, weights: str | Path | None, device: str | None
) -> Job:
    """The job that a folder's record describes."""
    old = read_record(folder)
    if old is None:
        raise InputError(f"{folder} holds no run (run.json).")
    if SessionLog.read(folder / "masklets") is None:
        raise InputError(
            f"{folder} holds no session to correct (masklets/session.json). Those of `ocusam camera` have "
            "none, since their pictures are gone."
        )
    if video is None:
        video, places = input_of_run(old, folder)
        if not places:
            raise InputError("The run was not made from a file: give the video again.")
        if video is None:
            raise InputError(
                f"The video of the run in {folder} is not (or no longer the same) at "
                f"{' or '.join(map(str, places))}: say where it is, with --video."
            )
    known = old["model"]
    if model is None and known["weights"] is None:
        raise InputError("The run was made with a ready predictor: give it again as model.")
    settings = settings_of_record(old, folder)
    source = open_timed(video, settings)
    stack.callback(source.close)
    opened = open_predictor(
        known["model"] if model is None else model,
        known["weights"] if weights is None and model is None else weights,
        device or known.get("device", "cpu"),
        RunSettings(
            dtype=known.get("dtype", FLOAT32),
            size=known.get("image_size", FINE),
            compiled=known.get("compiled", False),
            engine=known.get("engine", TORCH),
        ),
    )
    record = {**old, "input": input_record(video, source, folder, settings), "model": opened.record}
    check_same(folder, old, record, prompts_given=False)
    whole = [View(i, (x0, y0, x1, y1)) for i, (x0, y0, x1, y1) in enumerate(old["views"])]
    views = zoomed(whole, settings.zoom)
    pack = read_json(folder / FILE_NAME)
    ended = ("status", "finished", "stopped", "reason")
    kept = {key: value for key, value in old.items() if key not in ended}
    run_folder = RunFolder(folder, {**kept, "corrected": now()}, going_on=True)
    return Job(source, list(pack.prompts), views, opened, settings, run_folder, pack.references)


def _begin(job: Job, files: SessionFiles, pack: PromptPack, settings: CorrectSettings) -> tuple[Tracker, int]:
    """Apply the prompts and lay out the passes; they count from here on. Returns the tracker and the number
    of frames that were tracked again for it."""
    assert files.folder is not None and job.folder is not None
    log = SessionLog.read(files.folder)
    assert log is not None, "looked for when the run was opened"
    if not pack:
        if log.finished:
            raise PromptError("Nothing to correct: give a point, for example --point pupil:120,80@5000.")
        return open_session(job, files), 0
    if not log.finished:
        raise OutputError(
            f"The run in {job.folder.path} is not finished: go on with it first (the same command and "
            "--resume; `ocusam correct` without points for a correction)."
        )
    if pack.references:
        raise PromptError("A correction takes prompts on frames of the video, no reference pictures.")
    files.reopen(log)
    tracker = Tracker(job.source, job.model.predictor, job.views, job.references)
    check_inside(pack.prompts, job.source.size, log.frames)
    _check(log, pack.prompts, settings)
    by_view = tracker.by_view(pack.prompts)
    again = Recreation(tracker, files)
    for view, prompts in sorted(by_view.items()):
        _answer(again, view, prompts, settings)
        log.passes += _passes(view, prompts, settings, len(log.corrections) + 1, log.ahead)
    log.way = next(i for i, way in enumerate(log.passes) if way.correction == len(log.corrections) + 1)
    log.corrections.append({**settings.__dict__, "prompts": [prompt_to_json(p) for p in pack.prompts]})
    # First what people keep, then what makes the correction count.
    known = PromptPack(tuple(job.prompts), job.references, job.source.size)
    write_json(job.folder.path, known.with_prompts(pack.prompts))
    files.commit(tracker.states)
    return tracker, again.replayed


def _check(log: SessionLog, prompts: Sequence[ObjectPrompt], settings: CorrectSettings) -> None:
    names = sorted({name for way in log.passes for own in way.objects.values() for name in own})
    for prompt in prompts:
        if prompt.name not in names:
            raise PromptError(
                f"The run does not follow {prompt.name!r}; it follows {', '.join(names)}. A new object needs "
                "a run of its own."
            )
        low, high = settings.first or 0, log.frames - 1 if settings.last is None else settings.last
        if not low <= prompt.frame_idx <= high:
            raise PromptError(
                f"The corrected frame {prompt.frame_idx} lies outside the frames {low} to {high} that may "
                "change."
            )


def _answer(again: Recreation, view: int, prompts: Sequence[ObjectPrompt], settings: CorrectSettings) -> None:
    """Put the memories around the prompts into the view's session, and enter the prompts."""
    tracker, names = again.tracker, list(dict.fromkeys(p.name for p in prompts))
    for name in names:
        if again.owner(view, name, next(p.frame_idx for p in prompts if p.name == name)) is None:
            raise PromptError(f"The run does not follow {name!r} in view {view}.")
    if _tied(tracker.predictor):  # objects that see each other cannot be corrected one by one
        names = list(dict.fromkeys(n for way in again.files.log.passes for n in way.objects.get(view, ())))
    memories = again.memories(view, names, _needed(again, view, prompts, settings))
    for memory in memories:
        for prompt in prompts:
            owner = again.owner(view, str(memory.obj_id), prompt.frame_idx)
            if owner is not None:
                reverse = again.files.log.passes[owner].reverse
                memory.tracked.append((prompt.frame_idx, prompt.frame_idx, reverse))
    put(tracker.state(view), memories)
    with _lasting(tracker.predictor):
        tracker.enter(view, prompts)


def _needed(
    again: Recreation, view: int, prompts: Sequence[ObjectPrompt], settings: CorrectSettings
) -> set[int]:
    """Frames whose memories the answers and the first frames of the passes ask for."""
    reach = again.tracker.predictor.model.config  # type: ignore[attr-defined]
    far = max(reach.memory_temporal_stride_for_eval * reach.num_maskmem, reach.max_obj_ptrs_in_encoder)
    frames: set[int] = set()
    for prompt in prompts:
        frame = prompt.frame_idx
        owner = again.owner(view, prompt.name, frame)
        assert owner is not None
        reverse = again.files.log.passes[owner].reverse
        # A forward pass overwrites what follows before a backward pass asks for it, unless it ends too soon.
        short = settings.last is not None and settings.last + again.files.log.ahead < frame + far
        after = settings.direction == "backward" or (settings.direction == "both" and short)
        before = settings.direction != "backward"
        frames |= set(range(frame - far, frame + 1)) if before or not reverse else {frame}
        frames |= set(range(frame, frame + far + 1)) if after or reverse else {frame}
    return {frame for frame in frames if frame >= 0}


def _passes(
    view: int, prompts: Sequence[ObjectPrompt], settings: CorrectSettings, number: int, ahead: int
) -> list[Pass]:
    """The ways to go for one view."""
    low, high = (f(p.frame_idx for p in prompts) for f in (min, max))
    objects = {view: list(dict.fromkeys(p.name for p in prompts))}
    last = None if settings.last is None else settings.last + ahead
    forward = Pass(False, {view: low}, objects, last, number, settings.stop_iou)
    if settings.direction == "backward":
        forward = replace(forward, last=high, stop_iou=None)
    first = None if settings.first is None else settings.first + ahead
    backward = Pass(True, {view: low}, objects, first, number, settings.stop_iou)
    return [forward] if settings.direction == "forward" or low == 0 else [forward, backward]


def _tied(predictor: Any) -> bool:
    """Whether a predictor's objects depend on each other."""
    return bool(predictor.non_overlap_masks or predictor.model.config.non_overlap_masks_for_mem_enc)


@contextmanager
def _lasting(predictor: Any) -> Iterator[None]:
    """While it lasts, prompts on tracked frames become conditioning memories."""
    before = predictor.add_all_frames_to_correct_as_cond
    predictor.add_all_frames_to_correct_as_cond = True
    try:
        yield
    finally:
        predictor.add_all_frames_to_correct_as_cond = before
