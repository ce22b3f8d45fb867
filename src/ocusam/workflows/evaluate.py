"""Score the whole job on annotated recordings: `ocusam evaluate`.

Purpose: read an annotations file (its conventions are inside it), track every clip from its first click, and
compare.

Notable choices: the clip is tracked as `ocusam eye` would, views split by themselves, every eye from one
click on the pupil and, where given, one on the iris. Paths in the file are relative to the file. With a
folder for pictures, annotated frames are drawn with truth and finding, worst first in a contact sheet per
clip, since a number does not show what went wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt
from ocusam.report.overlay import Drawn, Picture, contact_sheet, draw
from ocusam.video.reader import open_video
from ocusam.workflows.eye import EyeRecording, track_eye
from ocusam.workflows.follow import Progress
from ocusam.workflows.scoring import Annotation, Comparison, Score, compare, score
from ocusam.workflows.settings import RunSettings
from ocusam.workflows.views import plan_views

TRUTH_COLOR = (0, 255, 0)
FOUND_COLOR = (255, 64, 64)


@dataclass(frozen=True)
class Clip:
    """One annotated recording: where it is, its first clicks, its truth."""

    name: str
    path: Path
    clicks: list[dict[str, Any]]
    annotations: list[Annotation]

    def prompts(self, objects: Iterable[str]) -> list[ObjectPrompt]:
        """First clicks on the wanted objects, all eyes."""
        return [
            ObjectPrompt(
                name, int(click["frame_idx"]), np.array([click[name]], dtype=np.float64), np.array([1])
            )
            for click in self.clicks
            for name in objects
            if click.get(name) is not None
        ]

    def view_of_eye(self, views: list[View]) -> dict[str, int]:
        """eye -> index of the view its pupil click lies in."""
        out = {}
        for click in self.clicks:
            x, y = click["pupil"]
            out[str(click["eye"])] = next((v.index for v in views if v.holds(x, y)), 0)
        return out


@dataclass(frozen=True, eq=False)
class ClipResult:
    """What came of one clip: comparisons and scores by object."""

    clip: Clip
    comparisons: dict[str, list[Comparison]]
    scores: dict[str, Score]
    num_frames: int
    fps: float
    blinks: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every annotated frame included."""
        frames = [
            {
                "frame_idx": c.frame_idx,
                "eye": c.eye,
                "object": c.object,
                "true": c.state_true,
                "state": c.state,
                "confidence": c.confidence,
                "error_px": c.error_px,
                "error_rel": c.error_rel,
                "iou": c.iou,
            }
            for part in self.comparisons.values()
            for c in part
        ]
        return {
            "frames_tracked": self.num_frames,
            "frames_per_second": round(self.fps, 2),
            "blinks": self.blinks,
            "scores": {name: s.to_dict() for name, s in self.scores.items()},
            "frames": frames,
        }


