"""What every video looks like from above: numbered frames with times, one at a time.

Purpose: `VideoSource` is the one thing that trackers, renderers and reports read pictures from. This file has
the base and the sources that need no decoder: pictures in a folder, pictures in memory, pictures from any
iterable.

Notable choices: a source never holds more than a few pictures. `read` is random access by frame number and
raises `EndOfVideo` past the last frame, so that a source whose length is unknown beforehand ends like any
other. Pictures of a folder come in natural order (`9.png` before `10.png`). The orientation tag of a
photograph is ignored, as the published predictor ignores it: folders of frames come from videos.

What it does not know: networks, prompts, the size a network wants. Pictures without times get those of
`NOMINAL_FPS` and say so by `fps` being None.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.video.depth import shared_bits
from ocusam.video.pictures import PICTURE_SUFFIXES, as_rgb, read_picture

NOMINAL_FPS = 30.0
NANOSECONDS = 1_000_000_000


class EndOfVideo(InputError):
    """A frame number past the last frame. Readers that go on until the end catch it."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        frame_idx: number from 0, in the order of display.
        timestamp_ns: presentation time, nanoseconds, on the source's own clock (need not start at 0).
        image: uint8 (H, W, 3), RGB.
    """

    frame_idx: int
    timestamp_ns: int
    image: NDArray[np.uint8]


def nominal_timestamp_ns(frame_idx: int, fps: float | None) -> int:
    """Time of a frame that carries none of its own, from a frame rate (or `NOMINAL_FPS`)."""
    return round(frame_idx * NANOSECONDS / (fps or NOMINAL_FPS))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that orders the numbers inside names by value: `9` before `10`."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), part) if part.isdigit() else (0, 0, part.lower()) for part in parts]


class VideoSource(ABC):
    """Numbered pictures with times. Use as a context manager, or call `close`."""

    @property
    def read_ahead(self) -> bool:
        """Whether frames may be read before they are wanted, and from another thread. Not where a frame may
        have to be waited for, or comes only once."""
        return False

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """(height, width) of every picture, pixels."""

    @property
    @abstractmethod
    def num_frames(self) -> int | None:
        """Number of frames: what the source announces until its end was met, then what it held. None:
        unknown."""

    @property
    def fps(self) -> float | None:
        """Average frame rate in frames per second, or None where the source does not say."""
        return None

    @property
    def truncated(self) -> bool:
        """Whether frames that the source announces could not be read; certain once the end has been met."""
        return False

    @property
    @abstractmethod
    def timestamps_ns(self) -> NDArray[np.int64]:
        """(T,) presentation times of all frames (of those seen so far where the length is unknown), ns."""

    @abstractmethod
    def read(self, frame_idx: int) -> Frame:
        """Return one frame.

        Raises:
            EndOfVideo: `frame_idx` is past the last frame.
            InputError: `frame_idx` is negative, or the picture cannot be read.
        """

    def close(self) -> None:
        """Free files and decoders. The source cannot be read afterwards."""
        return None

    def iterate(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from `start` to the end."""
        frame_idx = start
        while True:
            try:
                frame = self.read(frame_idx)
            except EndOfVideo:
                return
            yield frame
            frame_idx += 1

    def __iter__(self) -> Iterator[Frame]:
        return self.iterate()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_index(self, frame_idx: int) -> None:
        if frame_idx < 0:
            raise InputError(f"Frames count from 0, got frame {frame_idx}.")
        if self.num_frames is not None and frame_idx >= self.num_frames:
            raise EndOfVideo(
                f"Frame {frame_idx} was asked for, but the video has {self.num_frames} frames "
                f"(0 to {self.num_frames - 1})."
            )


