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
        PromptError: a box that reaches over two views; a prompt outside all views (where they are narrowed by
            `zoom`). Points that are not on the object may lie outside, and are left out then.
    """
    out: dict[int, list[ObjectPrompt]] = {}
    for prompt in prompts:
        _check_held(prompt, views)
        for view in views:
            part = _part(prompt, view)
            if part is not None:
                out.setdefault(view.index, []).append(part)
    return out


def _check_held(prompt: ObjectPrompt, views: list[View]) -> None:
    """Refuse what points at a place that is not tracked."""
    if prompt.mask is not None:
        held = any(prompt.mask[v.region[1] : v.region[3], v.region[0] : v.region[2]].any() for v in views)
        outside = None if held or not prompt.mask.any() else prompt.center
    else:
        points = prompt.points[prompt.labels == 1] if (prompt.labels == 1).any() else prompt.points
        places = [(float(x), float(y)) for x, y in points]
        if prompt.box is not None:
            places.append(((prompt.box[0] + prompt.box[2]) / 2, (prompt.box[1] + prompt.box[3]) / 2))
        outside = next((at for at in places if not any(view.holds(*at) for view in views)), None)
    if outside is not None:
        tracked = "; ".join(",".join(map(str, view.region)) for view in views)
        raise PromptError(
            f"The prompt for {prompt.name!r} at {outside[0]:g},{outside[1]:g} lies outside of what is "
            f"tracked, which is {tracked} (x0,y0,x1,y1). Run with --zoom off, or with a rectangle that holds "
            "it: --zoom X0,Y0,X1,Y1."
        )


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
                f"The box of {prompt.name!r} reaches over the edge of view {view.index}, "
                f"{','.join(map(str, view.region))} (x0,y0,x1,y1); draw it within one view, or use --views "
                "none or --zoom off."
            )
        box = (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)
    if not inside.any() and box is None:
        return None
    points = prompt.points[inside] - np.array([x0, y0]) if len(inside) else prompt.points
    return ObjectPrompt(prompt.name, prompt.frame_idx, points, prompt.labels[inside], box)
