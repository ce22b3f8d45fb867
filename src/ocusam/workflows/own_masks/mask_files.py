"""Pictures whose pixels are numbers of objects, as programs for drawing and segmenting write them.

Notable choices: besides PNGs with a palette and grey ones of 8 bits (DAVIS), grey ones of 16 bits (label maps
of microscopy), and colours that are all grey (what picture editors make of a mask). A mask with soft edges is
refused: its grey values would all be objects.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ocusam.core.errors import InputError

SOFT_VALUES = 20
"""So many values between 0 and 255, all together rarer than 255 itself, are an edge and no objects."""


@lru_cache(maxsize=4)
def mask_values(path: Path) -> NDArray[np.int32]:
    """Numbers of objects (H, W); read once for the several objects of a picture.

    Raises:
        InputError: no such file, no picture, colours, or soft edges.
    """
    try:
        with Image.open(path) as picture:
            mode, values = picture.mode, np.asarray(picture)
    except FileNotFoundError:
        raise InputError(f"No such file: {path}.") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"The picture {path} cannot be read ({error}).") from None
    if mode in ("RGB", "RGBA", "LA"):
        values = _grey(values, path, has_alpha=mode != "RGB")
    elif mode not in ("P", "L", "1") and not mode.startswith("I"):
        raise InputError(f"{path} holds {mode} values; masks are PNG files with a palette, or grey ones.")
    out = values.astype(np.int32)
    if mode != "P":
        _refuse_soft(out, path)
    out.setflags(write=False)
    return out


def _grey(values: NDArray[np.uint8], path: Path, *, has_alpha: bool) -> NDArray[np.uint8]:
    """Colours that are none; what is transparent is no object."""
    colours = values[..., : values.shape[-1] - has_alpha]
    if not (colours == colours[..., :1]).all():
        raise InputError(
            f"{path} has colours, not numbers of objects: save it with a palette, or in grey, where every "
            "object has a value of its own."
        )
    grey = colours[..., 0]
    return np.where(values[..., -1] > 0, grey, 0).astype(np.uint8) if has_alpha else grey


def _refuse_soft(values: NDArray[np.int32], path: Path) -> None:
    if values.max(initial=0) != 255:
        return
    counts = np.bincount(values.ravel(), minlength=256)
    between = counts[1:255]
    if np.count_nonzero(between) > SOFT_VALUES and between.sum() < counts[255]:
        raise InputError(
            f"{path} has soft edges ({np.count_nonzero(between)} grey values between 0 and 255), and a value "
            "is the number of an object: save it without smoothing, as black and white."
        )
