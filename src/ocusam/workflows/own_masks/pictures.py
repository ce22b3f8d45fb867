"""The pictures that masks belong to: where they are, and how annotation tools show them.

Purpose: `Pictures` (files or a video), and `find_picture`, which finds a file by the name that an export
gives it.

Notable choices: exports name pictures as the machine knew them that they were drawn on: `C:\\Users\\...`,
folders that have moved, another suffix. So the end of a name is looked for below the folder that is given.
LabelMe keeps the picture inside its JSON; where the file is not there, that one is taken. Photographs are
turned as their orientation tag says, since annotation tools show them so. A video is kept open, each process
its own.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ocusam.core.errors import InputError
from ocusam.video.pictures import as_rgb, read_picture
from ocusam.video.reader import open_video
from ocusam.video.source import VideoSource

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MASK_ENDINGS = ("_mask", "_masks", "_cp_masks", "_seg", "_label", "_labels")
"""What programs put behind a picture's name for the file of its masks."""


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a video are: one file each, or frames of a video by number.

    Attributes:
        files: of the pictures (of LabelMe a JSON that holds the picture); empty for a video.
        video: file or folder of a video.
        numbers: which frames of the video.
    """

    files: Sequence[Path] = ()
    video: Path | None = None
    numbers: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.files) or len(self.numbers)

    def read(self, index: int, *, upright: bool = True) -> NDArray[np.uint8]:
        """RGB (H, W, 3).

        Args:
            index: from 0.
            upright: turn a photograph as its orientation tag says.
        """
        if self.video is not None:
            return _opened(self.video).read(self.numbers[index]).image
        file = self.files[index]
        return _embedded(file) if file.suffix == ".json" else as_rgb(read_picture(file, upright=upright))

    def missing(self) -> list[Path]:
        """Files that are not there."""
        return [file for file in self.files if not file.is_file()]


@lru_cache(maxsize=8)
def _opened(path: Path) -> VideoSource:
    return open_video(path)


def _embedded(file: Path) -> NDArray[np.uint8]:
    """The picture inside a LabelMe file."""
    try:
        data = base64.b64decode(read_json(file)["imageData"])
        with Image.open(io.BytesIO(data)) as picture:
            return as_rgb(ImageOps.exif_transpose(picture))
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, KeyError, TypeError) as error:
        raise InputError(f"The picture inside {file} cannot be read ({error}).") from None


def read_json(file: Path) -> Any:
    """A file's JSON, with or without the mark that Windows programs put before it.

    Raises:
        InputError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}); was it cut off?") from None


def find_picture(folder: Path, name: str) -> Path:
    """The file that an export means: the path itself, its end below `folder`, or the same with another
    suffix; where there is none, the path that was most likely meant."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    given = Path(name.replace("\\", "/"))
    likely = folder / (parts[-1] if given.is_absolute() or ":" in parts[0] else given)
    for path in (folder / given, *(folder.joinpath(*parts[k:]) for k in range(len(parts)))):
        if path.is_file():
            return path
    return _other_suffix(folder / parts[-1]) or likely


def picture_of_mask(folder: Path, stem: str, where: str) -> Path:
    """The picture in a folder that a mask's file belongs to by its name.

    Raises:
        InputError: there is none.
    """
    stems = [stem, *(stem.removesuffix(end) for end in MASK_ENDINGS if stem.endswith(end))]
    for candidate in stems:
        found = _other_suffix(folder / f"{candidate}.jpg")
        if found is not None:
            return found
    raise InputError(
        f"{where}: no picture {stem}.jpg or {stem}.png in {folder} (nor {', '.join(SUFFIXES[3:])}); pictures "
        "and masks must have the same names."
    )


def _other_suffix(path: Path) -> Path | None:
    for suffix in SUFFIXES:
        for spelt in (suffix, suffix.upper()):
            other = path.with_name(path.stem + spelt)
            if other.is_file():
                return other
    return None
