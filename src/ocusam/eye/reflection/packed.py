"""The spots of one frame as bytes, to be kept beside a recording's rows until they are linked.

Places as float32 (a thousandth of a px up to 8,192 px), the rest as float16 (a thousandth of its value): 21
bytes a spot.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection.spot import Spot

_TYPE = np.dtype([("xy", "<f4", 2), ("rest", "<f2", 6), ("saturated", "u1")])
_LARGEST = 65_000.0


def pack(spots: Sequence[Spot], origin: tuple[float, float] = (0.0, 0.0)) -> bytes:
    """Spots in px of a view as bytes in px of the picture; `origin`: the view's first pixel."""
    out = np.zeros(len(spots), dtype=_TYPE)
    for i, s in enumerate(spots):
        e = s.ellipse
        out["xy"][i] = (e.center[0] + origin[0], e.center[1] + origin[1])
        out["rest"][i] = (e.major, e.minor, e.angle, min(s.area_px, _LARGEST), s.contrast, s.center_sd_px)
        out["saturated"][i] = s.saturated
    return out.tobytes()


def unpack(data: bytes | None) -> list[Spot]:
    """The other way; None (no pupil was there): no spots."""
    found = []
    for (x, y), rest, saturated in np.frombuffer(data or b"", dtype=_TYPE).tolist():
        major, minor, angle, area, contrast, sd = rest
        axes = (max(major, 1e-3), max(minor, 1e-3))
        found.append(Spot(Ellipse((x, y), axes, angle % 180.0), area, bool(saturated), sd, contrast))
    return found
