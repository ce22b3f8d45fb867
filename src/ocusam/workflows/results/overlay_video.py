"""`overlay.mp4`: the video once more, with masks, ellipses, the pupil's trail and states drawn on it.

Purpose: a second pass in order of time after tracking (which may have gone backward), when all states are
known.

Notable choices: frames are decoded again one at a time and masks read from their chunks, so memory stays
constant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import TRACKED, ellipse_of, is_reflection
from ocusam.report.overlay import Drawn, draw, overlay_size
from ocusam.report.trail import Trails
from ocusam.video.source import NOMINAL_FPS, VideoSource
from ocusam.video.writer import VideoWriter
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.masklets import Masklets


def write_overlay(
    path: Path,
    source: VideoSource,
    masklets: Masklets | None,
    signals: LongRows | None,
    *,
    num_frames: int,
    progress: Progress | None = None,
) -> None:
    """Draw every tracked frame.

    Args:
        path: the file to make.
        source: the video, read from its first frame.
        masklets: the masks, or None.
        signals: rows with states (`eye.blink.classify_rows`), or None (any object: masks only).
        num_frames: frames to draw.
        progress: called after every frame.
    """
    rows = _by_frame(signals) if signals is not None else iter(())
    pending, trails = next(rows, None), Trails()
    zero_ns: int | None = None  # the page counts times from the first frame too
    with VideoWriter(path, source.fps or NOMINAL_FPS, overlay_size(source.size)) as writer:
        for frame in source.iterate():
            if frame.frame_idx >= num_frames:
                break
            here: list[dict[str, Any]] = []
            if pending is not None and pending[0] == frame.frame_idx:
                here, pending = pending[1], next(rows, None)
            drawn = drawn_objects(masklets, frame.frame_idx, here, trails)
            zero_ns = frame.timestamp_ns if zero_ns is None else zero_ns
            title = f"frame {frame.frame_idx}  {(frame.timestamp_ns - zero_ns) / 1e9:.3f} s"
            writer.write(draw(frame.image, drawn, title=title), frame.timestamp_ns)
            if progress is not None:
                progress(frame.frame_idx + 1, num_frames, "drawing")


def drawn_objects(
    masklets: Masklets | None, frame_idx: int, rows: list[dict[str, Any]], trails: Trails | None = None
) -> list[Drawn]:
    """What to draw on one frame: masks of all objects, and what their rows say of them. Large objects
    first. With `trails`, which wants every frame in order, pupils have the way that they came."""
    masks = masklets.masks(frame_idx) if masklets is not None else {}
    by_key = {(int(row["view"]), str(row["object"])): row for row in rows}
    order = {"sclera": 0, "iris": 1, "pupil": 2}
    keys = sorted(masks.keys() | by_key.keys(), key=lambda key: (order.get(key[1], 3), key))
    labels, out = _labels(by_key), []
    for view, name in keys:
        row = by_key.get((view, name))
        state = str(row["state"]) if row is not None else ""
        mask = masks.get((view, name))
        # In a blink no pupil values are given; a mask that is nevertheless there is not drawn as one.
        shown = mask if row is None or state == TRACKED else None
        ellipse = ellipse_of(row) if row is not None else None
        if shown is not None and row is not None and is_reflection(name) and row["predicted_iou"] is None:
            shown = None if ellipse is None else ellipse.mask(shown.shape)  # followed by its light
        trail: list[NDArray[np.float64]] = []
        if trails is not None and row is not None and name == "pupil":
            trail = trails.step(view, int(row["timestamp_ns"]), ellipse.center if ellipse else None)
        out.append(Drawn(name, shown, ellipse, labels.get(name, ""), trail=trail))
    return out


def _labels(rows: dict[tuple[int, str], dict[str, Any]]) -> dict[str, str]:
    """What the legend says of each object: its state, once for all views; or which view has which."""
    views: dict[str, dict[str, list[str]]] = {}
    for (view, name), row in sorted(rows.items()):
        views.setdefault(name, {}).setdefault(str(row["state"]), []).append(str(view))
    return {
        name: next(iter(states))
        if len(states) == 1
        else "; ".join(f"{state} (view {', '.join(where)})" for state, where in states.items())
        for name, states in views.items()
    }


def _by_frame(signals: LongRows) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(frame_idx, its rows) in order of time."""
    rows: list[dict[str, Any]] = []
    for row in (row for part in signals.windows() for row in part.iter_rows(named=True)):
        if rows and rows[0]["frame_idx"] != row["frame_idx"]:
            yield int(rows[0]["frame_idx"]), rows
            rows = []
        rows.append(row)
    if rows:
        yield int(rows[0]["frame_idx"]), rows
