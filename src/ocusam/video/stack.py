"""TIFF files of many pages as videos: what scientific cameras and ImageJ write.

Purpose: `TiffStack` reads a page when it is wanted; nothing but the places of the pages is kept.

Notable choices: pages of more than 8 bits keep the upper eight of the bits in use (`pictures`).

What it does not know: stacks of more than 4 GB as ImageJ writes them, a single page with all pictures behind
it; they are refused, not read as one frame. Times in TIFF tags, which every camera writes in its own way.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from ocusam.core.errors import InputError
from ocusam.video.depth import bits_used, eight_bits, spread_over
from ocusam.video.source import SequenceSource

STACK_SUFFIXES = (".tif", ".tiff")
_DESCRIPTION = 270
_PROBLEMS = (UnidentifiedImageError, OSError, ValueError, SyntaxError, KeyError)


class _Pages:
    """Pages by number, from one open file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # frames are read ahead in one thread, and closed in another
        try:
            picture = Image.open(path, formats=["TIFF"])
            assert isinstance(picture, TiffImagePlugin.TiffImageFile)
            self.picture = picture
            self.count = picture.n_frames
            told = re.search(r"^images=(\d+)", str(picture.tag_v2.get(_DESCRIPTION, "")), re.MULTILINE)
        except _PROBLEMS as error:
            raise InputError(f"The TIFF {path} cannot be read ({error}).") from None
        if told is not None and int(told[1]) > self.count:
            self.close()
            raise InputError(
                f"{path} says that it holds {told[1]} pictures, but lists {self.count}: ImageJ writes "
                "stacks of more than 4 GB in this way. Save it as a video, as single pictures, or in parts."
            )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Image.Image:
        with self._lock:
            try:
                self.picture.seek(index)
                return self.picture.copy()
            except _PROBLEMS as error:
                raise InputError(f"Page {index} of {self.path} cannot be read ({error}).") from None

    def close(self) -> None:
        with self._lock:
            self.picture.close()


class TiffStack(SequenceSource):
    """The pages of a TIFF file.

    Args:
        path: the file.
        fps: frames per second; None: unknown, times then follow `NOMINAL_FPS`.

    Raises:
        InputError: not a TIFF, pages of different sizes, or pages that are not listed.
    """

    def __init__(self, path: Path, *, fps: float | None = None) -> None:
        self.path, self._pages = path, _Pages(path)
        try:
            self._bits = bits_used(self._pages[i] for i in spread_over(len(self._pages)))
            super().__init__(self._pages, fps=fps)  # type: ignore[arg-type]
        except BaseException:
            self._pages.close()
            raise

    def _name(self, frame_idx: int) -> str:
        return f"Page {frame_idx} of {self.path}"

    def _picture(self, frame_idx: int) -> NDArray[np.uint8]:
        return np.asarray(eight_bits(self._pages[frame_idx], self._bits).convert("RGB"))

    def close(self) -> None:
        self._pages.close()


def is_stack(path: Path) -> bool:
    """Whether a file is a TIFF of more than one page, or one that says so."""
    if path.suffix.lower() not in STACK_SUFFIXES:
        return False
    try:
        with Image.open(path, formats=["TIFF"]) as picture:
            assert isinstance(picture, TiffImagePlugin.TiffImageFile)
            if re.search(r"^images=([2-9]|\d\d)", str(picture.tag_v2.get(_DESCRIPTION, "")), re.MULTILINE):
                return True
            picture.seek(1)
            return True
    except (EOFError, *_PROBLEMS):
        return False
