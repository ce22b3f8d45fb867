"""Pictures of annotated frames with truth (green) and finding (red) drawn on them.

Purpose: `ocusam evaluate --pictures`: one PNG per annotated frame and eye, and a contact sheet per clip,
worst first.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import OutputError
from ocusam.core.masklet import View
from ocusam.report.overlay import Drawn, Picture, contact_sheet, draw
from ocusam.video.reader import open_video
from ocusam.workflows.scoring.scores import Comparison
from ocusam.workflows.session.masklets import Masklets

TRUTH_COLOR = (0, 255, 0)
FOUND_COLOR = (255, 64, 64)


def draw_comparisons(
    video: Path,
    name: str,
    masklets: Masklets | None,
    comparisons: dict[str, list[Comparison]],
    eyes: dict[str, View],
    folder: Path,
    kept: list[int] | None = None,
) -> None:
    """Draw one clip's annotated frames.

    Args:
        video: the clip.
        name: its name: a folder of pictures and a contact sheet are called so.
        masklets: the masks, or None.
        comparisons: by object.
        eyes: eye -> its view.
        folder: where to write.
        kept: frames that were tracked, in the order of the masklets' numbering; None: all.

    Raises:
        OutputError: a picture cannot be written.
    """
    wanted: dict[int, dict[str, list[Comparison]]] = {}
    for part in comparisons.values():
        for c in part:
            wanted.setdefault(c.frame_idx, {}).setdefault(c.eye, []).append(c)
    target = folder / name
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {target} cannot be made ({error.strerror}).") from None
    ranked: list[tuple[float, Picture]] = []
    with open_video(video) as source:
        for frame_idx, by_eye in sorted(wanted.items()):
            image = source.read(frame_idx).image
            masks = (
                masklets.masks(kept.index(frame_idx) if kept is not None else frame_idx) if masklets else {}
            )
            for eye, found in by_eye.items():
                x0, y0, x1, y1 = eyes[eye].region
                mine = {n: m[y0:y1, x0:x1] for (v, n), m in masks.items() if v == eyes[eye].index}
                picture = _draw_eye(image[y0:y1, x0:x1], found, (x0, y0), mine)
                _save(target / f"frame{frame_idx:05d}_{eye}.png", picture)
                ranked.append((_badness(_pupil(found)), picture))
    if ranked:
        ranked.sort(key=lambda item: -item[0])
        _save(folder / f"{name}.png", contact_sheet([p for _, p in ranked], columns=6))


def _pupil(found: list[Comparison]) -> Comparison:
    return next((c for c in found if c.object == "pupil"), found[0])


def _draw_eye(
    image: Picture, found: list[Comparison], origin: tuple[int, int], masks: dict[str, NDArray[np.bool_]]
) -> Picture:
    x0, y0 = origin
    drawn = [Drawn(name, mask) for name, mask in masks.items()]
    for c in found:
        if c.truth is not None:
            drawn.append(Drawn("truth", None, c.truth.translated(-x0, -y0), "", TRUTH_COLOR))
        if c.found is not None:
            drawn.append(Drawn("found", None, c.found.translated(-x0, -y0), "", FOUND_COLOR))
    pupil = _pupil(found)
    figures = "" if pupil.iou is None else f" iou {pupil.iou:.2f}"
    figures += "" if pupil.error_rel is None else f" err {pupil.error_rel:.1%}"
    title = f"{pupil.frame_idx} {pupil.eye} {pupil.state_true}>{pupil.state}{figures}"
    return draw(image, drawn, title=title)


def _badness(c: Comparison) -> float:
    if c.state_true == "closed":
        return 2.0 if c.state == "tracked" else -1.0
    return 1.0 - (c.iou or 0.0)


def _save(path: Path, picture: Picture) -> None:
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise OutputError(f"Cannot write the picture {path}.")
