"""Frames that are handed in one at a time, as a video that grows.

Purpose: the source behind live tracking: `push` appends a frame, `read` gives the newest ones by number.

Notable choices: only the last `keep` frames are held, so a stream may run for ever; `num_frames` is None,
since nobody knows how long it will be. `timestamps_ns` covers the frames that are held, not all that passed.

What it does not know: where frames come from, and how fast.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.video.pictures import as_rgb
from ocusam.video.source import EndOfVideo, Frame, VideoSource, nominal_timestamp_ns


class PushSource(VideoSource):
    """A video whose frames are pushed.

    Args:
        image: the first frame, uint8 (H, W[, 3]) RGB or a Pillow image.
        timestamp_ns: its time, nanoseconds; None: times follow the nominal frame rate.
        keep: how many of the newest frames can be read.

    Raises:
        InputError: not a picture.
    """

    def __init__(self, image: Any, timestamp_ns: int | None = None, *, keep: int = 3) -> None:
        self._recent: deque[Frame] = deque(maxlen=max(1, keep))
        self._count = 0
        self.push(image, timestamp_ns)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self._recent[-1].image.shape[:2]
        return height, width

    @property
    def num_frames(self) -> None:
        return None

    @property
    def newest(self) -> int:
        """Number of the newest frame."""
        return self._count - 1

    @property
    def oldest(self) -> int:
        """Number of the oldest frame that can be read."""
        return self._recent[0].frame_idx

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        """Times of the frames that are held, oldest first."""
        return np.array([frame.timestamp_ns for frame in self._recent], dtype=np.int64)

    def push(self, image: Any, timestamp_ns: int | None = None) -> Frame:
        """Append a frame and return it.

        Raises:
            InputError: not a picture, or of another size than the first; the stream is as before then.
        """
        frame_idx = self._count
        # A copy: grabbers reuse their buffers, and this frame is looked at again.
        picture = as_rgb(image, f"Frame {frame_idx}").copy()
        if frame_idx and picture.shape[:2] != self.size:
            raise InputError(
                f"Frame {frame_idx} has size {picture.shape[:2]} (h, w), the first frame {self.size}; "
                "start a new stream for pictures of another size."
            )
        time_ns = nominal_timestamp_ns(frame_idx, None) if timestamp_ns is None else timestamp_ns
        self._recent.append(Frame(frame_idx, time_ns, picture))
        self._count += 1
        return self._recent[-1]

    def read(self, frame_idx: int) -> Frame:
        self._check_index(frame_idx)
        if frame_idx > self.newest:
            raise EndOfVideo(f"Frame {frame_idx} has not come yet; the newest frame is {self.newest}.")
        if frame_idx < self.oldest:
            raise InputError(
                f"Frame {frame_idx} has passed; of a live stream only frames {self.oldest} to {self.newest} "
                "are kept."
            )
        return self._recent[frame_idx - self.oldest]
