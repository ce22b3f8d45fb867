"""Grey pictures of more than eight bits, as eight.

Notable choices: pictures of 16 bits often hold 10, 12 or 14 (cameras, microscopes), and the upper eight of 16
would be next to black. So as many bits are taken as the brightest pixel needs, and of a folder or a stack as
many as the brightest of some of its pictures needs, that all are read alike. Floating point numbers go from 0
to 1 or to 255. Colours of 16 bits are not known to Pillow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ocusam.core.errors import InputError

_LOOKED_AT = 8


def eight_bits(picture: Image.Image, bits: int | None = None) -> Image.Image:
    """Grey of more than eight bits, or of floating point numbers, as eight; Pillow itself would cut off
    everything above 255, and takes numbers from 0 to 1 for black.

    Args:
        picture: any; what has eight bits comes back as it is.
        bits: how many a picture of 16 bits holds; None: as many as its brightest pixel needs.

    Raises:
        InputError: floating point numbers below 0 or above 255.
    """
    if picture.mode == "F":
        values = np.asarray(picture)
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):
            raise InputError(f"it holds numbers from {low:g} to {high:g}; save it with 8 or 16 bits.")
        return Image.fromarray(np.round(values * (255 if high <= 1 else 1)).astype(np.uint8))
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture)
    shift = (bits or _bits_of(values)) - 8
    return Image.fromarray((values >> shift).clip(0, 255).astype(np.uint8))


def _bits_of(values: NDArray[Any]) -> int:
    """How many bits a camera had whose brightest pixel is this one."""
    return next((bits for bits in (8, 10, 12, 14) if int(values.max()) < 1 << bits), 16)


def bits_used(pictures: Iterable[Image.Image]) -> int | None:
    """Bits that the grey of some pictures takes which have room for 16; None where the first has not."""
    found: list[int] = []
    for picture in pictures:
        if not picture.mode.startswith("I"):
            return None
        found.append(_bits_of(np.asarray(picture)))
    return max(found, default=None)


def spread_over(count: int) -> list[int]:
    """A few numbers below `count`, evenly spread: frames that stand for all."""
    return sorted({round(k) for k in np.linspace(0, count - 1, _LOOKED_AT)})


def shared_bits(paths: Sequence[Path]) -> int | None:
    """Bits of a folder's grey pictures, from a few of them; None where they have eight."""
    return bits_used(_readable(paths))


def _readable(paths: Sequence[Path]) -> Iterator[Image.Image]:
    for i in spread_over(len(paths)):
        try:
            with Image.open(paths[i]) as picture:
                picture.load()
                yield picture
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            continue  # told when the picture is read
