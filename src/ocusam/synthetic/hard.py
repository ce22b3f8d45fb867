"""Rare difficulties that real recordings have, each in a small share of the clips.

Purpose: reflections in a ring on the pupil's rim, lashes out of focus, tears, contact lenses off their centre
and rigid ones, rolling light of other frequencies, things that pass before the eye, lids that shine.

Notable choices: they are put on top of a drawn style by a generator of their own, so that adding one changes
no other clip.

What it does not know: the other ranges (`draw.py`), how anything is drawn.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ocusam.synthetic.anatomy import CORNEA_DEPTH, CORNEA_RADIUS, rotation
from ocusam.synthetic.style import Camera, EyeStyle, Face, Light

Rng = np.random.Generator
RING, SOFT_LASHES, TEARS, LENS, ROLLING, PASSING, SHEEN = 0.07, 0.07, 0.05, 0.05, 0.03, 0.03, 0.15
"""Shares of the clips with each."""


def _log(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def ring_of_leds(rng: Rng, style: EyeStyle) -> tuple[tuple[float, float], ...]:
    """Four to eight light sources whose reflections lie on the resting pupil's rim."""
    turn = rotation(style.camera.yaw, style.camera.pitch) @ rotation(*style.motion.gaze_center)
    radius = style.motion.pupil_ratio * style.anatomy.limbus_radius * float(rng.uniform(0.8, 1.15))
    middle, start = rng.normal(0, 0.35, 2), float(rng.uniform(0, 2 * math.pi))
    count, points = int(rng.integers(4, 9)), []
    for k in range(count):
        a = start + 2 * math.pi * k / count
        off = middle + radius * np.array([math.cos(a), math.sin(a)])
        at = turn[:2, 2] * style.anatomy.pupil_depth + off
        normal = (at - turn[:2, 2] * CORNEA_DEPTH) / CORNEA_RADIUS
        normal = normal * min(1.0, 0.95 / max(float(np.hypot(*normal)), 1e-6))
        points.append((float(normal[0]), float(normal[1])))
    return tuple(points)


def _light(rng: Rng, style: EyeStyle) -> Light:
    light = style.light
    if rng.random() < RING:
        small = min(light.led_radius_mm, 0.5)
        light = replace(
            light, leds=ring_of_leds(rng, style), led_radius_mm=small, led_level=_log(rng, 1.5, 8)
        )
    if rng.random() < TEARS:
        light = replace(light, tear_line=_log(rng, 0.3, 1.5), tear_mm=_log(rng, 0.3, 1.2))
    if rng.random() < LENS:
        rigid = rng.random() < 0.3
        light = replace(
            light,
            contact_lens=float(rng.uniform(0.7, 0.9) if rigid else rng.uniform(1.05, 1.3)),
            contact_lens_edge=float(rng.uniform(-0.4, 0.5)),
            contact_lens_shift=(float(rng.normal(0, 0.08)), float(rng.normal(0, 0.08))),
        )
    return light


def _face(rng: Rng, face: Face) -> Face:
    if rng.random() < SOFT_LASHES:
        face = replace(face, lash_blur_mm=_log(rng, 0.1, 0.8), lash_width=max(face.lash_width, 0.15))
    if rng.random() < PASSING:
        face = replace(face, passing=_log(rng, 0.1, 0.6), passing_level=_log(rng, 0.01, 1.0))
    return face


def _camera(rng: Rng, camera: Camera) -> Camera:
    if rng.random() >= ROLLING:
        return camera
    return replace(
        camera,
        flicker=_log(rng, 0.03, 0.3),
        flicker_bands=_log(rng, 2.0, 40.0),
        flicker_step=float(rng.uniform(-3.0, 3.0)),
    )


def _shining(rng: Rng, face: Face) -> Face:
    """Lids and what is above them mirror a lamp: bright and full of grains, a closed lid most of all."""
    if rng.random() >= SHEEN:
        return face
    at = (float(rng.normal(0, 4)), float(rng.uniform(-9, 5)))
    return replace(face, sheen=_log(rng, 0.15, 2.5), sheen_mm=(*at, _log(rng, 1.5, 8), _log(rng, 2, 8)))


def harder(rng: Rng, style: EyeStyle) -> EyeStyle:
    """The same style, in most cases; else with one or more of the difficulties."""
    light = _light(rng, style)
    face, camera = _face(rng, style.face), _camera(rng, style.camera)
    if style.kind == "human":
        face = _shining(rng.spawn(1)[0], face)
    return replace(style, light=light, face=face, camera=camera)
