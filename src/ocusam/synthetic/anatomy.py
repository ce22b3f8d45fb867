"""Where the parts of the eye lie in the picture: circles on a turned sphere, lid curves, reflections.

Purpose: turn a `MotionState` into ellipses and lid curves in pixels.

Notable choices: the camera is orthographic, so that circles become exact ellipses and every map between
the eye and the picture is affine. Eye space: mm, x right, y down, z towards the camera, origin in the
centre of the eyeball. The lids are two curves over the line between the canthi, kept as a table over u =
-SPAN..SPAN (1 = canthus). A corneal reflection lies where the normal of the corneal sphere halves the
angle between light and camera.

What it does not know: refraction at the cornea (the pupil's depth is a drawn parameter instead),
perspective.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.synthetic.motion import MotionState
from ocusam.synthetic.style import Anatomy, EyeStyle

F64 = NDArray[np.float64]
SPAN = 2.2
TABLE = 768
GRID = np.linspace(-SPAN, SPAN, TABLE)
CORNEA_RADIUS = 7.8  # mm
CORNEA_DEPTH = 5.6


@dataclass(frozen=True)
class Conic:
    """An ellipse as the affine image of the unit circle: points center + basis @ (cos, sin)."""

    center: F64
    basis: F64

    def ellipse(self) -> Ellipse:
        """As centre, full axes and angle."""
        (a, b), (c, d) = self.basis.tolist()
        # Eigenvalues of basis @ basis.T are the squared semi-axes.
        xx, yy, xy = a * a + b * b, c * c + d * d, a * c + b * d
        mean, half = (xx + yy) / 2.0, math.hypot((xx - yy) / 2.0, xy)
        angle = math.degrees(0.5 * math.atan2(2.0 * xy, xx - yy)) % 180.0
        major = math.sqrt(mean + half)
        minor = max(abs(a * d - b * c) / major, 5e-4)
        return Ellipse((float(self.center[0]), float(self.center[1])), (2.0 * major, 2.0 * minor), angle)

    def inverse(self) -> F64:
        """(2, 2) map from pixel offsets to the unit circle."""
        return inverse2(self.basis)


def inverse2(m: F64) -> F64:
    """Inverse of a (2, 2) matrix (many times faster than the general routine)."""
    (a, b), (c, d) = m.tolist()
    det = a * d - b * c
    return np.array([[d / det, -b / det], [-c / det, a / det]])


def rotation(yaw: float, pitch: float) -> F64:
    """(3, 3): yaw turns to +x, pitch to +y (down), degrees."""
    a, b = math.radians(yaw), math.radians(pitch)
    ry = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    rx = np.array([[1, 0, 0], [0, math.cos(b), math.sin(b)], [0, -math.sin(b), math.cos(b)]])
    return np.asarray(rx @ ry)


@dataclass(frozen=True)
class View:
    """The fixed part of the map into the picture."""

    linear: F64  # (2, 2) px per mm
    origin: F64  # (2,) px of the eyeball's centre
    head: F64  # (3, 3) head into eye space
    scale: float  # px per mm, geometric mean

    def slipped(self, state: MotionState, size: tuple[int, int]) -> tuple[View, F64]:
        """The view after headset slip, and the (2, 3) map of still pixels onto slipped ones."""
        h, w = size
        middle = np.array([w / 2.0, h / 2.0])
        c, s = math.cos(math.radians(state.slip_roll)), math.sin(math.radians(state.slip_roll))
        turn = np.array([[c, -s], [s, c]])
        shift = np.array(state.slip) * self.scale
        affine = np.column_stack([turn, middle - turn @ middle + shift])
        moved = View(turn @ self.linear, turn @ self.origin + affine[:, 2], self.head, self.scale)
        return moved, affine


def make_view(style: EyeStyle, size: tuple[int, int]) -> View:
    """The map into a picture of (height, width)."""
    cam, eye = style.camera, style.anatomy
    h, w = size
    head = rotation(cam.yaw, cam.pitch)
    scale = cam.iris_share * w / (2.0 * eye.limbus_radius)
    c, s = math.cos(math.radians(cam.roll)), math.sin(math.radians(cam.roll))
    stretch = math.sqrt(cam.aspect)
    linear = scale * np.diag([stretch, 1.0 / stretch]) @ np.array([[c, -s], [s, c]])
    if cam.mirror:
        linear = np.diag([-1.0, 1.0]) @ linear
    rest = head @ rotation(*style.motion.gaze_center) @ np.array([0.0, 0.0, eye.limbus_depth])
    origin = np.array([cam.center[0] * w - 0.5, cam.center[1] * h - 0.5]) - linear @ rest[:2]
    return View(linear, origin, head, scale)


@dataclass(frozen=True)
class EyePose:
    """All outlines of one frame in pixels."""

    pupil: Conic
    limbus: Conic
    eyeball: Conic
    reflections: list[Conic | None]
    lids: F64  # (5, TABLE): upper, lower, upper at rest, and slopes of upper and lower, mm over mm
    lid_map: F64  # (2, 3): pixel -> (u in half widths, v in mm)
    gaze: tuple[float, float]
    view: View


def _arc(x: F64, height: float, skew: float, power: float) -> F64:
    bent = np.clip(x + skew * (1.0 - x * x), -1.0, 1.0)
    return np.asarray(height * np.power(np.maximum(1.0 - bent * bent, 0.0), power))


def lid_table(eye: Anatomy, head: F64, state: MotionState, gaze_pitch: float) -> F64:
    """(5, TABLE) lid curves; v is down, so that the upper curve is the smaller number."""
    x = GRID
    follow = eye.lid_follows_gaze * math.sin(math.radians(gaze_pitch)) * eye.limbus_depth
    upper_rest = -_arc(x, eye.lid_upper, eye.lid_skew_upper, eye.lid_power_upper)
    lower = _arc(x, eye.lid_lower, eye.lid_skew_lower, eye.lid_power_lower)
    inside = np.maximum(1.0 - x * x, 0.0)
    upper = upper_rest + follow * inside
    lower = lower + 0.35 * follow * inside
    lower = np.maximum(lower, upper)
    opening = state.openness * (1.0 - state.blink)
    meet = lower + 0.22 * (upper - lower)
    upper = upper + (1.0 - opening) * (meet - upper)
    lower = lower + (1.0 - min(opening, 1.0)) * (meet - lower)
    u = x * eye.lid_half_width
    tangent = math.copysign(min(abs(head[1, 2]) / max(head[1, 1], 0.35), 1.2), head[1, 2])
    bow = -eye.lid_bow * u * u * tangent
    outside = (
        0.05 * np.maximum(np.abs(x) - 1.0, 0.0) * eye.lid_half_width
    )  # beyond the canthi the lids overlap
    upper, lower, rest = upper + bow + outside, lower + bow - outside, upper_rest + bow
    step = x[1] - x[0]
    return np.stack([upper, lower, rest, np.gradient(upper, step), np.gradient(lower, step)])


def _circle(
    view: View, turn: F64, radius: float, depth: float, offset: tuple[float, float] = (0.0, 0.0)
) -> Conic:
    at = turn @ np.array([offset[0], offset[1], depth])
    return Conic(view.origin + view.linear @ at[:2], view.linear @ turn[:2, :2] * radius)


def _reflection(view: View, turn: F64, style: EyeStyle, index: int, limbus: Conic) -> Conic | None:
    light = style.light
    at = CORNEA_DEPTH * turn[:2, 2] + CORNEA_RADIUS * np.array(light.leds[index])
    center = view.origin + view.linear @ at
    # A reflection exists where the spherical cornea has that normal: inside the limbus.
    if math.hypot(*(limbus.inverse() @ (center - limbus.center)).tolist()) > 0.93:
        return None
    c, s = math.cos(math.radians(light.led_angle)), math.sin(math.radians(light.led_angle))
    stretch = math.sqrt(light.led_aspect)
    shape = np.array([[c, -s], [s, c]]) @ np.diag([stretch, 1.0 / stretch])
    return Conic(center, view.linear @ shape * light.led_radius_mm)


def pose(style: EyeStyle, view: View, state: MotionState) -> EyePose:
    """Outlines of everything for one state."""
    eye = style.anatomy
    yaw, pitch = state.gaze
    turn = view.head @ rotation(yaw, pitch)
    # Beyond about 65 degrees the cornea itself would hide its pupil: keep to what a camera can see.
    lean = math.degrees(math.acos(max(-1.0, min(1.0, float(turn[2, 2])))))
    if lean > 62.0:
        share = 62.0 / lean
        yaw, pitch = yaw * share, pitch * share
        turn = view.head @ rotation(yaw, pitch)
    limbus = _circle(view, turn, eye.limbus_radius, eye.limbus_depth)
    c, s = math.cos(eye.pupil_stretch_angle), math.sin(eye.pupil_stretch_angle)
    spin = np.array([[c, -s], [s, c]])
    uneven = spin @ np.diag([1.0 + eye.pupil_stretch, 1.0 - eye.pupil_stretch]) @ spin.T
    pupil = _circle(view, turn, state.pupil_ratio * eye.limbus_radius, eye.pupil_depth, eye.pupil_offset)
    pupil = Conic(pupil.center, pupil.basis @ uneven)
    eyeball = Conic(view.origin, view.linear * eye.eyeball_radius)
    reflections = [
        _reflection(view, turn, style, k, limbus) if state.leds_on[k] else None
        for k in range(len(style.light.leds))
    ]
    return EyePose(
        pupil,
        limbus,
        eyeball,
        reflections,
        lid_table(eye, view.head, state, pitch),
        lid_map(eye, view),
        (yaw, pitch),
        view,
    )


def lid_map(eye: Anatomy, view: View) -> F64:
    """(2, 3) map of a pixel (x, y, 1) to the lids' coordinates: u in half widths, v in mm."""
    c, s = math.cos(math.radians(eye.lid_tilt)), math.sin(math.radians(eye.lid_tilt))
    spin = np.array([[c, -s], [s, c]])
    to_px = view.linear @ view.head[:2, :2] @ spin @ np.diag([eye.lid_half_width, 1.0])
    at = view.origin + view.linear @ (
        view.head[:2, :2] @ np.array(eye.lid_center) + view.head[:2, 2] * eye.lid_depth
    )
    inverse = inverse2(to_px)
    return np.column_stack([inverse, -inverse @ at])


def lid_points(shape: EyePose, curve: int, u: F64) -> F64:
    """(N, 2) pixels of the points of lid curve `curve` (row of the table) at u."""
    v = np.interp(u, GRID, shape.lids[curve])
    forward = inverse2(shape.lid_map[:, :2])
    return np.asarray((np.column_stack([u, v]) - shape.lid_map[:, 2]) @ forward.T)