class SequenceSource(VideoSource):
    """Pictures that can be had by number: an array (T, H, W[, 3]), a list, anything with len() and [].

    Args:
        pictures: uint8 arrays or Pillow images of one size.
        fps: frames per second; None: unknown, times then follow `NOMINAL_FPS`.
        timestamps_ns: (T,) presentation times that overrule `fps`.

    Attributes:
        nominal: whether its times are nobody's but `NOMINAL_FPS`.
    """

    def __init__(
        self,
        pictures: Sequence[Any] | NDArray[Any],
        *,
        fps: float | None = None,
        timestamps_ns: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        if len(pictures) == 0:
            raise InputError("The video holds no frame: give at least one picture.")
        self._pictures = pictures
        self._fps = fps
        self.nominal = fps is None and timestamps_ns is None
        self._times = _check_times(timestamps_ns, len(pictures), fps)
        self._size: tuple[int, int] | None = None
        self._last: Frame | None = None  # several views ask for the same picture
        height, width = self._load(0).shape[:2]
        self._size = (height, width)

    @property
    def read_ahead(self) -> bool:
        return True

    @property
    def size(self) -> tuple[int, int]:
        assert self._size is not None
        return self._size

    @property
    def num_frames(self) -> int:
        return len(self._pictures)

    @property
    def fps(self) -> float | None:
        return self._fps

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return self._times

    def read(self, frame_idx: int) -> Frame:
        self._check_index(frame_idx)
        last = self._last
        if last is None or last.frame_idx != frame_idx:
            last = self._last = Frame(frame_idx, int(self._times[frame_idx]), self._load(frame_idx))
        return last

    def _name(self, frame_idx: int) -> str:
        return f"Frame {frame_idx}"

    def _picture(self, frame_idx: int) -> Any:
        return self._pictures[frame_idx]

    def _load(self, frame_idx: int) -> NDArray[np.uint8]:
        image = as_rgb(self._picture(frame_idx), self._name(frame_idx))
        if self._size is not None and image.shape[:2] != self._size:
            raise InputError(
                f"{self._name(frame_idx)} is {image.shape[1]} x {image.shape[0]} px, but the first frame is "
                f"{self._size[1]} x {self._size[0]} px (width x height). All frames of a video have one size."
            )
        return image


class PictureFolder(SequenceSource):
    """The pictures of a folder (JPEG, PNG, TIFF, BMP) in natural order; other files are passed over.

    Raises:
        InputError: no such picture in the folder, or one that cannot be read.
    """

    def __init__(self, folder: Path, *, fps: float | None = None) -> None:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
        paths = [path for path in paths if path.is_file() and not path.name.startswith(".")]
        if not paths:
            raise InputError(f"The folder {folder} holds no pictures ({', '.join(PICTURE_SUFFIXES)}).")
        self.paths = sorted(paths, key=lambda path: natural_key(path.name))
        self._bits = shared_bits(self.paths)
        super().__init__(self.paths, fps=fps)

    def _name(self, frame_idx: int) -> str:
        return f"The picture {self.paths[frame_idx]}"

    def _picture(self, frame_idx: int) -> Any:
        return read_picture(self.paths[frame_idx], bits=self._bits)


class IterableSource(VideoSource):
    """Pictures from any iterable, read once, in order; the last `keep` stay readable by number.

    Args:
        pictures: yields uint8 arrays, Pillow images or `Frame`s (whose times are then kept).
        fps: frames per second; None: unknown, times then follow `NOMINAL_FPS`.
        keep: how many of the newest pictures can be read again.
    """

    def __init__(self, pictures: Iterable[Any], *, fps: float | None = None, keep: int = 32) -> None:
        self._iterator = iter(pictures)
        self._fps = fps
        self._recent: deque[Frame] = deque(maxlen=max(1, keep))
        self._times: list[int] = []
        self._ended = False
        self.nominal = False  # as of `SequenceSource`, by the first picture
        self._size: tuple[int, int] | None = None
        if not self._advance():
            raise InputError("The video holds no frame: the iterable yielded nothing.")

    @property
    def size(self) -> tuple[int, int]:
        assert self._size is not None
        return self._size

    @property
    def num_frames(self) -> int | None:
        return len(self._times) if self._ended else None

    @property
    def fps(self) -> float | None:
        return self._fps

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return np.array(self._times, dtype=np.int64)

    def read(self, frame_idx: int) -> Frame:
        self._check_index(frame_idx)
        while frame_idx >= len(self._times):
            if not self._advance():
                self._check_index(frame_idx)
        oldest = self._recent[0].frame_idx
        if frame_idx < oldest:
            raise InputError(
                f"Frame {frame_idx} has passed: the video is an iterable, and only frames {oldest} to "
                f"{len(self._times) - 1} are kept. Give a file, a folder, a list or an array to go back."
            )
        return self._recent[frame_idx - oldest]

    def _advance(self) -> bool:
        try:
            picture = next(self._iterator)
        except StopIteration:
            self._ended = True
            return False
        frame_idx = len(self._times)
        time_ns = (
            picture.timestamp_ns if isinstance(picture, Frame) else nominal_timestamp_ns(frame_idx, self._fps)
        )
        image = as_rgb(picture.image if isinstance(picture, Frame) else picture, f"Frame {frame_idx}")
        if self._size is None:
            self._size = (image.shape[0], image.shape[1])
            self.nominal = self._fps is None and not isinstance(picture, Frame)
        elif image.shape[:2] != self._size:
            raise InputError(
                f"Frame {frame_idx} has size {image.shape[:2]} (h, w), the first frame {self._size}."
            )
        self._recent.append(Frame(frame_idx, time_ns, image))
        self._times.append(time_ns)
        return True


def _check_times(
    times: Sequence[int] | NDArray[np.int64] | None, count: int, fps: float | None
) -> NDArray[np.int64]:
    if fps is not None and not fps > 0:
        raise InputError(f"fps={fps}: a frame rate is a positive number of frames per second.")
    if times is None:
        return np.array([nominal_timestamp_ns(i, fps) for i in range(count)], dtype=np.int64)
    array = np.asarray(times, dtype=np.int64)
    if array.shape != (count,):
        raise InputError(
            f"{array.size} times were given for {count} frames; give one per frame, in nanoseconds."
        )
    return array
