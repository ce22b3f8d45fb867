"""One frame's light before the camera: eye, lids, lashes, reflections, and the exact share of each pixel
they cover.

Purpose: composite the layers of a frame and its truth from the same coverages, so that the picture's
edges lie where the truth says.

Notable choices: work is confined to the box around the lid opening.

What it does not know: sensor, optics, compression (`camera.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.synthetic.anatomy import SPAN, TABLE, Conic, EyePose, lid_points
from ocusam.synthetic.coverage import conic_distance, cover
from ocusam.synthetic.lashes import Lashes, lash_strokes
from ocusam.synthetic.motion import MotionState
from ocusam.synthetic.reflections import Box, Spot, draw_reflections
from ocusam.synthetic.style import EyeStyle, Light
from ocusam.synthetic.surroundings import Canvas
from ocusam.synthetic.textures import F32, IRIS_COLS, IRIS_ROWS

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class ClipTextures:
    """Everything made once per clip."""

    canvas: Canvas
    iris: F32
    veins: F32
    tear: F32  # (TABLE,) brightness of the tear line along the lid
    window: F32  # (64, 64) window-like reflection, opacity
    lashes: tuple[Lashes, ...]
    specks: NDArray[np.float64]  # (N, 4): x, y in mm on the cornea, radius mm, light


@dataclass(frozen=True)
class Layers:
    """Light of the frame and coverages (share of each pixel), full size."""

    light: F32
    pupil: F32
    iris: F32
    sclera: F32
    reflections: list[Spot | None]
    hidden: F32 | None


def _box(shape: EyePose, size: tuple[int, int], margin: float) -> Box | None:
    u = np.linspace(-1.05, 1.05, 24)
    pts = np.concatenate([lid_points(shape, 0, u), lid_points(shape, 1, u)])
    x0, y0 = np.floor(pts.min(axis=0) - margin).astype(int)
    x1, y1 = np.ceil(pts.max(axis=0) + margin).astype(int) + 1
    x0, y0, x1, y1 = max(int(x0), 0), max(int(y0), 0), min(int(x1), size[1]), min(int(y1), size[0])
    return (x0, y0, x1, y1) if x1 - x0 >= 2 and y1 - y0 >= 2 else None


def _grid(box: Box) -> tuple[F32, F32]:
    """The pixels of a box as a row of x and a column of y."""
    x0, y0, x1, y1 = box
    return np.arange(x0, x1, dtype=np.float32)[None, :], np.arange(y0, y1, dtype=np.float32)[:, None]


def _lid_distances(shape: EyePose, x: F32, y: F32) -> tuple[F32, F32, F32]:
    """(u, px below the upper lid, px above the lower lid)."""
    m = shape.lid_map.astype(np.float32)
    u = np.asarray(m[0, 0] * x + m[0, 1] * y + m[0, 2], np.float32)
    v = m[1, 0] * x + m[1, 1] * y + m[1, 2]
    rows = shape.lids[[0, 1, 3, 4]].astype(np.float32).T[None]
    at = (u + np.float32(SPAN)) * np.float32((TABLE - 1) / (2 * SPAN))
    looked = cv2.remap(
        np.ascontiguousarray(rows), at, np.zeros_like(at), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    upper, lower, du, dl = cv2.split(looked)
    below = (v - upper) / cv2.magnitude(m[1, 0] - du * m[0, 0], m[1, 1] - du * m[0, 1])
    above = (lower - v) / cv2.magnitude(m[1, 0] - dl * m[0, 0], m[1, 1] - dl * m[0, 1])
    return u, np.asarray(below, np.float32), np.asarray(above, np.float32)


def _shape_coords(conic: Conic, x: F32, y: F32) -> tuple[F32, F32]:
    inv = conic.inverse().astype(np.float32)
    dx, dy = x - np.float32(conic.center[0]), y - np.float32(conic.center[1])
    return (
        np.asarray(inv[0, 0] * dx + inv[0, 1] * dy, np.float32),
        np.asarray(inv[1, 0] * dx + inv[1, 1] * dy, np.float32),
    )


def _eye_light(style: EyeStyle, shape: EyePose, made: ClipTextures, x: F32, y: F32) -> tuple[F32, F32, F32]:
    """(light of the bare eyeball, pupil coverage, limbus coverage)."""
    light, scale = style.light, shape.view.scale
    s, t = _shape_coords(shape.limbus, x, y)
    limbus_r, limbus_d = conic_distance(shape.limbus, x, y)
    pupil_r, pupil_d = conic_distance(shape.pupil, x, y)
    share = np.clip(pupil_d / np.maximum(pupil_d - limbus_d, np.float32(1e-3)), 0.0, 1.0)
    angle = cv2.phase(s, t)
    iris = cv2.remap(
        made.iris,
        angle * np.float32(IRIS_COLS / (2 * math.pi)),
        np.asarray(share * np.float32(IRIS_ROWS - 1), np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # Veins are fixed to the eyeball; (s, t) in limbus radii -> texture of +-1 eyeball radius.
    k = np.float32(63.5 * style.anatomy.limbus_radius / style.anatomy.eyeball_radius)
    sclera = cv2.remap(
        made.veins,
        s * k + np.float32(63.5),
        t * k + np.float32(63.5),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    off_x, off_y = _shape_coords(shape.eyeball, x, y)
    sclera = (
        sclera
        * np.float32(light.sclera)
        * np.maximum(
            1.0 - np.float32(light.sclera_falloff) * (off_x * off_x + off_y * off_y), np.float32(0.1)
        )
    )
    lens = _lens_edge(light, limbus_r, s, t) if light.contact_lens > 0 else None
    if lens is not None:
        sclera = sclera * lens
    iris_share = cover(limbus_d, light.limbus_softness * scale)
    pupil_share = cover(pupil_d, light.pupil_softness * scale)
    pupil_light = np.float32(light.pupil) * (
        1.0 - np.float32(0.25 if light.pupil > light.iris else 0.0) * np.minimum(pupil_r * pupil_r, 1.0)
    )
    eye = sclera + iris_share * (iris - sclera)
    eye += pupil_share * (pupil_light - eye)
    if lens is not None and light.contact_lens < 1:  # a rigid lens: its edge lies on the iris
        eye *= lens
    return np.asarray(eye, np.float32), cover(pupil_d), cover(limbus_d)


def _lens_edge(light: Light, limbus_r: F32, s: F32, t: F32) -> F32:
    """The edge of a contact lens as a factor of light; (s, t) in limbus radii."""
    dx, dy = (np.float32(d) for d in light.contact_lens_shift)
    radius = cv2.magnitude(s - dx, t - dy) if light.contact_lens_shift != (0.0, 0.0) else limbus_r
    edge = (radius - np.float32(light.contact_lens)) * np.float32(30.0)
    return np.asarray(1.0 + np.float32(light.contact_lens_edge) / (1.0 + edge * edge), np.float32)


def _motion_blur(image: F32, shift: NDArray[np.float64]) -> F32:
    length = float(np.hypot(*shift))
    if length < 0.8:
        return image
    shift = shift * min(1.0, 24.0 / length)
    n = int(min(length, 24.0)) | 1
    n = n + 2
    kernel = np.zeros((n, n), np.float32)
    mid = (n - 1) / 2
    a = np.round((np.array([mid, mid]) - shift / 2) * 16).astype(int)
    b = np.round((np.array([mid, mid]) + shift / 2) * 16).astype(int)
    cv2.line(kernel, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 1.0, 1, cv2.LINE_8, 4)
    total = float(kernel.sum())
    if total <= 0:
        return image
    return np.asarray(cv2.filter2D(image, -1, kernel / total, borderType=cv2.BORDER_REPLICATE), np.float32)


def _step(distance: F32, width: np.float32) -> F32:
    """1 near zero distance, falling off around `width`."""
    return np.asarray(1.0 / (1.0 + np.square(np.square(distance / width))), np.float32)


def _lid_margins(style: EyeStyle, light: F32, u: F32, below: F32, above: F32, scale: float) -> None:
    """Rims of the lids and make-up, on the skin, in place."""
    lid, face = style.light, style.face
    rim = np.float32(max(lid.rim_mm * scale, 0.7))
    fade = np.clip((1.08 - np.abs(u)) * 6.0, 0.0, 1.0)
    light *= 1.0 + np.float32(lid.rim) * fade * _step(above, rim)
    light *= 1.0 - np.float32(0.5 * lid.lid_shadow) * fade / (1.0 + np.square(below / rim))
    if face.eyeliner > 0:
        wide = np.float32(max(face.eyeliner_mm * scale, 0.7))
        line = fade * np.maximum(_step(below, wide), 0.6 * _step(above, np.float32(0.7) * wide))
        light *= 1.0 - np.float32(face.eyeliner) * line


def _draw_lashes(
    style: EyeStyle, shape: EyePose, made: ClipTextures, state: MotionState, size: tuple[int, int]
) -> tuple[F32 | None, F32 | None]:
    """(opacity of the lashes, share hidden by where they stand dense)."""
    face = style.face
    mask = np.zeros(size, np.uint8)
    width = 1.1 * face.lash_width * shape.view.scale
    closed = 1.0 - state.openness * (1.0 - state.blink)
    for lashes in made.lashes:
        if len(lashes.u) == 0:
            continue
        tilt = face.lash_tilt - 1.1 * max(closed, 0.0) * (1.0 if lashes.upper else 0.0)
        strokes = lash_strokes(lashes, shape, tilt)
        level = int(255 * min(0.95, max(width, 0.3)))
        cv2.polylines(mask, list(strokes[:, :3]), False, level, max(1, round(width)), cv2.LINE_AA, 4)
        cv2.polylines(
            mask, list(strokes[:, 2:]), False, int(level * 0.65), max(1, round(0.55 * width)), cv2.LINE_AA, 4
        )
    if not made.lashes or not mask.any():
        return None, None
    opacity = mask.astype(np.float32) * np.float32(1.0 / 255.0)
    sigma = max(0.8, 0.5 * shape.view.scale)
    dense = (
        cv2.GaussianBlur(mask, (0, 0), sigma)
        if sigma < 4
        else cv2.resize(
            cv2.GaussianBlur(
                cv2.resize(mask, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), (0, 0), sigma / 4
            ),
            (size[1], size[0]),
            interpolation=cv2.INTER_LINEAR,
        )
    )
    if face.lash_blur_mm > 0:
        opacity = cv2.GaussianBlur(opacity, (0, 0), max(face.lash_blur_mm * shape.view.scale, 0.5))
    hidden = np.clip((dense.astype(np.float32) - 150.0) / 50.0, 0.0, 1.0)
    return opacity, np.asarray(hidden, np.float32)


def _still(
    image: F32 | None, canvas: Canvas, affine: NDArray[np.float64], size: tuple[int, int]
) -> F32 | None:
    if image is None:
        return None
    shifted = affine.copy()
    shifted[:, 2] -= affine[:, :2] @ np.array([canvas.margin, canvas.margin])
    return np.asarray(
        cv2.warpAffine(
            image, shifted, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        ),
        np.float32,
    )


def shade(
    style: EyeStyle,
    shape: EyePose,
    made: ClipTextures,
    state: MotionState,
    affine: NDArray[np.float64],
    size: tuple[int, int],
) -> Layers:
    """The frame before the camera, of (height, width)."""
    scale = shape.view.scale
    light = _still(made.canvas.skin, made.canvas, affine, size)
    assert light is not None
    pupil, iris, sclera = (np.zeros(size, np.float32) for _ in range(3))
    reflections: list[Spot | None] = [None] * len(shape.reflections)
    box = _box(shape, size, 3.0 * scale + 2)
    if box is not None:
        x0, y0, x1, y1 = box
        u, below, above = _lid_distances(shape, *_grid(box))
        _lid_margins(style, light[y0:y1, x0:x1], u, below, above, scale)
        lid_px = abs(state.blink_speed) * (style.anatomy.lid_upper + style.anatomy.lid_lower) * scale
        sweep = lid_px * style.camera.exposure_time
        # The eyeball itself is only needed within the lids.
        inner = _box(shape, size, 3.0 + sweep) or box
        a, b, c, d = max(inner[0], x0), max(inner[1], y0), min(inner[2], x1), min(inner[3], y1)
        cut = np.s_[b - y0 : d - y0, a - x0 : c - x0]
        u, below, above = u[cut], below[cut], above[cut]
        opening = np.clip(np.clip(below + 0.5, 0, 1) + np.clip(above + 0.5, 0, 1) - 1.0, 0.0, 1.0)
        eye, pupil_share, limbus_share = _eye_light(style, shape, made, *_grid((a, b, c, d)))
        reflections = draw_reflections(eye, (a, b, c, d), style, shape, made.window, made.specks)
        _surface(style, made, eye, u, below, above, scale)
        turn = np.array([math.radians(state.speed[0]), math.radians(state.speed[1])])
        shift = shape.view.linear @ turn * style.anatomy.limbus_depth * style.camera.exposure_time
        eye = _motion_blur(eye, shift)
        mix = opening if sweep < 0.8 else cover(-np.minimum(below, above), 0.35 * sweep)
        part = light[b:d, a:c]
        part += np.asarray(mix * (eye - part), np.float32)
        pupil[b:d, a:c] = pupil_share * opening
        iris[b:d, a:c] = np.maximum(limbus_share - pupil_share, 0.0) * opening
        sclera[b:d, a:c] = (1.0 - np.maximum(limbus_share, pupil_share)) * opening
        for spot in reflections:
            if spot is not None:
                (left, top, right, bottom), share = spot
                share *= opening[top - b : bottom - b, left - a : right - a]
    opacity, hidden = _draw_lashes(style, shape, made, state, size)
    if opacity is not None:
        light += opacity * (np.float32(style.face.lash_level) - light)
    alpha = _still(made.canvas.front_alpha, made.canvas, affine, size)
    front = _still(made.canvas.front_light, made.canvas, affine, size)
    if alpha is not None and front is not None:
        light += alpha * (front - light)
        hidden = alpha if hidden is None else np.maximum(hidden, alpha)
    strands = _still(made.canvas.strands, made.canvas, affine, size)
    if strands is not None:
        light += strands * (np.float32(style.face.lash_level) - light)
    glare = _still(made.canvas.glare, made.canvas, affine, size)
    if glare is not None:
        light += glare
    return Layers(light, pupil, iris, sclera, reflections, hidden)


def _surface(
    style: EyeStyle, made: ClipTextures, eye: F32, u: F32, below: F32, above: F32, scale: float
) -> None:
    """Shadow of the lid, caruncle, tear line, veil: on the eye's surface, in place."""
    light = style.light
    soft = np.float32(max(light.lid_shadow_mm * scale, 1.0))
    eye *= 1.0 - np.float32(light.lid_shadow) / (1.0 + np.square(np.maximum(below, 0.0) / soft))
    corner = np.clip((u - 0.72) / 0.2, 0.0, 1.0)
    if light.caruncle > 0:
        flesh = np.float32(0.75 * light.skin)
        eye += np.float32(light.caruncle) * corner * (flesh - eye)
    if light.veil > 0:
        eye += np.float32(light.veil) * (np.float32(0.6) - eye)
    if light.tear_line > 0:
        at = np.clip((u + np.float32(SPAN)) * np.float32((TABLE - 1) / (2 * SPAN)), 0, TABLE - 1).astype(
            np.int32
        )
        wide = np.float32(max(light.tear_mm * scale, 0.6))
        band = np.square(1.0 / (1.0 + np.square((above - wide) / wide)))
        eye += np.float32(light.tear_line) * band * made.tear[at]
