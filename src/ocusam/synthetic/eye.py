"""Rendered near-infrared video of eyes with exact ground truth: the training data of `nano`.

Purpose: `render_eye_clip` for short clips, `iter_eye_frames` for sequences of any length in constant
memory.

Notable choices: masks tell what is *visible*, ellipses tell the *whole* outline. Reflections do not hide
what lies under them; lids, dense lashes, glasses, the edge of the face and the border of the picture do.
Everything follows from the seed alone.

What it does not know: perspective, refraction at the cornea, the second to fourth Purkinje images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.synthetic.anatomy import TABLE, EyePose, make_view, pose
from ocusam.synthetic.camera import CameraModel
from ocusam.synthetic.draw import draw_style, lab_style, plain_style
from ocusam.synthetic.lashes import make_lashes
from ocusam.synthetic.motion import EyeMotion, MotionState
from ocusam.synthetic.passing import Passing
from ocusam.synthetic.shading import ClipTextures, Layers, shade
from ocusam.synthetic.style import EyeStyle
from ocusam.synthetic.surroundings import paint_canvas
from ocusam.synthetic.textures import F32, iris_texture, noise_field, vein_texture, window_texture

__all__ = [
    "EyeClip",
    "EyeFrame",
    "EyeStyle",
    "draw_style",
    "iter_eye_frames",
    "lab_style",
    "plain_style",
    "render_eye_clip",
]

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class EyeFrame:
    """One frame and its truth; see `EyeClip` for the meaning of the fields."""

    image: U8
    coverage: dict[str, U8]
    ellipses: dict[str, Ellipse | None]
    lid_opening: float
    pupil_visible_fraction: float
    gaze_deg: tuple[float, float]
    timestamp_ns: int
    style: EyeStyle


@dataclass(frozen=True)
class EyeClip:
    """A rendered clip of T frames.

    Attributes:
        frames: (T, H, W) grey values.
        coverage: per object (T, H, W), 0..255 = visible share of the pixel. Always "pupil", "iris" (limbus
            disc minus pupil), "sclera" (the rest of the lid opening), and "cr0".. per reflection, each with a
            stable identity.
        ellipses: whole outlines per frame in px ("iris" is the limbus); None where there is no such object.
        lid_opening: (T,) share of the open value.
        pupil_visible_fraction: (T,) share of the pupil ellipse's area that is visible.
        gaze_deg: (T, 2) yaw and pitch against the head.
        timestamps_ns: (T,).
        style: the drawn parameters.
    """

    frames: U8
    coverage: dict[str, U8]
    ellipses: dict[str, list[Ellipse | None]]
    lid_opening: NDArray[np.float64]
    pupil_visible_fraction: NDArray[np.float64]
    gaze_deg: NDArray[np.float64]
    timestamps_ns: NDArray[np.int64]
    style: EyeStyle


def _specks(style: EyeStyle, rng: np.random.Generator) -> NDArray[np.float64]:
    n = style.light.clutter
    return np.stack(
        [
            rng.uniform(-1.6, 1.6, n),
            rng.uniform(-1.2, 1.2, n),
            np.exp(rng.uniform(-2.8, -1.2, n)),
            np.exp(rng.uniform(-1.0, 1.3, n)),
        ],
        axis=1,
    )


def _as_u8(share: F32) -> U8:
    return (share * np.float32(255.0) + np.float32(0.5)).astype(np.uint8)


class _Eye:
    """One eye in one picture: textures, motion and camera of a clip."""

    def __init__(self, style: EyeStyle, size: tuple[int, int], fps: float, rng: np.random.Generator) -> None:
        self.style, self._size = style, size
        self._view = make_view(style, size)
        self._motion = EyeMotion(style.motion, style.light, style.camera, fps, rng)
        still = MotionState(
            style.motion.gaze_center,
            style.motion.pupil_ratio,
            1.0,
            0.0,
            (0.0, 0.0),
            0.0,
            1.0,
            (True,) * len(style.light.leds),
        )
        rest = pose(style, self._view, still)
        lashes = tuple(lash for upper in (True, False) if len((lash := make_lashes(style, upper, rng)).u))
        tear = np.maximum(noise_field(rng, (1, TABLE), (1.0, float(rng.uniform(4, 20))))[0] + 0.3, 0.0)
        tear = np.where(tear > 1.6, 4.0 * tear, tear)
        self._made = ClipTextures(
            paint_canvas(style, self._view, rest, size, rng),
            iris_texture(style, rng),
            vein_texture(rng, style.light.veins),
            tear.astype(np.float32),
            window_texture(rng),
            lashes,
            _specks(style, rng),
        )
        self._camera = CameraModel(style.camera, size, rng)
        self._passing = Passing(style.face, size, rng) if style.face.passing > 0 else None
        self._index = -1

    def advance(self) -> MotionState:
        self._index += 1
        return self._motion.advance()

    def blink_within(self, seconds: float) -> None:
        self._motion.blink_within(seconds)

    def layers(self, state: MotionState) -> tuple[Layers, EyePose]:
        view, affine = self._view.slipped(state, self._size)
        shape = pose(self.style, view, state)
        return shade(self.style, shape, self._made, state, affine, self._size), shape

    def frame(self, state: MotionState, timestamp_ns: int) -> EyeFrame:
        """The finished frame of one moment."""
        names = [f"cr{k}" for k in range(len(self.style.light.leds))]
        if state.dropout or self.style.kind == "empty":
            return self._empty(state, names, timestamp_ns)
        layers, shape = self.layers(state)
        if self.style.camera.interlaced:
            layers = self._interlace(layers, state)
        hidden = self._pass_before(layers)
        image = self._camera.expose(layers.light, state.exposure)
        visible = None if hidden is None else 1.0 - hidden
        if self._camera.window is not None:
            visible = (
                self._camera.window
                if visible is None
                else np.asarray(visible * self._camera.window, np.float32)
            )
        coverage: dict[str, U8] = {}
        for name, share in (("pupil", layers.pupil), ("iris", layers.iris), ("sclera", layers.sclera)):
            coverage[name] = _as_u8(share if visible is None else np.asarray(share * visible, np.float32))
        for name, spot in zip(names, layers.reflections, strict=True):
            coverage[name] = np.zeros(self._size, np.uint8)
            if spot is not None:
                (x0, y0, x1, y1), part = spot
                if visible is not None:
                    part = np.asarray(part * visible[y0:y1, x0:x1], np.float32)
                coverage[name][y0:y1, x0:x1] = _as_u8(part)
        ellipses: dict[str, Ellipse | None] = {"pupil": shape.pupil.ellipse(), "iris": shape.limbus.ellipse()}
        for name, conic in zip(names, shape.reflections, strict=True):
            ellipses[name] = conic.ellipse() if conic is not None else None
        whole = ellipses["pupil"]
        assert whole is not None
        seen = float(coverage["pupil"].sum(dtype=np.int64)) / 255.0 / max(whole.area, 1e-6)
        return EyeFrame(
            image,
            coverage,
            ellipses,
            max(0.0, 1.0 - state.blink) * min(state.openness, 1.0),
            min(seen, 1.0),
            shape.gaze,
            timestamp_ns,
            self.style,
        )

    def _pass_before(self, layers: Layers) -> F32 | None:
        """Draws what passes, in place. -> what is hidden then."""
        alpha = self._passing.alpha(self._index) if self._passing is not None else None
        if self._passing is None or alpha is None:
            return layers.hidden
        light = layers.light
        light += alpha * (np.float32(self._passing.level) - light)
        return alpha if layers.hidden is None else np.maximum(layers.hidden, alpha)

    def _interlace(self, layers: Layers, state: MotionState) -> Layers:
        """Odd lines come from half a frame earlier."""
        earlier = replace(
            state,
            gaze=(state.gaze[0] - 0.5 * state.speed[0], state.gaze[1] - 0.5 * state.speed[1]),
            blink=float(np.clip(state.blink - 0.5 * state.blink_speed, 0.0, 1.0)),
        )
        other, _ = self.layers(earlier)
        for ours, theirs in (
            (layers.light, other.light),
            (layers.pupil, other.pupil),
            (layers.iris, other.iris),
            (layers.sclera, other.sclera),
        ):
            ours[1::2] = theirs[1::2]
        return layers

    def _empty(self, state: MotionState, names: list[str], timestamp_ns: int) -> EyeFrame:
        if state.dropout:
            light = self._camera.blank(state.dropout)
        else:
            far = replace(self.style, kind="human", camera=replace(self.style.camera, center=(4.0, 4.0)))
            view, affine = make_view(far, self._size).slipped(state, self._size)
            light = shade(far, pose(far, view, state), self._made, state, affine, self._size).light
        nothing = {name: np.zeros(self._size, np.uint8) for name in ("pupil", "iris", "sclera", *names)}
        absent: dict[str, Ellipse | None] = dict.fromkeys(("pupil", "iris", *names))
        return EyeFrame(
            self._camera.expose(light, state.exposure),
            nothing,
            absent,
            0.0,
            0.0,
            state.gaze,
            timestamp_ns,
            self.style,
        )


def _moved(ellipse: Ellipse | None, dx: float, dy: float) -> Ellipse | None:
    if ellipse is None:
        return None
    return Ellipse((ellipse.center[0] + dx, ellipse.center[1] + dy), ellipse.axes, ellipse.angle)


class _Picture:
    """A picture of one or several eyes; the truth is that of the first."""

    def __init__(self, style: EyeStyle, size: tuple[int, int], fps: float, rng: np.random.Generator) -> None:
        n, stacked = style.camera.views, style.camera.views_stacked
        h, w = size
        edges = np.round(np.linspace(0, h if stacked else w, n + 1)).astype(int)
        self._order = rng.permutation(n)
        self._size = size
        self._at: list[tuple[int, int]] = []
        self._eyes: list[_Eye] = []
        for k in range(n):
            slot = int(self._order[k])
            low, high = int(edges[slot]), int(edges[slot + 1])
            part = (high - low, w) if stacked else (h, high - low)
            own = style
            if k > 0:
                own = replace(
                    style,
                    camera=replace(
                        style.camera,
                        mirror=not style.camera.mirror,
                        center=(float(rng.uniform(0.3, 0.7)), style.camera.center[1]),
                    ),
                )
            self._at.append((low, 0) if stacked else (0, low))
            self._eyes.append(_Eye(own, part, fps, rng))

    def skip(self, frames: int) -> None:
        """Let time pass without a picture."""
        for _ in range(frames):
            for eye in self._eyes:
                eye.advance()

    def blink_within(self, seconds: float) -> None:
        for eye in self._eyes:
            eye.blink_within(seconds)

    def frame(self, timestamp_ns: int) -> EyeFrame:
        parts = [eye.frame(eye.advance(), timestamp_ns) for eye in self._eyes]
        first = parts[0]
        if len(parts) == 1:
            return first
        image = np.zeros(self._size, np.uint8)
        for part, (y, x) in zip(parts, self._at, strict=True):
            image[y : y + part.image.shape[0], x : x + part.image.shape[1]] = part.image
        y, x = self._at[0]
        coverage = {}
        for name, share in first.coverage.items():
            full = np.zeros(self._size, np.uint8)
            full[y : y + share.shape[0], x : x + share.shape[1]] = share
            coverage[name] = full
        return replace(
            first,
            image=image,
            coverage=coverage,
            ellipses={k: _moved(e, x, y) for k, e in first.ellipses.items()},
        )


def iter_eye_frames(
    seed: int,
    num_frames: int,
    size: tuple[int, int] = (256, 256),
    fps: float = 120.0,
    style: EyeStyle | None = None,
    *,
    gap: int = 0,
    blink: bool = False,
) -> Iterator[EyeFrame]:
    """Yields the frames of a clip one at a time, in constant memory.

    Args:
        seed: everything follows from it.
        num_frames: at least 1.
        size: (height, width) px, each at least 32.
        fps: frames per second.
        style: None draws one from the seed.
        gap: frames passed over, unseen, between the first frame and the second.
        blink: let a blink begin in the first half of what follows the first frame.

    Raises:
        InputError: for a length, size, rate or gap out of range.
    """
    if num_frames < 1 or fps <= 0:
        raise InputError(f"A clip needs num_frames >= 1 and fps > 0, got {num_frames} and {fps}.")
    if gap < 0:
        raise InputError(f"A gap is a number of frames from 0 on, got {gap}.")
    if min(size) < 32:
        raise InputError(f"A rendered frame is at least 32 px high and wide, got (height, width) = {size}.")
    rng = np.random.default_rng(seed)
    drawn = draw_style(rng)
    picture = _Picture(style if style is not None else drawn, size, fps, rng)
    for index in range(num_frames):
        if index == 1:
            picture.skip(gap)
            if blink:
                picture.blink_within(0.5 * (num_frames - 1) / fps)
        yield picture.frame(round((index + gap * (index > 0)) * 1e9 / fps))


def render_eye_clip(
    seed: int,
    *,
    num_frames: int = 8,
    size: tuple[int, int] = (256, 256),
    fps: float = 120.0,
    style: EyeStyle | None = None,
    gap: int = 0,
    blink: bool = False,
) -> EyeClip:
    """A clip with its truth; arguments and errors as `iter_eye_frames`."""
    frames = list(iter_eye_frames(seed, num_frames, size, fps, style, gap=gap, blink=blink))
    first = frames[0]
    return EyeClip(
        np.stack([f.image for f in frames]),
        {name: np.stack([f.coverage[name] for f in frames]) for name in first.coverage},
        {name: [f.ellipses[name] for f in frames] for name in first.ellipses},
        np.array([f.lid_opening for f in frames]),
        np.array([f.pupil_visible_fraction for f in frames]),
        np.array([f.gaze_deg for f in frames], dtype=np.float64).reshape(len(frames), 2),
        np.array([f.timestamp_ns for f in frames], dtype=np.int64),
        first.style,
    )