def read_annotations(path: str | Path) -> list[Clip]:
    """Clips of an annotations file.

    Raises:
        InputError: no such file, or not of that form.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            Clip(
                name,
                path.parent / clip["path"],
                list(clip["first_click"]),
                [Annotation.from_dict(entry) for entry in clip["frames"]],
            )
            for name, clip in content["clips"].items()
        ]
    except FileNotFoundError:
        raise InputError(f"No such file: {path}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not an annotations file ({type(error).__name__}: {error}).") from None


def choose_clips(clips: list[Clip], names: Iterable[str] | None) -> list[Clip]:
    """The named clips, in the file's order; all when None.

    Raises:
        InputError: an unknown name.
    """
    if names is None:
        return clips
    wanted = list(names)
    known = [clip.name for clip in clips]
    for name in wanted:
        if name not in known:
            raise InputError(f"Unknown clip {name!r}; known clips: {', '.join(known)}.")
    return [clip for clip in clips if clip.name in wanted]


def evaluate_clip(
    clip: Clip,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    objects: tuple[str, ...] = ("pupil", "iris"),
    settings: RunSettings | None = None,
    pictures: Path | None = None,
    progress: Progress | None = None,
) -> ClipResult:
    """Track one clip and score it.

    Args:
        clip: from `read_annotations`.
        model, weights, device: see `workflows.models.open_predictor`.
        objects: which objects are clicked; "pupil" must be among them.
        settings: options of the run.
        pictures: folder for pictures of annotated frames, or None.
        progress: called after every frame.
    """
    settings = settings or RunSettings(masklets=pictures is not None, overlay=False)
    recording = track_eye(
        clip.path,
        clip.prompts(objects),
        model=model,
        weights=weights,
        device=device,
        settings=settings,
        progress=progress,
    )
    with open_video(clip.path) as source:
        views = plan_views(source.size, settings.views)
    where = clip.view_of_eye(views)
    comparisons = {
        name: compare(clip.annotations, recording.signals, where, name)
        for name in objects
        if name in ("pupil", "iris")
    }
    if pictures is not None:
        draw_clip(clip, recording, comparisons, views, pictures)
    scores = {name: score(part) for name, part in comparisons.items()}
    return ClipResult(clip, comparisons, scores, recording.num_frames, recording.fps, len(recording.blinks))


def draw_clip(
    clip: Clip,
    recording: EyeRecording,
    comparisons: dict[str, list[Comparison]],
    views: list[View],
    folder: Path,
) -> None:
    """Write one PNG per annotated frame and eye, and a contact sheet, worst pupils first."""
    where = clip.view_of_eye(views)
    by_index = {view.index: view for view in views}
    wanted: dict[int, dict[str, list[Comparison]]] = {}
    for part in comparisons.values():
        for c in part:
            wanted.setdefault(c.frame_idx, {}).setdefault(c.eye, []).append(c)
    target = folder / clip.name
    target.mkdir(parents=True, exist_ok=True)
    ranked: list[tuple[float, Picture]] = []
    with open_video(clip.path) as source:
        for frame in source.iterate():
            for eye, found in wanted.get(frame.frame_idx, {}).items():
                picture = _draw_eye(frame.image, found, by_index[where[eye]], recording)
                _save(target / f"frame{frame.frame_idx:05d}_{eye}.png", picture)
                pupil = next((c for c in found if c.object == "pupil"), found[0])
                ranked.append((_badness(pupil), picture))
    if ranked:
        ranked.sort(key=lambda item: -item[0])
        _save(folder / f"{clip.name}.png", contact_sheet([p for _, p in ranked], columns=6))


def _draw_eye(image: Picture, found: list[Comparison], view: View, recording: EyeRecording) -> Picture:
    x0, y0, x1, y1 = view.region
    masks = recording.masklets.masks(found[0].frame_idx) if recording.masklets is not None else {}
    drawn = [
        Drawn(f"mask {name}", mask[y0:y1, x0:x1]) for (v, name), mask in masks.items() if v == view.index
    ]
    for c in found:
        if c.truth is not None:
            drawn.append(Drawn("truth", None, c.truth.translated(-x0, -y0), "", TRUTH_COLOR))
        if c.found is not None:
            drawn.append(Drawn("found", None, c.found.translated(-x0, -y0), "", FOUND_COLOR))
    pupil = next((c for c in found if c.object == "pupil"), found[0])
    figures = "" if pupil.iou is None else f" iou {pupil.iou:.2f}"
    figures += "" if pupil.error_rel is None else f" err {pupil.error_rel:.1%}"
    title = f"{pupil.frame_idx} {pupil.eye} {pupil.state_true}>{pupil.state}{figures}"
    return draw(image[y0:y1, x0:x1], drawn, title=title)


def _badness(c: Comparison) -> float:
    if c.state_true == "closed":
        return 2.0 if c.state == "tracked" else -1.0
    return 1.0 - (c.iou or 0.0)


def _save(path: Path, picture: Picture) -> None:
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise InputError(f"Cannot write the picture {path}.")


def evaluate(
    annotations: str | Path,
    *,
    clips: Iterable[str] | None = None,
    pictures: Path | None = None,
    on_clip: Callable[[Clip], Progress | None] | None = None,
    on_result: Callable[[ClipResult], None] | None = None,
    **options: Any,
) -> dict[str, ClipResult]:
    """Track and score all (or the named) clips of an annotations file.

    Args:
        annotations: the file.
        clips: names, or None for all.
        pictures: folder for pictures, or None.
        on_clip: called before each clip; may return a progress callback.
        on_result: called after each clip.
        options: passed to `evaluate_clip`.

    Raises:
        OcusamError: unknown clip, missing file, and whatever tracking raises.
    """
    out = {}
    for clip in choose_clips(read_annotations(annotations), clips):
        progress = on_clip(clip) if on_clip is not None else None
        result = evaluate_clip(clip, pictures=pictures, progress=progress, **options)
        out[clip.name] = result
        if on_result is not None:
            on_result(result)
    return out
