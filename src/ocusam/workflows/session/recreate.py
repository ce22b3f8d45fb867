"""The tracker's memories around any frame of a finished session, made again from what is stored.

Purpose: a correction needs the memories of the frames around it as they were. Keeping all would take half a
megabyte a frame and object with the published networks; kept are snapshots every few frames, and between them
frames are tracked again.

Notable choices: a frame belongs to the pass that tracked an object on it last. It is tracked again from the
nearest snapshot before it *in that pass*, with the prompts known then and the objects that shared the network
then, so that the memories come out with the same bits. Clicks that the tracker entered by itself on the way
(`session.lookout`) are entered again.

What it does not know: why they are wanted (`correct`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ocusam.core.errors import InputError
from ocusam.tracking.memory_bank import MemoryEntry
from ocusam.tracking.session import VideoSession
from ocusam.tracking.snapshot import TrackMemory, put
from ocusam.workflows.session.follow import Tracker
from ocusam.workflows.session.lookout import PUPIL, enter_again, forgotten
from ocusam.workflows.session.memory_files import read_snapshot
from ocusam.workflows.session.passes import walk
from ocusam.workflows.session.session_files import SessionFiles


class Recreation:
    """Makes memories of one session again.

    Args:
        tracker: its states are used, and hold anything afterwards.
        files: the session, reopened.

    Attributes:
        replayed: frames that were tracked again so far.
    """

    def __init__(self, tracker: Tracker, files: SessionFiles) -> None:
        self.tracker, self.files = tracker, files
        self.replayed = 0

    def owner(self, view: int, name: str, frame: int) -> int | None:
        """Index of the pass that tracked an object on a frame last; None where none did."""
        log = self.files.log
        for index in range(len(log.passes) - 1, -1, -1):
            way = log.passes[index]
            if name not in way.objects.get(view, ()):
                continue
            frames = [f for c in log.chunks if c.way == index for f in (c.first, c.last)]
            # A backward pass begins by tracking the frame again that it starts from.
            frames += [way.starts[view]] if way.reverse and frames else []
            if frames and min(frames) <= frame <= max(frames):
                start = way.starts[view]
                if frame <= start if way.reverse else frame >= start:
                    return index
        return None

    def memories(self, view: int, names: Iterable[str], frames: Iterable[int]) -> list[TrackMemory]:
        """Objects with all their prompted memories and those of some tracked frames.

        Raises:
            InputError: the snapshots that are needed are gone.
        """
        out = {name: TrackMemory(name) for name in names}
        gone = forgotten(self.files.log.recoveries, view)
        for of_view, name, frame, entry in self.files.prompted.entries:
            if of_view != view or name not in out:
                continue
            if name == PUPIL and frame in gone:
                gone.remove(frame)  # the tracker's own click; another on that frame is a correction's
                continue
            out[name].conditioning[frame] = entry
        wanted: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for frame in sorted(frames):
            for name, memory in out.items():
                index = self.owner(view, name, frame)
                if index is not None and frame not in memory.conditioning:
                    wanted[index][name].append(frame)
        for index, by_name in wanted.items():
            found = self._replay(index, view, by_name)
            for name in by_name:
                out[name].recent.update(found[name])
        for memory in out.values():
            memory.recent = dict(sorted(memory.recent.items()))
        return list(out.values())

    def _replay(
        self, index: int, view: int, by_name: dict[str, list[int]]
    ) -> dict[str, dict[int, MemoryEntry]]:
        """Track some frames of a pass again; returns their memories."""
        way = self.files.log.passes[index]
        every = [frame for frames in by_name.values() for frame in frames]
        first, last = (max(every), min(every)) if way.reverse else (min(every), max(every))
        after, memories = self._snapshot_before(index, view, first)
        state = self.tracker.state(view)
        put(state, memories)
        assert isinstance(state, VideoSession)
        alone = replace(way, starts={view: way.starts[view]}, last=last, stop_iou=None)
        log = self.files.log
        clicks = [r for r in log.recoveries if r["view"] == view and r["way"] == index]
        clicked = {int(r["frame"]) for r in clicks}
        for step in walk(self.tracker.predictor, {view: state}, self.tracker.views, alone, after):
            self.replayed += 1
            if step.frame in clicked:
                enter_again(state, clicks, step.frame, self.files.prompted.first(view, PUPIL, step.frame))
        out = {}
        for name, frames in by_name.items():
            found = {frame: state.objects[name].bank.get(frame) for frame in frames}
            out[name] = {frame: entry for frame, entry in found.items() if entry is not None}
        return out

    def _snapshot_before(self, index: int, view: int, frame: int) -> tuple[int | None, list[TrackMemory]]:
        """The nearest snapshot of a pass before it tracked a frame: after which frame, and its memories."""
        log, folder = self.files.log, self.files.folder
        assert folder is not None
        reverse = log.passes[index].reverse
        for number in range(len(log.chunks) - 1, -1, -1):
            chunk = log.chunks[number]
            path = folder / f"memory_{number:05d}.safetensors"
            if chunk.way != index or not path.exists():
                continue
            for taken in reversed(chunk.snapshots):
                if taken is None or (taken > frame if reverse else taken < frame):
                    name = "begin" if taken is None else str(taken)
                    memories = read_snapshot(path, name, self.files.prompted)
                    if view in memories:
                        return taken, memories[view]
        raise InputError(
            f"The memories around frame {frame - log.ahead} cannot be made again: the snapshots of that part "
            f"({folder / 'memory_*.safetensors'}) are gone. Run again with all prompts (prompts.json)."
        )
