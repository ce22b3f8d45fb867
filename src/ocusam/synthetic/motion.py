"""How an eye moves: fixations, drift, saccades, pursuit, blinks, pupil size, slip of the headset.

Purpose: one state per frame for the renderer, for clips of any length in constant memory.

Notable choices: saccades follow the main sequence (duration about 2.2 ms/deg + 21 ms, Bahill et al. 1975)
with a minimum-jerk course; a blink closes in about a third of its time and opens in the rest; everything
else is a mean-reverting random walk.

What it does not know: pictures. Units are degrees, millimetres, seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ocusam.synthetic.style import Camera, Light, Motion


@dataclass
class MotionState:
    """The eye at one moment."""

    gaze: tuple[float, float]
    pupil_ratio: float
    openness: float
    blink: float
    slip: tuple[float, float]
    slip_roll: float
    exposure: float
    leds_on: tuple[bool, ...]
    dropout: int = 0  # 0 none, 1 black, 2 white, 3 noise, 4 frozen grey
    speed: tuple[float, float] = (0.0, 0.0)  # deg per frame
    blink_speed: float = 0.0  # share of the opening per frame


def _jerk(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * t * (10.0 + t * (6.0 * t - 15.0))


class EyeMotion:
    """Yields a `MotionState` for each frame; `advance` moves time on by one frame."""

    def __init__(
        self, motion: Motion, light: Light, camera: Camera, fps: float, rng: np.random.Generator
    ) -> None:
        self._m, self._camera, self._rng = motion, camera, rng
        self._dt = motion.speed / fps
        self._leds = [True] * len(light.leds)
        self._led_hz = light.led_dropout_hz
        self._time = 0.0
        self._target = self._new_target()
        self._from = self._target
        self._saccade = (-1.0, 0.01)  # onset, duration
        self._next_saccade = float(rng.exponential(motion.fixation_s))
        if rng.random() < motion.early_saccade:
            self._next_saccade = float(rng.uniform(0.0, 6.0)) * self._dt
        self._drift = np.zeros(2)
        self._pursuit = rng.normal(0.0, 1.0, 2) * motion.pursuit
        self._pupil = float(rng.normal(0.0, 1.0))
        self._phase = rng.uniform(0.0, 2 * math.pi, 3)
        self._openness = float(rng.normal(0.0, 1.0)) * motion.openness_drift
        self._blink = (-1.0, 0.1, 1.0)  # onset, duration, depth
        self._next_blink = float(rng.exponential(1.0 / max(motion.blink_hz, 1e-6)))
        if rng.random() < motion.early_blink:
            self._next_blink = float(rng.uniform(-0.6 * motion.blink_s, 6.0 * self._dt))
        self._slip = rng.normal(0.0, 0.5, 3)
        self._jump = np.zeros(3)
        self._exposure = 0.0
        self._drop_left = 0
        self._drop_kind = 0
        self._last: MotionState | None = None

    def blink_within(self, seconds: float) -> None:
        """Let the next blink begin within so many seconds of recording from now."""
        self._next_blink = self._time + float(self._rng.uniform(0.0, seconds)) * self._m.speed

    def _new_target(self) -> np.ndarray:
        m = self._m
        offset = np.clip(self._rng.normal(0.0, 0.6, 2), -1.6, 1.6) * np.array(m.gaze_range)
        return np.asarray(np.array(m.gaze_center) + offset)

    def _gaze_at(self, time: float) -> np.ndarray:
        onset, duration = self._saccade
        share = _jerk((time - onset) / duration) if onset >= 0 else 1.0
        return np.asarray(self._from + share * (self._target - self._from) + self._drift)

    def _blink_at(self, time: float) -> float:
        onset, duration, depth = self._blink
        t = (time - onset) / duration
        if t <= 0.0 or t >= 1.0:
            return 0.0
        if t < 0.3:
            return depth * _jerk(t / 0.3)
        return depth if t < 0.42 else depth * (1.0 - _jerk((t - 0.42) / 0.58))

    def _walk(self) -> None:
        m, rng, dt = self._m, self._rng, self._dt
        root = math.sqrt(dt)
        self._drift += rng.normal(0.0, 1.0, 2) * m.drift_deg * root * 2.0 - self._drift * min(1.0, dt)
        self._drift += self._pursuit * dt
        if float(np.abs(self._drift).max()) > 8.0:
            self._pursuit = -self._pursuit
        self._pupil += float(rng.normal()) * root - self._pupil * min(1.0, 0.5 * dt)
        self._openness += float(rng.normal()) * m.openness_drift * root - self._openness * min(1.0, dt)
        self._slip += rng.normal(0.0, 1.0, 3) * root - self._slip * min(1.0, 0.5 * dt)
        if m.slip_jumps_hz > 0 and rng.random() < m.slip_jumps_hz * dt:
            self._jump = rng.normal(0.0, 4.0, 3)
        self._exposure += float(rng.normal()) * root - self._exposure * min(1.0, dt)
        for k in range(len(self._leds)):
            rate = self._led_hz * dt * (1.0 if self._leds[k] else 4.0)
            if self._led_hz > 0 and rng.random() < rate:
                self._leds[k] = not self._leds[k]

    def _events(self) -> None:
        m, rng = self._m, self._rng
        if self._time >= self._next_saccade:
            self._from = self._gaze_at(self._time) - self._drift
            self._target = self._new_target()
            if rng.random() < 0.25:  # a small corrective or micro-saccade
                self._target = self._from + rng.normal(0.0, 0.7, 2)
            amplitude = float(np.hypot(*(self._target - self._from)))
            self._saccade = (self._time, 0.021 + 0.0022 * amplitude)
            self._next_saccade = self._time + 0.05 + float(rng.exponential(m.fixation_s))
        if self._time >= self._next_blink:
            depth = float(rng.uniform(0.25, 0.9)) if rng.random() < m.partial_blinks else 1.0
            duration = m.blink_s * float(rng.uniform(0.6, 1.8))
            self._blink = (self._next_blink, duration, depth)
            self._next_blink = (
                self._next_blink + duration + 0.05 + float(rng.exponential(1.0 / max(m.blink_hz, 1e-6)))
            )

    def _dropout(self) -> int:
        rng = self._rng
        if self._drop_left > 0:
            self._drop_left -= 1
            return self._drop_kind
        if rng.random() < self._camera.dropout:
            self._drop_left = int(rng.integers(0, 4))
            self._drop_kind = int(rng.integers(1, 5))
            return self._drop_kind
        return 0

    def advance(self) -> MotionState:
        """The state of the next frame (the first call gives frame 0)."""
        m = self._m
        self._walk()
        self._events()
        gaze = self._gaze_at(self._time)
        blink = self._blink_at(self._time)
        pulse = 0.3 * math.sin(2.1 * self._time + self._phase[0]) + 0.2 * math.sin(
            5.3 * self._time + self._phase[1]
        )
        ratio = m.pupil_ratio * math.exp(m.pupil_change * (0.5 * self._pupil + pulse))
        slip = self._slip + self._jump
        state = MotionState(
            gaze=(float(gaze[0]), float(gaze[1])),
            pupil_ratio=float(np.clip(ratio, 0.12, 0.86)),
            openness=float(np.clip(m.openness + self._openness, 0.12, 1.15)),
            blink=blink,
            slip=(float(slip[0]) * m.slip_mm, float(slip[1]) * m.slip_mm),
            slip_roll=float(slip[2]) * m.slip_roll,
            exposure=math.exp(self._camera.exposure_drift * self._exposure),
            leds_on=tuple(self._leds),
            dropout=self._dropout(),
        )
        last = self._last
        if last is not None:
            state.speed = (state.gaze[0] - last.gaze[0], state.gaze[1] - last.gaze[1])
            state.blink_speed = state.blink - last.blink
        self._last = state
        self._time += self._dt
        return state
