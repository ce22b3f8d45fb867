"""Training on somebody's own masks: annotated videos in the form that batches are made from.

Purpose: `OwnClips` grants wishes from annotated videos as the renderer does from its ranges, and
`Mixed` from both.

Notable choices: frames are squeezed into the network's square input, as the tracker does it. A clip takes
every so-manieth annotated frame, so that slow recordings move too; it begins where something can be clicked,
if need be elsewhere than first drawn. An object that a frame does not name is absent there, so every object
of an annotated frame must be annotated. Single pictures serve stages of single pictures only.

What it does not know: files and their formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.training.augment import U8
from ocusam.training.rendered import Renderer, Wish
from ocusam.training.scenes import begins_well

LARGEST_STEP = 8
"""Annotated frames from one frame of a clip to the next, at most."""
_TRIES = 8

Annotated = tuple[U8, dict[str, NDArray[np.bool_]]]
"""RGB (H, W, 3), and the mask (H, W) of every object that is there."""


class AnnotatedVideo(Protocol):
    """Pictures with masks, in order of time. It travels to other processes, so files are opened late."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def count(self) -> int:
        """Number of annotated frames."""

    def read(self, index: int) -> Annotated:
        """The annotated frame `index`, from 0.

        Raises:
            InputError: the picture or its masks cannot be read, or do not fit together.
        """


@dataclass(frozen=True)
class OwnClips:
    """A `Renderer` that takes its pictures from annotated videos.

    Args:
        videos: at least one.
    """

    videos: Sequence[AnnotatedVideo]

    def check(self, frames: int) -> None:
        """Refuse clips that no video is long enough for.

        Raises:
            InputError: says how long the longest is.
        """
        longest = max((video.count for video in self.videos), default=0)
        if longest < frames:
            raise InputError(
                f"Clips of {frames} frames are wanted, but the longest annotated video has {longest}: use "
                "fewer frames, a stage of kind 'images', or sequence = true where single pictures follow one "
                "another."
            )

    def __call__(self, wish: Wish) -> tuple[U8, dict[str, U8]]:
        """RGB (T, S, S, 3) and coverage by name (T, S, S)."""
        rng = np.random.default_rng([wish.seed, 9])
        long_enough = [video for video in self.videos if video.count >= wish.frames]
        odds = np.array([video.count for video in long_enough], dtype=np.float64)
        for _ in range(_TRIES):
            video = long_enough[int(rng.choice(len(long_enough), p=odds / odds.sum()))]
            frames = [video.read(i) for i in _moments(rng, video.count, wish)]
            pictures, coverage = _squeezed(frames, wish.size)
            if coverage and (begins_well(coverage, 0) or begins_well(coverage, -1)):
                break
        return pictures, coverage or {"object": np.zeros(pictures.shape[:3], np.uint8)}


@dataclass(frozen=True)
class Mixed:
    """Own pictures with a share of rendered ones among them, all RGB.

    Args:
        own, rendered: where they come from.
        rendered_share: 0..1.
    """

    own: Renderer
    rendered: Renderer
    rendered_share: float

    def __call__(self, wish: Wish) -> tuple[U8, dict[str, U8]]:
        """As `OwnClips`."""
        if np.random.default_rng([wish.seed, 10]).random() >= self.rendered_share:
            return self.own(wish)
        grey, coverage = self.rendered(wish)
        return np.repeat(grey[..., None], 3, axis=-1), coverage


def _moments(rng: np.random.Generator, count: int, wish: Wish) -> list[int]:
    """Which annotated frames a clip takes."""
    if wish.frames == 1:
        return [int(rng.integers(count))]
    step = int(rng.integers(1, min(LARGEST_STEP, (count - 1) // (wish.frames - 1)) + 1))
    start = int(rng.integers(count - step * (wish.frames - 1)))
    moments = [start + step * k for k in range(wish.frames)]
    moments[0] = max(0, start - wish.gap)
    return moments


def _squeezed(frames: list[Annotated], size: int) -> tuple[U8, dict[str, U8]]:
    def small(picture: U8) -> U8:
        shrinks = max(picture.shape[:2]) > size
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(picture, (size, size), interpolation=way), np.uint8)

    pictures = np.stack([small(picture) for picture, _ in frames])
    names = list(dict.fromkeys(name for _, masks in frames for name in masks))
    nothing = np.zeros((size, size), np.uint8)
    coverage = {
        name: np.stack(
            [small(masks[name].astype(np.uint8) * 255) if name in masks else nothing for _, masks in frames]
        )
        for name in names
    }
    return pictures, coverage
