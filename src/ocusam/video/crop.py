"""A rectangle of a video as a video of its own.

Purpose: recordings with several eyes in one picture (side by side or stacked) are tracked one view at a time;
the tracker sees a smaller picture and knows nothing of the rest.

Notable choices: the offset lives here and nowhere else: `to_view` takes coordinates of the whole picture into
the view, `to_whole` back, `paste` puts a view's values into a picture of the whole size.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocusam.core.errors import InputError
from ocusam.video.source import Frame, VideoSource

T = TypeVar("T", bound=np.generic)


class CroppedSource(VideoSource):
    """The part of each picture inside a region.

    Args:
        source: the whole video; closed with this one.
        region: (x0, y0, x1, y1) whole pixels, x1 and y1 exclusive.

    Raises:
        InputError: an empty region, or one that reaches outside the picture.
    """

    def __init__(self, source: VideoSource, region: tuple[int, int, int, int]) -> None:
        x0, y0, x1, y1 = (int(value) for value in region)
        height, width = source.size
        self.whole = source
        self.region = (x0, y0, x1, y1)
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(
                f"The region {self.region} (x0, y0, x1, y1) is not in the picture, which is {width} x "
                f"{height} px (width x height): 0 <= x0 < x1 <= {width}, 0 <= y0 < y1 <= {height}."
            )

    @property
    def read_ahead(self) -> bool:
        return self.whole.read_ahead

    @property
    def size(self) -> tuple[int, int]:
        x0, y0, x1, y1 = self.region
        return (y1 - y0, x1 - x0)

    @property
    def num_frames(self) -> int | None:
        return self.whole.num_frames

    @property
    def fps(self) -> float | None:
        return self.whole.fps

    @property
    def truncated(self) -> bool:
        return self.whole.truncated

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return self.whole.timestamps_ns

    def read(self, frame_idx: int) -> Frame:
        frame = self.whole.read(frame_idx)
        x0, y0, x1, y1 = self.region
        return Frame(frame.frame_idx, frame.timestamp_ns, np.ascontiguousarray(frame.image[y0:y1, x0:x1]))

    def close(self) -> None:
        self.whole.close()

    def to_view(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 2) points (x, y) of the whole picture, as points of the view."""
        return np.asarray(points, dtype=np.float64) - np.array(self.region[:2], dtype=np.float64)

    def to_whole(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 2) points (x, y) of the view, as points of the whole picture."""
        return np.asarray(points, dtype=np.float64) + np.array(self.region[:2], dtype=np.float64)

    def paste(self, values: NDArray[T], fill: float = 0.0) -> NDArray[T]:
        """(..., h, w) values of the view inside an array (..., H, W) of the whole size, `fill` elsewhere."""
        x0, y0, x1, y1 = self.region
        whole = np.full((*values.shape[:-2], *self.whole.size), fill, dtype=values.dtype)
        whole[..., y0:y1, x0:x1] = values
        return whole
