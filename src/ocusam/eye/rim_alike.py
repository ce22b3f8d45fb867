"""Which normals of an outline show the same edge as most others.

Purpose: `alike` says what each normal counts, by its grey levels alone; where a place lies along its normal
is another question (`rim_polish.py`).

Notable choices. What makes an edge another one: its height (lids are brighter than the iris); the level just
inside (a reflection's near edge is a step of the right direction, but what lies behind it is bright);
something bright deep inside (a reflection whose blurred foot reaches the edge, and lifts the ground there);
something bright beyond (a lid near the rim: in a blurred picture its foot reaches the edge too, and draws the
place outwards). All are measured against what is usual on the normals that are known to cross the right edge,
with twice their noise allowed, and all fade smoothly: what is in on one frame and out on the next makes a
still eye tremble.

What it does not know: the ellipse.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ocusam.eye.rim_lines import Lines

FloatArray = NDArray[np.float64]
_HEIGHT = (0.5, 1.0)  # logarithm of the height over the usual one: counts up to, does not count from
_INSIDE = (0.35, 0.7)  # of the usual height, just inside
_DEEP = (0.25, 0.5)  # deep inside
_BEYOND = (0.4, 0.8)  # beyond the edge, more than is usual there


def alike(
    read: Lines,
    height: FloatArray,
    usual: tuple[float, FloatArray],
    width: float,
    variance: float,
) -> FloatArray:
    """What normals count whose levels are unlike those of most others by more than noise.

    Args:
        read: levels on the normals.
        height: (N,) of the edge on each, grey levels.
        usual: the usual height, and the weights (N,) of the normals that say what is usual.
        width: of the edge, sigma in px.
        variance: of one level by noise.

    Returns:
        (N,) 0..1.
    """
    high, known = usual
    x, lines, share, taps, rise = read.x / width, read.lines, read.share, read.taps[1], read.basis[1]
    near = x < -1.0
    if not near.any():
        near = x < -0.8
    inner = lines[:, near].mean(axis=1) - high * float(rise[near].mean())
    loose = 2.0 * math.sqrt(float(taps @ share @ taps)) / high
    out = _fade(np.abs(np.log(np.maximum(height / high, 1e-3))), _HEIGHT, loose)
    loose = 2.0 * math.sqrt(float(share[np.ix_(near, near)].mean())) / high
    out *= _fade(np.abs(inner) / high, _INSIDE, loose)
    loose = 2.0 * math.sqrt(variance) / high
    if read.deep is not None:
        out *= _fade(read.deep / high, _DEEP, loose)
    # A low edge is measured against its own height; a high one may be the lid's.
    beyond = read.beyond / np.minimum(np.maximum(height, 0.3 * high), high)
    beyond = np.where(np.isfinite(beyond), beyond, 1.0)
    out *= _fade(beyond - weighted_median(beyond, known), _BEYOND, loose)
    return out


def _fade(x: FloatArray, ends: tuple[float, float], loose: float) -> FloatArray:
    """1 up to the first of two values, both larger by `loose`, smoothly to 0 at the second."""
    full, none = ends
    t = np.minimum(np.maximum((none + loose - x) / (none - full), 0.0), 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """The value below which half of the weight lies; 0 without weight."""
    order = values.argsort()
    total = weights[order].cumsum()
    return float(values[order[total.searchsorted(0.5 * total[-1])]]) if total[-1] > 0 else 0.0
