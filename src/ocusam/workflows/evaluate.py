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
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ocusam.core.errors import OutputError
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt
from ocusam.core.version import __version__
from ocusam.eye.signals import SignalTable
from ocusam.eye.whole_frame import measure_frame
from ocusam.video.reader import open_video
from ocusam.video.source import VideoSource
from ocusam.video.thinned import ThinnedSource
from ocusam.workflows.eye import track_eye
from ocusam.workflows.find.clicks import ClearClicks
from ocusam.workflows.inputs.settings import Computing, RunSettings
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.scoring.annotations import Clip, choose_clips, read_annotations
from ocusam.workflows.scoring.score_pictures import draw_comparisons
from ocusam.workflows.scoring.scores import Annotation, Comparison, Score, compare, score
from ocusam.workflows.session.follow import Progress, follow
from ocusam.workflows.session.masklets import MaskletWriter
from ocusam.workflows.session.models import open_predictor


@dataclass(frozen=True, eq=False)
class ClipResult:
    """What came of one clip: comparisons and scores by object; `model` says what tracked it."""

    clip: Clip
    comparisons: dict[str, list[Comparison]]
    scores: dict[str, Score]
    num_frames: int
    fps: float
    blinks: int
    model: dict[str, Any]

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


def evaluate_clip(
    clip: Clip,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    objects: tuple[str, ...] = ("pupil", "iris"),
    settings: RunSettings | None = None,
    pictures: Path | None = None,
    every: int = 1,
    progress: Progress | None = None,
) -> ClipResult:
    """Track one clip and score it.

    Args:
        clip: from `read_annotations`.
        model, weights, device: see `workflows.models.open_predictor`.
        objects: which objects are clicked; "pupil" must be among them.
        settings: options of the run.
        pictures: folder for pictures of annotated frames, or None.
        every: track only every so-manieth frame and the annotated ones (quick; for comparing weights).
        progress: called after every frame.
    """
    settings = settings or RunSettings(masklets=pictures is not None, overlay=False)
    source, prompts = open_video(clip.path), clip.prompts(objects)
    views = plan_views(source.size, settings.views)
    kept = None
    if every > 1:
        kept = _kept_frames(clip, source, every)
        source = ThinnedSource(source, kept)
        prompts = [replace(p, frame_idx=kept.index(p.frame_idx)) for p in prompts]
    opened = open_predictor(model, weights, device)
    recording = track_eye(source, prompts, model=opened, settings=settings, progress=progress)
    signals = recording.signals
    if kept is not None:
        signals = signals.with_columns(pl.lit(pl.Series(kept)).gather(pl.col("frame_idx")).alias("frame_idx"))
    eyes = clip.eyes(views)
    comparisons = compare_all(clip, signals, eyes, objects)
    if pictures is not None:
        draw_comparisons(clip.path, clip.name, recording.masklets, comparisons, eyes, pictures, kept)
    scores = {name: score(part) for name, part in comparisons.items()}
    blinks = len(recording.blinks)
    return ClipResult(clip, comparisons, scores, recording.num_frames, recording.fps, blinks, opened.record)


def compare_all(
    clip: Clip, signals: pl.DataFrame, eyes: dict[str, View], objects: Iterable[str]
) -> dict[str, list[Comparison]]:
    """Truth beside finding for every object that has a truth."""
    where = {eye: view.index for eye, view in eyes.items()}
    return {
        name: compare(clip.annotations, signals, where, name) for name in objects if name in ("pupil", "iris")
    }


