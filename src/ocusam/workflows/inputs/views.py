"""Several eyes in one picture: splitting it into views and giving each click its view.

Purpose: `--views auto|none|CxR`. Neon records two eyes side by side (384 x 192), Tobii Glasses 2 four views
stacked (240 x 960); each is tracked as a video of its own, with all of the network's resolution.

Notable choices: `auto` splits only pictures whose longer side is within 2 % of a whole multiple (2 or more)
of the shorter; ordinary formats (4:3, 16:9) are none. A view is named by its number, row by row from 0.

What it does not know: whether a view holds an eye. Views without a click are not tracked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from ocusam.core.errors import PromptError
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt

_NEAR_INTEGER = 0.02


def plan_views(size: tuple[int, int], spec: str = "auto") -> list[View]:
    """Split a picture into views.

    Args:
        size: (height, width) px of the picture.
        spec: "auto", "none", or "CxR" (columns x rows, for example 2x1).

    Raises:
        PromptError: an unreadable `spec`, or more views than pixels.
    """
    height, width = size
    columns = rows = 1
    if spec == "auto":
        columns, rows = _multiple(width, height), _multiple(height, width)
    elif spec != "none":
        match = re.fullmatch(r"(\d+)[xX](\d+)", spec)
        if match is None or min(int(match[1]), int(match[2])) < 1:
            raise PromptError(
                f"Cannot read views {spec!r}: give auto, none, or COLUMNSxROWS such as 2x1 or 1x4."
            )
        columns, rows = int(match[1]), int(match[2])
        if columns > width or rows > height:
            raise PromptError(f"{spec} views do not fit a picture of {width} x {height} px (width x height).")
    xs = [round(i * width / columns) for i in range(columns + 1)]
    ys = [round(i * height / rows) for i in range(rows + 1)]
    return [
        View(r * columns + c, (xs[c], ys[r], xs[c + 1], ys[r + 1]))
        for r in range(rows)
        for c in range(columns)
    ]


def _multiple(long: int, short: int) -> int:
    """The whole number >= 2 that long/short is within 2 % of, else 1."""
    ratio = long / short
    nearest = round(ratio)
    return nearest if nearest >= 2 and abs(ratio - nearest) <= _NEAR_INTEGER * nearest else 1


def split_prompts(prompts: Iterable[ObjectPrompt], views: list[View]) -> dict[int, list[ObjectPrompt]]:
    """Give every prompt to the view it lies in, in coordinates of that view.

    The points of one prompt may lie in several views (the pupil of either eye): each view gets its own.

    Returns:
        view index -> prompts; views without any are absent.

    Raises:
        PromptError: a box that reaches over two views.
    """
    out: dict[int, list[ObjectPrompt]] = {}
    for prompt in prompts:
        for view in views:
            part = _part(prompt, view)
            if part is not None:
                out.setdefault(view.index, []).append(part)
    return out


def _part(prompt: ObjectPrompt, view: View) -> ObjectPrompt | None:
    x0, y0, x1, y1 = view.region
    if prompt.mask is not None:
        mask = prompt.mask[y0:y1, x0:x1]
        return ObjectPrompt(prompt.name, prompt.frame_idx, mask=mask) if mask.any() else None
    inside = np.array([view.holds(x, y) for x, y in prompt.points.tolist()], dtype=bool)
    box = prompt.box
    if box is not None and not view.holds((box[0] + box[2]) / 2, (box[1] + box[3]) / 2):
        box = None
    if box is not None:
        if box[0] < x0 - 0.5 or box[1] < y0 - 0.5 or box[2] > x1 or box[3] > y1:
            raise PromptError(
                f"The box of {prompt.name!r} reaches over the edge of view {view.index}; draw it "
                "within one view, or use --views none."
            )
        box = (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)
    if not inside.any() and box is None:
        return None
    points = prompt.points[inside] - np.array([x0, y0]) if len(inside) else prompt.points
    return ObjectPrompt(prompt.name, prompt.frame_idx, points, prompt.labels[inside], box)
