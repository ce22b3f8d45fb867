"""Textures of the eye itself, made once per clip: noise, iris, veins, window-like reflections.

Purpose: what is costly and does not change from frame to frame.

Notable choices: fields of noise are sums of enlarged small noises (fast, any grain); the iris is kept
unrolled, so that it stretches with the pupil.

What it does not know: time.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.synthetic.style import EyeStyle

F32 = NDArray[np.float32]
IRIS_ROWS, IRIS_COLS = 48, 256


def noise_field(
    rng: np.random.Generator,
    size: tuple[int, int],
    cell: tuple[float, float],
    octaves: int = 1,
    angle: float = 0.0,
) -> F32:
    """Smooth noise of about unit variance; `cell` = grain (vertical, horizontal), px, turned by `angle`."""
    h, w = size
    total = np.zeros((h, w), np.float32)
    weight = 1.0
    power = 0.0
    reach = int(math.hypot(h, w)) + 2 if angle else 0
    hh, ww = (reach, reach) if angle else (h, w)
    for _ in range(octaves):
        rows = max(2, min(hh, int(hh / max(cell[0], 1.0)) + 2))
        cols = max(2, min(ww, int(ww / max(cell[1], 1.0)) + 2))
        small = rng.standard_normal((rows, cols), dtype=np.float32)
        big = cv2.resize(
            small, (ww, hh), interpolation=cv2.INTER_CUBIC if rows * cols < hh * ww else cv2.INTER_NEAREST
        )
        if angle:
            turn = cv2.getRotationMatrix2D((ww / 2, hh / 2), angle, 1.0)
            turn[:, 2] += np.array([(w - ww) / 2, (h - hh) / 2])
            big = cv2.warpAffine(big, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        total += np.asarray(weight * big, np.float32)
        power += weight * weight
        weight *= 0.6
        cell = (cell[0] / 2, cell[1] / 2)
    return np.asarray(total / math.sqrt(power), np.float32)


def _wrapped(rng: np.random.Generator, rows: int, cols: int) -> F32:
    """Noise over the iris, (IRIS_ROWS, IRIS_COLS), continuous around the circle."""
    small = rng.standard_normal((rows, cols), dtype=np.float32)
    small = np.concatenate([small[:, -3:], small, small[:, :3]], axis=1)
    pad = round(3 * IRIS_COLS / cols)
    big = cv2.resize(small, (IRIS_COLS + 2 * pad, IRIS_ROWS), interpolation=cv2.INTER_CUBIC)
    return np.asarray(big[:, pad : pad + IRIS_COLS], np.float32)


def iris_texture(style: EyeStyle, rng: np.random.Generator) -> F32:
    """(IRIS_ROWS, IRIS_COLS + 2) light over (share of the way pupil -> limbus, angle); columns wrap."""
    light = style.light
    t = np.linspace(0.0, 1.0, IRIS_ROWS, dtype=np.float32)[:, None]
    fibres = _wrapped(rng, 4, max(8, light.iris_fibres)) + 0.7 * _wrapped(
        rng, 6, max(8, light.iris_fibres // 2)
    )
    crypts = -np.maximum(_wrapped(rng, 7, 22) - 0.8, 0.0) * 1.5
    blotches = _wrapped(rng, 3, 7)
    collarette = float(rng.uniform(0.2, 0.5)) + 0.05 * _wrapped(rng, 2, 12)
    zone = 1.0 / (1.0 + np.exp((t - collarette) * float(rng.uniform(8, 40))))
    step = float(rng.normal(0.0, 0.8))
    out = (
        0.45 * fibres + 0.6 * crypts + 0.4 * blotches + step * zone + float(rng.normal(0.0, 0.7)) * (t - 0.5)
    )
    out = light.iris * np.exp(np.clip(light.iris_contrast * out, -1.2, 1.0))
    out = out * (1.0 - light.limbal_ring * np.clip((t - 0.72) / 0.28, 0.0, 1.0) ** 1.5)
    out = out * (1.0 + light.iris_ruff * np.exp(-((t / 0.09) ** 2)))
    return np.ascontiguousarray(np.concatenate([out, out[:, :2]], axis=1), dtype=np.float32)


def vein_texture(rng: np.random.Generator, strength: float) -> F32:
    """(128, 128) factor over +-eyeball radius: thin dark winding lines that thicken outwards."""
    field = np.zeros((256, 256), np.uint8)
    for _ in range(int(rng.integers(4, 26)) if strength > 0 else 0):
        angle = float(rng.uniform(0, 2 * math.pi))
        steps = np.cumsum(np.cumsum(rng.normal(0.0, 0.02, 40))) + angle
        radius = np.linspace(float(rng.uniform(60, 90)), 127.0, 40)
        pts = np.stack([128 + radius * np.cos(steps), 128 + radius * np.sin(steps)], 1)
        cv2.polylines(
            field,
            [np.round(pts * 16).astype(np.int32)],
            False,
            int(rng.integers(60, 255)),
            int(rng.integers(1, 3)),
            cv2.LINE_AA,
            4,
        )
    soft = cv2.GaussianBlur(field, (0, 0), 1.0).astype(np.float32) / 255.0
    mottle = noise_field(rng, (256, 256), (24.0, 24.0), 2) * 0.15
    return np.asarray(
        cv2.resize(1.0 - strength * (soft + mottle), (128, 128), interpolation=cv2.INTER_AREA), np.float32
    )


def window_texture(rng: np.random.Generator) -> F32:
    """(64, 64) opacity of a bright patchy reflection: panes, a lamp, a blurred scene."""
    layer = np.zeros((64, 64), np.uint8)
    if rng.random() < 0.6:
        jitter = rng.uniform(0, 14, (4, 2))
        quad = np.array([[4, 4], [60, 4], [60, 60], [4, 60]]) + jitter * np.array(
            [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        )
        cv2.fillPoly(layer, [quad.astype(np.int32)], 255, cv2.LINE_AA)
        for _ in range(int(rng.integers(0, 3))):
            cut = int(rng.integers(16, 48))
            ends = ((cut, 0), (cut, 63)) if rng.random() < 0.5 else ((0, cut), (63, cut))
            cv2.line(layer, ends[0], ends[1], 40, int(rng.integers(2, 6)))
    else:
        blobs = noise_field(rng, (64, 64), (14.0, 14.0), 2)
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        layer = np.clip((blobs + 0.4) * 200 * np.clip(1.2 - 1.3 * np.hypot(x, y), 0, 1), 0, 255).astype(
            np.uint8
        )
    soft = cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.5, 3.0)))
    soft[[0, -1]] = 0
    soft[:, [0, -1]] = 0
    return np.asarray(soft.astype(np.float32) / np.float32(255.0), np.float32)
