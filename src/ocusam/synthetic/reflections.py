"""Reflections on the cornea: the light sources, windows, specks.

Purpose: draw them over the eye and return what the light sources cover.

Notable choices: a source is a soft-edged ellipse with a halo; its truth is the half height of its edge.

What it does not know: which of them exist in a frame (`anatomy.py`), lids.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.synthetic.anatomy import Conic, EyePose
from ocusam.synthetic.coverage import conic_distance, cover
from ocusam.synthetic.style import EyeStyle
from ocusam.synthetic.textures import F32

Box = tuple[int, int, int, int]  # x0, y0, x1, y1
Spot = tuple[Box, F32]


def _patch(conic: Conic, reach: float, box: Box) -> Box | None:
    half = np.sqrt((conic.basis**2).sum(axis=1)) * reach + 2.0
    x0, y0 = np.floor(conic.center - half).astype(int)
    x1, y1 = np.ceil(conic.center + half).astype(int) + 1
    x0, y0, x1, y1 = max(int(x0), box[0]), max(int(y0), box[1]), min(int(x1), box[2]), min(int(y1), box[3])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _draw_spot(eye: F32, box: Box, conic: Conic, level: float, softness: float, bloom: float) -> Spot | None:
    """Adds a bright spot to `eye` in place. -> (patch, coverage in it)."""
    patch = _patch(conic, 1.0 + (3.0 if bloom > 0 else 0.5), box)
    if patch is None:
        return None
    x0, y0, x1, y1 = patch
    x = np.arange(x0, x1, dtype=np.float32)[None, :]
    y = np.arange(y0, y1, dtype=np.float32)[:, None]
    radial, distance = conic_distance(conic, x, y)
    radius = float(np.sqrt(abs(np.linalg.det(conic.basis))))
    inside = cover(distance, softness * radius)
    part = eye[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]]
    part += inside * (np.float32(level) - part)
    if bloom > 0:
        part += (
            np.float32(bloom * level * 0.35) * np.exp(-(np.minimum(radial, 8.0) ** 2) / 4.0) * (1.0 - inside)
        )
    return patch, cover(distance)


def draw_reflections(
    eye: F32,
    box: Box,
    style: EyeStyle,
    shape: EyePose,
    window: F32,
    specks: NDArray[np.float64],
) -> list[Spot | None]:
    """Draws everything that mirrors in the cornea onto `eye` (the part `box` of the picture), in place.

    Returns for each light source its patch of the picture and the share of each pixel that it covers.
    """
    light = style.light
    for sx, sy, radius, level in specks:
        center = shape.limbus.center + shape.limbus.basis @ np.array([sx, sy])
        _draw_spot(eye, box, Conic(center, shape.view.linear * radius), float(level), 0.3, 0.0)
    if light.window > 0:
        _window(eye, box, style, shape, window)
    level, softness, bloom = light.led_level, light.led_softness, light.led_bloom
    return [
        _draw_spot(eye, box, c, level, softness, bloom) if c is not None else None for c in shape.reflections
    ]


def _window(eye: F32, box: Box, style: EyeStyle, shape: EyePose, window: F32) -> None:
    """A big patchy reflection: stays with the corneal sphere, hence moves less than the pupil."""
    light = style.light
    share = np.array([(light.window_seed % 17) / 17.0 - 0.5, (light.window_seed % 29) / 29.0 - 0.5]) * 1.5
    apex = 0.55 * shape.limbus.center + 0.45 * shape.view.origin
    center = apex + shape.limbus.basis @ share
    half = light.window_size_mm / 2.0
    to_px = np.column_stack([shape.view.linear * (half / 31.5), center])
    to_px[:, 2] -= to_px[:, :2] @ np.array([31.5, 31.5]) + np.array([box[0], box[1]])
    layer = cv2.warpAffine(window, to_px, (eye.shape[1], eye.shape[0]), flags=cv2.INTER_LINEAR)
    eye += layer * (np.float32(light.window) * (np.float32(light.led_level * 0.4) - eye))
