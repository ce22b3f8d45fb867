"""Frames made ready ahead of the tracker: read, brought to the network's size, encoded.

Purpose: the part of the pipeline before tracking. What happens to a picture before any memory comes in does
not depend on other frames, so it is done in threads while the tracker works on earlier frames (decoders,
resizing and the network let go of Python's lock).

Notable choices: frames come out in the order in which they were asked for, with the numbers they would have
had without threads; an error comes out where its frame would have come, after all frames before it. Never
more than a few frames are in flight, so memory does not grow. A small network's operators are too short to
be divided among cores: there whole pictures are encoded ahead, one core each, and the tracker has the rest.
A large network divides each operator among all cores instead, and only reading happens ahead. Sources whose
next frame may not exist yet (a stream, an iterable) are read when the frame is wanted.

What it does not know: prompts, memories, objects.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch

from ocusam.engines.network import EngineNetwork
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures
from ocusam.tracking.compiled import is_compiled
from ocusam.tracking.session import VideoSession
from ocusam.video.source import EndOfVideo, Frame, VideoSource

READ_AHEAD = 2
"""Frames read before they are wanted, beside those that are being encoded."""
_SMALL = 512  # image size up to which whole pictures are given to single cores
_MOST_ENCODERS = 4


class _Encoders:
    """Threads that encode, one for the whole process; they exist while somebody tracks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._cores = 1
        self.pool: ThreadPoolExecutor | None = None

    def acquire(self) -> int:
        """Join; returns how many pictures are encoded at a time (0: not joined, one core only)."""
        with self._lock:
            if not self._users:
                self._cores = torch.get_num_threads()
            count = min(self._cores // 2, _MOST_ENCODERS)
            if not count:
                return 0
            if not self._users:
                self.pool = ThreadPoolExecutor(count, "ocusam-encode", torch.set_num_threads, (1,))
            self._users += 1
            torch.set_num_threads(self._cores - count)
            return count

    def release(self) -> None:
        """Leave; for those who joined."""
        with self._lock:
            self._users -= 1
            if not self._users and self.pool is not None:
                self.pool.shutdown(wait=True, cancel_futures=True)
                self.pool = None
                torch.set_num_threads(self._cores)


_ENCODERS = _Encoders()


def _encodes_on_single_cores(model: SAM2) -> bool:
    """Whether whole pictures are given to single cores."""
    small = model.config.image_size <= _SMALL and model.device.type == "cpu"
    # Autocast holds in one thread only, and what was compiled belongs to a number of threads.
    return small and not torch.is_autocast_enabled("cpu") and not is_compiled(model)


@contextmanager
def threads_of_tracking(model: object, source: VideoSource) -> Iterator[None]:
    """Compute with as many threads as `FramesAhead` leaves to the tracker.

    An engine's programs are made for a number of threads. With the same number before the first frame is
    tracked, for prompts, they need to be made only once. Nothing changes for other networks.
    """
    programs = isinstance(model, EngineNetwork) and _encodes_on_single_cores(model)
    joined = programs and source.read_ahead and _ENCODERS.acquire()
    try:
        yield
    finally:
        if joined:
            _ENCODERS.release()


class FramesAhead:
    """Iterates over frame numbers; the session holds each frame (and its features) when it comes.

    Args:
        session: whose frames.
        model: the network that encodes.
        order: frame numbers in the order of tracking.
        alone: there is one frame only; threads would cost more than they bring.

    Raises (while iterating):
        InputError: a frame cannot be read. Past the end of the video the iteration ends.
    """

    def __init__(
        self, session: VideoSession, model: SAM2, order: Iterable[int], *, alone: bool = False
    ) -> None:
        self._session, self._model, self._order = session, model, iter(order)
        self._waiting: deque[tuple[int, Future[Frame] | None, Future[ImageFeatures] | None]] = deque()
        self._alone = alone
        self._reader: ThreadPoolExecutor | None = None
        self._encoders = 0

    def __enter__(self) -> FramesAhead:
        if self._session.source.read_ahead and not self._alone:
            self._reader = ThreadPoolExecutor(1, "ocusam-read")
            if _encodes_on_single_cores(self._model):
                self._encoders = _ENCODERS.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is None:
            return
        futures: list[Future[Any]] = [f for _, *both in self._waiting for f in both if f is not None]
        self._waiting.clear()
        running = [f for f in futures if not f.cancel()]
        self._reader.shutdown(wait=True)
        wait(running)
        if self._encoders:
            _ENCODERS.release()

    def __iter__(self) -> Iterator[int]:
        while self._fill():
            frame_idx, read, encoded = self._waiting.popleft()
            try:
                frame = self._session.frame(frame_idx) if read is None else read.result()
            except EndOfVideo:
                return
            self._session.hold(frame_idx, frame, None if encoded is None else encoded.result())
            yield frame_idx

    def _fill(self) -> bool:
        """Ask for further frames; False when there are no more."""
        depth = 1 if self._reader is None else READ_AHEAD + max(1, self._encoders)
        while len(self._waiting) < depth:
            frame_idx = next(self._order, None)
            if frame_idx is None:
                break
            self._waiting.append((frame_idx, *self._ask(frame_idx)))
        return bool(self._waiting)

    def _ask(self, frame_idx: int) -> tuple[Future[Frame] | None, Future[ImageFeatures] | None]:
        if self._reader is None:
            return None, None
        frame, features = self._session.held(frame_idx)
        read: Future[Frame] = Future()
        if frame is not None:
            read.set_result(frame)
        else:
            read = self._reader.submit(self._session.source.read, frame_idx)
        encoded: Future[ImageFeatures] | None = None
        if features is not None:
            encoded = Future()
            encoded.set_result(features)
        elif self._encoders:
            assert _ENCODERS.pool is not None
            encoded = _ENCODERS.pool.submit(self._encode, read)
        return read, encoded

    @torch.inference_mode()
    def _encode(self, read: Future[Frame]) -> ImageFeatures:
        return self._session.encode(read.result())
