"""From a rough circle to the ellipse of a rim, on the picture itself.

Purpose: `fit_rims` moves many rough circles at once onto the nearest closed dark-to-bright rim.

Notable choices: around each seed the picture is sampled along rays; the rim is the closed path through the
samples with the steepest rise outward and without jumps (dynamic programming over all directions), which
survives reflections and lashes that cross a few rays. An ellipse is fitted to the path with Tukey weights,
the picture is sampled again along *its* rays, and fitted once more.

What it does not know: which rim it is. A pupil, an iris and a round shadow look alike here.
"""

from __future__ import annotations

import math
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.eye.direct_fit import fit_each

FloatArray = NDArray[np.float64]
F32 = NDArray[np.float32]

RAYS = 40
_STEPS = 40
_FIRST, _SECOND = (0.35, 2.0), (0.55, 1.6)  # where the rim is looked for, in radii of the seed


def rays(ellipses_k5: FloatArray, radial_r: FloatArray, n: int = RAYS) -> tuple[F32, F32]:
    """Points along the rays of ellipses.

    Args:
        ellipses_k5: rows center x, center y, major, minor (full axes), angle in radians.
        radial_r: (R,) distances in units of the ellipse (1: on its outline).
        n: number of rays, from the end of the major axis on.

    Returns:
        x and y, each (K, n, R) float32 px.
    """
    cx, cy, major, minor, angle = (column[:, None, None] for column in ellipses_k5.T)
    t = (np.arange(n) * (2.0 * math.pi / n))[None, :, None]
    u, v = major / 2.0 * np.cos(t) * radial_r, minor / 2.0 * np.sin(t) * radial_r
    cos, sin = np.cos(angle), np.sin(angle)
    return (cx + u * cos - v * sin).astype(np.float32), (cy + u * sin + v * cos).astype(np.float32)


