"""Measuring in a program of its own, beside the tracker's.

Purpose: measuring and tracking are both Python, and threads of one program take turns; with several objects
measuring takes longer than tracking. `OtherProcess` sends what was tracked on a frame to another Python and
gets back what was measured; `main` is what that one runs.

Notable choices: it is started by its command line and spoken to through its input and output, so nothing of
the caller's program is imported or forked there, on any system. It begins in the background; until it answers
for the first time, and if it ever fails or is ended, frames are measured here: the same function, the same
numbers. A thread of its own talks to it, so that one that hangs (stopped, starved) is ended after a while
instead of holding the run. It keeps nothing between frames. It does not hear Ctrl-C (the tracker's program
decides what is still measured) and ends when its input does, also when the tracker's program is killed. The
picture travels in grey: measuring looks at nothing else.

What it does not know: what is measured.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import IO, Any

import cv2
import numpy as np

from ocusam.core.masklet import ObjectFrame

Measure = Callable[[list[ObjectFrame]], Any]
FEWEST_OBJECTS, FEWEST_FRAMES = 3, 150
"""With fewer it would hardly pay for its start, .8 s of processor time."""
# It has ended, its pipe is closed, or what it sent cannot be read here.
_LOST = (OSError, EOFError, ValueError, TypeError, AttributeError, ImportError, pickle.PickleError)
_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from ocusam.workflows.session.other_process import main; main()"
)
_PATIENCE_S = 5.0
_LONGEST_S = 60.0  # for one frame, which takes some ten milliseconds


class OtherProcess:
    """Measures frames there, or here; called from one thread.

    Args:
        measure: what is done with all objects of one view on one frame; it and what it returns can be
            pickled.

    Attributes:
        there: how many frames were measured there.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure, self.there = measure, 0
        self._ready = Event()
        self._frames: SimpleQueue[list[ObjectFrame] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Exception | None, Any] | None] = SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        if getattr(sys, "frozen", False) or not sys.executable:
            return  # a packed or embedding program is no Python that could be asked
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            Thread(target=self._talk, args=(self._process,), daemon=True).start()

    def _talk(self, process: subprocess.Popen[bytes]) -> None:
        """Say what is to be measured, wait until it has understood, then pass on frames and answers."""
        with suppress(*_LOST):
            _send(process.stdin, sys.path)
            _send(process.stdin, self._measure)
            pickle.load(_known(process.stdout))
            self._ready.set()
            while (objects := self._frames.get()) is not None:
                _send(process.stdin, _in_grey(objects))
                self._answers.put(pickle.load(_known(process.stdout)))
        self._answers.put(None)

    def __call__(self, objects: list[ObjectFrame]) -> Any:
        """Measure a frame; raises what measuring raises."""
        if self._process is not None and self._ready.is_set():
            self._frames.put(objects)
            found = None
            with suppress(Empty):
                found = self._answers.get(timeout=_LONGEST_S)
            if found is None:
                self._end(patience_s=0.0)
            else:
                self.there += 1
                error, answer = found
                if error is not None:
                    raise error
                return answer
        return self._measure(objects)

    def wait(self, seconds: float) -> bool:
        """Wait until it answers; whether it does."""
        return self._ready.wait(seconds)

    def close(self) -> None:
        """End it."""
        self._end(_PATIENCE_S if self._ready.is_set() else 0.0)  # it may still be importing

    def _end(self, patience_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._frames.put(None)
        if not patience_s:
            process.kill()
        with suppress(OSError, ValueError):
            _known(process.stdin).close()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(OSError, ValueError):
            _known(process.stdout).close()


def _known(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "both ends are pipes"
    return stream


def _send(stream: IO[bytes] | None, value: Any) -> None:
    stream = _known(stream)
    pickle.dump(value, stream, protocol=5)
    stream.flush()


def _in_grey(objects: list[ObjectFrame]) -> list[ObjectFrame]:
    """The same with the picture that they share in grey."""
    picture = objects[0].picture if objects else None
    if picture is None or picture.ndim == 2:
        return objects
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY), np.uint8)
    return [replace(item, picture=grey if item.picture is picture else item.picture) for item in objects]


def main() -> None:
    """Answer one frame after another until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no answer
    requests = sys.stdin.buffer
    measure: Measure = pickle.load(requests)
    _send(answers, "ready")
    while True:
        try:
            objects = pickle.load(requests)
        except EOFError:
            return
        found: tuple[Exception | None, Any]
        try:
            found = (None, measure(objects))
        except Exception as error:  # the tracker's program raises it
            found = (error, None)
        _send(answers, found)
