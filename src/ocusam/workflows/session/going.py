"""Work through the passes of a session, from where it stands to the end.

Purpose: the loop between tracker, measurements and files, for runs and corrections alike; what happens when
it is broken off.

Notable choices: Ctrl-C ends the loop after the frame at hand, and a picture that cannot be read ends it
before the next; in both cases the frames since the last chunk are kept too. After any other failure the
session stands where its last whole chunk ended. Every such message says how to go on. A frame on which a lost
pupil was found again (`session.lookout`) is measured a second time; the later measurement counts.

The tracker runs a few frames ahead of the measuring (`measuring`), but never past a frame that could change
what it does: before a chunk is written, while a correction looks for its end, and while a pupil is lost, each
frame is measured before the next is tracked. So the order of threads changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from ocusam.core.errors import InputError, OcusamError, OutputError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.workflows.session.follow import Progress, Tracker
from ocusam.workflows.session.interrupt import deferred_interrupt
from ocusam.workflows.session.lookout import Lookout, can_recover
from ocusam.workflows.session.measuring import BEHIND, Apart, Measured, Measuring
from ocusam.workflows.session.meeting import MEETING_FRAMES, Meeting
from ocusam.workflows.session.passes import Pass, Step
from ocusam.workflows.session.resume import HOW_TO_FINISH, HOW_TO_GO_ON
from ocusam.workflows.session.session_files import SessionFiles

E = TypeVar("E", bound=BaseException)


def go_on(
    tracker: Tracker,
    files: SessionFiles,
    on_frame: Callable[[list[ObjectFrame]], Mapping[str, Ellipse]],
    *,
    progress: Progress | None = None,
    total: int | None = None,
    recover: bool = False,
    apart: Apart | None = None,
) -> None:
    """Do all passes that are not done.

    Args:
        tracker: its states hold the memories with which the session stands.
        files: where results go; `files.log` says what is done and is kept up to date.
        on_frame: called with all objects of one view on one frame; returns what it measured of them.
        progress: called after every frame and view with (done, total, what).
        total: frames and views in all, or None.
        recover: look again for pupils that are lost for longer than a blink, in the passes of the run.
        apart: `on_frame` in two halves, where the first is to be done by another program.

    Raises:
        OcusamError: the family; says how to go on where something is kept.
        KeyboardInterrupt: the user ended it; what is done is kept.
    """
    log = files.log
    with Measuring(on_frame, files.pack, apart) as measuring:
        try:
            with deferred_interrupt() as asked:
                while not log.finished:
                    way = log.passes[log.way]
                    if log.after is None:
                        files.pass_begins(_states(tracker, way))
                    watch = recover and not way.correction and can_recover(tracker.predictor)
                    lookout = Lookout(tracker, files, way) if watch else None
                    taking = _Taking(files, measuring, lookout, on_frame, progress, total)
                    _track(tracker, way, files, taking, asked)
                    log.truncated = log.truncated or tracker.source.truncated
                    log.watched = {}
                    files.pass_ends(tracker.states)
        except InputError as error:
            if not measuring.failed:
                with suppress(OutputError):
                    files.commit(tracker.states, whole=False)
            raise with_how_to_go_on(error, files) from None
        except (OcusamError, KeyboardInterrupt) as error:
            raise with_how_to_go_on(error, files) from None


def _track(tracker: Tracker, way: Pass, files: SessionFiles, taking: _Taking, asked: Event) -> None:
    """Track along a pass; measured frames are taken in behind the tracker, or at once where the next step
    depends on them."""
    log = files.log
    meeting = None if way.stop_iou is None else Meeting(files, way)
    try:
        for step in tracker.walk(way, log.after):
            taking.start(step)
            if meeting is not None:
                log.agreed = meeting.count(step, log.agreed)
            at_once = files.nearly_full or meeting is not None or asked.is_set()
            taking.until(0 if at_once or not taking.calm else BEHIND)
            files.frame_done(step.frame, tracker.states)
            if asked.is_set():
                taking.until(0)
                files.commit(tracker.states, whole=False)
                raise KeyboardInterrupt
            if log.agreed >= MEETING_FRAMES:
                break
    except InputError:
        if not taking.failed:  # a picture cannot be read: what was tracked before it counts
            taking.until(0)
        raise
    taking.until(0)


@dataclass(eq=False)
class _Taking:
    """Takes what was measured into the files, and shows it to the lookout."""

    files: SessionFiles
    measuring: Measuring
    lookout: Lookout | None
    on_frame: Callable[[list[ObjectFrame]], Mapping[str, Ellipse]]
    progress: Progress | None
    total: int | None

    @property
    def failed(self) -> bool:
        """Whether a frame could not be measured."""
        return self.measuring.failed

    @property
    def calm(self) -> bool:
        """Whether the lookout will not act on a frame that waits."""
        return self.lookout is None or self.lookout.calm(len(self.measuring))

    def start(self, step: Step) -> None:
        """Have a step measured."""
        self.measuring.start(step)

    def until(self, waiting: int) -> None:
        """Take in measured frames until at most so many wait."""
        while len(self.measuring) > waiting:
            self._take(self.measuring.take())

    def _take(self, measured: Measured) -> None:
        frame = measured.step.frame
        for tracked, shapes, masks in zip(measured.step.views, measured.shapes, measured.masks, strict=True):
            objects = tracked
            if self.lookout is not None:
                objects = self.lookout.see(frame, tracked, shapes)
            if objects is not tracked:
                self.on_frame(objects)
                masks = self.files.pack(objects)
            self.files.add(objects, masks)
            if self.progress is not None:
                self.progress(self.files.log.steps, self.total, "tracking")
        if self.lookout is not None:
            self.lookout.note()


def _states(tracker: Tracker, way: Pass) -> dict[int, object]:
    return {view: tracker.state(view) for view in way.starts}


def with_how_to_go_on(error: E, files: SessionFiles) -> E:
    """The same error, with what to do next, where something is kept."""
    if files.folder is None or not files.log.chunks:
        return error
    reason = "Interrupted." if isinstance(error, KeyboardInterrupt) else str(error)
    # While a correction is going on, the run's own command works too, but is not the one that was typed.
    how = HOW_TO_FINISH.format(files.folder.parent) if files.log.corrections else HOW_TO_GO_ON
    return type(error)(f"{reason} {how}")
