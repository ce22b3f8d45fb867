"""What kind of clip a rendered one is: ordinary or hard, by what its first picture shows, and finer strata.

No command of its own; rendered_test_set.py writes what `strata_of` says beside each clip's scores.

"Ordinary" means that a person who recorded it would go on: pupil and iris can be told apart from what
surrounds them, the eye has a sensible size and is open, the camera looks at it within 53 degrees, little of
the picture is burnt out or black, 20 frames a second or more. It is decided by the truth and the picture of
the clicked frame alone, never by what a network makes of it. Half of the clips' pictures and three clips of
ten are ordinary; all others are "hard" and stay in the set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.synthetic.eye import EyeFrame

VERSION = 2
"""Of these definitions: lines of another version are not scored together."""


@dataclass(frozen=True)
class Seen:
    """What one picture shows.

    Attributes:
        pupil_step, limbus_step: grey levels between pupil and iris, iris and sclera, near their border.
        pupil_px: mean diameter of the pupil, px.
        iris_share: mean diameter of the iris over the picture's width.
        roundness: minor over major axis of the iris.
        pupil_visible, iris_visible: shares of their whole outlines' areas.
        burnt: share of the picture's pixels that are white or black.
    """

    pupil_step: float
    limbus_step: float
    pupil_px: float
    iris_share: float
    roundness: float
    pupil_visible: float
    iris_visible: float
    burnt: float

    @property
    def ordinary(self) -> bool:
        """Within what recordings of people who look at their pictures have."""
        return (
            self.pupil_step >= 15
            and self.limbus_step >= 8
            and self.pupil_px >= 12
            and 0.15 <= self.iris_share <= 0.65
            and self.roundness >= 0.6
            and self.pupil_visible >= 0.9
            and self.iris_visible >= 0.5
            and self.burnt <= 0.35
        )


def look(frame: EyeFrame) -> Seen | None:
    """What the picture shows; None where there is no eye."""
    pupil, limbus = frame.ellipses["pupil"], frame.ellipses["iris"]
    if pupil is None or limbus is None:
        return None
    cover = frame.coverage
    shine = [share > 64 for name, share in cover.items() if name.startswith("cr")]
    dull = ~np.any(shine, axis=0) if shine else np.ones(frame.image.shape, dtype=np.bool_)
    disc = np.maximum(cover["pupil"], cover["iris"])
    pixels = frame.image
    seen = float(cover["pupil"].sum(dtype=np.int64) + cover["iris"].sum(dtype=np.int64)) / 255.0
    return Seen(
        _step(pixels, (cover["pupil"], cover["iris"]), cover["pupil"], dull),
        _step(pixels, (cover["iris"], cover["sclera"]), disc, dull),
        math.sqrt(pupil.major * pupil.minor),
        math.sqrt(limbus.major * limbus.minor) / pixels.shape[1],
        limbus.minor / limbus.major,
        frame.pupil_visible_fraction,
        seen / max(limbus.area, 1.0),
        float(np.mean((pixels >= 254) | (pixels <= 2))),
    )


def _step(
    pixels: NDArray[np.uint8],
    sides: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    inner: NDArray[np.uint8],
    dull: NDArray[np.bool_],
) -> float:
    """Grey levels between two parts, within 5 px of the edge of `inner`; reflections do not count."""
    shape = (inner >= 128).astype(np.uint8)
    square = np.ones((11, 11), np.uint8)
    near = (cv2.dilate(shape, square) > 0) & (cv2.erode(shape, square) == 0)
    levels = [pixels[(side >= 250) & near & dull] for side in sides]
    if min(map(len, levels)) < 8:
        return 0.0
    return abs(float(np.median(levels[0])) - float(np.median(levels[1])))


def strata_of(first: EyeFrame, fps: float) -> dict[str, str]:
    """Names and values of the strata that a clip belongs to, by its first frame."""
    style = first.style
    light, camera = style.light, style.camera
    seen = look(first)

    def band(value: float, low: float, high: float, names: tuple[str, str, str]) -> str:
        return names[0] if value < low else names[1] if value < high else names[2]

    return {
        "kind": style.kind,
        "conditions": "ordinary" if seen is not None and seen.ordinary and fps >= 20 else "hard",
        "skin": band(light.skin, 0.3, 0.7, ("dark", "middle", "light")),
        "pupil": "bright" if light.pupil > light.iris else "dark",
        "iris": band(light.iris, 0.12, 0.35, ("dark", "middle", "light")),
        "blur": band(camera.defocus, 0.5, 1.2, ("sharp", "middle", "blurred")),
        "size": band(camera.iris_share, 0.18, 0.35, ("small", "middle", "large")),
        "lens": "contact lens" if light.contact_lens else "none",
        "glasses": "glasses" if style.face.frame or style.face.lens_reflections else "none",
        "interlaced": "interlaced" if camera.interlaced else "progressive",
        "rate": band(fps, 15, 60, ("under 15/s", "15-60/s", "over 60/s")),
    }
