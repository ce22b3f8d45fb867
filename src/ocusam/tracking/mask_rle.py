"""Masks as run lengths, plain and as COCO's compressed text; small regions of full-size masks.

Purpose: keep thousands of full-size masks in little memory, and hand them out in the published forms.

Notable choices: runs go down the columns (column-major) and begin with background, if need be a run of 0
pixels: the convention of COCO. Regions are 8-connected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from ocusam.core.errors import InputError

Mask = NDArray[np.bool_]


class UncompressedRle(TypedDict):
    """`size` [height, width] and `counts`, lengths of runs that alternate, background first."""

    size: list[int]
    counts: list[int]


class CocoRle(TypedDict):
    """`size` [height, width] and `counts` as COCO's text, ready for JSON."""

    size: list[int]
    counts: str


def mask_to_rle(mask: Mask) -> UncompressedRle:
    """Run lengths of a mask (H, W)."""
    height, width = mask.shape
    column = np.asarray(mask, dtype=np.bool_).ravel(order="F")
    changes = np.flatnonzero(column[1:] != column[:-1]) + 1
    bounds = np.concatenate(([0], changes, [column.size]))
    counts: list[int] = np.diff(bounds).tolist()
    return {"size": [height, width], "counts": [0, *counts] if column.size and column[0] else counts}


def rle_to_mask(rle: UncompressedRle) -> Mask:
    """The mask (H, W) of run lengths.

    Raises:
        InputError: the runs do not add up to the size.
    """
    height, width = rle["size"]
    counts = rle["counts"]
    if sum(counts) != height * width:
        raise InputError(f"Run lengths add up to {sum(counts)}, but the mask has {height * width} pixels.")
    column = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return column.reshape(width, height).T.copy()


def rle_area(rle: UncompressedRle) -> int:
    """Number of pixels of the mask."""
    return sum(rle["counts"][1::2])


def rle_to_coco(rle: UncompressedRle) -> CocoRle:
    """The same mask in COCO's compressed text."""
    height, width = rle["size"]
    packed = coco.frPyObjects(rle, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def place_mask(mask: Mask, corner: tuple[int, int], size: tuple[int, int]) -> Mask:
    """The mask of a crop as a mask of the whole picture.

    Args:
        mask: (h, w) of the crop.
        corner: x0, y0 of the crop.
        size: (height, width) of the picture.
    """
    if mask.shape == size:
        return mask
    whole = np.zeros(size, dtype=np.bool_)
    x0, y0 = corner
    whole[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]] = mask
    return whole


def remove_small_regions(
    mask: Mask, area_thresh: float, mode: Literal["holes", "islands"]
) -> tuple[Mask, bool]:
    """Fill holes or remove islands of fewer than `area_thresh` pixels.

    Args:
        mask: (H, W).
        area_thresh: smallest region that stays, pixels.
        mode: "holes" or "islands". If all islands are small, the largest stays.

    Returns:
        the mask, and whether anything changed.

    Raises:
        InputError: another mode.
    """
    if mode not in ("holes", "islands"):
        raise InputError(f"mode={mode!r}: use 'holes' or 'islands'.")
    looked_at = ~mask if mode == "holes" else mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(looked_at, dtype=np.uint8), connectivity=8
    )
    areas = stats[1:, cv2.CC_STAT_AREA]
    small = areas < area_thresh
    if not small.any():
        return mask, False
    if mode == "islands" and small.all():
        small[int(areas.argmax())] = False
        if not small.any():
            return mask, False
    found = np.concatenate(([False], small))[labels]
    return (mask | found if mode == "holes" else mask & ~found), True


def rles_to(mode: str, rles: Sequence[UncompressedRle]) -> list[Mask] | list[CocoRle] | list[UncompressedRle]:
    """All masks in one of the three output modes: binary_mask, coco_rle, uncompressed_rle."""
    if mode == "binary_mask":
        return [rle_to_mask(rle) for rle in rles]
    if mode == "coco_rle":
        return [rle_to_coco(rle) for rle in rles]
    return list(rles)
