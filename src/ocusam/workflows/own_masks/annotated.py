"""Pictures and masks that belong together, read when they are wanted.

Purpose: `Pictures` (files or a video) and `AnnotatedFrames`, which the readers of formats fill and
`training.own_clips` takes.

Notable choices: nothing is opened before it is read, since these values travel to other processes. A video
is kept open afterwards, each process its own. Masks are boolean (H, W); a polygon covers the pixels of which
at least half lie inside, its coordinates counting from the upper left corner of the first pixel, as LabelMe,
CVAT and COCO have them.

What it does not know: formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocusam.core.errors import InputError
from ocusam.video.pictures import as_rgb, read_picture
from ocusam.video.reader import open_video
from ocusam.video.source import VideoSource
from ocusam.workflows.scoring.davis_folders import read_values

Mask = NDArray[np.bool_]
_FINER = 8


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a video are: one file each, or frames of a video by number.

    Attributes:
        files: of the pictures; empty for a video.
        video: file or folder of a video.
        numbers: which frames of the video.
    """

    files: Sequence[Path] = ()
    video: Path | None = None
    numbers: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.files) or len(self.numbers)

    def read(self, index: int) -> NDArray[np.uint8]:
        """RGB (H, W, 3)."""
        if self.video is None:
            return as_rgb(read_picture(self.files[index]))
        return _opened(self.video).read(self.numbers[index]).image


@lru_cache(maxsize=8)
def _opened(path: Path) -> VideoSource:
    return open_video(path)


Shape = Callable[[tuple[int, int]], Mask]
"""A mask that knows how to be drawn at a picture's (height, width)."""


@dataclass(frozen=True)
class AnnotatedFrames:
    """An `AnnotatedVideo` (`training.own_clips`).

    Attributes:
        name: for messages.
        pictures: of the annotated frames, in order of time.
        masks: for each of them the objects that are there.
        names: what objects are called instead.
    """

    name: str
    pictures: Pictures
    masks: Sequence[Mapping[str, Sequence[Shape]]]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of annotated frames."""
        return len(self.pictures)

    @property
    def objects(self) -> set[str]:
        """Names of all objects."""
        return {self.names.get(name, name) for masks in self.masks for name in masks}

    def read(self, index: int) -> tuple[NDArray[np.uint8], dict[str, Mask]]:
        """Picture and masks; shapes of one name are one object.

        Raises:
            InputError: something cannot be read, or sizes differ.
        """
        picture = self.pictures.read(index)
        size = (picture.shape[0], picture.shape[1])
        out: dict[str, Mask] = {}
        for name, shapes in self.masks[index].items():
            drawn = [shape(size) for shape in shapes]
            if any(mask.shape != size for mask in drawn):
                raise InputError(
                    f"{self.name}, annotated frame {index}: the mask of {name!r} is "
                    f"{drawn[0].shape[1]} x {drawn[0].shape[0]} px, the picture {size[1]} x {size[0]} px."
                )
            mask = np.logical_or.reduce(drawn)
            if mask.any():
                key = self.names.get(name, name)
                out[key] = out[key] | mask if key in out else mask
        return picture, out


@dataclass(frozen=True)
class Polygon:
    """A `Shape` from corners (N, 2), px from the upper left corner of the first pixel."""

    corners: tuple[tuple[float, float], ...]

    def __call__(self, size: tuple[int, int]) -> Mask:
        """Pixels of which at least half lie inside."""
        out = np.zeros(size, dtype=np.bool_)
        points = np.asarray(self.corners, dtype=np.float64)
        low = np.clip(np.floor(points.min(0)).astype(int), 0, None)
        high = np.minimum(np.ceil(points.max(0)).astype(int), (size[1], size[0]))
        width, height = (high - low).tolist()
        if width <= 0 or height <= 0:
            return out
        fine = np.zeros((height * _FINER, width * _FINER), np.uint8)
        # OpenCV means centres of pixels and draws the outline too; half a fine pixel less evens that out.
        corners = np.round(((points - low) * _FINER - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(fine, [corners], 255, cv2.LINE_8, 4)
        share = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        out[low[1] : high[1], low[0] : high[0]] = share >= 128
        return out


def polygon(points: ArrayLike, where: str) -> Polygon:
    """A polygon of points (N, 2) or (2 N,).

    Raises:
        InputError: fewer than three corners, or no numbers.
    """
    try:
        corners = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise InputError(f"{where}: a polygon is a list of x, y.") from None
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise InputError(f"{where}: a polygon needs three corners or more, got {len(corners)}.")
    return Polygon(tuple((float(x), float(y)) for x, y in corners))


@dataclass(frozen=True)
class Runs:
    """A `Shape` from run lengths, background first.

    Attributes:
        lengths: of the runs.
        size: (height, width) of what they fill.
        corner: x, y of its upper left pixel in the picture.
        by_column: COCO's order; else row by row.
        whole: the runs fill the whole picture.
    """

    lengths: tuple[int, ...]
    size: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    by_column: bool = True
    whole: bool = True

    def __call__(self, size: tuple[int, int]) -> Mask:
        """The mask; of its own size where it is meant for a whole picture of another one."""
        on = np.repeat(np.arange(len(self.lengths)) % 2 == 1, self.lengths)
        part = on.reshape(self.size[::-1]).T if self.by_column else on.reshape(self.size)
        if self.whole:
            return np.ascontiguousarray(part)
        out = np.zeros(size, dtype=np.bool_)
        x, y = self.corner
        into = out[max(y, 0) : y + self.size[0], max(x, 0) : x + self.size[1]]
        into |= part[max(-y, 0) : max(-y, 0) + into.shape[0], max(-x, 0) : max(-x, 0) + into.shape[1]]
        return out


def runs(lengths: Sequence[int] | None, size: tuple[int, int], where: str, **how: object) -> Runs:
    """Checked run lengths.

    Raises:
        InputError: they do not fill the size.
    """
    if lengths is None or min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
        raise InputError(f"{where}: the run lengths do not fill {size[1]} x {size[0]} pixels.")
    return Runs(tuple(lengths), size, **how)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Values:
    """A `Shape` from a PNG: pixels of one value, or (None) all above 0."""

    path: Path
    value: int | None = None

    def __call__(self, size: tuple[int, int]) -> Mask:
        """The mask, at the size of the file."""
        values = read_values(self.path)
        return values > 0 if self.value is None else values == self.value


def picture_file(folder: Path, stem: str, where: str) -> Path:
    """The JPEG or PNG picture of a name in a folder.

    Raises:
        InputError: there is none.
    """
    for suffix in (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG"):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise InputError(f"{where}: no picture {stem}.jpg or {stem}.png in {folder}.")
