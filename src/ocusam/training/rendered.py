"""What training asks of a renderer, and this package's renderer in that form.

Purpose: `Wish` describes one clip; `rendered_eye` grants it. Tests grant it with a drawing that costs
nothing.

It does not know how batches are made of clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ocusam.training.augment import U8

LONGEST_RENDERED_GAP = 60
"""Frames of a gap that are really lived through; an eye has forgotten its state by then."""


@dataclass(frozen=True)
class Wish:
    """What a clip should be: everything follows from the seed; `size` is the side of its square pictures, px.

    `gap` frames pass unseen after the first one; with `blink` a blink begins soon after. With `shapes` there
    are moving shapes instead of an eye.
    """

    seed: int
    frames: int
    fps: float
    size: int
    gap: int = 0
    blink: bool = False
    shapes: bool = False


Renderer = Callable[[Wish], tuple[U8, dict[str, U8]]]
"""A wish -> grey (T, S, S) or RGB (T, S, S, 3), and coverage per object name (T, S, S)."""


def rendered_eye(wish: Wish) -> tuple[U8, dict[str, U8]]:
    """The renderer of this package in the form that batches are made from."""
    from ocusam.synthetic.eye import render_eye_clip
    from ocusam.synthetic.shapes import render_shapes_clip

    if wish.shapes:
        shapes = render_shapes_clip(wish.seed, wish.frames, (wish.size, wish.size), gap=wish.gap)
        return shapes.frames, shapes.coverage
    clip = render_eye_clip(
        wish.seed,
        num_frames=wish.frames,
        size=(wish.size, wish.size),
        fps=wish.fps,
        gap=min(wish.gap, LONGEST_RENDERED_GAP),
        blink=wish.blink,
    )
    return clip.frames, clip.coverage
