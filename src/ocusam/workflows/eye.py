"""Eye movements from an eye video: `ocusam eye` and `ocusam.track_eye`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import PromptError
from ocusam.core.masklet import ObjectFrame
from ocusam.eye.blink import classify
from ocusam.eye.quality import quality
from ocusam.eye.signals import KNOWN_OBJECTS, KNOWN_PATTERN, Measurement, SignalTable, measure
from ocusam.workflows.follow import Progress
from ocusam.workflows.job import Tracked, prepare, run
from ocusam.workflows.masklets import Masklets
from ocusam.workflows.overlay_video import write_overlay
from ocusam.workflows.settings import PromptsLike, RunSettings, as_prompts


@dataclass(frozen=True, eq=False)
class EyeRecording:
    """A tracked eye video.

    Attributes:
        signals: one row per frame, view and object (columns: `eye.signals.COLUMNS`).
        blinks: one row per blink (columns: `eye.blink.BLINK_COLUMNS`).
        quality: one row per view and object (columns: `eye.quality.QUALITY_COLUMNS`).
        masklets: the masks, or None when not kept.
        num_frames: frames tracked.
        truncated: the video announced more frames than could be read.
        fps: frames tracked per second of computing, all views counted.
        folder: where it was written, or None.
    """

    signals: pl.DataFrame
    blinks: pl.DataFrame
    quality: pl.DataFrame
    masklets: Masklets | None
    num_frames: int
    truncated: bool
    fps: float
    folder: Path | None


def track_eye(
    video: Any,
    prompts: PromptsLike | None = None,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    settings: RunSettings | None = None,
    progress: Progress | None = None,
) -> EyeRecording:
    """Follow an eye and measure it.

    Args:
        video: a file, a folder of pictures, an array (T, H, W[, 3]), a list of pictures, or a `VideoSource`.
        prompts: clicks on pupil, iris, sclera or reflections (cr, cr0, ...), px of the whole picture:
            "pupil:320,240@7", `ObjectPrompt`s, or a mapping {"pupil": (x, y)}.
        model: a model's name, a `Sam2Config`, or a ready video predictor.
        weights: a checkpoint file; None for the packaged weights of `nano`.
        device: where the network runs.
        out: folder to write (`signals.csv`, `blinks.csv`, `quality.csv`, `masklets/`, `overlay.mp4`,
            `run.json`), or None.
        settings: further options.
        progress: called after every frame with (done, in all or None, what).

    Raises:
        PromptError: no prompt (for now a click is needed), an unknown name, a point outside the picture.
        OcusamError: the rest of the family; nothing half-written is left.
    """
    if prompts is None or (isinstance(prompts, list | tuple | dict) and not prompts):
        raise PromptError(
            "This version needs a click for now: give one point on the pupil, for example "
            "--point pupil:320,240 (x,y in px; @FRAME for a frame other than the first)."
        )
    settings = settings or RunSettings()
    job = prepare(
        video,
        as_prompts(prompts),
        model=model,
        weights=weights,
        device=device,
        out=out,
        settings=settings,
        known_names=(KNOWN_OBJECTS, KNOWN_PATTERN),
    )
    table = SignalTable()
    results: list[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = []

    def on_frame(objects: list[ObjectFrame]) -> None:
        for item in objects:
            table.add(item.frame_idx, item.timestamp_ns, item.view.index, item.name, measure_object(item))

    def finish(tracked: Tracked) -> None:
        signals, blinks = classify(table.table())
        results.append((signals, blinks, quality(signals)))
        if job.folder is None:
            return
        for name, written in zip(("signals.csv", "blinks.csv", "quality.csv"), results[0], strict=True):
            job.folder.write_table(name, written)
        if settings.overlay:
            write_overlay(
                job.folder.file("overlay.mp4"),
                job.source,
                tracked.masklets,
                signals,
                num_frames=tracked.num_frames,
                progress=progress,
            )

    tracked = run(job, on_frame, finish, progress=progress)
    signals, blinks, table_of_quality = results[0]
    per_view = tracked.num_frames * signals["view"].n_unique()
    return EyeRecording(
        signals,
        blinks,
        table_of_quality,
        tracked.masklets,
        tracked.num_frames,
        tracked.truncated,
        per_view / max(tracked.seconds, 1e-9),
        job.folder.path if job.folder is not None else None,
    )


def measure_object(item: ObjectFrame) -> Measurement:
    """Measure what was tracked, in px of the whole picture."""
    x0, y0 = item.view.region[:2]
    return measure(
        item.logits,
        item.view.size,
        item.name,
        predicted_iou=item.predicted_iou,
        object_score=item.object_score,
        origin=(x0, y0),
    )
