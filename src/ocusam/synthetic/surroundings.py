"""What surrounds the eye and stays still: skin, wrinkles, brow, fur, glasses, the edge of the face.

Purpose: painted once per clip on a canvas with a margin, so that slip of the headset is one affine warp.

Notable choices: skin is a product of factors (tone, large shading, folds, grain), added as logarithms;
folds are noise in the lids' own coordinates, so that they run along the lids.

What it does not know: time, and the eye within the lids.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.synthetic.anatomy import SPAN, TABLE, EyePose, View, inverse2, lid_map
from ocusam.synthetic.style import EyeStyle
from ocusam.synthetic.textures import F32, noise_field


@dataclass(frozen=True)
class Canvas:
    """The still surroundings, painted with a margin around the picture."""

    margin: int
    skin: F32
    front_alpha: F32 | None  # what stands in front of the eye: edge of the face, frame of the glasses
    front_light: F32 | None
    glare: F32 | None  # reflections of the lenses, added
    strands: F32 | None  # hairs before the eye


def _coords(view: View, style: EyeStyle, size: tuple[int, int], margin: int) -> tuple[F32, F32]:
    """Lid coordinates (u in half widths, v in mm) of the canvas' pixels."""
    m = lid_map(style.anatomy, view)
    x = (np.arange(size[1] + 2 * margin, dtype=np.float32) - margin)[None, :]
    y = (np.arange(size[0] + 2 * margin, dtype=np.float32) - margin)[:, None]
    return (
        np.asarray(m[0, 0] * x + m[0, 1] * y + m[0, 2], np.float32),
        np.asarray(m[1, 0] * x + m[1, 1] * y + m[1, 2], np.float32),
    )


def _ridge(d: F32, width: float) -> F32:
    return np.asarray(np.square(1.0 / (1.0 + np.square(d / np.float32(width)))), np.float32)


