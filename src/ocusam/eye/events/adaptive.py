"""The adaptive velocity threshold of Engbert and Kliegl, with the numbers of pymovements.

Purpose: smoothed velocities, their median-based scatter, and the runs of samples outside the ellipse: what
`ocusam eye` does with every recording.

Notable choices: these are the formulas of `pymovements.transforms.numpy.pos2vel(method="smooth")` and
`pymovements.events.detection.microsaccades` (Engbert and Kliegl 2003, DOI 10.1016/S0042-6989(03)00084-1;
Engbert et al. 2015), and a test holds that they give the same numbers. They are written out here because
pymovements takes 2 s and 180 MB to import, more than all else of a short run, and more than the tables of
hours may take. The other methods call it.

What it does not know: gaps; a velocity that depends on one is not a number, and lies outside no ellipse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def smoothed_velocities(xy: FloatArray, hz: float) -> FloatArray:
    """(N, 2) units per second, over five samples; three and two at the ends. N is 6 at least.

    Args:
        xy: (N, 2) positions, NaN in gaps.
        hz: sampling rate.
    """
    out = np.empty(xy.shape)
    inner = out[2:-2]
    np.add(xy[4:], xy[3:-1], out=inner)  # in place: columns of hours are large
    inner -= xy[1:-3]
    inner -= xy[:-4]
    inner *= hz
    inner /= 6
    for at, after, before in ((1, 2, 0), (-2, -1, -3), (0, 1, 0), (-1, -1, -2)):
        out[at] = (xy[after] - xy[before]) * hz / 2
    return out


def scatter(velocity: FloatArray) -> FloatArray:
    """(2,) median-based standard deviation of either direction."""
    return np.array([np.sqrt(_median(np.square(v - _median(v.copy())))) for v in velocity.T])


def outside_ellipse(velocity: FloatArray, radius: FloatArray) -> NDArray[np.bool_]:
    """(N,) samples whose velocity lies outside the ellipse with these half axes (2,)."""
    x, y = velocity.T
    outside = np.square(x / radius[0])
    outside += np.square(y / radius[1])
    return np.asarray(outside > 1)


def _median(values: FloatArray) -> FloatArray:
    """Of the numbers among the values, whose order is lost."""
    return np.asarray(np.nanmedian(values, overwrite_input=True))
