"""One entry of [[data.masks]] opened: the format's reader, the pictures there, the names known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ocusam.core.errors import InputError
from ocusam.training.own_clips import AnnotatedVideo
from ocusam.workflows.own_masks.annotated import AnnotatedFrames, label_of
from ocusam.workflows.own_masks.coco import coco
from ocusam.workflows.own_masks.folders import davis, run
from ocusam.workflows.own_masks.tools import cvat, labelme
from ocusam.workflows.train_config import MasksConfig


def open_masks(entry: MasksConfig, home: Path) -> list[AnnotatedVideo]:
    """The annotated videos of one entry of [[data.masks]].

    Args:
        entry: formats as in `train_config.FORMATS`.
        home: folder that relative paths start from.

    Raises:
        InputError: the masks or their pictures cannot be used; names of objects that are nowhere.
    """
    path = home / entry.path
    if not path.exists():
        raise InputError(f"No such file or folder: {path} (path = {entry.path!r}).")
    pictures = home / entry.pictures if entry.pictures else None
    if pictures is not None and not pictures.exists():
        raise InputError(f"No such file or folder: {pictures} (pictures = {entry.pictures!r}).")
    if entry.format == "run":
        return list(run(path, pictures, entry.names))
    videos = _read(entry, path, pictures)
    missing = [str(file) for video in videos for file in video.pictures.missing()]
    if missing:
        more = f" (and {len(missing) - 3} more)" if len(missing) > 3 else ""
        raise InputError(
            f"{len(missing)} of the pictures of {path} are not there: {', '.join(missing[:3])}{more}; say "
            "where they are (pictures = ...)."
        )
    _check_names(entry.names, videos, str(path))
    return list(videos)


def _read(entry: MasksConfig, path: Path, pictures: Path | None) -> list[AnnotatedFrames]:
    if entry.format == "davis":
        return davis(path, pictures, entry.names, instances=entry.instances)
    if entry.format == "coco":
        return coco(path, pictures, entry.names, sequence=entry.sequence)
    reader = labelme if entry.format == "labelme" else cvat
    return reader(path, pictures, entry.names, sequence=entry.sequence, instances=entry.instances)


def _check_names(names: Mapping[str, str], videos: list[AnnotatedFrames], where: str) -> None:
    """A misspelt name would leave its object what it is, silently."""
    given = {name for video in videos for masks in video.masks for name in masks}
    given |= {label_of(name) for name in given}
    # COCO's categories are called by their new names already, and its tracks have a number behind.
    given |= {name.rpartition("-")[0] for name in given}
    unknown = [old for old, new in names.items() if old not in given and new not in given]
    if unknown:
        there = ", ".join(sorted(name for name in given if name)[:20])
        raise InputError(f"{where}: names has {', '.join(unknown)}, but the objects are {there}.")
