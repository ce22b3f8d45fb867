"""Pictures and masks that belong together, read when they are wanted.

Purpose: `AnnotatedFrames`, which the readers of formats fill and `training.own_clips` takes, and the shapes
in it.

Notable choices: nothing is opened before it is read, since these values travel to other processes. Masks are
boolean (H, W); a polygon covers the pixels of which at least half lie inside, its coordinates counting from
the upper left corner of the first pixel, as LabelMe, CVAT and COCO have them. A mask that fits a photograph
only as the camera stored it, not as its orientation tag turns it, was drawn on the former.

What it does not know: formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocusam.core.errors import InputError
from ocusam.workflows.own_masks.mask_files import mask_values
from ocusam.workflows.own_masks.pictures import Pictures

Mask = NDArray[np.bool_]
_FINER = 8


Shape = Callable[[tuple[int, int]], Mask]
"""A mask that knows how to be drawn at a picture's (height, width)."""


def label_of(name: str) -> str:
    """Without the number that one of several objects of a label has in front, `2:cell`."""
    number, colon, label = name.partition(":")
    return label if colon and number.isdigit() else name


def named(names: Mapping[str, str], name: str) -> str:
    """What an object is called instead; one of several of a label keeps its number."""
    label = label_of(name)
    return names[name] if name in names else name[: len(name) - len(label)] + names.get(label, label)


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
        return {named(self.names, name) for masks in self.masks for name in masks}

    def read(self, index: int) -> tuple[NDArray[np.uint8], dict[str, Mask]]:
        """Picture and masks; shapes of one name are one object.

        Raises:
            InputError: something cannot be read, or sizes differ.
        """
        picture = self.pictures.read(index)
        masks = self._drawn(index, picture)
        if any(mask.shape != picture.shape[:2] for mask in masks.values()):
            picture = self.pictures.read(index, upright=False)
            masks = self._drawn(index, picture)
        out: dict[str, Mask] = {}
        for name, mask in masks.items():
            if mask.shape != picture.shape[:2]:
                raise InputError(
                    f"{self._where(index)}: the mask of {name!r} is {mask.shape[1]} x {mask.shape[0]} px, "
                    f"the picture {picture.shape[1]} x {picture.shape[0]} px."
                )
            if mask.any():
                key = named(self.names, name)
                out[key] = out[key] | mask if key in out else mask
        return picture, out

    def _where(self, index: int) -> str:
        files = self.pictures.files
        return str(files[index]) if files else f"{self.name}, annotated frame {index}"

    def _drawn(self, index: int, picture: NDArray[np.uint8]) -> dict[str, Mask]:
        """One mask for each object, of whatever size it says."""
        size = (picture.shape[0], picture.shape[1])
        out: dict[str, Mask] = {}
        for name, shapes in self.masks[index].items():
            drawn = [shape(size) for shape in shapes]
            if any(mask.shape != drawn[0].shape for mask in drawn):
                raise InputError(f"{self._where(index)}: the masks of {name!r} differ in size.")
            out[name] = np.logical_or.reduce(drawn)
        return out


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
    """A `Shape` from a picture of numbers: pixels of one value, or (None) all above 0; `part` picks one of
    the value's connected parts, from 1."""

    path: Path
    value: int | None = None
    part: int = 0

    def __call__(self, size: tuple[int, int]) -> Mask:
        """The mask, at the size of the file."""
        values = mask_values(self.path)
        mask = values > 0 if self.value is None else values == self.value
        return connected(mask) == self.part if self.part else mask


def connected(mask: Mask) -> NDArray[np.int32]:
    """Connected parts (8 neighbours), numbered from 1."""
    return np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1], np.int32)
