"""Draws the parameters of a clip: far wider than any one real camera (domain randomisation).

Purpose: `draw_style` for training, and clean presets for tests and demonstrations.

Notable choices: independent wide ranges rather than a model of any camera, since a network trained on
them must work on cameras nobody listed (Tobin et al. 2017, arXiv 1703.06907). Grey levels are redrawn
until pupil and iris differ by a few grey levels, so that the truth can be seen.

What it does not know: how the parameters are drawn on the picture.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ocusam.synthetic.anatomy import CORNEA_DEPTH, CORNEA_RADIUS, rotation
from ocusam.synthetic.hard import harder
from ocusam.synthetic.style import Anatomy, Camera, EyeStyle, Face, Light, Motion

Rng = np.random.Generator


def _log(rng: Rng, low: float, high: float) -> float:
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def _maybe(rng: Rng, chance: float, low: float, high: float) -> float:
    value = float(rng.uniform(low, high))
    return value if rng.random() < chance else 0.0


def _anatomy(rng: Rng, mouse: bool) -> Anatomy:
    radius = float(rng.uniform(8.6, 11.0)) if mouse else float(rng.normal(5.9, 0.35))
    ball = 12.0
    if mouse:
        depth = math.sqrt(max(ball * ball - radius * radius, 16.0))
        tall = float(rng.uniform(6.5, 10.5))
        return Anatomy(
            limbus_radius=radius,
            limbus_depth=depth,
            pupil_depth=depth + float(rng.uniform(0.0, 1.5)),
            pupil_offset=(float(rng.normal(0, 0.4)), float(rng.normal(0, 0.4))),
            pupil_stretch=float(rng.uniform(0, 0.05)),
            pupil_stretch_angle=float(rng.uniform(0, math.pi)),
            lid_half_width=float(rng.uniform(8.5, 13.0)),
            lid_upper=tall,
            lid_lower=tall * float(rng.uniform(0.7, 1.15)),
            lid_center=(float(rng.normal(0, 1.0)), float(rng.normal(0, 1.0))),
            lid_skew_upper=float(rng.normal(0, 0.2)),
            lid_skew_lower=float(rng.normal(0, 0.2)),
            lid_power_upper=float(rng.uniform(0.45, 0.85)),
            lid_power_lower=float(rng.uniform(0.45, 0.85)),
            lid_tilt=float(rng.uniform(-40, 40)),
            lid_depth=float(rng.uniform(4, 8)),
            lid_follows_gaze=0.1,
        )
    depth = math.sqrt(ball * ball - radius * radius)
    return Anatomy(
        limbus_radius=radius,
        limbus_depth=depth,
        pupil_depth=depth + float(rng.uniform(-0.2, 0.5)),
        pupil_offset=(float(rng.normal(0.1, 0.2)), float(rng.normal(0, 0.2))),
        pupil_stretch=float(abs(rng.normal(0, 0.03))),
        pupil_stretch_angle=float(rng.uniform(0, math.pi)),
        lid_half_width=float(rng.uniform(11.5, 17.0)),
        lid_upper=float(rng.uniform(3.8, 9.0)),
        lid_lower=float(rng.uniform(2.8, 7.0)),
        lid_center=(float(rng.normal(0.0, 1.8)), float(rng.normal(0.0, 0.8))),
        lid_skew_upper=float(rng.normal(0.08, 0.18)),
        lid_skew_lower=float(rng.normal(-0.12, 0.18)),
        lid_power_upper=float(rng.uniform(0.5, 1.1)),
        lid_power_lower=float(rng.uniform(0.5, 1.1)),
        lid_tilt=float(rng.normal(3, 6)),
        lid_depth=float(rng.uniform(8.5, 11.5)),
        lid_bow=float(rng.uniform(0.0, 0.04)),
        lid_follows_gaze=float(rng.uniform(0.2, 0.8)),
    )


def _camera(rng: Rng, mouse: bool, anatomy: Anatomy) -> Camera:
    wide = rng.random() < 0.45
    yaw = float(np.clip(rng.normal(0, 20 if wide else 8), -45, 45))
    pitch = float(np.clip(rng.normal(-14 if wide else 0, 16 if wide else 7), -42, 38))
    roll = float(rng.normal(0, 14)) if rng.random() < 0.75 else float(rng.uniform(-180, 180))
    if mouse:
        share = _log(rng, 0.22, 1.0)
    else:
        share = float(
            np.clip(_log(rng, 0.13, 0.65) if rng.random() < 0.85 else _log(rng, 0.07, 1.0), 0.07, 1.0)
        )
    reach = 0.2 if rng.random() < 0.8 else 0.45
    center = (0.5 + float(rng.uniform(-reach, reach)), 0.5 + float(rng.uniform(-reach, reach)))
    return Camera(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        mirror=bool(rng.random() < 0.5),
        iris_share=share,
        center=center,
        aspect=1.0 if rng.random() < 0.35 else _log(rng, 0.5, 2.0),
        exposure_drift=_maybe(rng, 0.3, 0.02, 0.5),
        vignette=_maybe(rng, 0.6, 0.0, 0.8),
        gradient=_maybe(rng, 0.7, 0.0, 0.7),
        gradient_angle=float(rng.uniform(0, 360)),
        spot=_maybe(rng, 0.25, -0.5, 1.2),
        defocus=_log(rng, 0.15, 1.2) if rng.random() < 0.75 else _log(rng, 1.0, 3.2),
        sharpen=_maybe(rng, 0.2, 0.2, 1.6),
        low_resolution=1.0 if rng.random() < 0.6 else _log(rng, 0.35, 1.0),
        noise=_log(rng, 0.002, 0.025) if rng.random() < 0.85 else _log(rng, 0.02, 0.07),
        row_noise=_maybe(rng, 0.1, 0.002, 0.02),
        flicker=_maybe(rng, 0.06, 0.02, 0.25),
        interlaced=bool(rng.random() < 0.04),
        jpeg=int(rng.integers(12, 95)) if rng.random() < 0.45 else 0,
        views=int(rng.choice([1, 2, 3, 4], p=[0.88, 0.08, 0.005, 0.035])),
        views_stacked=bool(rng.random() < 0.5),
        bars=(_maybe(rng, 0.04, 0.03, 0.2), _maybe(rng, 0.04, 0.03, 0.2)),
        aperture=_maybe(rng, 0.05, 0.8, 1.35),
        overlay=bool(rng.random() < 0.04),
        dropout=_maybe(rng, 0.12, 0.02, 0.15),
        exposure_time=float(rng.uniform(0.05, 0.9)),
    )


def _led_layout(
    rng: Rng, camera: Camera, gaze: tuple[float, float], anatomy: Anatomy
) -> tuple[tuple[float, float], ...]:
    turn = rotation(camera.yaw, camera.pitch) @ rotation(*gaze)
    count = int(
        rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8], p=[0.06, 0.27, 0.17, 0.07, 0.12, 0.07, 0.14, 0.03, 0.07])
    )
    spread = float(rng.uniform(0.3, 3.2)) if count > 1 else 0.0
    # Rings of lamps are built around the camera, so their reflections surround the pupil and cross its rim.
    middle = rng.normal(0, 1.0 if count > 3 else 1.6, 2)
    start = float(rng.uniform(0, 2 * math.pi))
    kind = rng.random()
    points: list[tuple[float, float]] = []
    for k in range(count):
        if kind < 0.6:
            a = start + 2 * math.pi * k / max(count, 1)
            off = middle + spread * np.array([math.cos(a), math.sin(a) * 0.8])
        elif kind < 0.8:
            line = np.array([math.cos(start), math.sin(start)])
            off = middle + spread * 0.6 * (k - (count - 1) / 2) * line
        else:
            off = middle + rng.normal(0, spread, 2)
        # The place on the cornea near the resting pupil -> the normal there.
        at = turn[:2, 2] * anatomy.pupil_depth + off
        normal = (at - turn[:2, 2] * CORNEA_DEPTH) / CORNEA_RADIUS
        length = float(np.hypot(*normal))
        if length > 0.95:
            normal = normal * (0.95 / length)
        points.append((float(normal[0]), float(normal[1])))
    return tuple(points)


def _light(rng: Rng, mouse: bool, leds: tuple[tuple[float, float], ...]) -> Light:
    iris = _log(rng, 0.05, 0.75)
    bright = rng.random() < 0.1
    pupil = iris * float(rng.uniform(1.35, 3.5)) if bright else iris * float(rng.uniform(0.02, 0.62))
    sclera = iris + float(rng.uniform(0.0, 0.6)) * (1.0 if rng.random() < 0.85 else -0.4 * iris)
    skin = _log(rng, 0.14, 1.5)
    many = len(leds) > 3
    window = 0.22 if not mouse else 0.1
    return Light(
        skin=skin,
        sclera=max(sclera, 0.04),
        sclera_falloff=float(rng.uniform(0, 0.5)),
        iris=iris,
        pupil=pupil,
        iris_contrast=_log(rng, 0.03, 0.6),
        iris_fibres=int(rng.integers(20, 120)),
        iris_ruff=_maybe(rng, 0.4, -0.6, 0.6),
        limbal_ring=_maybe(rng, 0.7, -0.2, 0.8),
        limbus_softness=float(rng.uniform(0.0, 0.9)),
        pupil_softness=_maybe(rng, 0.4, 0.0, 0.25),
        veins=_maybe(rng, 0.6, 0.0, 0.5),
        lid_shadow=float(rng.uniform(0.0, 0.65)),
        lid_shadow_mm=_log(rng, 0.8, 5.0),
        rim=float(rng.normal(0.1, 0.25)),
        rim_mm=float(rng.uniform(0.5, 2.0)),
        tear_line=_maybe(rng, 0.6, 0.05, 1.0),
        caruncle=0.0 if mouse else _maybe(rng, 0.8, 0.2, 1.0),
        leds=leds,
        led_radius_mm=_log(rng, 0.12, 0.5 if many else 0.95),
        led_aspect=1.0 if rng.random() < 0.6 else _log(rng, 0.4, 2.5),
        led_angle=float(rng.uniform(0, 180)),
        led_level=_log(rng, 1.0, 8.0) if rng.random() < 0.85 else _log(rng, 0.4, 1.2),
        led_softness=float(rng.uniform(0, 0.8)),
        led_bloom=_maybe(rng, 0.5, 0.0, 0.6),
        led_dropout_hz=_maybe(rng, 0.3, 0.5, 8.0),
        window=_maybe(rng, window, 0.1, 1.0),
        window_seed=int(rng.integers(0, 10_000)),
        window_size_mm=float(rng.uniform(1.5, 9.0)),
        clutter=int(rng.integers(1, 10)) if rng.random() < 0.35 else 0,
        contact_lens=_maybe(rng, 0.1, 1.04, 1.3),
        contact_lens_edge=float(rng.uniform(-0.4, 0.5)),
        veil=_maybe(rng, 0.15, 0.05, 0.45),
    )


def _face(rng: Rng, mouse: bool) -> Face:
    return Face(
        texture=_log(rng, 0.005, 0.12),
        texture_scale=_log(rng, 0.6, 3.0),
        wrinkles=_maybe(rng, 0.6, 0.02, 0.25),
        speculars=_maybe(rng, 0.3, 0.05, 0.6),
        shading=_log(rng, 0.1, 0.8),
        crease_mm=float(rng.uniform(1.5, 8.0)),
        crease=0.0 if mouse else _maybe(rng, 0.8, 0.05, 0.9),
        bag=_maybe(rng, 0.6, 0.05, 0.6),
        fur=float(rng.uniform(0.25, 1.1)) if mouse else 0.0,
        brow=0.0 if mouse else _maybe(rng, 0.6, 0.2, 1.0),
        brow_mm=float(rng.uniform(9, 22)),
        lashes=int(rng.integers(0, 12)) if mouse else int(rng.integers(15, 130)) if rng.random() < 0.9 else 0,
        lash_level=_log(rng, 0.02, 0.3) if rng.random() < 0.9 else float(rng.uniform(0.3, 1.0)),
        lash_mm=float(rng.uniform(3, 11)),
        lash_tilt=float(rng.uniform(-0.9, 1.1)) if rng.random() < 0.5 else float(rng.uniform(0.3, 1.0)),
        lash_width=_log(rng, 0.06, 0.25),
        lower_lashes=0 if mouse else int(rng.integers(0, 60)),
        eyeliner=0.0 if mouse else _maybe(rng, 0.2, 0.3, 0.95),
        eyeliner_mm=float(rng.uniform(0.4, 1.8)),
        eyeshadow=0.0 if mouse else _maybe(rng, 0.15, 0.1, 0.9),
        background=_maybe(rng, 0.4, 1.0, 1.0),
        background_mm=float(rng.uniform(16, 38)),
        background_angle=float(rng.uniform(0, 360)),
        background_wave=float(rng.uniform(0.1, 1.5)),
        strands=int(rng.integers(1, 7)) if rng.random() < 0.06 else 0,
        background_level=_log(rng, 0.005, 0.08) if rng.random() < 0.75 else float(rng.uniform(0.1, 1.0)),
        frame=_maybe(rng, 0.14, 0.8, 7.0),
        frame_mm=float(rng.uniform(4, 22)),
        frame_angle=float(rng.uniform(0, 360)),
        frame_level=_log(rng, 0.01, 0.5),
        lens_reflections=int(rng.integers(1, 6)) if rng.random() < 0.14 else 0,
        lens_level=_log(rng, 0.1, 2.0),
    )


def _motion(rng: Rng, mouse: bool) -> Motion:
    sleepy = rng.random() < 0.08
    return Motion(
        speed=_log(rng, 0.28, 4.0),
        gaze_center=(float(rng.normal(0, 6)), float(rng.normal(0, 5))),
        gaze_range=(float(rng.uniform(4, 30)), float(rng.uniform(3, 22))),
        fixation_s=_log(rng, 0.06, 0.6),
        drift_deg=_log(rng, 0.05, 0.8),
        pursuit=_maybe(rng, 0.3, 2, 40),
        pupil_ratio=_log(rng, 0.16, 0.8),
        pupil_change=_log(rng, 0.02, 0.5),
        blink_hz=_log(rng, 0.1, 1.0),
        blink_s=_log(rng, 0.1, 0.5),
        partial_blinks=0.35,
        openness=float(rng.uniform(0.25, 0.65)) if sleepy else float(rng.uniform(0.7, 1.1)),
        openness_drift=_log(rng, 0.01, 0.15),
        early_blink=0.03 if mouse else 0.26,
        early_saccade=0.65,
        slip_mm=_log(rng, 0.02, 1.0),
        slip_jumps_hz=_maybe(rng, 0.25, 0.3, 4.0),
        slip_roll=_log(rng, 0.05, 2.0),
    )


def _tone(rng: Rng, light: Light, camera: Camera) -> Camera:
    """Exposure and tone curve under which pupil and iris still differ by a few grey levels."""
    wild = rng.random() < 0.5
    best, best_gap = camera, -1.0
    for _ in range(12):
        exposure = _log(rng, 0.4, 2.0)
        gamma = _log(rng, 0.42, 1.6) if wild else _log(rng, 0.55, 1.2)
        black = _maybe(rng, 0.35, 0.0, 0.35 if wild else 0.15)
        white = 1.0 if rng.random() < 0.6 else float(rng.uniform(0.45, 1.0))
        levels = [
            black + (white - black) * min(exposure * v, 1.0) ** gamma
            for v in (light.pupil, light.iris, light.sclera)
        ]
        need = 0.06 + 3.0 * camera.noise * math.sqrt(max(camera.low_resolution, 0.3))
        gap = min(abs(levels[1] - levels[0]), need) / need + min(abs(levels[2] - levels[1]), 0.04) / 0.04
        candidate = replace(camera, exposure=exposure, gamma=gamma, black=black, white=white)
        if gap > best_gap:
            best, best_gap = candidate, gap
        if gap >= 1.99:
            return candidate
    return best


def draw_style(rng: Rng) -> EyeStyle:
    """A style drawn from all of the ranges: one clip in ten is a mouse, one in fifty shows no eye."""
    mouse = rng.random() < 0.1
    kind = "empty" if rng.random() < 0.02 else "mouse" if mouse else "human"
    anatomy = _anatomy(rng, mouse)
    camera = _camera(rng, mouse, anatomy)
    motion = _motion(rng, mouse)
    light = _light(rng, mouse, _led_layout(rng, camera, motion.gaze_center, anatomy))
    style = EyeStyle(kind, anatomy, light, _face(rng, mouse), camera, motion)
    if rng.random() < 0.6:
        style = _calm(rng, style)
    style = replace(style, camera=_tone(rng, style.light, _squashed(rng, style.camera)))
    # A generator of its own: what is drawn of all other clips stays as it was before these were thought of.
    return harder(rng.spawn(1)[0], style)


def _calm(rng: Rng, style: EyeStyle) -> EyeStyle:
    """The same clip by an ordinary camera: eye near the middle, little noise, nothing in the way."""
    camera = replace(
        style.camera,
        noise=_log(rng, 0.002, 0.018),
        low_resolution=1.0,
        defocus=_log(rng, 0.2, 1.0),
        row_noise=0.0,
        center=(0.5 + float(rng.normal(0, 0.08)), 0.5 + float(rng.normal(0, 0.08))),
        dropout=0.0,
        spot=0.0,
        iris_share=style.camera.iris_share if style.kind == "mouse" else _log(rng, 0.16, 0.5),
        aspect=1.0 if rng.random() < 0.5 else _log(rng, 0.7, 1.45),
    )
    face = replace(
        style.face,
        texture=min(style.face.texture, 0.05),
        lens_reflections=0,
        frame=0.0,
        background_mm=style.face.background_mm + 6.0,
    )
    motion = replace(style.motion, openness=float(rng.uniform(0.85, 1.12)))
    if style.kind != "human":
        return replace(style, camera=camera, face=face, motion=motion)
    light = replace(style.light, sclera=style.light.iris + float(rng.uniform(0.06, 0.5)))
    anatomy = replace(
        style.anatomy,
        lid_upper=float(rng.uniform(4.5, 8.0)),
        lid_lower=float(rng.uniform(3.5, 6.5)),
        lid_half_width=float(rng.uniform(12.5, 16.0)),
        lid_center=(float(rng.normal(0.0, 1.2)), float(rng.normal(0.3, 0.6))),
    )
    return replace(style, anatomy=anatomy, light=light, camera=camera, face=face, motion=motion)


def _squashed(rng: Rng, camera: Camera) -> Camera:
    """Several views in one picture are often squashed to a square with it."""
    if camera.views == 1 or rng.random() < 0.4:
        return camera
    factor = camera.views if camera.views_stacked else 1.0 / camera.views
    return replace(camera, aspect=camera.aspect * factor)


def lab_style(leds: int = 2) -> EyeStyle:
    """A clean laboratory recording: human, dark pupil, moderate noise, blinks; for demonstrations."""
    places = ((-0.12, 0.20), (0.20, 0.20), (0.04, -0.05), (-0.12, -0.1))[:leds]
    return EyeStyle(
        anatomy=Anatomy(lid_upper=6.6, lid_lower=5.0),
        light=Light(leds=places, led_radius_mm=0.32, led_level=4.0),
        face=Face(texture=0.04, wrinkles=0.06, shading=0.3, brow=0.7, brow_mm=15.0, lash_tilt=0.6),
        camera=Camera(pitch=-8.0, iris_share=0.27, defocus=0.5, noise=0.012),
        motion=Motion(early_blink=0.0, blink_hz=0.25, gaze_range=(12.0, 8.0)),
    )


def plain_style() -> EyeStyle:
    """No noise, blur, texture, lashes, lids' shadow or motion: edges can be measured on the picture."""
    return EyeStyle(
        anatomy=Anatomy(lid_upper=9.0, lid_lower=8.0, pupil_stretch=0.0),
        light=Light(
            iris_contrast=0.0,
            limbal_ring=0.0,
            limbus_softness=0.0,
            veins=0.0,
            lid_shadow=0.0,
            tear_line=0.0,
            caruncle=0.0,
            leds=(),
            sclera_falloff=0.0,
            rim=0.0,
        ),
        face=Face(texture=0.0, wrinkles=0.0, shading=0.0, crease=0.0, bag=0.0, lashes=0, lower_lashes=0),
        camera=Camera(vignette=0.0, gradient=0.0, defocus=0.0, noise=0.0, pitch=0.0),
        motion=Motion(
            gaze_range=(0.0, 0.0),
            drift_deg=0.0,
            pupil_change=0.0,
            blink_hz=1e-9,
            openness_drift=0.0,
            slip_mm=0.0,
            slip_roll=0.0,
        ),
    )
