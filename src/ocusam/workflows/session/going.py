"""Work through the passes of a session, from where it stands to the end.

Purpose: the loop between tracker, measurements and files, for runs and corrections alike; what happens when
it is broken off.

Notable choices: Ctrl-C ends the loop after the frame at hand, and a picture that cannot be read ends it
before the next; in both cases the frames since the last chunk are kept too. After any other failure the
session stands where its last whole chunk ended. Every such message says how to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ocusam.core.errors import InputError, OcusamError, OutputError
from ocusam.core.masklet import ObjectFrame
from ocusam.workflows.session.follow import Progress, Tracker
from ocusam.workflows.session.interrupt import deferred_interrupt
from ocusam.workflows.session.meeting import MEETING_FRAMES, Meeting
from ocusam.workflows.session.passes import Pass
from ocusam.workflows.session.resume import HOW_TO_FINISH, HOW_TO_GO_ON
from ocusam.workflows.session.session_files import SessionFiles

E = TypeVar("E", bound=BaseException)


def go_on(
    tracker: Tracker,
    files: SessionFiles,
    on_frame: Callable[[list[ObjectFrame]], None],
    *,
    progress: Progress | None = None,
    total: int | None = None,
) -> None:
    """Do all passes that are not done.

    Args:
        tracker: its states hold the memories with which the session stands.
        files: where results go; `files.log` says what is done and is kept up to date.
        on_frame: called with all objects of one view on one frame.
        progress: called after every frame and view with (done, total, what).
        total: frames and views in all, or None.

    Raises:
        OcusamError: the family; says how to go on where something is kept.
        KeyboardInterrupt: the user ended it; what is done is kept.
    """
    log = files.log
    try:
        with deferred_interrupt() as asked:
            while not log.finished:
                way = log.passes[log.way]
                if log.after is None:
                    files.pass_begins(_states(tracker, way))
                meeting = None if way.stop_iou is None else Meeting(files, way)
                for step in tracker.walk(way, log.after):
                    for objects in step.views:
                        on_frame(objects)
                        files.add(objects)
                        if progress is not None:
                            progress(log.steps, total, "tracking")
                    if meeting is not None:
                        log.agreed = meeting.count(step, log.agreed)
                    files.frame_done(step.frame, tracker.states)
                    if asked.is_set():
                        files.commit(tracker.states, whole=False)
                        raise KeyboardInterrupt
                    if log.agreed >= MEETING_FRAMES:
                        break
                log.truncated = log.truncated or tracker.source.truncated
                files.pass_ends(tracker.states)
    except InputError as error:
        with suppress(OutputError):
            files.commit(tracker.states, whole=False)
        raise with_how_to_go_on(error, files) from None
    except (OcusamError, KeyboardInterrupt) as error:
        raise with_how_to_go_on(error, files) from None


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
