"""What the camera does to the light: uneven light, optics, exposure, noise, tone curve, compression.

Purpose: turn linear light into the grey values of a frame.

Notable choices: noise comes from one big drawn field at a random offset (drawing it anew would cost more
than everything else); the tone curve is applied after optics and noise as in a real camera.

What it does not know: the eye.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.synthetic.style import Camera
from ocusam.synthetic.textures import F32, noise_field

U8 = NDArray[np.uint8]


def _window(camera: Camera, size: tuple[int, int]) -> F32 | None:
    """Which part of the picture the scene fills: 1 inside, 0 in black bars or beyond a round aperture."""
    if max(camera.bars) <= 0 and camera.aperture <= 0:
        return None
    h, w = size
    x = np.abs(np.linspace(-1, 1, w, dtype=np.float32))[None, :]
    y = np.abs(np.linspace(-1, 1, h, dtype=np.float32))[:, None]
    inside = np.asarray((y <= 1.0 - 2.0 * camera.bars[0]) & (x <= 1.0 - 2.0 * camera.bars[1]), np.float32)
    if camera.aperture > 0:
        inside = inside * np.clip((camera.aperture - np.hypot(x, y)) * (0.5 * min(h, w)) + 0.5, 0.0, 1.0)
    return np.asarray(inside, np.float32)


def _overlay(size: tuple[int, int], rng: np.random.Generator) -> U8:
    """Text or a cross burnt into the picture; 0 = nothing."""
    h, w = size
    out = np.zeros((h, w), np.uint8)
    level = int(rng.choice([1, 128, 255], p=[0.2, 0.2, 0.6]))
    if rng.random() < 0.6:
        text = "".join(str(int(d)) for d in rng.integers(0, 10, int(rng.integers(2, 9))))
        at = (int(rng.uniform(0.0, 0.6) * w), int(rng.choice([0.08, 0.97]) * h))
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.0012, 0.003)) * w, level, 1)
    if rng.random() < 0.5:
        cx, cy = int(rng.uniform(0.3, 0.7) * w), int(rng.uniform(0.3, 0.7) * h)
        cv2.line(out, (cx, 0), (cx, h), level, 1)
        cv2.line(out, (0, cy), (w, cy), level, 1)
    return out


class CameraModel:
    """One camera for one clip: holds its fixed fields."""

    def __init__(self, camera: Camera, size: tuple[int, int], rng: np.random.Generator) -> None:
        self._c, self._size, self._rng = camera, size, rng
        h, w = size
        x = (np.linspace(-1, 1, w, dtype=np.float32))[None, :]
        y = (np.linspace(-1, 1, h, dtype=np.float32))[:, None]
        a = math.radians(camera.gradient_angle)
        field = 1.0 + camera.gradient * (x * math.cos(a) + y * math.sin(a))
        field = field * (1.0 - camera.vignette * np.minimum((x * x + y * y) / 2.0, 1.0) ** 1.5)
        if camera.spot:
            sx, sy = rng.uniform(-0.8, 0.8, 2)
            field = field * (
                1.0 + camera.spot * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / float(rng.uniform(0.1, 0.8)))
            )
        self._field = np.asarray(np.maximum(field, 0.02) * camera.exposure, np.float32)
        sh, sw = max(8, round(h * camera.low_resolution)), max(8, round(w * camera.low_resolution))
        self._sensor = (sh, sw)
        self._noise = rng.standard_normal((sh + 64, sw + 64), dtype=np.float32)
        if rng.random() < 0.4:  # grain coarser than a pixel: debayered or denoised sensors
            soft = cv2.GaussianBlur(self._noise, (0, 0), float(rng.uniform(0.4, 1.0)))
            self._noise = np.asarray(soft / max(float(soft.std()), 1e-6), np.float32)
        tone = np.linspace(0.0, 1.0, 4096)
        curve = camera.black + (camera.white - camera.black) * np.power(tone, camera.gamma)
        self._curve = np.clip(np.round(255.0 * curve), 0, 255).astype(np.uint8)
        self._phase = float(rng.uniform(0, 2 * math.pi))
        self.window = _window(camera, size)
        self._overlay = _overlay(size, rng) if camera.overlay else None
        self._fixed = rng.standard_normal((sh, 1), dtype=np.float32)

    def blank(self, kind: int) -> F32:
        """Light of a frame with no picture: 1 black, 2 white, 3 noisy murk, 4 even grey."""
        h, w = self._size
        if kind == 3:
            murk = noise_field(self._rng, (h, w), (h / 4, w / 4), 3)
            return np.asarray(np.maximum(0.15 + 0.12 * murk, 0.0), np.float32)
        return np.full((h, w), {1: 0.0, 2: 3.0, 4: 0.35}.get(kind, 0.0), np.float32)

    def expose(self, light: F32, gain: float) -> U8:
        """Grey values of the light of one frame."""
        c, rng = self._c, self._rng
        h, w = self._size
        sh, sw = self._sensor
        out = light * (self._field * np.float32(gain))
        if self.window is not None:
            out = out * self.window
        sigma = c.defocus * w / 256.0
        if sigma > 0.25:
            out = cv2.GaussianBlur(out, (0, 0), sigma)
        if (sh, sw) != (h, w):
            out = cv2.resize(out, (sw, sh), interpolation=cv2.INTER_AREA)
        if c.sharpen > 0:
            np.minimum(out, 1.5, out=out)
            out = out + np.float32(c.sharpen) * (out - cv2.GaussianBlur(out, (0, 0), 1.2))
        if c.noise > 0:
            oy, ox = (int(v) for v in rng.integers(0, 64, 2))
            grain = self._noise[oy : oy + sh, ox : ox + sw]
            out = out + grain * (np.float32(c.noise) * (0.5 + np.sqrt(np.clip(out, 0.0, 1.0))))
        if c.row_noise > 0:
            rows = 0.5 * self._fixed + rng.standard_normal((sh, 1), dtype=np.float32)
            out = out + np.float32(c.row_noise) * rows
        if c.flicker > 0:
            self._phase += c.flicker_step
            rows = np.linspace(0, c.flicker_bands, sh, dtype=np.float32)[:, None]
            bands = np.sin(rows + np.float32(self._phase))
            out = out * (1.0 + np.float32(c.flicker) * bands)
        index = np.clip(out * np.float32(4095.0), 0.0, 4095.0).astype(np.uint16)
        grey = self._curve[index]
        if c.jpeg > 0:
            ok, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, c.jpeg])
            if ok:
                grey = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
        if (sh, sw) != (h, w):
            grey = np.asarray(cv2.resize(grey, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)
        if self._overlay is not None:
            grey = np.where(self._overlay > 0, self._overlay, grey)
        return np.asarray(grey, np.uint8)