def evaluate_stills(
    clip: Clip,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    objects: tuple[str, ...] = ("pupil", "iris"),
    pictures: Path | None = None,
    clear_clicks: bool = True,
    progress: Progress | None = None,
) -> ClipResult:
    """Score every annotated frame of a clip as a picture by itself, clicked where its truth says: no memory.

    Closed eyes are passed over (there is nothing to click). Quick, and the right question for weights that
    have only seen single pictures; arguments as for `evaluate_clip`, `clear_clicks` as in `RunSettings`.
    """
    opened = open_predictor(model, weights, device)
    table, started, done = SignalTable(), time.perf_counter(), 0
    with open_video(clip.path) as source:
        views = plan_views(source.size)
        eyes, writer = clip.eyes(views), MaskletWriter(None, source.size)
        wanted = [a for a in clip.annotations if a.pupil is not None]
        for a in sorted(wanted, key=lambda a: a.frame_idx):
            view = eyes[a.eye]
            x0, y0, x1, y1 = view.region
            prompts = [p.translated(-x0, -y0) for p in true_clicks(a, objects)]
            picture = open_video([source.read(a.frame_idx).image[y0:y1, x0:x1]])
            whole = [View(0, (0, 0, x1 - x0, y1 - y0))]
            clear = ClearClicks() if clear_clicks else None
            for found in follow(picture, prompts, opened.predictor, whole, clear=clear):
                objects_here = [replace(o, frame_idx=a.frame_idx, view=view) for o in found]
                writer.add(objects_here)
                measured = measure_frame(objects_here, spots=False).objects
                for o, of_object in zip(objects_here, measured, strict=True):
                    table.add(o.frame_idx, 0, view.index, o.name, of_object)
            done += 1
            if progress is not None:
                progress(done, len(wanted), "clicking")
    shown = [a for a in clip.annotations if a.pupil is not None]
    comparisons = compare_all(replace(clip, annotations=shown), table.table(), eyes, objects)
    if pictures is not None:
        draw_comparisons(clip.path, clip.name, writer.finish(), comparisons, eyes, pictures)
    scores = {name: score(part) for name, part in comparisons.items()}
    speed = done / (time.perf_counter() - started)
    return ClipResult(clip, comparisons, scores, done, speed, 0, opened.record)


def true_clicks(a: Annotation, objects: Iterable[str]) -> list[ObjectPrompt]:
    """Clicks where the truth says the objects are: the pupil's centre; on the iris, beside the pupil, halfway
    to the limbus on the wider side (seldom under a lid)."""
    out = []
    assert a.pupil is not None
    if "pupil" in objects:
        out.append(ObjectPrompt("pupil", 0, np.array([a.pupil.center]), np.array([1])))
    if "iris" in objects and a.iris is not None:
        inner, outer = a.pupil.bounds, a.iris.bounds
        left, right = (inner[0] + outer[0]) / 2.0, (inner[2] + outer[2]) / 2.0
        x = left if inner[0] - outer[0] > outer[2] - inner[2] else right
        out.append(ObjectPrompt("iris", 0, np.array([[x, a.pupil.center[1]]]), np.array([1])))
    return out


def _kept_frames(clip: Clip, source: VideoSource, every: int) -> list[int]:
    """Every so-manieth frame, the annotated and the clicked ones."""
    count = source.num_frames or 0
    wanted = {a.frame_idx for a in clip.annotations} | {int(c["frame_idx"]) for c in clip.clicks}
    return sorted(set(range(0, count, every)) | {i for i in wanted if i < count})


def evaluate(
    annotations: str | Path,
    *,
    clips: Iterable[str] | None = None,
    pictures: Path | None = None,
    on_clip: Callable[[Clip], Progress | None] | None = None,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    computing: Computing | None = None,
    stills: bool = False,
    **options: Any,
) -> dict[str, ClipResult]:
    """Track and score all (or the named) clips of an annotations file.

    Args:
        annotations: the file.
        clips: names, or None for all.
        pictures: folder for pictures, or None.
        on_clip: called before each clip; may return a progress callback.
        model, weights, device, computing: see `workflows.models.open_predictor`.
        stills: every annotated frame by itself (`evaluate_stills`) instead of tracking.
        options: passed to `evaluate_clip` or `evaluate_stills`.

    Raises:
        OcusamError: unknown clip, missing file, and whatever tracking raises.
    """
    chosen = choose_clips(read_annotations(annotations), clips)
    opened = open_predictor(model, weights, device, computing)
    out = {}
    for clip in chosen:
        progress = on_clip(clip) if on_clip is not None else None
        job = evaluate_stills if stills else evaluate_clip
        out[clip.name] = job(clip, model=opened, pictures=pictures, progress=progress, **options)
    return out


def write_json(path: Path, results: dict[str, ClipResult], annotations: Path) -> None:
    """Write all figures and all comparisons.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {
        "ocusam": __version__,
        "annotations": str(annotations),
        "model": next((result.model for result in results.values()), None),
        "clips": {name: result.to_dict() for name, result in results.items()},
    }
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"Cannot write {path} ({error.strerror}).") from None