def _shading(style: EyeStyle, u: F32, v: F32, rng: np.random.Generator) -> F32:
    """Large-scale light and dark: socket, nose, brow ridge, cheek."""
    step = 4
    us, vs = u[::step, ::step] * style.anatomy.lid_half_width, v[::step, ::step]
    total = np.zeros_like(us)
    for _ in range(int(rng.integers(3, 8))):
        cu, cv = rng.uniform(-26, 26), rng.uniform(-22, 22)
        wide, tall = rng.uniform(4, 18, 2)
        total += np.float32(rng.normal(0.0, 1.0)) * np.exp(
            -(((us - cu) / wide) ** 2 + ((vs - cv) / tall) ** 2)
        )
    # The lids bulge over the eyeball and sink into the socket around it.
    du, dv = us / 17.0, (vs + 1.0) / 14.0
    ring = np.sqrt(du * du + dv * dv)
    light_u, light_v = rng.normal(0.0, 0.7), rng.normal(0.3, 0.7)
    total += np.float32(rng.uniform(0.2, 1.2)) * (light_u * du + light_v * dv) * np.exp(-ring * ring)
    total -= (
        np.float32(rng.uniform(0.0, 1.2))
        * np.exp(-(((ring - 1.2) / 0.35) ** 2))
        * (1.0 - 0.6 * dv).clip(0, 2)
    )
    total += np.float32(rng.normal(0, 0.03)) * us + np.float32(rng.normal(0, 0.03)) * vs
    total -= np.float32(rng.uniform(0.0, 1.0)) * np.exp(-(((us - 16) / 6) ** 2 + ((vs + 4) / 8) ** 2))
    small = np.exp(np.clip(style.face.shading * total, -1.8, 1.2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (u.shape[1], u.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _strokes(
    canvas: NDArray[np.uint8],
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    width: int,
    level: int,
) -> None:
    bend = start + 0.55 * direction + 0.12 * np.stack([-direction[:, 1], direction[:, 0]], 1)
    pts = np.stack([start, bend, start + direction], axis=1)
    cv2.polylines(canvas, list(np.round(pts * 16).astype(np.int32)), False, level, width, cv2.LINE_AA, 4)


def _hair(
    style: EyeStyle, view: View, u: F32, v: F32, margin: int, rng: np.random.Generator, skin: F32
) -> F32:
    """Brow and fur over the skin."""
    face, eye = style.face, style.anatomy
    h, w = skin.shape
    forward = inverse2(lid_map(eye, view)[:, :2])
    offset = lid_map(eye, view)[:, 2]

    def to_px(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((points - offset) @ forward.T + margin)

    if face.brow > 0:
        count = int(150 + 250 * face.brow)
        bu = rng.uniform(-1.25, 1.35, count)
        arch = (
            -face.brow_mm - 3.5 * (1 - (bu / 1.3) ** 2) + rng.normal(0.0, 1.3, count) * (1.2 - 0.6 * bu / 1.3)
        )
        start = to_px(np.stack([bu, arch], 1))
        tip = to_px(np.stack([bu - rng.uniform(0.1, 0.4, count), arch + rng.normal(-0.8, 1.0, count)], 1))
        mask = np.zeros((h, w), np.uint8)
        _strokes(mask, start, tip - start, max(1, round(0.18 * view.scale)), 255)
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.6, 0.12 * view.scale)).astype(np.float32) * (
            face.brow / 255.0
        )
        skin = np.asarray(
            skin * (1.0 - soft) + soft * min(face.lash_level * 1.5, 0.8 * style.light.skin), np.float32
        )
    if face.fur > 0:
        turn = float(rng.uniform(0, 180))
        grain = max(1.0, 0.22 * view.scale)
        fur = noise_field(rng, (h, w), (grain, 9 * grain), 2, turn)
        fur2 = noise_field(rng, (h, w), (grain, 7 * grain), 2, turn + float(rng.uniform(30, 100)))
        blend = 1.0 / (1.0 + np.exp(-3 * noise_field(rng, (h, w), (14 * grain, 14 * grain))))
        mixed = fur * blend + fur2 * (1 - blend)
        skin = np.asarray(skin * np.exp(np.clip(face.fur * mixed, -1.6, 1.6)), np.float32)
    return skin


def _folds(style: EyeStyle, shape: EyePose, u: F32, v: F32, rng: np.random.Generator) -> F32:
    """Logarithm of the light on creases, wrinkles, bags and make-up."""
    face, eye = style.face, style.anatomy
    rest = cv2.remap(
        shape.lids[2].astype(np.float32)[None, :],
        np.asarray((u + SPAN) * ((TABLE - 1) / (2 * SPAN)), np.float32),
        np.zeros_like(u),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    above = np.asarray(rest - v, np.float32)  # mm above the resting upper lid
    square = np.square(u)
    fade = 1.0 / (1.0 + np.square(np.square(square / np.float32(1.6))))
    log = 0.25 * face.crease * fade * _ridge(np.asarray(above - 0.4 * face.crease_mm, np.float32), 2.0)
    for k in range(1 + int(rng.integers(0, 3))):
        away = np.asarray(above - face.crease_mm * (1 + 0.55 * k) * (1.0 - 0.35 * square), np.float32)
        log -= (face.crease / (1 + 1.2 * k)) * fade * _ridge(away, 0.5 * float(rng.uniform(0.5, 2.0)))
    if face.wrinkles > 0:  # they run along the lids and fan out at the corners
        lines = noise_field(rng, (160, 96), (float(rng.uniform(2.0, 6.0)), float(rng.uniform(14, 50))), 2)
        bell = np.exp(-1.1 * square)
        upper = v < 0.5 * (eye.lid_lower - eye.lid_upper) * bell
        across = v + np.where(upper, eye.lid_upper, -eye.lid_lower).astype(np.float32) * bell
        depth = cv2.remap(
            lines,
            np.asarray(u * 22 + 48, np.float32),
            np.asarray(80 + 3.2 * across, np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        log -= face.wrinkles / (1.0 + 0.15 * square * square) * np.maximum(depth, -0.2)
    low = eye.lid_lower * np.maximum(1 - square, -0.4) + float(rng.uniform(4, 10))
    log -= (
        face.bag
        * _ridge(np.asarray(v - low, np.float32), float(rng.uniform(0.6, 3.0)))
        * _ridge(u * square, 2.5)
    )
    if face.eyeshadow > 0:
        log -= face.eyeshadow * fade * _ridge(np.asarray(above - 2.0, np.float32), float(rng.uniform(3, 6)))
    return np.asarray(log, np.float32)


def _skin(
    style: EyeStyle, view: View, shape: EyePose, u: F32, v: F32, margin: int, rng: np.random.Generator
) -> F32:
    face, scale = style.face, view.scale
    size = (u.shape[0], u.shape[1])
    # Everything but the finest grain is smooth enough for half the resolution.
    uh, vh = np.ascontiguousarray(u[::2, ::2]), np.ascontiguousarray(v[::2, ::2])
    half = (uh.shape[0], uh.shape[1])
    grain = max(1.5, 0.3 * scale * face.texture_scale)
    log = _folds(style, shape, uh, vh, rng)
    log += 0.5 * face.texture * noise_field(rng, half, (3 * grain, 3 * grain), 2)
    log = np.asarray(cv2.resize(log, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    log += face.texture * noise_field(rng, size, (grain, grain), 2)
    skin = style.light.skin * _shading(style, u, v, rng) * np.exp(np.clip(log, -1.5, 0.8))
    if face.speculars > 0:
        drop = float(rng.uniform(0.15, 0.5)) * scale
        spots = noise_field(rng, size, (max(1.5, drop), max(1.5, 1.4 * drop)), 2)
        where = noise_field(rng, size, (8 * scale, 8 * scale))
        skin = skin + face.speculars * np.clip(spots - 1.2, 0, 1) * np.clip(where + 0.3, 0, 1.5)
    if face.sheen > 0:
        # A generator of its own, so that all other clips stay as they are.
        skin = skin + _sheen(style, u, v, scale, rng.spawn(1)[0])
    return _hair(style, view, u, v, margin, rng, np.asarray(skin, np.float32))


def _sheen(style: EyeStyle, u: F32, v: F32, px: float, rng: np.random.Generator) -> F32:
    """Light of a lamp that greasy lids mirror: a soft patch, broken up by the pores into grains."""
    face = style.face
    right, down, wide, tall = face.sheen_mm
    um = u * np.float32(style.anatomy.lid_half_width)
    patch = np.exp(-0.5 * (np.square((um - right) / wide) + np.square((v - down) / tall)))
    size = (u.shape[0], u.shape[1])
    grain = max(1.2, float(rng.uniform(0.1, 0.45)) * px)
    grains = np.clip(noise_field(rng, size, (grain, grain), 2) + float(rng.uniform(-1.0, 0.2)), 0, 2)
    haze = float(rng.uniform(0.1, 0.6))
    return np.asarray(face.sheen * patch * (haze + (1 - haze) * grains), np.float32)


def _beyond(style: EyeStyle, um: F32, v: F32, px: float, rng: np.random.Generator) -> tuple[F32, F32]:
    """(opacity, light) of what lies beyond the edge of the face or the nose; coordinates in mm."""
    face = style.face
    size = (um.shape[0], um.shape[1])
    a = math.radians(face.background_angle)
    wave = noise_field(rng, size, (9 * px, 9 * px), 2)
    d = um * math.cos(a) + v * math.sin(a) - face.background_mm + face.background_wave * wave
    d = d - 0.010 * np.square(um * math.sin(a) - v * math.cos(a)) * float(rng.uniform(-1.0, 1.0))
    soft = px / float(rng.uniform(0.4, 3.0))
    alpha = np.asarray(1.0 / (1.0 + np.exp(-np.clip(d * soft, -30, 30))), np.float32)
    haze = 1.0 + 0.3 * noise_field(rng, size, (12 * px, 12 * px), 2)
    return alpha, np.asarray(face.background_level * np.maximum(haze, 0.1), np.float32)


def _spectacles(style: EyeStyle, um: F32, v: F32, px: float, rng: np.random.Generator) -> tuple[F32, F32]:
    """(opacity, light) of one rim of a pair of glasses."""
    face = style.face
    a = math.radians(face.frame_angle)
    ru, rv = um * math.cos(a) + v * math.sin(a), -um * math.sin(a) + v * math.cos(a)
    d = np.asarray(rv - face.frame_mm + float(rng.uniform(-0.012, 0.012)) * np.square(ru), np.float32)
    alpha = np.asarray(np.clip((face.frame / 2 - np.abs(d)) * px + 0.5, 0.0, 1.0), np.float32)
    tone = face.frame_level * (1.0 + 0.4 * np.clip(d / face.frame * 2, -1, 1))
    if rng.random() < 0.5:
        tone = tone + 0.6 * _ridge(np.asarray(d + 0.2 * face.frame, np.float32), 0.15 * face.frame)
    return alpha, np.asarray(tone, np.float32)


def _front(
    style: EyeStyle, view: View, u: F32, v: F32, rng: np.random.Generator
) -> tuple[F32 | None, F32 | None]:
    """(opacity, light) of what hides the eye: what lies beyond the face's edge, glasses."""
    um = np.asarray(u * np.float32(style.anatomy.lid_half_width), np.float32)
    layers: list[tuple[F32, F32]] = []
    if style.face.background > 0:
        layers.append(_beyond(style, um, v, view.scale, rng))
    if style.face.frame > 0:
        layers.append(_spectacles(style, um, v, view.scale, rng))
    if not layers:
        return None, None
    alpha, light = layers[0]
    for over, tone in layers[1:]:
        light = np.asarray(light + over * (tone - light), np.float32)
        alpha = np.asarray(np.maximum(alpha, over), np.float32)
    return alpha, light


def _strands(style: EyeStyle, size: tuple[int, int], px: float, rng: np.random.Generator) -> F32 | None:
    """Opacity of single hairs that hang before the eye; too thin to hide anything."""
    if style.face.strands <= 0:
        return None
    h, w = size
    mask = np.zeros((h, w), np.uint8)
    a = float(rng.uniform(0, 2 * math.pi))
    for _ in range(style.face.strands):
        start = np.array([rng.uniform(0, w), rng.uniform(0, h)])
        turns = np.cumsum(rng.normal(0, 0.12, 24)) + a + float(rng.normal(0, 0.25))
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * (math.hypot(h, w) / 16)
        line = start - steps.sum(axis=0) / 2 + np.cumsum(steps, axis=0)
        wide = max(1, round(float(rng.uniform(0.05, 0.16)) * px))
        cv2.polylines(
            mask,
            [np.round(line * 16).astype(np.int32)],
            False,
            int(rng.integers(80, 240)),
            wide,
            cv2.LINE_AA,
            4,
        )
    return np.asarray(mask.astype(np.float32) / np.float32(255.0), np.float32)


def _glare(style: EyeStyle, size: tuple[int, int], rng: np.random.Generator) -> F32 | None:
    """Reflections of lenses: they move with the head, not with the eye."""
    face = style.face
    if face.lens_reflections <= 0:
        return None
    h, w = size
    out = np.zeros((h, w), np.float32)
    for _ in range(face.lens_reflections):
        layer = np.zeros((h, w), np.uint8)
        at = (int(rng.uniform(0.1, 0.9) * w * 16), int(rng.uniform(0.1, 0.9) * h * 16))
        kind = rng.random()
        long, short = np.exp(rng.uniform(-4.6, -2.0, 2)) * w * 16
        if kind < 0.45:
            cv2.ellipse(
                layer,
                at,
                (int(long), int(short)),
                float(rng.uniform(0, 180)),
                0,
                360,
                255,
                -1,
                cv2.LINE_AA,
                4,
            )
        elif kind < 0.85:
            a = float(rng.uniform(0, math.pi))
            e1, e2 = (
                np.array([math.cos(a), math.sin(a)]) * long,
                np.array([-math.sin(a), math.cos(a)]) * short,
            )
            quad = np.array(at) + np.array([e1 + e2, e1 - 0.8 * e2, -e1 - e2, -0.9 * e1 + e2])
            cv2.fillPoly(layer, [quad.astype(np.int32)], 255, cv2.LINE_AA, 4)
        else:
            cv2.ellipse(
                layer,
                at,
                (int(2 * long), int(2 * short)),
                float(rng.uniform(0, 180)),
                0,
                int(rng.integers(60, 360)),
                255,
                int(rng.integers(1, 5)),
                cv2.LINE_AA,
                4,
            )
        soft = cv2.GaussianBlur(layer, (0, 0), float(np.exp(rng.uniform(-0.7, 2.0)))).astype(np.float32)
        out += soft * np.float32(face.lens_level * float(rng.uniform(0.15, 1.6)) / 255.0)
    return out


def paint_canvas(
    style: EyeStyle, view: View, shape: EyePose, size: tuple[int, int], rng: np.random.Generator
) -> Canvas:
    """The surroundings of the eye at rest."""
    margin = int(0.08 * max(size)) + 2
    u, v = _coords(view, style, size, margin)
    skin = _skin(style, view, shape, u, v, margin, rng)
    alpha, light = _front(style, view, u, v, rng)
    glare = _glare(style, (u.shape[0], u.shape[1]), rng)
    strands = _strands(style, (u.shape[0], u.shape[1]), view.scale, rng)
    return Canvas(margin, skin, alpha, light, glare, strands)
