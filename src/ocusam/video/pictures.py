"""Single pictures, from a file or from a caller, as eight bits RGB.

Purpose: whatever a picture comes as, networks and renderers get uint8 (H, W, 3).

Notable choices: grey pictures of 16 bits keep eight: of a folder or a stack the upper eight of those in use,
since cameras of 10, 12 or 14 bits write such files (their pictures would be all but black else); of a single
picture the upper eight of 16. Colour profiles and orientation tags are not looked at.

What it does not know: numbers, times and the order of frames (`source`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ocusam.core.errors import InputError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
_LOOKED_AT = 8


def as_rgb(picture: Any, what: str = "the picture") -> NDArray[np.uint8]:
    """Return a picture as uint8 (H, W, 3) RGB.

    Args:
        picture: Pillow image, or an array (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, of uint8 or
            bool.
        what: how an error calls it.

    Raises:
        InputError: another shape or type of number.
    """
    if isinstance(picture, Image.Image):
        return np.asarray(eight_bits(picture).convert("RGB"))
    if picture is None:
        raise InputError(f"{what} is None; cv2.imread and cv2.VideoCapture.read give that where they fail.")
    if isinstance(picture, str | Path):
        raise InputError(
            f"{what} is the text {str(picture)!r}; give the picture itself, for example "
            "np.array(Image.open(path))."
        )
    try:
        array = np.asarray(picture)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of unequal length; a tensor on a GPU
        raise InputError(f"{what} is no array ({str(error).splitlines()[0]}).") from None
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise InputError(
            f"{what} holds {array.dtype} values; give uint8 (0 to 255), of 16-bit pictures the upper eight "
            "bits."
        )
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputError(f"{what} has shape {array.shape}; give (height, width) or (height, width, 3).")
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def read_picture(path: Path, bits: int | None = None) -> Image.Image:
    """Open one picture file as RGB.

    Args:
        path: the file.
        bits: see `eight_bits`.

    Raises:
        InputError: no such file, or not a picture.
    """
    return eight_bits(opened(path), bits).convert("RGB")


def opened(path: Path) -> Image.Image:
    """A picture file as it is.

    Raises:
        InputError: no such file, or not a picture.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise InputError(f"No such file: {path}.") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"The picture {path} cannot be read ({error}).") from None


def spread_over(count: int) -> list[int]:
    """A few numbers below `count`, evenly spread: frames that stand for all."""
    return sorted({int(i) for i in np.linspace(0, count - 1, _LOOKED_AT)})


def bits_used(pictures: Iterable[Image.Image]) -> int | None:
    """How many bits (8, 10, 12, 14 or 16) the grey of pictures takes that have room for 16; None where the
    first has not."""
    most = 0
    for picture in pictures:
        if not picture.mode.startswith("I"):
            return None
        most = max(most, int(np.asarray(picture).max()))
    return next((bits for bits in (8, 10, 12, 14) if most < 1 << bits), 16)


def eight_bits(picture: Image.Image, bits: int | None = None) -> Image.Image:
    """Grey of 16 bits as eight; Pillow itself would cut off everything above 255.

    Args:
        picture: of any mode; others are returned as they are.
        bits: how many are in use, the upper eight of which are kept; None: 16, or 8 where Pillow's wide
            integers hold nothing larger.
    """
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture)
    if bits is not None:
        return Image.fromarray((values >> (bits - 8)).clip(0, 255).astype(np.uint8))
    wide = picture.mode != "I" or int(values.max()) > 255
    return Image.fromarray((values >> 8 if wide else values).clip(0, 255).astype(np.uint8))
