"""A drawing of an eye that costs almost nothing, so that these tests need no renderer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ocusam.training.augment import AugmentConfig
from ocusam.training.clips import ClipConfig
from ocusam.training.rendered import Renderer, Wish

U8 = NDArray[np.uint8]

NO_CHANGES = AugmentConfig(
    flip=0, frame_eye=0, affine=0, squash=0, tone=0, invert=0, blur=0, coarse=0, noise=0, cutout=0, jpeg=0
)


def drawn_eye(wish: Wish) -> tuple[U8, dict[str, U8]]:
    """Concentric pupil and iris in an oval opening, one reflection; shut midway in clips of five or more."""
    frames, size = wish.frames, wish.size
    rng = np.random.default_rng(wish.seed)
    y, x = np.mgrid[:size, :size].astype(float)
    centre = size * rng.uniform(0.4, 0.6, 2)
    iris_radius = size * rng.uniform(0.18, 0.25)
    pictures, layers = [], []
    for frame in range(frames):
        cx, cy = centre + frame * size / 64
        distance = np.hypot(x - cx, y - cy)
        pupil = np.clip(iris_radius * 0.5 - distance + 0.5, 0, 1)
        limbus = np.clip(iris_radius - distance + 0.5, 0, 1)
        shut = frames >= 5 and frame == frames // 2
        opening = (
            0.0
            if shut
            else (((x - cx) / (iris_radius * 1.9)) ** 2 + ((y - cy) / (iris_radius * 1.1)) ** 2 < 1)
        )
        shine = np.clip(size * 0.03 - np.hypot(x - cx - iris_radius * 0.4, y - cy) + 0.5, 0, 1) * opening
        picture = 120 * (1 - opening) + opening * (200 * (1 - limbus) + 90 * (limbus - pupil) + 20 * pupil)
        pictures.append(picture * (1 - shine) + 250 * shine)
        layers.append([pupil * opening, (limbus - pupil) * opening, (1 - limbus) * opening, shine])
    stack = np.round(255 * np.array(layers)).astype(np.uint8)
    return np.array(pictures).astype(np.uint8), {
        name: stack[:, i] for i, name in enumerate(("pupil", "iris", "sclera", "cr0"))
    }


@pytest.fixture
def drawn() -> Renderer:
    """The drawing itself."""
    return drawn_eye


@pytest.fixture
def renderer() -> Renderer:
    return drawn_eye


@pytest.fixture
def tiny_pictures() -> ClipConfig:
    """Two unchanged pictures of 64 px for the miniature network."""
    return ClipConfig(
        size=64, grid=32, pictures=2, objects=3, group=1, prompt_shares=(1, 0, 0, 0), nothing=0, two_eyes=0,
        augment=NO_CHANGES,
    )  # fmt: skip
