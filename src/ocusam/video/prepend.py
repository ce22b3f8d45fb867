"""Pictures put in front of a video, so that a tracker can be shown an annotated picture first.

Purpose: one annotated picture of a participant serves all of that participant's videos: it stands before
frame 0 as a conditioning frame that belongs to no recording.

Notable choices: the picture keeps its proportions (a stretched pupil would be another pupil): it is scaled to
fit the video's picture, centred, and the rest is black. `Placement` says where its pixels went; it maps pixel
centres, which lie at integers, as `cv2.resize` does. The virtual frames get times before the first frame's, a
frame's step apart.

What it does not know: prompts, and that results are to be shifted back (`workflows.follow` does both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocusam.core.errors import InputError
from ocusam.video.source import NANOSECONDS, NOMINAL_FPS, Frame, VideoSource


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a picture of size `inner` lie in a picture of size `outer`.

    Attributes:
        inner: (height, width) px as given.
        fitted: (height, width) px after scaling.
        offset: (x, y) of its first pixel in the outer picture.
        outer: (height, width) px.
    """

    inner: tuple[int, int]
    fitted: tuple[int, int]
    offset: tuple[int, int]
    outer: tuple[int, int]

    @classmethod
    def fit(cls, inner: tuple[int, int], outer: tuple[int, int]) -> Placement:
        """The largest centred place with the proportions of `inner` (h, w) in `outer` (h, w)."""
        scale = min(outer[0] / inner[0], outer[1] / inner[1])
        height, width = (max(1, min(o, round(i * scale))) for i, o in zip(inner, outer, strict=True))
        return cls(inner, (height, width), ((outer[1] - width) // 2, (outer[0] - height) // 2), outer)

    def points(self, xy: ArrayLike) -> NDArray[np.float64]:
        """(..., 2) points (x, y) of the inner picture, in the outer one."""
        factor = np.array([self.fitted[1] / self.inner[1], self.fitted[0] / self.inner[0]])
        moved = (np.asarray(xy, dtype=np.float64) + 0.5) * factor - 0.5 + np.array(self.offset)
        return np.asarray(moved, dtype=np.float64)

    def image(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (h, w, 3) in its place, black around it. -> (H, W, 3)."""
        out = np.zeros((*self.outer, 3), dtype=np.uint8)
        out[self._place] = self._resized(picture)
        return out

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (h, w) in its place. -> bool (H, W): pixels covered by half or more."""
        out = np.zeros(self.outer, dtype=np.bool_)
        out[self._place] = self._resized(mask.astype(np.uint8) * 255) >= 128
        return out

    def _resized(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.fitted == self.inner:
            return array
        smaller = self.fitted[0] < self.inner[0]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        size = (self.fitted[1], self.fitted[0])
        return np.asarray(cv2.resize(array, size, interpolation=how), dtype=np.uint8)

    @property
    def _place(self) -> tuple[slice, slice]:
        (x, y), (height, width) = self.offset, self.fitted
        return slice(y, y + height), slice(x, x + width)


class PrependedSource(VideoSource):
    """A video with pictures in front: frame 0 of the video has number `len(pictures)` here.

    Args:
        source: the video; closed with this one.
        pictures: uint8 (H, W, 3), of the video's size.

    Raises:
        InputError: no picture, or one of another size (`Placement.image` makes it fit).
    """

    def __init__(self, source: VideoSource, pictures: Sequence[NDArray[np.uint8]]) -> None:
        if not pictures:
            raise InputError("Nothing to put in front of the video: give at least one picture.")
        for picture in pictures:
            if picture.shape != (*source.size, 3):
                raise InputError(
                    f"A picture of shape {picture.shape} cannot stand before a video of {source.size[1]} x "
                    f"{source.size[0]} px (width x height)."
                )
        self.video = source
        self.pictures = list(pictures)

    @property
    def read_ahead(self) -> bool:
        return self.video.read_ahead

    @property
    def size(self) -> tuple[int, int]:
        return self.video.size

    @property
    def num_frames(self) -> int | None:
        count = self.video.num_frames
        return None if count is None else count + len(self.pictures)

    @property
    def fps(self) -> float | None:
        return self.video.fps

    @property
    def truncated(self) -> bool:
        return self.video.truncated

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        times = self.video.timestamps_ns
        before = [self._time_before(i) for i in range(len(self.pictures))]
        return np.concatenate([np.array(before, dtype=np.int64), times])

    def read(self, frame_idx: int) -> Frame:
        if frame_idx < 0:
            raise InputError(f"Frames count from 0, got frame {frame_idx}.")
        ahead = len(self.pictures)
        if frame_idx < ahead:
            return Frame(frame_idx, self._time_before(frame_idx), self.pictures[frame_idx])
        frame = self.video.read(frame_idx - ahead)
        return Frame(frame_idx, frame.timestamp_ns, frame.image)

    def close(self) -> None:
        self.video.close()

    def _time_before(self, frame_idx: int) -> int:
        step = round(NANOSECONDS / (self.video.fps or NOMINAL_FPS))
        return self.video.read(0).timestamp_ns - step * (len(self.pictures) - frame_idx)
