"""What a live run draws: the frame with its objects, or the frame on which an eye is being looked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocusam.core.masklet import ObjectFrame
from ocusam.eye.signals import LOST, TRACKED, Measurement
from ocusam.report.overlay import Drawn, draw
from ocusam.report.trail import Trails
from ocusam.tracking.outputs import FrameOutput
from ocusam.video.source import Frame


def tracked_picture(
    output: FrameOutput, objects: Sequence[ObjectFrame], measured: Sequence[Measurement], trails: Trails
) -> NDArray[np.uint8]:
    """The frame with its objects drawn on it, and the way of the pupil's centre."""
    drawn = []
    for item, found in zip(objects, measured, strict=True):
        center = found.ellipse.center if found.ellipse is not None else None
        trail = trails.step(item.name, output.timestamp_ns, center) if item.name == "pupil" else []
        state = TRACKED if found.area_px > 0 else LOST
        drawn.append(Drawn(item.name, item.mask, found.ellipse, state, trail=trail))
    title = f"frame {output.frame_idx}  {output.timestamp_ns / 1e9:.3f} s"
    return draw(output.image, drawn, title=title)


def looking_picture(frame: Frame) -> NDArray[np.uint8]:
    """The frame, with a line that says that nothing is tracked yet."""
    return draw(frame.image, (), title=f"looking for the eye  {frame.timestamp_ns / 1e9:.3f} s")
