"""Masks of whole videos: DAVIS and SA-V folders, and the runs that `ocusam eye` and `ocusam track` wrote.

Notable choices: `ocusam davis-export` writes the objects' names beside a video's folder
(`VIDEO.objects.json`); they are used. Of a run every frame that was tracked is taken, masks as they are: what
was not looked at and corrected teaches its own mistakes. Where a run has several views, an object's name
begins with that of its view.

What it does not know: polygons, JSON of annotation tools.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocusam.core.errors import InputError
from ocusam.workflows.own_masks.annotated import AnnotatedFrames, Mask, Shape, Values, connected
from ocusam.workflows.own_masks.mask_files import mask_values
from ocusam.workflows.own_masks.pictures import Pictures, picture_of_mask
from ocusam.workflows.scoring.davis_folders import VideoFolder, find_videos
from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.run_folder import input_of_run


def davis(
    path: Path, pictures: Path | None, names: dict[str, str], *, instances: bool = False
) -> list[AnnotatedFrames]:
    """All videos of a folder in the layout of DAVIS (palette) or SA-V (a folder for each object).

    Args:
        path: as `ocusam davis-score` takes it: the dataset's top folder, or one of videos.
        pictures: folder of `VIDEO/FRAME.jpg`; None: `JPEGImages` where `Annotations` is.
        names: object number -> name.
        instances: every connected part of a number is an object of its own, and every picture stands alone.

    Raises:
        InputError: no masks, or masks without pictures.
    """
    out: list[AnnotatedFrames] = []
    for video in find_videos(path):
        root = pictures or _pictures_beside(video.path)
        folder = root if video.alone and not (root / video.name).is_dir() else root / video.name
        own = _exported_names(video.path) | names
        masks = _palette(video, parts=instances) if video.layout == "palette" else _objects(video)
        files = [picture_of_mask(folder, stem, str(video.path)) for stem in masks]
        if instances or (video.alone and _sizes_differ(video)):
            pairs = zip(files, masks.items(), strict=True)
            out += [AnnotatedFrames(stem, Pictures([file]), [m], own) for file, (stem, m) in pairs if m]
        else:
            out.append(AnnotatedFrames(video.name, Pictures(files), list(masks.values()), own))
    return out


def _sizes_differ(video: VideoFolder) -> bool:
    """Frames of a video have one size: pictures of several stand alone."""
    sizes = set()
    for frame in video.frames():
        with Image.open(video.path / frame) as picture:
            sizes.add(picture.size)
    return len(sizes) > 1


def _pictures_beside(masks: Path) -> Path:
    """`JPEGImages/480p` for `Annotations/480p/VIDEO`."""
    for parent in masks.parents:
        if parent.name == "Annotations":
            return parent.parent / "JPEGImages" / masks.parent.relative_to(parent)
    raise InputError(f"{masks}: say where the pictures are (pictures = ...), as no folder is 'Annotations'.")


def _exported_names(folder: Path) -> dict[str, str]:
    path = folder.with_name(f"{folder.name}.objects.json")
    try:
        return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _palette(video: VideoFolder, *, parts: bool = False) -> dict[str, dict[str, list[Shape]]]:
    out: dict[str, dict[str, list[Shape]]] = {}
    for frame in video.frames():
        path = video.path / frame
        values = mask_values(path)
        own: dict[str, list[Shape]] = {}
        for n in (int(n) for n in np.unique(values) if n):
            if parts:
                count = int(connected(values == n).max())
                own |= {f"{k}:{n}": [Values(path, n, k)] for k in range(1, count + 1)}
            else:
                own[str(n)] = [Values(path, n)]
        out[Path(frame).stem] = own
    return out


def _objects(video: VideoFolder) -> dict[str, dict[str, list[Shape]]]:
    out: dict[str, dict[str, list[Shape]]] = {}
    for name in video.objects:
        for frame in video.frames(name):
            shapes = out.setdefault(Path(frame).stem, {})
            # SA-V numbers its folders 000, 001, ...; an exported name is that of the plain number.
            key = str(int(name)) if name.isdecimal() else name
            shapes[key] = [Values(video.path / name / frame)]
    return dict(sorted(out.items()))


@dataclass(frozen=True)
class TrackedRun:
    """An `AnnotatedVideo` from a run's folder: its masklets over its own video."""

    name: str
    masklets: Path
    pictures: Pictures
    names: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Tracked frames."""
        return len(self.pictures)

    def read(self, index: int) -> tuple[NDArray[np.uint8], dict[str, Mask]]:
        """Picture and masks of a tracked frame.

        Raises:
            InputError: the video is another one.
        """
        picture = self.pictures.read(index)
        masks = _masklets(self.masklets).masks(self.pictures.numbers[index])
        several = any(view for view, _ in masks)
        out: dict[str, Mask] = {}
        for (view, name), mask in masks.items():
            if mask.shape != picture.shape[:2]:
                raise InputError(f"{self.name}: the masks of the run have another size than its video.")
            key = self.names.get(name, name)
            if mask.any():
                out[f"{view}:{key}" if several else key] = mask
        return picture, out


def run(path: Path, pictures: Path | None, names: dict[str, str]) -> list[TrackedRun]:
    """The masks of a run's folder.

    Args:
        path: what `ocusam eye` or `ocusam track` wrote.
        pictures: its video; None: where `run.json` says it was.
        names: object name -> other name.

    Raises:
        InputError: no run, no masklets, or the video is not there.
    """
    masklets = Masklets.from_folder(path / "masklets")
    if pictures is None:
        try:
            record = json.loads((path / "run.json").read_text(encoding="utf-8"))
            found, places = input_of_run(record, path)
            pictures = found or places[-1]
        except (OSError, ValueError, IndexError, TypeError, AttributeError):
            raise InputError(f"{path}/run.json names no video; say where it is (pictures = ...).") from None
    if not pictures.exists():
        raise InputError(f"The video of {path} is not at {pictures}; say where it is (pictures = ...).")
    frames = sorted(set(masklets.table["frame_idx"].to_list()))
    return [TrackedRun(path.name, path / "masklets", Pictures(video=pictures, numbers=frames), names)]


@lru_cache(maxsize=8)
def _masklets(folder: Path) -> Masklets:
    return Masklets.from_folder(folder)
