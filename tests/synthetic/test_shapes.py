"""Moving shapes: the truth tells what is visible, and the picture shows it."""

from __future__ import annotations

import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.synthetic.shapes import render_shapes_clip


def test_shapes_share_the_pixels_and_follow_from_the_seed() -> None:
    for seed in range(6):
        clip = render_shapes_clip(seed, num_frames=4, size=(72, 96))
        assert clip.frames.shape == (4, 72, 96)
        total = np.stack([share.astype(int) for share in clip.coverage.values()]).sum(axis=0)
        assert total.max() <= 255 + len(clip.coverage)
        again = render_shapes_clip(seed, num_frames=4, size=(72, 96))
        assert np.array_equal(clip.frames, again.frames)


def test_shapes_hide_one_another_and_move() -> None:
    overlapped = moved = 0
    for seed in range(12):
        clip = render_shapes_clip(seed, num_frames=8, size=(64, 64))
        areas = np.stack([share.sum(axis=(1, 2), dtype=float) for share in clip.coverage.values()])
        moved += any(not np.array_equal(share[0], share[-1]) for share in clip.coverage.values())
        overlapped += bool((areas[0] < 0.9 * areas[0].max()).any())
    assert moved == 12
    assert overlapped >= 2


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="num_frames"):
        render_shapes_clip(0, num_frames=0)
