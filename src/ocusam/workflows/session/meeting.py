"""Where a correction's masks meet those that were there before.

Purpose: tell when tracking on would only repeat what is stored, so that a correction may end.

The rule: a frame agrees when every corrected object's new mask and the mask from before the correction have
an IoU of at least `stop_iou`. `MEETING_FRAMES` such frames in a row end the pass: memory reaches 15 frames
back, so from then on it is made of masks that agree. A frame on which an object is absent in both says
nothing: it neither counts nor breaks the row (in a blink all tracks look alike).

What it does not know: memories. That masks agree does not make them equal, so after an early end the rest of
the video is what it was, not what tracking on would have given; exact results need `stop_iou=None`.
"""

from __future__ import annotations

from pathlib import Path

from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.passes import Pass, Step
from ocusam.workflows.session.session_files import SessionFiles

MEETING_FRAMES = 16
STOP_IOU = 0.98


class Meeting:
    """Compares a pass of a correction with what was there before.

    Args:
        files: the session.
        way: the pass.
    """

    def __init__(self, files: SessionFiles, way: Pass) -> None:
        assert files.folder is not None and way.stop_iou is not None
        self._least: float = way.stop_iou
        log = files.log
        before = [i for i, c in enumerate(log.chunks) if log.passes[c.way].correction < way.correction]
        parts: list[Path] = [files.folder / f"chunk_{i:05d}.parquet" for i in before]
        self._old = Masklets([part for part in parts if part.exists()], files.size)

    def count(self, step: Step, agreed: int) -> int:
        """How many frames in a row agree, with this one, after `agreed` before it."""
        said = False
        for objects in step.views:
            old = self._old.masks(objects[0].frame_idx)
            for item in objects:
                x0, y0, x1, y1 = item.view.region
                was = old.get((item.view.index, item.name))
                if was is None:
                    return 0
                was = was[y0:y1, x0:x1]
                union = int((was | item.mask).sum())
                if union:
                    if int((was & item.mask).sum()) / union < self._least:
                        return 0
                    said = True
        return agreed + said
