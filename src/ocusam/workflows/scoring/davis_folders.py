"""Masks of videos as folders of PNG files, the way DAVIS and SA-V keep them.

Purpose: find, read and write both layouts:

    palette    ROOT/VIDEO/00000.png            one picture a frame, pixel value = number of the object
    objects    ROOT/VIDEO/OBJECT/00000.png     one picture a frame and object, pixel above 0 = the object

Notable choices: ROOT may also be one palette video itself, or the dataset's top folder (`Annotations`, `480p`
are entered). Written PNGs have the palette that DAVIS and PASCAL VOC share. A video's folder is written under
a temporary name and renamed, so it is whole or absent. Where objects overlap in a palette picture, the lower
number wins.

What it does not know: scores, masklets.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ocusam.core.errors import InputError, OutputError
from ocusam.video.source import natural_key

Layout = Literal["palette", "objects"]
Mask = NDArray[np.bool_]
LAYOUTS: tuple[Layout, ...] = ("palette", "objects")
MAX_PALETTE_OBJECTS = 255
_DATASET_LEVELS = ("Annotations", "480p")


@dataclass(frozen=True)
class VideoFolder:
    """One video's masks.

    Attributes:
        name: of the video.
        path: its folder.
        layout: "palette" or "objects".
        alone: the folder that was asked for is this video itself, not one of several in it.
    """

    name: str
    path: Path
    layout: Layout
    alone: bool = False

    @property
    def objects(self) -> list[str]:
        """Names of the objects' folders; empty for palette pictures, which tell theirs only when read."""
        return [path.name for path in _folders(self.path)] if self.layout == "objects" else []

    def frames(self, name: str | None = None) -> list[str]:
        """Names of the PNG files in natural order; of one object in the layout "objects"."""
        return [path.name for path in _pngs(self.path / name if name is not None else self.path)]

    def values(self, frame: str, name: str | None = None) -> NDArray[np.uint8]:
        """Pixel values (H, W) of one file.

        Raises:
            InputError: no such file, not a PNG with a palette or grey, several values in an object's mask.
        """
        path = (self.path / name if name is not None else self.path) / frame
        values = read_values(path)
        if name is not None and np.count_nonzero(np.bincount(values.ravel(), minlength=256)) > 2:
            raise InputError(f"{path} holds several objects; in this layout each object has its own folder.")
        return values


def find_videos(root: str | Path) -> list[VideoFolder]:
    """All videos of a folder, in natural order.

    Raises:
        InputError: no such folder, or no PNG pictures in it.
    """
    path = Path(root)
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; give one with a folder of PNG masks for each video.")
    for level in _DATASET_LEVELS:
        path = path / level if (path / level).is_dir() else path
    videos = []
    for folder in _folders(path):
        if _pngs(folder):
            videos.append(VideoFolder(folder.name, folder, "palette"))
        elif any(_pngs(inner) for inner in _folders(folder)):
            videos.append(VideoFolder(folder.name, folder, "objects"))
    if not videos and _pngs(path):
        return [VideoFolder(path.name, path, "palette", alone=True)]
    if not videos:
        raise InputError(f"{path} holds no masks: give VIDEO/FRAME.png or VIDEO/OBJECT/FRAME.png below it.")
    return videos


def read_values(path: Path) -> NDArray[np.uint8]:
    """Pixel values (H, W) of a PNG with a palette (its indices) or grey.

    Raises:
        InputError: no such file, or another kind of picture.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise InputError(
                    f"{path} has colours ({picture.mode}), not numbers of objects: masks are PNG files "
                    "with a palette, or grey ones."
                )
            return np.asarray(picture).astype(np.uint8)
    except FileNotFoundError:
        raise InputError(f"No such file: {path}.") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"The picture {path} cannot be read ({error}).") from None


def write_video(
    folder: Path,
    frames: Iterable[tuple[str, Mapping[int, Mask]]],
    size: tuple[int, int],
    numbers: Iterable[int],
    layout: Layout = "palette",
) -> int:
    """Write one video.

    Args:
        folder: of the video; must not exist yet.
        frames: name without suffix, and object number -> mask (H, W), of each frame.
        size: (height, width).
        numbers: all objects; those that a frame leaves out are empty there. 1..255 for a palette.
        layout: "palette" or "objects".

    Returns:
        number of frames.

    Raises:
        InputError: numbers that a palette cannot hold.
        OutputError: the folder exists or cannot be written.
    """
    numbers = sorted(numbers)
    if layout == "palette" and numbers and not 1 <= numbers[0] <= numbers[-1] <= MAX_PALETTE_OBJECTS:
        raise InputError(
            f"Objects have the numbers {numbers[0]} to {numbers[-1]}; a palette holds 1 to "
            f"{MAX_PALETTE_OBJECTS}. Use the layout with one folder for each object."
        )
    if folder.exists():
        raise OutputError(f"{folder} exists already; give another folder or remove that one.")
    part, count, new_root = folder.with_name(f".{folder.name}.part"), 0, not folder.parent.exists()
    try:
        shutil.rmtree(part, ignore_errors=True)
        for sub in [f"{number:03d}" for number in numbers] if layout == "objects" else ["."]:
            (part / sub).mkdir(parents=True, exist_ok=True)
        for name, masks in frames:
            if layout == "palette":
                _save(part / f"{name}.png", merged(masks, size))
            else:
                for number in numbers:
                    mask = masks.get(number, np.zeros(size, dtype=np.bool_))
                    _save(part / f"{number:03d}" / f"{name}.png", mask.astype(np.uint8))
            count += 1
        part.replace(folder)
    except OSError as error:
        raise OutputError(f"Cannot write {folder} ({error.strerror}).") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if new_root and not folder.exists():
            with suppress(OSError):
                folder.parent.rmdir()
    return count


def merged(masks: Mapping[int, Mask], size: tuple[int, int]) -> NDArray[np.uint8]:
    """One picture (H, W) of object numbers; the lower number wins where masks overlap."""
    out = np.zeros(size, dtype=np.uint8)
    for number in sorted(masks, reverse=True):
        out[masks[number]] = number
    return out


def palette() -> list[int]:
    """256 RGB colours, flat: the three lowest bits of a number go to the highest bits of red, green and blue,
    the next three to the next ones, and so on, so neighbouring numbers differ clearly."""
    colors = []
    for number in range(256):
        for channel in range(3):
            bits = ((number >> (3 * i + channel)) & 1 for i in range(3))
            colors.append(sum(bit << (7 - i) for i, bit in enumerate(bits)))
    return colors


def _save(path: Path, values: NDArray[np.uint8]) -> None:
    picture = Image.fromarray(values)
    picture.putpalette(palette())
    picture.save(path, format="PNG")


def _folders(path: Path) -> list[Path]:
    return _sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pngs(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return _sorted(p for p in path.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith("."))


def _sorted(paths: Any) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(path.name))
