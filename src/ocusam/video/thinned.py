"""Some frames of a video as a video of its own.

Purpose: quick comparisons of weights track every k-th frame (and the annotated ones) instead of all; `--zoom
auto` looks at some frames all over a video before tracking.

What it does not know: that skipping frames makes tracking harder; figures from it are for comparing, not for
reporting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocusam.video.source import EndOfVideo, Frame, VideoSource


class ThinnedSource(VideoSource):
    """The frames of `source` whose numbers are in `keep` (ascending), renumbered from 0, with their own
    times."""

    def __init__(self, source: VideoSource, keep: list[int]) -> None:
        self.whole = source
        self.keep = keep

    @property
    def read_ahead(self) -> bool:
        return self.whole.read_ahead

    @property
    def size(self) -> tuple[int, int]:
        return self.whole.size

    @property
    def num_frames(self) -> int:
        return len(self.keep)

    @property
    def fps(self) -> float | None:
        return self.whole.fps

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return self.whole.timestamps_ns[self.keep]

    def read(self, frame_idx: int) -> Frame:
        if frame_idx >= len(self.keep):
            raise EndOfVideo(f"Frame {frame_idx} was asked for, but {len(self.keep)} were kept.")
        frame = self.whole.read(self.keep[frame_idx])
        return Frame(frame_idx, frame.timestamp_ns, frame.image)

    def close(self) -> None:
        self.whole.close()
