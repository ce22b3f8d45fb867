"""Clips from annotated videos: in order, moving, beginning with something to click on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.training.own_clips import LARGEST_STEP, Annotated, Mixed, OwnClips
from ocusam.training.rendered import Renderer, Wish


@dataclass
class Film:
    """Frame k is grey value k; the object is there from `since` on."""

    count: int = 60
    since: int = 0
    name: str = "film"
    read_frames: list[int] = field(default_factory=list)

    def read(self, index: int) -> Annotated:
        self.read_frames.append(index)
        picture = np.full((30, 50, 3), index, np.uint8)
        mask = np.zeros((30, 50), bool)
        mask[10:20, 10:30] = True
        return picture, {"cup": mask} if index >= self.since else {}


def test_frames_follow_in_equal_steps_and_a_gap_lies_before_them() -> None:
    steps = set()
    for seed in range(40):
        film = Film()
        pictures, coverage = OwnClips([film])(Wish(seed, 4, 30.0, 64))
        assert pictures.shape == (4, 64, 64, 3) and coverage["cup"].shape == (4, 64, 64)
        first, *rest = np.diff(film.read_frames[-4:]).tolist()
        assert set(rest) == {first} and 1 <= first <= LARGEST_STEP
        steps.add(first)
        film.read_frames.clear()
        OwnClips([film])(Wish(seed, 4, 30.0, 64, gap=50))
        assert film.read_frames[0] <= film.read_frames[1] - 1
    assert len(steps) > 4


def test_masks_are_squeezed_like_their_picture() -> None:
    _, coverage = OwnClips([Film()])(Wish(1, 1, 30.0, 64))
    rows, columns = np.flatnonzero(coverage["cup"][0].any(1)), np.flatnonzero(coverage["cup"][0].any(0))
    assert rows[[0, -1]].tolist() == pytest.approx([64 / 3, 128 / 3], abs=1.5)
    assert columns[[0, -1]].tolist() == pytest.approx([12.8, 38.4], abs=1.5)


def test_clips_begin_or_end_with_something_to_click_on() -> None:
    for seed in range(20):
        _, coverage = OwnClips([Film(since=30)])(Wish(seed, 3, 30.0, 64))
        assert coverage["cup"][0].any() or coverage["cup"][-1].any()


def test_long_clips_take_long_videos_only() -> None:
    short, long = Film(count=2), Film(count=9)
    own = OwnClips([short, long])
    own.check(9)
    own(Wish(1, 5, 30.0, 64))
    assert not short.read_frames
    with pytest.raises(InputError, match="the longest annotated video has 9"):
        own.check(10)


def test_rendered_eyes_among_ones_own(renderer: Renderer) -> None:
    mixed = Mixed(OwnClips([Film()]), renderer, 0.3)
    answers = [mixed(Wish(seed, 1, 30.0, 64)) for seed in range(60)]
    assert all(pictures.shape == (1, 64, 64, 3) for pictures, _ in answers)
    assert 0.1 < np.mean(["pupil" in coverage for _, coverage in answers]) < 0.5
