"""A picture with everything that was found in it, each mask in a colour of its own.

Purpose: `masks.png` of `ocusam masks`.

Notable choices: masks are painted in the order given; neighbours in that order get hues far apart (steps of
the golden angle), the same in every run. Outlines lie over all tints, so a covered mask still shows its own.
Masks are read one at a time: a thousand of them at the size of a photograph would not fit into memory.

What it does not know: names, scores.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.report.overlay import Color, Picture, enlargement

TINT = 0.5
"""Share of a mask's colour in its pixels."""
OUTLINE = 0.6
"""Brightness of an outline, share of its mask's colour."""
_GOLDEN = (5**0.5 - 1) / 2
# Saturation and value take turns, so that hues that come close again still differ.
_SHADES = ((0.85, 1.0), (0.6, 0.85), (1.0, 0.7), (0.45, 1.0))


def distinct_color(index: int) -> Color:
    """The RGB colour of the mask with this number, from 0."""
    saturation, value = _SHADES[index % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((index * _GOLDEN) % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_all_masks(image: Picture, masks: Iterable[NDArray[np.bool_]]) -> Picture:
    """Draw masks over their picture.

    Args:
        image: uint8 (H, W, 3) RGB.
        masks: bool (H, W) each, read once; later ones lie on top, so give the largest first.

    Returns:
        uint8 (H * k, W * k, 3) RGB; small pictures are enlarged by a whole factor.
    """
    factor = enlargement((image.shape[0], image.shape[1]))
    height, width = image.shape[0] * factor, image.shape[1] * factor
    canvas = (
        cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) if factor > 1 else image
    ).astype(np.uint8)
    colors: list[Color] = []
    top = np.full((height, width), -1, dtype=np.int32)
    edges = np.full((height, width), -1, dtype=np.int32)
    for i, mask in enumerate(masks):
        colors.append(distinct_color(i))
        big = np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)
        top[big] = i
        lines, _ = cv2.findContours(big.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(edges, lines, -1, i, 1, cv2.LINE_8)
    if not colors:
        return canvas
    table = np.array(colors, dtype=np.uint8)
    tinted = cv2.addWeighted(canvas, 1 - TINT, table[top], TINT, 0)
    out = np.where(top[..., None] >= 0, tinted, canvas)
    dark = (table * OUTLINE).astype(np.uint8)
    return np.asarray(np.where(edges[..., None] >= 0, dark[edges], out), dtype=np.uint8)
