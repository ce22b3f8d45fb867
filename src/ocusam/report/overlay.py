"""Pictures of frames with what was found drawn on them.

Purpose: `overlay.mp4`, and the pictures `ocusam evaluate` makes: mask tint, outline, fitted ellipse with its
centre, that centre's trail (`report.trail`), state and legend, legible on a 192-pixel eye as on a 1280-pixel
one.

Notable choices: small pictures are enlarged to at least 480 px width before anything is drawn, so lines are
thin and text is sharp; one colour per object name, the same in every picture. The centre of a pixel stays its
centre under enlargement.

What it does not know: time; one frame at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse

Color = tuple[int, int, int]
Picture = NDArray[np.uint8]

# RGB; distinguishable by people with a colour-vision deficiency (Okabe and Ito 2008).
_FIXED: dict[str, Color] = {
    "pupil": (230, 159, 0),
    "iris": (86, 180, 233),
    "sclera": (0, 158, 115),
    "corneal_reflection": (240, 228, 66),
    "cr": (240, 228, 66),
}
_OTHERS: tuple[Color, ...] = ((204, 121, 167), (213, 94, 0), (0, 114, 178), (240, 228, 66), (153, 221, 85))
_TRAIL: Color = (255, 255, 255)
MIN_WIDTH = 480
_SHIFT = 4  # OpenCV draws at 1/16 px
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, eq=False)
class Drawn:
    """One object to be drawn.

    Attributes:
        name: decides the colour, and stands in the legend.
        mask: bool (H, W) at the picture's size, or None.
        ellipse: in px of the picture, or None.
        state: "tracked", "blink", "lost" or "".
        color: overrides the name's colour.
        trail: where its centre was before, unbroken pieces (N, 2) x, y in px of the picture.
    """

    name: str
    mask: NDArray[np.bool_] | None = None
    ellipse: Ellipse | None = None
    state: str = ""
    color: Color | None = None
    trail: Sequence[NDArray[np.float64]] = ()


def color_of(name: str) -> Color:
    """The RGB colour of an object name, the same in every run."""
    if name in _FIXED:
        return _FIXED[name]
    return _OTHERS[sum(name.encode()) % len(_OTHERS)]


def enlargement(size: tuple[int, int], min_width: int = MIN_WIDTH) -> int:
    """Whole factor by which a picture of `size` (h, w) is enlarged to be at least `min_width` px wide."""
    return max(1, math.ceil(min_width / size[1]))


def overlay_size(size: tuple[int, int], min_width: int = MIN_WIDTH) -> tuple[int, int]:
    """(height, width) of the drawn picture for a frame of `size` (h, w)."""
    factor = enlargement(size, min_width)
    return size[0] * factor, size[1] * factor


def draw(image: Picture, objects: Sequence[Drawn], *, title: str = "", min_width: int = MIN_WIDTH) -> Picture:
    """Draw objects on a frame.

    Args:
        image: uint8 (H, W, 3) RGB or (H, W) grey.
        objects: what to draw, later ones on top.
        title: a line of text at the top left (frame, time, state).
        min_width: the picture is enlarged by a whole factor to be at least so wide.

    Returns:
        uint8 (H * k, W * k, 3) RGB.
    """
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    factor = enlargement((rgb.shape[0], rgb.shape[1]), min_width)
    out = (
        cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        if factor > 1
        else rgb.copy()
    )
    canvas = np.ascontiguousarray(out, dtype=np.uint8)
    for item in objects:
        if item.mask is not None and item.mask.any():
            _tint(canvas, item.mask, item.color or color_of(item.name), factor)
    for item in objects:
        for piece in item.trail:
            line = np.round(((piece + 0.5) * factor - 0.5) * (1 << _SHIFT)).astype(np.int32)
            cv2.polylines(canvas, [line.reshape(-1, 1, 2)], False, _TRAIL, 1, cv2.LINE_AA, _SHIFT)
        if item.ellipse is not None:
            draw_ellipse(canvas, item.ellipse, item.color or color_of(item.name), factor)
    _legend(canvas, objects, title)
    return canvas


def add_line(picture: Picture, text: str, color: Color) -> Picture:
    """A copy of a drawn picture with one more line of text, under the title's."""
    canvas = picture.copy()
    scale, height = _letters(canvas)
    _text(canvas, text, (4, 2 * height - 6), scale, _light(color))
    return canvas


