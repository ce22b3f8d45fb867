"""Contact sheets of rendered eyes, with their outlines, for looking at.

Purpose: the renderer is judged by eye, beside real recordings.

What it does not know: how to render.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import OutputError
from ocusam.core.geometry import Ellipse
from ocusam.synthetic.eye import EyeClip, EyeStyle, render_eye_clip

U8 = NDArray[np.uint8]
COLOURS = {"pupil": (80, 80, 255), "iris": (80, 255, 80), "sclera": (255, 160, 60)}


def _outline(picture: U8, ellipse: Ellipse, colour: tuple[int, int, int]) -> None:
    center = (round(ellipse.center[0] * 16), round(ellipse.center[1] * 16))
    axes = (max(1, round(ellipse.axes[0] * 8)), max(1, round(ellipse.axes[1] * 8)))
    cv2.ellipse(picture, center, axes, ellipse.angle, 0, 360, colour, 1, cv2.LINE_AA, 4)


def draw_truth(clip: EyeClip, index: int) -> U8:
    """(H, W, 3) BGR frame with the visible shares tinted and the whole outlines drawn."""
    picture = np.repeat(clip.frames[index][:, :, None], 3, axis=2)
    for name, share in clip.coverage.items():
        colour = np.array(COLOURS.get(name, (0, 255, 255)), np.float32)
        alpha = share[index].astype(np.float32)[:, :, None] * (0.25 / 255.0)
        picture = np.asarray(picture * (1 - alpha) + alpha * colour, np.uint8)
    for name, outlines in clip.ellipses.items():
        ellipse = outlines[index]
        if ellipse is not None:
            _outline(picture, ellipse, COLOURS.get(name, (0, 255, 255)))
    return picture


def contact_sheet(
    seeds: Iterable[int],
    *,
    columns: int = 8,
    size: tuple[int, int] = (256, 256),
    frame: int = 0,
    outlines: bool = False,
    style: EyeStyle | None = None,
) -> U8:
    """(rows * height, columns * width, 3) BGR: frame `frame` of the clip of each seed."""
    tiles: list[U8] = []
    for seed in seeds:
        clip = render_eye_clip(seed, num_frames=frame + 1, size=size, style=style)
        tiles.append(
            draw_truth(clip, frame) if outlines else np.repeat(clip.frames[frame][:, :, None], 3, axis=2)
        )
    while len(tiles) % columns:
        tiles.append(np.zeros((*size, 3), np.uint8))
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=0)


def write_contact_sheet(
    path: Path | str,
    seeds: Iterable[int],
    *,
    columns: int = 8,
    size: tuple[int, int] = (256, 256),
    frame: int = 0,
    outlines: bool = False,
    style: EyeStyle | None = None,
) -> Path:
    """Writes the contact sheet as PNG. Raises OutputError where it cannot be written."""
    target = Path(path)
    sheet = contact_sheet(seeds, columns=columns, size=size, frame=frame, outlines=outlines, style=style)
    ok, data = cv2.imencode(".png", sheet)
    try:
        if not ok:
            raise OSError("no PNG could be made")
        target.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"The contact sheet {target} could not be written: {error}.") from error
    return target
