"""Single pictures, from a file or from a caller, as eight bits RGB.

Purpose: whatever a picture comes as, networks and renderers get uint8 (H, W, 3).

Notable choices: what becomes of more than eight bits is said in `depth`. Colour profiles are not looked at,
and orientation tags only where asked for.

What it does not know: numbers, times and the order of frames (`source`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ocusam.core.errors import InputError
from ocusam.video.depth import eight_bits

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


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


def read_picture(path: Path, *, upright: bool = False, bits: int | None = None) -> Image.Image:
    """Open one picture file as RGB.

    Args:
        path: the file.
        upright: turn it as a photograph's orientation tag says.
        bits: see `depth.eight_bits`.

    Raises:
        InputError: no such file, or not a picture.
    """
    picture = opened(path)
    try:
        return eight_bits(ImageOps.exif_transpose(picture) if upright else picture, bits).convert("RGB")
    except InputError as error:
        raise InputError(f"The picture {path}: {error}") from None


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
