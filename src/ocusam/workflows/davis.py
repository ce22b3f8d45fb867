"""Scoring and writing masks of videos in the field's folders: `ocusam davis-score`, `ocusam davis-export`.

Purpose: J, F and J&F of a folder of results against a folder of truths, and the masklets of a run as such a
folder.

Notable choices: the first and the last frame of every video are left out unless asked for, as in SA-V and in
DAVIS's semi-supervised track. The figure is the mean over all objects of all videos, so a video with more
objects weighs more. A result that lacks a video, object or frame of the truth is refused, not scored as
empty; what only the result has is passed over.

What it does not know: how to read the layouts (`davis_folders`), what J and F are (`davis_scores`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError, OutputError
from ocusam.video.source import PictureFolder
from ocusam.workflows.results.finished_run import open_run as finished_run
from ocusam.workflows.scoring.davis_folders import LAYOUTS, Layout, VideoFolder, find_videos, write_video
from ocusam.workflows.scoring.davis_scores import ObjectScore, VideoScorer
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.masklets import Masklets


@dataclass(frozen=True)
class DavisScores:
    """Scores of all objects.

    Attributes:
        objects: one entry for each object of each video.
        skipped_first_and_last: whether these frames were left out.
    """

    objects: list[ObjectScore]
    skipped_first_and_last: bool

    @property
    def j(self) -> float:
        """Mean J over all objects, 0..1."""
        return float(np.mean([score.j for score in self.objects]))

    @property
    def f(self) -> float:
        """Mean F over all objects, 0..1."""
        return float(np.mean([score.f for score in self.objects]))

    @property
    def jf(self) -> float:
        """J&F, the mean of both."""
        return (self.j + self.f) / 2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "j_and_f": self.jf,
            "j": self.j,
            "f": self.f,
            "skipped_first_and_last": self.skipped_first_and_last,
            "objects": [asdict(score) | {"j_and_f": score.jf} for score in self.objects],
        }


def score_folders(
    truth: str | Path,
    result: str | Path,
    *,
    skip_first_and_last: bool = True,
    progress: Progress | None = None,
) -> DavisScores:
    """Compare a folder of results with a folder of truths (layouts: see `davis_folders`).

    Args:
        truth: decides which videos, objects and frames are scored.
        result: must have them all, in the same layout.
        skip_first_and_last: leave out the first and the last frame of every video.
        progress: called after each video with (done, in all, what).

    Raises:
        InputError: no masks, something missing, sizes that differ, or no frame to score.
    """
    wanted, found = find_videos(truth), {video.name: video for video in find_videos(result)}
    if wanted[0].alone and len(found) == 1:
        found = {wanted[0].name: next(iter(found.values()))}  # the two folders' names need not agree
    missing = [video.name for video in wanted if video.name not in found]
    if missing:
        raise InputError(f"{result} lacks {_few(missing)}: every video of {truth} needs a folder there.")
    scores: list[ObjectScore] = []
    for done, video in enumerate(wanted, start=1):
        scores += _score_video(video, found[video.name], skip_first_and_last)
        if progress is not None:
            progress(done, len(wanted), "scored")
    if not scores:
        raise InputError(f"{truth} shows no object on any scored frame.")
    return DavisScores(scores, skip_first_and_last)


def _score_video(truth: VideoFolder, result: VideoFolder, skip: bool) -> list[ObjectScore]:
    if truth.layout != result.layout:
        raise InputError(
            f"{truth.path} has the layout {truth.layout!r}, but {result.path} {result.layout!r}; give both "
            "in one layout."
        )
    if truth.layout == "palette":
        scorer = VideoScorer(truth.name)
        for wanted, values in _pairs(truth, result, None, skip):
            numbers = np.unique(np.concatenate((np.unique(wanted), np.unique(values))))
            names = {str(number): number for number in numbers if number}
            scorer.add(
                {name: values == number for name, number in names.items()},
                {name: wanted == number for name, number in names.items()},
                (wanted.shape[0], wanted.shape[1]),
            )
        return scorer.scores()
    lacking = sorted(set(truth.objects) - set(result.objects))
    if lacking:
        raise InputError(f"{result.path} lacks the objects {_few(lacking)}.")
    scores = []
    for name in truth.objects:
        scorer = VideoScorer(truth.name)
        for wanted, values in _pairs(truth, result, name, skip):
            size = (wanted.shape[0], wanted.shape[1])
            scorer.add({name: values > 0}, {name: wanted > 0}, size)
        scores += scorer.scores()
    return scores


def _pairs(
    truth: VideoFolder, result: VideoFolder, name: str | None, skip: bool
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pixel values of truth and result on each scored frame."""
    frames = truth.frames(name)
    scored = frames[1:-1] if skip else frames
    if not scored:
        raise InputError(
            f"{truth.path} has {len(frames)} frames; with the first and the last left out none can be "
            "scored. Score all frames, or give a longer video."
        )
    lacking = sorted(set(scored) - set(result.frames(name)))
    if lacking:
        raise InputError(f"{result.path / (name or '')} lacks {_few(lacking)}; every scored frame is needed.")
    for frame in scored:
        wanted, values = truth.values(frame, name), result.values(frame, name)
        if wanted.shape != values.shape:
            raise InputError(
                f"{frame} of {truth.name} is {values.shape[1]} x {values.shape[0]} px in the result, but "
                f"{wanted.shape[1]} x {wanted.shape[0]} px in the truth (width x height)."
            )
        yield wanted, values


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def export_masklets(
    masklets: Masklets,
    out: str | Path,
    video: str,
    *,
    layout: Layout = "palette",
    frame_names: list[str] | None = None,
) -> dict[int, str]:
    """Write masklets as `OUT/VIDEO/...png`, and beside it `OUT/VIDEO.objects.json`, number -> name.

    Objects whose names are numbers keep them; otherwise they are numbered from 1 by name.

    Args:
        masklets: of a run.
        out: root folder; may hold other videos.
        video: name of the video's folder.
        layout: "palette" or "objects".
        frame_names: a name without suffix for each frame; None: 00000, 00001, ...

    Returns:
        the objects' names by number.

    Raises:
        InputError: no masks, too many objects for a palette, too few frame names, unknown layout.
        OutputError: the video's folder exists or cannot be written.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout={layout!r}: use one of {', '.join(LAYOUTS)}.")
    if not video or Path(video).name != video or video.startswith("."):
        raise InputError(f"{video!r} cannot be the name of a folder; give another name of the video.")
    table = masklets.table
    if table.is_empty():
        raise InputError("There are no masks to write.")
    last = int(table["frame_idx"].to_numpy().max())
    if frame_names is not None and len(frame_names) <= last:
        raise InputError(f"{len(frame_names)} frame names for frames up to {last}; give one for each frame.")
    keys = sorted(set(table.select("view", "object").iter_rows()))
    names = [name if view == 0 else f"{name}@{view}" for view, name in keys]
    numbers = _numbers(names, 1 if layout == "palette" else 0)
    of_key = dict(zip(keys, numbers, strict=True))

    def frames() -> Iterator[tuple[str, dict[int, NDArray[np.bool_]]]]:
        for frame_idx, masks in masklets:
            name = frame_names[frame_idx] if frame_names is not None else f"{frame_idx:05d}"
            yield name, {of_key[key]: mask for key, mask in masks.items()}

    root = Path(out)
    write_video(root / video, frames(), masklets.size, numbers, layout)
    objects = dict(zip(numbers, names, strict=True))
    text = json.dumps({str(number): name for number, name in objects.items()}, indent=2) + "\n"
    write_text(root / f"{video}.objects.json", text)
    return objects


def _numbers(names: list[str], lowest: int) -> list[int]:
    """The names themselves where all are different numbers, else 1, 2, ..."""
    if all(name.isdecimal() for name in names):
        numbers = [int(name) for name in names]
        if len(set(numbers)) == len(numbers) and min(numbers) >= lowest:
            return numbers
    return list(range(1, len(names) + 1))


def open_run(run: str | Path) -> tuple[Masklets, str]:
    """The masklets of a run's folder (or of its `masklets` folder), and the name of its video.

    Raises:
        InputError: no masklets there.
    """
    path = Path(run)
    folder = path / "masklets" if (path / "masklets").is_dir() else path
    home = folder.parent if folder.name == "masklets" else path
    try:
        masklets = finished_run(home).masklets
    except InputError:  # without a record, or on its way
        masklets = Masklets.from_folder(folder)
    try:
        record = json.loads((home / "run.json").read_text(encoding="utf-8"))
        name = Path(record["input"]["path"]).stem
    except (OSError, ValueError, KeyError, TypeError):
        name = ""
    return masklets, name or home.resolve().name


def names_of_pictures(folder: str | Path) -> list[str]:
    """Names without suffix of a folder's pictures, in the order in which they are tracked.

    Raises:
        InputError: no folder, or no pictures.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{path} is not a folder of pictures.")
    return [picture.stem for picture in PictureFolder(path).paths]


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"Cannot write {path} ({error.strerror}).") from None
