"""Write pictures as an H.264 video that every player opens.

Purpose: overlays and rendered clips as MP4 (libx264, yuv420p), one frame at a time.

Notable choices: the file appears under its own name only when it is complete: it grows as a hidden file
beside it and is renamed at the end; a run that fails leaves nothing. Odd widths and heights get one more
column or row (the last one repeated), since yuv420p has half as many colour samples as pixels. Times may be
given (a variable frame rate is kept); without them frames follow at `fps`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError, OutputError
from ocusam.video.pictures import as_rgb
from ocusam.video.source import NANOSECONDS

_CLOCK = Fraction(1, 90_000)  # seconds per tick, as in the MPEG systems


class VideoWriter:
    """Context manager: `with VideoWriter(path, fps, size) as out: out.write(image)`.

    Args:
        path: the file to make, `.mp4` or another container that holds H.264.
        fps: frames per second.
        size: (height, width) of the pictures.
        crf: x264's constant rate factor, 0 (lossless) to 51; 18 is close to invisible loss.

    Raises:
        OutputError: the file cannot be made, or the disk is full.
        InputError: a picture of another size; no frames at the end are no error (nothing is written).
    """

    def __init__(self, path: str | Path, fps: float, size: tuple[int, int], *, crf: int = 18) -> None:
        if not fps > 0:
            raise InputError(f"fps={fps}: a frame rate is a positive number of frames per second.")
        self.path = Path(path)
        self.size = size
        self.num_frames = 0
        self._step = max(1, round(1 / (_CLOCK * Fraction(fps).limit_denominator(100_000))))
        self._last_tick = -1
        self._first_ns: int | None = None
        self._temporary = self.path.with_name(f".{self.path.stem}.{os.getpid()}.part{self.path.suffix}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._temporary.absolute()), "w")
            stream: Any = self._container.add_stream(
                "libx264",
                rate=Fraction(fps).limit_denominator(100_000),
                options={"crf": str(crf), "preset": "veryfast"},
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._temporary.unlink(missing_ok=True)
            raise OutputError(f"The video {self.path} cannot be written ({error}).") from None
        stream.height, stream.width = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _CLOCK
        self._stream = stream

    def write(self, image: NDArray[np.uint8], timestamp_ns: int | None = None) -> None:
        """Append one picture.

        Args:
            image: uint8 (H, W, 3) RGB or (H, W) grey, of the size given at the start.
            timestamp_ns: when it is shown; the first one counts as 0. Give it for every frame or for none.
        """
        rgb = as_rgb(image, f"Frame {self.num_frames}")
        if rgb.shape[:2] != self.size:
            raise InputError(
                f"Frame {self.num_frames} has size {rgb.shape[:2]} (h, w), the video {self.size}."
            )
        odd = (self.size[0] % 2, self.size[1] % 2)
        if any(odd):
            rgb = np.pad(rgb, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts = self._tick(timestamp_ns)
        frame.time_base = _CLOCK
        with self._writing():
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        self.num_frames += 1

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            OutputError: it cannot be written; nothing is left of it then.
        """
        with self._writing():
            if self.num_frames:
                for packet in self._stream.encode():
                    self._container.mux(packet)
            self._container.close()
            if self.num_frames:
                os.replace(self._temporary, self.path)
        self._temporary.unlink(missing_ok=True)

    def abort(self) -> None:
        """Drop what was written so far."""
        with suppress(av.error.FFmpegError, OSError):  # a full disk, which has been told already
            self._container.close()
        self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Failures to write are for the user to mend."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            full = getattr(error, "errno", None) == errno.ENOSPC
            why = "the disk is full; free some space" if full else str(error)
            raise OutputError(f"The video {self.path} cannot be written ({why}).") from None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _tick(self, timestamp_ns: int | None) -> int:
        if timestamp_ns is None:
            tick = self.num_frames * self._step
        else:
            if self._first_ns is None:
                self._first_ns = timestamp_ns
            tick = round(Fraction(timestamp_ns - self._first_ns, NANOSECONDS) / _CLOCK)
        # Encoders refuse a time that does not advance; two frames within one tick are shown one tick apart.
        self._last_tick = max(tick, self._last_tick + 1)
        return self._last_tick
