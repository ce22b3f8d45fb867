"""What a rendered eye clip looks like: every drawn parameter, as frozen dataclasses.

Purpose: tests and demos can override single parameters (`dataclasses.replace`), and scores can be split
by them.

Notable choices: lengths on the eye are millimetres, lengths in the picture are shares of its width, light
is linear with 1.0 = white of the sensor before the tone curve.

What it does not know: how to draw. `draw.py` says how the parameters are distributed.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Anatomy:
    """The eyeball and its lids, mm and degrees."""

    eyeball_radius: float = 12.0
    limbus_radius: float = 5.9
    limbus_depth: float = 10.4  # distance of the limbus plane from the centre of the eyeball
    pupil_depth: float = 10.5
    pupil_offset: tuple[float, float] = (0.15, 0.0)  # decentring in the iris plane
    pupil_stretch: float = 0.0  # pupil axes times 1 +- this
    pupil_stretch_angle: float = 0.0
    lid_half_width: float = 14.5
    lid_upper: float = 5.5  # height of the upper lid's arc over the line between the canthi
    lid_lower: float = 4.2
    lid_center: tuple[float, float] = (0.0, 0.0)
    lid_skew_upper: float = 0.1
    lid_skew_lower: float = -0.15
    lid_power_upper: float = 0.85
    lid_power_lower: float = 0.9
    lid_tilt: float = 4.0
    lid_depth: float = 10.0
    lid_bow: float = 0.02  # how fast the lids recede to the sides, 1/mm
    lid_follows_gaze: float = 0.55


@dataclass(frozen=True)
class Light:
    """How bright things are (linear), and reflections."""

    skin: float = 0.6
    sclera: float = 0.5
    sclera_falloff: float = 0.35
    iris: float = 0.28
    pupil: float = 0.03
    iris_contrast: float = 0.25
    iris_fibres: int = 90
    iris_ruff: float = 0.0  # brightness change at the pupil's rim
    limbal_ring: float = 0.25
    limbus_softness: float = 0.25  # mm
    pupil_softness: float = 0.0  # mm
    veins: float = 0.1
    lid_shadow: float = 0.35
    lid_shadow_mm: float = 2.5
    rim: float = 0.15
    rim_mm: float = 1.0
    tear_line: float = 0.3
    tear_mm: float = 0.22  # height of the tears on the lower lid
    caruncle: float = 0.5
    leds: tuple[tuple[float, float], ...] = (
        (0.06, 0.16),
    )  # per LED: (x, y) of the corneal normal that mirrors it
    led_radius_mm: float = 0.35
    led_aspect: float = 1.0
    led_angle: float = 0.0
    led_level: float = 3.0
    led_softness: float = 0.1  # share of the radius
    led_bloom: float = 0.1
    led_dropout_hz: float = 0.0
    window: float = 0.0  # opacity of a window-like reflection on the cornea
    window_seed: int = 0
    window_size_mm: float = 4.0
    clutter: int = 0  # small specks on cornea, tear film and skin
    contact_lens: float = 0.0  # radius of a contact lens over that of the limbus, 0: none; under 1: rigid
    contact_lens_edge: float = 0.3
    contact_lens_shift: tuple[float, float] = (0.0, 0.0)  # decentring, limbus radii
    veil: float = 0.0  # haze over the eye (contact lens, tears, dirty lens)


@dataclass(frozen=True)
class Face:
    """Skin, hair, make-up, what stands around the eye."""

    texture: float = 0.12
    texture_scale: float = 1.0
    wrinkles: float = 0.1
    speculars: float = 0.0
    sheen: float = 0.0  # light that greasy lids mirror from a lamp, at its brightest
    sheen_mm: tuple[float, float, float, float] = (0.0, -2.0, 4.0, 5.0)  # its middle and its sigmas
    shading: float = 0.4
    crease_mm: float = 3.5
    crease: float = 0.3
    bag: float = 0.15
    fur: float = 0.0
    brow: float = 0.0
    brow_mm: float = 17.0
    lashes: int = 60
    lash_level: float = 0.08
    lash_mm: float = 6.0
    lash_tilt: float = 0.5  # 1: stand up and away from the eye; -1: hang over it
    lash_width: float = 0.12  # mm
    lash_blur_mm: float = 0.0  # lashes out of focus, sigma
    lower_lashes: int = 30
    eyeliner: float = 0.0
    eyeliner_mm: float = 1.0
    eyeshadow: float = 0.0
    background: float = 0.0  # 0: none, else the share of clips' face edge; see `background_level`
    background_mm: float = 24.0
    background_angle: float = 0.0
    background_wave: float = 0.6
    background_level: float = 0.03
    frame: float = 0.0  # thickness of a glasses frame, mm (0: none)
    frame_mm: float = 20.0
    frame_angle: float = 0.0
    frame_level: float = 0.05
    strands: int = 0  # hairs hanging before the eye
    lens_reflections: int = 0
    lens_level: float = 0.5
    passing: float = 0.0  # radius of something that passes before the eye, share of the picture's width
    passing_level: float = 0.3


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and what it does to the light."""

    yaw: float = 0.0  # deg, head against camera
    pitch: float = 10.0
    roll: float = 0.0
    mirror: bool = False
    iris_share: float = 0.3  # diameter of the limbus over the picture's width
    center: tuple[float, float] = (0.5, 0.5)  # of the limbus at rest, share of (width, height)
    aspect: float = 1.0  # horizontal over vertical stretch
    exposure: float = 1.0
    exposure_drift: float = 0.0
    gamma: float = 1.0
    black: float = 0.0
    white: float = 1.0
    vignette: float = 0.15
    gradient: float = 0.2
    gradient_angle: float = 0.0
    spot: float = 0.0
    defocus: float = 0.6  # sigma, 1/256 of the width
    sharpen: float = 0.0
    low_resolution: float = 1.0  # the sensor's pixels over the picture's
    noise: float = 0.012
    row_noise: float = 0.0
    flicker: float = 0.0  # rolling bands of light
    flicker_bands: float = 9.0  # rad over the picture's height
    flicker_step: float = 0.9  # rad from frame to frame
    interlaced: bool = False
    jpeg: int = 0  # quality, 0: none
    views: int = 1  # eyes in the picture, side by side or stacked
    views_stacked: bool = False
    bars: tuple[float, float] = (0.0, 0.0)  # black bars (vertical, horizontal), share of the picture
    aperture: float = 0.0  # radius of a round black mask over half the picture, 0: none
    overlay: bool = False  # text or a cross burnt into the picture
    dropout: float = 0.0  # share of frames that are black, white or show no eye
    exposure_time: float = 0.4  # of the frame's time