def draw_ellipse(canvas: Picture, ellipse: Ellipse, color: Color, factor: int = 1) -> None:
    """Draw outline and centre cross of an ellipse (px of the picture before enlargement) in place."""
    big = ellipse.scaled(factor, about=(-0.5, -0.5))
    line = np.round(big.points(90) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [line.reshape(-1, 1, 2)], True, color, 1, cv2.LINE_AA, _SHIFT)
    x, y = (round(v * (1 << _SHIFT)) for v in big.center)
    arm = max(3, round(min(big.axes) * 0.12)) << _SHIFT
    cv2.line(canvas, (x - arm, y), (x + arm, y), color, 1, cv2.LINE_AA, _SHIFT)
    cv2.line(canvas, (x, y - arm), (x, y + arm), color, 1, cv2.LINE_AA, _SHIFT)


def _tint(canvas: Picture, mask: NDArray[np.bool_], color: Color, factor: int) -> None:
    """Blend the colour into the mask and draw its outline, in place."""
    big = mask.astype(np.uint8)
    if factor > 1:
        big = cv2.resize(big, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    ys, xs = np.nonzero(big)
    y0, y1, x0, x1 = int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1
    part, inside = canvas[y0:y1, x0:x1], big[y0:y1, x0:x1] > 0
    part[inside] = (part[inside] * 0.75 + np.array(color) * 0.25).astype(np.uint8)
    lines, _ = cv2.findContours(big, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    dim = tuple(int(c * 0.7) for c in color)
    cv2.drawContours(canvas, lines, -1, dim, 1, cv2.LINE_8)


def _legend(canvas: Picture, objects: Sequence[Drawn], title: str) -> None:
    """Title at the top, one line per object at the bottom left; dark plates behind the text keep it
    legible."""
    scale, height = _letters(canvas)
    if title:
        _text(canvas, title, (4, height - 6), scale, (255, 255, 255))
    entries: dict[str, Drawn] = {}
    for item in objects:
        entries.setdefault(f"{item.name} {item.state}".strip(), item)
    y = canvas.shape[0] - 6 - height * (len(entries) - 1)
    for text, item in entries.items():
        _text(canvas, text, (4, y), scale, _light(item.color or color_of(item.name)))
        y += height


def _letters(canvas: Picture) -> tuple[float, int]:
    """OpenCV's scale of the text on a picture, and the height of its lines, px."""
    scale = max(0.4, min(0.9, canvas.shape[1] / 1200))
    return scale, round(30 * scale) + 4


def _light(color: Color) -> Color:
    """Towards white: dark blue cannot be read on a dark plate."""
    red, green, blue = (c + 2 * (255 - c) // 5 for c in color)
    return red, green, blue


def _text(canvas: Picture, text: str, at: tuple[int, int], scale: float, color: Color) -> None:
    (width, height), base = cv2.getTextSize(text, _FONT, scale, 1)
    x, y = at
    top, bottom = max(0, y - height - 3), min(canvas.shape[0], y + base + 1)
    plate = canvas[top:bottom, max(0, x - 2) : x + width + 2]
    plate[:] = (plate * 0.35).astype(np.uint8)
    cv2.putText(canvas, text, (x, y), _FONT, scale, color, 1, cv2.LINE_AA)


def contact_sheet(
    pictures: Sequence[Picture], *, columns: int = 6, tile_width: int = 320, gap: int = 4
) -> Picture:
    """Tiles side by side, each scaled to the same width; rows as high as the highest tile.

    Args:
        pictures: uint8 (H, W, 3) RGB, at least one.
        columns: tiles a row.
        tile_width: px.
        gap: px of white between tiles.
    """
    tiles = []
    for picture in pictures:
        height = max(1, round(picture.shape[0] * tile_width / picture.shape[1]))
        mode = cv2.INTER_AREA if picture.shape[1] > tile_width else cv2.INTER_CUBIC
        tiles.append(cv2.resize(picture, (tile_width, height), interpolation=mode))
    columns = min(columns, len(tiles))
    rows = []
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        height = max(t.shape[0] for t in row)
        strip = np.full((height + gap, columns * (tile_width + gap), 3), 255, dtype=np.uint8)
        for i, tile in enumerate(row):
            strip[: tile.shape[0], i * (tile_width + gap) : i * (tile_width + gap) + tile_width] = tile
        rows.append(strip)
    return np.concatenate(rows, axis=0)
