"""Measuring and packing masks in a thread of its own, a few frames behind the tracker.

Purpose: the part of the pipeline after tracking. `Measuring` takes the steps of a pass as the tracker makes
them and hands back, in the same order, what was measured.

Notable choices: one thread, so rows come in the order of tracking; never more than a few frames wait, because
who hands in a step takes back another. An error in measuring is raised by `take`, where its frame would have
come. Where it pays another program measures (`other_process`): frames are sent there as they are handed in,
and the thread only waits for the answers.

What it does not know: files, memories, when the tracker may run ahead (`going` decides that).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.workflows.session.other_process import OtherProcess
from ocusam.workflows.session.passes import Step

BEHIND = 3
"""Frames that may be tracked and not yet measured."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One step, measured.

    Attributes:
        step: as tracked.
        shapes: by view, what was measured, by object, px of the whole picture.
        masks: by view, the rows of its masks.
    """

    step: Step
    shapes: list[Mapping[str, Ellipse]]
    masks: list[list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Apart:
    """`on_frame` in two halves.

    Attributes:
        measure: keeps nothing; it and what it returns can be pickled.
        keep: keeps what that returned.
        beside: how many things as large as an object are measured beside the objects.
    """

    measure: Callable[[list[ObjectFrame]], Any]
    keep: Callable[[list[ObjectFrame], Any], Mapping[str, Ellipse]]
    beside: int = 0


class Measuring:
    """Context manager.

    Args:
        on_frame: measures all objects of one view on one frame; called in the thread.
        pack: makes rows of their masks; likewise.
        apart: the same as `on_frame`, its first half to be done by another program; None: all is done here.

    Attributes:
        failed: measuring failed on some frame; what comes after it is lost.
    """

    def __init__(
        self,
        on_frame: Callable[[list[ObjectFrame]], Mapping[str, Ellipse]],
        pack: Callable[[list[ObjectFrame]], list[tuple[Any, ...]]],
        apart: Apart | None = None,
    ) -> None:
        self._on_frame, self._pack, self._apart = on_frame, pack, apart
        self._other = None if apart is None else OtherProcess(apart.measure)
        self._pool = ThreadPoolExecutor(1, "ocusam-measure")
        self._waiting: deque[Future[Measured]] = deque()
        self.failed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self, step: Step) -> None:
        """Hand in a step."""
        asked = None if self._other is None else [self._other.ask(objects) for objects in step.views]
        self._waiting.append(self._pool.submit(self._measure, step, asked))

    def take(self) -> Measured:
        """The oldest step that was handed in and not taken back."""
        try:
            return self._waiting.popleft().result()
        except BaseException:
            self.failed = True
            raise

    def _measure(self, step: Step, asked: Sequence[Callable[[], Any]] | None) -> Measured:
        if asked is None or self._apart is None:
            shapes = [self._on_frame(objects) for objects in step.views]
        else:
            keep = self._apart.keep
            shapes = [keep(objects, answer()) for objects, answer in zip(step.views, asked, strict=True)]
        return Measured(step, shapes, [self._pack(objects) for objects in step.views])

    def __enter__(self) -> Measuring:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._other is not None:
            self._other.close()