def sample(picture: F32, x: F32, y: F32) -> F32:
    """Grey values at points of any shape, bilinear; NaN outside the picture."""
    flat = cv2.remap(
        picture,
        x.reshape(1, -1) if x.size < 32000 else x.reshape(-1, x.shape[-1]),
        y.reshape(1, -1) if y.size < 32000 else y.reshape(-1, y.shape[-1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).reshape(x.shape)
    height, width = picture.shape
    outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    return np.where(outside, np.float32(np.nan), flat).astype(np.float32)


def fit_rims(picture: F32, circles_k3: FloatArray) -> FloatArray:
    """Ellipses of the rims near rough circles.

    Args:
        picture: float32 (h, w), dark inside.
        circles_k3: rows x, y, radius.

    Returns:
        (K, 5) rows as in `rays`; NaN rows where no ellipse fits.
    """
    if not len(circles_k3):
        return np.zeros((0, 5))
    x, y, radius = circles_k3.T
    start = np.stack([x, y, 2.0 * radius, 2.0 * radius, np.zeros_like(x)], axis=1)
    first = _fit(picture, start, *_FIRST)
    return _fit(picture, first, *_SECOND)


def _fit(picture: F32, start_k5: FloatArray, low: float, high: float) -> FloatArray:
    out = np.full_like(start_k5, np.nan)
    good = np.flatnonzero(np.isfinite(start_k5).all(axis=1))
    if not len(good):
        return out
    radial = np.geomspace(low, high, _STEPS)
    xs, ys = rays(start_k5[good], radial)
    values = sample(picture, xs, ys)
    rise = np.zeros_like(values)
    rise[..., 2:-2] = values[..., 4:] + values[..., 3:-1] - values[..., 1:-3] - values[..., :-4]
    known = np.isfinite(rise)
    # One ray's reflection must not outweigh all others: a rise counts at most twice the usual best one.
    rise = np.where(known, rise, 0.0)
    limit = 2.0 * np.median(rise.max(axis=-1), axis=-1)[:, None, None] + 1e-6
    path = closed_path(np.clip(rise, -limit, limit))
    take = path[..., None]
    rim_x = np.take_along_axis(xs, take, -1)[..., 0].astype(np.float64)
    rim_y = np.take_along_axis(ys, take, -1)[..., 0].astype(np.float64)
    strength = np.clip(np.take_along_axis(rise, take, -1)[..., 0] / limit[..., 0], 0.0, 1.0)
    strength = strength * np.take_along_axis(known, take, -1)[..., 0]
    out[good] = _robust(np.stack([rim_x, rim_y], axis=2), np.sqrt(strength).astype(np.float64))
    return out


def closed_path(gain_knr: F32, smooth: float = 0.5) -> NDArray[np.intp]:
    """The path around all rays with the largest sum of gains, moving at most two steps between rays.

    Args:
        gain_knr: (K, N, R) gain of putting the rim at step r of ray n.
        smooth: cost of a move by one step, in units of the largest gain of the ring.

    Returns:
        (K, N) step of each ray. The path is closed by going around twice and keeping the second round.
    """
    count, n, steps = gain_knr.shape
    cost = smooth * np.maximum(gain_knr.max(axis=(1, 2)), 1e-9)[:, None] / 4.0
    total = gain_knr[:, 0].copy()
    back = np.zeros((2 * n, count, steps), dtype=np.int8)
    for i in range(1, 2 * n):
        padded = np.pad(total, ((0, 0), (2, 2)), constant_values=-np.inf)
        options = np.stack([padded[:, 2 + d : 2 + d + steps] - abs(d) * cost for d in (-2, -1, 0, 1, 2)])
        best = options.argmax(axis=0)
        back[i] = best - 2
        total = np.take_along_axis(options, best[None], 0)[0] + gain_knr[:, i % n]
    at = total.argmax(axis=1)
    path = np.zeros((count, n), dtype=np.intp)
    rows = np.arange(count)
    for i in range(2 * n - 1, n - 1, -1):
        path[:, i % n] = at
        at = at + back[i, rows, at]
    return path


def _robust(points_kn2: FloatArray, weights_kn: FloatArray) -> FloatArray:
    """Ellipses through rims of which some points are wrong. -> (K, 5), NaN rows where there is none."""
    rows = np.full((len(points_kn2), 5), np.nan)
    current = weights_kn
    for _ in range(4):
        fitted = fit_each(points_kn2, current)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(fitted).all(axis=1) & (fitted[:, 3] >= 0.25 * fitted[:, 2])
        # Where a refit fails, the last good ellipse stays and is not refitted.
        good &= current.any(axis=1)
        rows[good] = fitted[good]
        off = np.abs(_distance_each(fitted, points_kn2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            usual = np.nanmedian(np.where(weights_kn > 0, off, np.nan), axis=1)
        reach = np.maximum(3.0 * 1.4826 * np.nan_to_num(usual), np.maximum(0.03 * fitted[:, 3], 0.3))
        inside = np.clip(1.0 - (off / reach[:, None]) ** 2, 0.0, None) ** 2
        current = np.where(good[:, None], weights_kn * np.nan_to_num(inside), 0.0)
    return rows


def _distance_each(ellipses_k5: FloatArray, points_kn2: FloatArray) -> FloatArray:
    """First-order distances of each set's points from its ellipse. -> (K, N) px."""
    cx, cy, major, minor, angle = (column[:, None] for column in ellipses_k5.T)
    cos, sin, a, b = np.cos(angle), np.sin(angle), major / 2.0, minor / 2.0
    dx, dy = points_kn2[..., 0] - cx, points_kn2[..., 1] - cy
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    value = np.hypot(u / a, v / b)
    slope = np.hypot(u / (a * a), v / (b * b)) / np.maximum(value, 1e-12)
    return np.asarray((value - 1.0) / np.maximum(slope, 1e-12), dtype=np.float64)
