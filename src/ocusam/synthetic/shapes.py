"""Everyday moving shapes: textured, turning, growing, hiding one another, leaving and coming back.

Purpose: training clips that keep a network for eyes from knowing nothing but eyes.

Notable choices: shapes are smooth or cornered blobs given by a radius over the angle; the order in depth
is fixed within a clip; coverage is drawn at twice the size and reduced.

What it does not know: light and three dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.synthetic.textures import F32, noise_field

U8 = NDArray[np.uint8]
LONGEST_GAP = 12
"""Frames of a gap that shapes move on; after more they would have left the picture for good."""


@dataclass(frozen=True)
class ShapesClip:
    """T frames of moving shapes.

    Attributes:
        frames: (T, H, W) grey values.
        coverage: "shape0".. (the later ones are nearer) -> (T, H, W), 0..255 = visible share of the pixel.
    """

    frames: U8
    coverage: dict[str, U8]


@dataclass(frozen=True)
class _Shape:
    outline: NDArray[np.float64]  # (N, 2) about the origin, 1 = its size
    texture: F32  # (96, 96) light
    start: NDArray[np.float64]  # x, y, log size, angle; x and y as shares of the picture
    speed: NDArray[np.float64]  # per frame
    swing: NDArray[np.float64]
    phase: NDArray[np.float64]

    def at(self, t: int) -> NDArray[np.float64]:
        return np.asarray(self.start + self.speed * t + self.swing * np.sin(0.7 * t + self.phase))


def _draw_shape(rng: np.random.Generator) -> _Shape:
    corners = rng.random() < 0.4
    n = int(rng.integers(3, 9)) if corners else 72
    angle = np.linspace(0, 2 * math.pi, n, endpoint=False)
    radius = np.ones(n)
    if corners:
        radius *= rng.uniform(0.6, 1.2, n)
    else:
        for k in range(2, 6):
            radius += rng.normal(0, 0.28 / k) * np.cos(k * angle + rng.uniform(0, 6.3))
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle) * rng.uniform(0.35, 1.0)], axis=1)
    grain = float(np.exp(rng.uniform(0.7, 3.5)))
    texture = noise_field(
        rng, (96, 96), (grain, grain * float(rng.uniform(1, 4))), 2, float(rng.uniform(1, 180))
    )
    light = float(rng.uniform(0.05, 0.95)) + float(np.exp(rng.uniform(-4.5, -1.2))) * texture
    pace = float(np.exp(rng.uniform(-6.0, -2.7)))
    return _Shape(
        outline,
        np.asarray(light, np.float32),
        np.array(
            [*rng.uniform(0.1, 0.9, 2), rng.uniform(math.log(0.04), math.log(0.3)), rng.uniform(0, 6.3)]
        ),
        rng.normal(0, 1, 4) * np.array([pace, pace, 0.02, 0.05]),
        np.abs(rng.normal(0, 1, 4)) * np.array([pace, pace, 0.03, 0.05]),
        rng.uniform(0, 6.3, 4),
    )


def _paint(shape: _Shape, t: int, light: F32, size: tuple[int, int]) -> F32:
    """Paints the shape over `light` in place. -> its coverage before nearer ones hide it."""
    h, w = size
    x, y, log_size, angle = shape.at(t).tolist()
    radius = math.exp(log_size) * min(h, w)
    c, s = math.cos(angle), math.sin(angle)
    linear = radius * np.array([[c, -s], [s, c]])
    center = np.array([x * w, y * h])
    # At twice the size the centre of pixel (0, 0) is at (0.5, 0.5).
    pts = (shape.outline @ linear.T + center) * 2.0 + 0.5
    mask = np.zeros((2 * h, 2 * w), np.uint8)
    cv2.fillPoly(mask, [np.round(pts * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    share = cv2.resize(mask, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255.0)
    affine = np.column_stack([linear / 34.0, center])
    affine[:, 2] -= affine[:, :2] @ np.array([47.5, 47.5])
    tone = cv2.warpAffine(
        shape.texture, affine, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    light += share * (tone - light)
    return np.asarray(share, np.float32)


def render_shapes_clip(
    seed: int, num_frames: int = 8, size: tuple[int, int] = (256, 256), *, gap: int = 0
) -> ShapesClip:
    """A clip of two to five shapes before a moving ground; everything follows from the seed.

    Args:
        seed: everything follows from it.
        num_frames: at least 1.
        size: (height, width) px, each at least 32.
        gap: frames passed over, unseen, between the first frame and the second (`LONGEST_GAP` at most count).

    Raises:
        InputError: for fewer than one frame or a picture smaller than 32 px.
    """
    if num_frames < 1 or min(size) < 32 or gap < 0:
        raise InputError(
            f"A clip needs num_frames >= 1, a size of at least 32 px and a gap from 0 on, got {num_frames}, "
            f"{size} and {gap}."
        )
    rng = np.random.default_rng([seed, 0x5AFE])
    h, w = size
    shapes = [_draw_shape(rng) for _ in range(int(rng.integers(2, 6)))]
    cell = float(np.exp(rng.uniform(1.0, 4.0)))
    ground = float(rng.uniform(0.1, 0.9)) + float(rng.uniform(0.02, 0.2)) * noise_field(
        rng, size, (cell, cell), 3
    )
    pan = rng.normal(0, 1.0, 2) * float(rng.uniform(0, 1.5))
    blur, noise = float(rng.uniform(0.2, 1.5)), float(np.exp(rng.uniform(-6.0, -3.0)))
    frames = np.zeros((num_frames, h, w), np.uint8)
    coverage = {f"shape{k}": np.zeros((num_frames, h, w), np.uint8) for k in range(len(shapes))}
    for k in range(num_frames):
        t = k + min(gap, LONGEST_GAP) * (k > 0)
        shift = np.array([[1.0, 0.0, pan[0] * t], [0.0, 1.0, pan[1] * t]])
        light = np.asarray(
            cv2.warpAffine(ground, shift, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT),
            np.float32,
        )
        shares = [_paint(shape, t, light, size) for shape in shapes]
        free = np.ones(size, np.float32)
        for n in reversed(range(len(shapes))):
            coverage[f"shape{n}"][k] = np.round(255.0 * shares[n] * free).astype(np.uint8)
            free = free * (1.0 - shares[n])
        light = cv2.GaussianBlur(light, (0, 0), blur)
        light = light + np.float32(noise) * rng.standard_normal(size, dtype=np.float32)
        frames[k] = np.clip(np.round(255.0 * light), 0, 255).astype(np.uint8)
    return ShapesClip(frames, coverage)