@dataclass(frozen=True)
class Motion:
    """How the eye, the lids and the headset move."""

    speed: float = 1.0  # time runs faster by this factor
    gaze_center: tuple[float, float] = (0.0, 0.0)  # yaw, pitch in deg
    gaze_range: tuple[float, float] = (16.0, 10.0)
    fixation_s: float = 0.3
    drift_deg: float = 0.15
    pursuit: float = 0.0  # deg/s
    pupil_ratio: float = 0.45  # pupil over limbus radius
    pupil_change: float = 0.1
    blink_hz: float = 0.3
    blink_s: float = 0.25
    partial_blinks: float = 0.2
    openness: float = 1.0
    openness_drift: float = 0.03
    early_blink: float = 0.0  # chance of a blink within the first eight frames
    early_saccade: float = 0.0
    slip_mm: float = 0.15
    slip_jumps_hz: float = 0.0
    slip_roll: float = 0.3


@dataclass(frozen=True)
class EyeStyle:
    """All parameters of one clip. `kind` names the family ("human", "mouse", "empty")."""

    kind: str = "human"
    anatomy: Anatomy = field(default_factory=Anatomy)
    light: Light = field(default_factory=Light)
    face: Face = field(default_factory=Face)
    camera: Camera = field(default_factory=Camera)
    motion: Motion = field(default_factory=Motion)
