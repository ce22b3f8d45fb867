"""Looking again for a lost pupil while a session runs: `recovery` connected to tracker and log.

Purpose: `Lookout` is shown every frame of a run. When a view's pupil has been lost for longer than a blink
and is found again, it enters a click of its own, as a user would, and hands back the frame's new answer. What
it did stands in the session's log (`recoveries`), and from there in `run.json` and in the table.

Notable choices: the click is answered as a first click on that frame, without memories (they say that there
is no pupil, and the network's answer without them is the one that was checked), and becomes a conditioning
memory. Only the newest `KEPT` of them stay that: each costs time on every later frame, and hours of a bad
recording hold many. An older one is forgotten like any tracked frame. Frames before the click stay lost.

Only passes of a run are watched, not those of corrections: there the user is at work. The state is plain
values, kept in the log, so a run that was killed goes on the same. A correction needs the memories between
two snapshots again: `enter_again` repeats what was done, from the stored memory of the click.

What it does not know: iris and reflections, which come back by themselves or not; pupils that were lost
because the network outlines something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt
from ocusam.tracking.memory_bank import MemoryEntry
from ocusam.tracking.session import VideoSession
from ocusam.workflows.find.judge import judge_of
from ocusam.workflows.find.recovery import FoundAgain, Recovery, is_bright
from ocusam.workflows.session.follow import Tracker
from ocusam.workflows.session.outputs import objects_of
from ocusam.workflows.session.passes import Pass
from ocusam.workflows.session.session_files import SessionFiles

PUPIL = "pupil"
KEPT = 2


class Lookout:
    """Watches the pupils of all views during one pass.

    Args:
        tracker: at work on the pass.
        files: the session; its log knows how far the watching has come.
        way: the pass, the one that the log stands in.
    """

    def __init__(self, tracker: Tracker, files: SessionFiles, way: Pass) -> None:
        self._tracker, self._files, self._reverse = tracker, files, way.reverse
        self._judge = judge_of(tracker.predictor)
        self._watched = {int(v): Recovery.from_dict(state) for v, state in files.log.watched.items()}

    def see(self, frame: int, objects: list[ObjectFrame], shapes: Mapping[str, Ellipse]) -> list[ObjectFrame]:
        """Take in one view of one frame.

        Args:
            frame: the tracker's number of it.
            objects: as tracked.
            shapes: what was measured of them, px of the whole picture, by name.

        Returns:
            The same objects; others, as they are after the click, where a pupil was found again.
        """
        item = next((o for o in objects if o.name == PUPIL), None)
        if item is None or item.picture is None:
            return objects
        watch = self._watched.setdefault(item.view.index, Recovery())
        shape = shapes.get(PUPIL)
        if watch.bright is None and shape is not None:
            x0, y0 = item.view.region[:2]
            watch.bright = is_bright(item.picture, shape.translated(-x0, -y0))
        if watch.step(item.frame_idx, item.timestamp_ns, item.object_score, shape):
            found = watch.look(item.timestamp_ns, item.picture, self._judge)
            if found is not None:
                objects = self._enter(frame, item, found)
                watch.back()
        return objects

    def calm(self, waiting: int) -> bool:
        """Whether `see` will not look on any of the next frames, so many of each view."""
        return all(watch.lost_frames + waiting < watch.rules.lost_frames for watch in self._watched.values())

    def note(self) -> None:
        """Bring the log up to date, before it may be written."""
        self._files.log.watched = {str(view): watch.to_dict() for view, watch in self._watched.items()}

    def _enter(self, frame: int, item: ObjectFrame, found: FoundAgain) -> list[ObjectFrame]:
        """Click, and note it."""
        log, view = self._files.log, item.view
        before = _entered(log.recoveries, view.index, log.way)
        prompt = ObjectPrompt(PUPIL, frame, np.array([found.click]), np.array([1]))
        objects = click_afresh(self._tracker, view, prompt, reverse=self._reverse)
        state = self._tracker.state(view.index)
        if isinstance(state, VideoSession):
            bank = state.known_object(PUPIL).bank
            # Stored at once: it may be forgotten before the next snapshot.
            self._files.prompted.number(view.index, PUPIL, frame, bank.conditioning[frame])
            for old in before[: len(before) + 1 - KEPT]:
                bank.demote(old)
        (x, y), (x0, y0) = found.click, view.region[:2]
        told = {"frame_idx": item.frame_idx, "timestamp_ns": item.timestamp_ns, "view": view.index}
        about = {key: value for key, value in asdict(found).items() if key != "click"}
        log.recoveries.append(
            {**told, "object": PUPIL, "click": [x + x0, y + y0], **about, "way": log.way, "frame": frame}
        )
        return objects


def click_afresh(tracker: Tracker, view: View, prompt: ObjectPrompt, *, reverse: bool) -> list[ObjectFrame]:
    """Prompt an object on the frame that was just tracked as if nothing were known of it.

    Args:
        tracker: at work.
        view: where.
        prompt: a prompt in the tracker's frames and px of the view.
        reverse: the direction of tracking.

    Returns:
        All objects of the view on that frame, as they are now.
    """
    state, frame = tracker.state(view.index), prompt.frame_idx
    if isinstance(state, VideoSession):
        track = state.known_object(prompt.name)
        track.tracked.remove(frame)
        track.bank.recent.pop(frame, None)
    tracker.enter(view.index, [prompt])
    if isinstance(state, VideoSession):
        track.tracked.add(frame, reverse)
    output = tracker.predictor.frame_output(state, frame)  # type: ignore[attr-defined]
    return [replace(o, frame_idx=o.frame_idx - tracker.ahead) for o in objects_of(output, view)]


def enter_again(
    state: VideoSession, recoveries: Iterable[Mapping[str, Any]], frame: int, clicked: MemoryEntry
) -> None:
    """Do once more what a recovery did to the memories, when its frame was tracked again.

    Args:
        state: of the view.
        recoveries: those of the view and pass, in order.
        frame: the tracker's number of the frame, of one of them.
        clicked: the stored memory of the click.
    """
    bank = state.known_object(PUPIL).bank
    bank.add(frame, clicked.to(state.storage), conditioning=True)
    frames = [int(r["frame"]) for r in recoveries]
    for old in frames[: max(0, frames.index(frame) + 1 - KEPT)]:
        bank.demote(old)


def can_recover(predictor: Any) -> bool:
    """Whether a tracker can be asked for a frame's answer again, which a click needs; a stand-in may not."""
    return hasattr(predictor, "frame_output")


def forgotten(recoveries: list[dict[str, Any]], view: int) -> set[int]:
    """Frames (the tracker's numbers) whose clicks are conditioning memories no more at the end of a run."""
    out: set[int] = set()
    for way in {r["way"] for r in recoveries}:
        out |= set(_entered(recoveries, view, way)[:-KEPT])
    return out


def _entered(recoveries: list[dict[str, Any]], view: int, way: int) -> list[int]:
    return [int(r["frame"]) for r in recoveries if r["view"] == view and r["way"] == way]
