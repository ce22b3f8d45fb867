"""Measuring in a program of its own, beside the tracker's.

Purpose: measuring and tracking are both Python, and threads of one program take turns; with several objects
measuring takes longer than tracking. `OtherProcess` sends what was tracked on a frame to another Python and
gets back what was measured; `main` is what that one runs.

Notable choices: it is started by its command line and spoken to through its input and output, so nothing of
the caller's program is imported or forked there, on any system. It begins in the background; until it answers
for the first time, and if it ever fails or is ended, frames are measured here: the same function, the same
numbers. A frame is sent as soon as it is tracked (`ask`), so that the next one is there when one is done;
answers are waited for later. Two threads talk to it, one each way, so that one that hangs (stopped, starved)
is ended after a while instead of holding the run. It keeps nothing between frames. It does not hear Ctrl-C
(the tracker's program decides what is still measured) and ends when its input does, also when the tracker's
program is killed. The picture travels in grey: measuring looks at nothing else.

What it does not know: what is measured.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import IO, Any

import cv2
import numpy as np

from ocusam.core.masklet import ObjectFrame

Measure = Callable[[list[ObjectFrame]], Any]
FEWEST_FRAMES, FEWEST_MEASURED = 150, 450
"""Frames, and objects on all of them together: with fewer it would hardly pay for its start, .8 s of
processor time."""
# It has ended, its pipe is closed, or what it sent cannot be read here.
_LOST = (OSError, EOFError, ValueError, TypeError, AttributeError, ImportError, pickle.PickleError)
_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from ocusam.workflows.session.other_process import main; main()"
)
_PATIENCE_S = 5.0
_LONGEST_S = 60.0  # for one frame, which takes some ten milliseconds
_Answer = Future[tuple[Exception | None, Any] | None]
"""An error or what was measured; None: it is lost."""


class OtherProcess:
    """Measures frames there, or here.

    Args:
        measure: what is done with all objects of one view on one frame; it and what it returns can be
            pickled.

    Attributes:
        there: how many frames were measured there.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure, self.there = measure, 0
        self._ready = Event()
        self._frames: SimpleQueue[tuple[list[ObjectFrame], _Answer] | None] = SimpleQueue()
        self._sent: SimpleQueue[_Answer | None] = SimpleQueue()
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
            saying, hearing = _known(self._process.stdin), _known(self._process.stdout)
            self._saying = Thread(target=self._say, args=(saying,), daemon=True)
            self._saying.start()
            Thread(target=self._hear, args=(hearing,), daemon=True).start()

    def _say(self, to: IO[bytes]) -> None:
        """Say what is to be measured, then pass on frames; what cannot be said is lost."""
        gone = False
        try:
            _send(to, sys.path)
            _send(to, self._measure)
        except _LOST:
            gone = True
        while (frame := self._frames.get()) is not None:
            objects, answer = frame
            if gone:
                answer.set_result(None)
                continue
            self._sent.put(answer)
            try:
                _send(to, _in_grey(objects))
            except _LOST:  # then it does not answer either
                gone = True
        self._sent.put(None)

    def _hear(self, it: IO[bytes]) -> None:
        """Wait until it has understood, then pass on its answers; those it owes when it ends are lost."""
        gone = False
        try:
            pickle.load(it)
            self._ready.set()
        except _LOST:
            gone = True
        while (answer := self._sent.get()) is not None:
            found = None
            if not gone:
                try:
                    found = pickle.load(it)
                except _LOST:
                    gone = True
            answer.set_result(found)

    def ask(self, objects: list[ObjectFrame]) -> Callable[[], Any]:
        """Send a frame. What is returned is called, once and from one thread, for what was measured; it
        raises what measuring raises."""
        if self._process is None or not self._ready.is_set():
            return partial(self._measure, objects)
        answer: _Answer = Future()
        self._frames.put((objects, answer))
        return partial(self._answered, objects, answer)

    def _answered(self, objects: list[ObjectFrame], answer: _Answer) -> Any:
        found = None
        with suppress(NoAnswerError):
            found = answer.result(_LONGEST_S)
        if found is None:
            self._end(patience_s=0.0)
            return self._measure(objects)
        self.there += 1
        error, measured = found
        if error is not None:
            raise error
        return measured

    def __call__(self, objects: list[ObjectFrame]) -> Any:
        """Measure a frame and wait for it."""
        return self.ask(objects)()

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
        if patience_s:
            self._saying.join(patience_s)  # what is being said must be over before the pipe is closed
        if not patience_s or self._saying.is_alive():
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
