"""Frames as a camera delivers them: devices, network streams, and files that stand in for them.

Purpose: `open_feed` opens a source, `Grabber` hands its frames to someone who may be slower than the source.

Notable choices: a device is opened through OpenCV (on every platform by its number), a network stream through
PyAV (RTSP over TCP, so that no packet is lost on the way), a file through `open_video`, with its own times.
With `drop` a thread keeps reading and holds nothing but the newest frame: what comes in while the user works
is dropped and counted, and latency stays that of one frame. A file then runs at its own speed, as if it were
a camera. Without `drop` every frame is handed over, however late.

What it does not know: the buffer inside a camera or its driver, which adds to the latency, and when a device
took a picture: its frames carry the time of arrival.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from ocusam.core.errors import InputError
from ocusam.video.pictures import as_rgb
from ocusam.video.reader import open_video
from ocusam.video.source import NANOSECONDS, NOMINAL_FPS, Frame, VideoSource

# A stream that sends nothing for so long is taken as gone.
_SILENCE_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True, eq=False)
class Grabbed:
    """A frame and when it arrived here (`time.perf_counter`, seconds)."""

    frame: Frame
    arrived_s: float


class Feed(ABC):
    """Frames in order, once.

    Attributes:
        live: frames come whether they are waited for or not.
        fps: frames per second as the source says, or None.
    """

    live = True
    fps: float | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    @abstractmethod
    def close(self) -> None:
        """Let go of the device, stream or file."""


class FileFeed(Feed):
    """A video that is read from its start; the source may be anything `open_video` takes."""

    live = False

    def __init__(self, source: Any) -> None:
        self.source: VideoSource = open_video(source)
        self.fps = self.source.fps

    def __iter__(self) -> Iterator[Frame]:
        return self.source.iterate()

    def close(self) -> None:
        self.source.close()


class DeviceFeed(Feed):
    """A camera of this machine, by its number."""

    def __init__(self, number: int) -> None:
        logged = cv2.utils.logging.getLogLevel()
        # What OpenCV tries in vain it would tell on stderr.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(number)
        cv2.utils.logging.setLogLevel(logged)
        if not self._capture.isOpened():
            raise InputError(
                f"The camera {number} cannot be opened: is it plugged in, and free? The first one is 0."
            )
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or None

    def __iter__(self) -> Iterator[Frame]:
        start, frame_idx = time.monotonic_ns(), 0
        while True:
            there, picture = self._capture.read()
            if not there:
                return
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            yield Frame(frame_idx, time.monotonic_ns() - start, np.asarray(rgb, dtype=np.uint8))
            frame_idx += 1

    def close(self) -> None:
        self._capture.release()


class StreamFeed(Feed):
    """A network stream such as `rtsp://host/path`. Times count from its first frame here, with the stream's
    own distances; RTSP's first frames may come without any time, and follow at the stream's rate then."""

    def __init__(self, address: str) -> None:
        options = {"rtsp_transport": "tcp"} if address.startswith("rtsp") else {}
        try:
            self._container = av.open(address, options=options, timeout=_SILENCE_S)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"The stream {address} cannot be opened ({error}).") from None
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"The stream {address} holds no video.")
        rate = self._container.streams.video[0].average_rate
        self.fps = float(rate) if rate else None

    def __iter__(self) -> Iterator[Frame]:
        usual_ns = round(NANOSECONDS / (self.fps or NOMINAL_FPS))
        time_ns, shift_ns = -usual_ns, None
        to_rgb = VideoReformatter()  # see `FileSource`
        try:
            for frame_idx, frame in enumerate(self._container.decode(video=0)):
                next_ns = time_ns + usual_ns
                if frame.time is not None:
                    stream_ns = round(frame.time * NANOSECONDS)
                    shift_ns = next_ns - stream_ns if shift_ns is None else shift_ns
                    next_ns = max(stream_ns + shift_ns, time_ns + 1)
                time_ns = next_ns
                rgb = to_rgb.reformat(frame, format="rgb24", threads=1)
                yield Frame(frame_idx, time_ns, as_rgb(rgb.to_ndarray()))
        except (av.error.FFmpegError, OSError):
            return  # the other side went away: the stream has ended

    def close(self) -> None:
        self._container.close()


def open_feed(source: Any) -> Feed:
    """Open a camera, a stream or a file.

    Args:
        source: a device number (0 or "0"), an address ("rtsp://..."), or anything `open_video` takes.

    Raises:
        InputError: it cannot be opened.
    """
    if isinstance(source, Feed):
        return source
    text = str(source) if isinstance(source, str | Path | int) and not isinstance(source, bool) else ""
    if text.isdecimal() and not Path(text).exists():
        return DeviceFeed(int(text))
    if "://" in text:
        return StreamFeed(text)
    return FileFeed(source)


class Grabber:
    """Iterate over a feed's frames, all of them or always the newest. Use as a context manager.

    Args:
        feed: where frames come from; not closed here.
        drop: hand over the newest frame only; None: where the feed is live.

    Attributes:
        dropped: frames that came and were not handed over.
        stopped: set it to end the iteration from elsewhere.
    """

    def __init__(self, feed: Feed, *, drop: bool | None = None) -> None:
        self.feed = feed
        self.drop = feed.live if drop is None else drop
        self.dropped = 0
        self.stopped = threading.Event()
        self._slot: Grabbed | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Grabbed]:
        if self.drop:
            return self._newest()
        return self._all()

    def __enter__(self) -> Grabber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration and wait for the thread; the feed can be closed then."""
        self.stopped.set()
        if self._thread is not None:
            self._thread.join(_SILENCE_S + 1.0)

    def _all(self) -> Iterator[Grabbed]:
        for frame in self.feed:
            if self.stopped.is_set():
                return
            yield Grabbed(frame, time.perf_counter())

    def _newest(self) -> Iterator[Grabbed]:
        self._thread = threading.Thread(target=self._read, name="ocusam-camera", daemon=True)
        self._thread.start()
        while True:
            with self._changed:
                # With a time limit, so that `stopped` and Ctrl-C are seen while a camera is silent.
                while self._slot is None and not self._ended and not self.stopped.is_set():
                    self._changed.wait(_POLL_S)
                grabbed, self._slot = self._slot, None
            if self.stopped.is_set() or grabbed is None:
                break
            yield grabbed
        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        start, first_ns = time.perf_counter(), None
        try:
            for frame in self.feed:
                if not self.feed.live:
                    first_ns = frame.timestamp_ns if first_ns is None else first_ns
                    due = start + (frame.timestamp_ns - first_ns) / NANOSECONDS
                    self.stopped.wait(max(0.0, due - time.perf_counter()))
                if self.stopped.is_set():
                    break
                with self._changed:
                    self.dropped += self._slot is not None
                    self._slot = Grabbed(frame, time.perf_counter())
                    self._changed.notify()
        except BaseException as error:  # handed to the thread that waits
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()
