"""Where a pupil might be in one picture: round places darker (or brighter) than what surrounds them.

Purpose: `propose` returns many rough circles, right ones among them; `candidates.py` fits and scores them.

Notable choices: two proposers with different weaknesses. *Votes* (fast radial symmetry, Loy and Zelinsky
2003, DOI 10.1109/TPAMI.2003.1217601): every edge pixel votes for the points one radius away on its dark side;
a cut or low-contrast disc still gathers votes, a long ellipse hardly. *Blobs*: connected parts below levels
taken from the picture's own grey values, with their convex hulls; good for long ellipses and soft rims, lost
when lashes join the pupil. Edges count by direction, their strength only softly, so a faint pupil beside hard
lashes is not outvoted. All lengths are shares of the picture; nothing depends on absolute grey values.

What it does not know: eyes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

# Diameters looked for, as shares of the picture's shorter side.
SMALLEST, LARGEST = 0.03, 0.7
_RADIUS_STEP = 1.25
_QUANTILES = (0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.22, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Seed:
    """A rough circle: centre and radius in px of the picture, and how much speaks for it (0..1)."""

    x: float
    y: float
    radius: float
    weight: float


def propose(picture: Picture, limit: int = 24) -> list[Seed]:
    """Round dark places, best first.

    Args:
        picture: float32 (h, w), smooth, small reflections removed, about 250 px long.
        limit: at most so many from either proposer.
    """
    votes, blobs = _votes(picture), _blobs(picture)
    return _thin(_thin(votes)[:limit] + _thin(blobs)[:limit])


def _votes(picture: Picture) -> list[Seed]:
    height, width = picture.shape
    gx = cv2.Sobel(picture, cv2.CV_32F, 1, 0, ksize=3)
    gy = cv2.Sobel(picture, cv2.CV_32F, 0, 1, ksize=3)
    strength = cv2.magnitude(gx, gy)
    usual = float(np.median(strength)) + 1e-3
    ys, xs = np.nonzero(strength > usual)
    if not len(xs):
        return []
    size = strength[ys, xs]
    nx, ny = gx[ys, xs] / size, gy[ys, xs] / size
    weight = size / (size + 4.0 * usual)
    out: list[Seed] = []
    short = min(height, width)
    radius = max(2.5, SMALLEST * short / 2.0)
    while radius <= LARGEST * short / 2.0:
        tx, ty = np.rint(xs - radius * nx).astype(np.intp), np.rint(ys - radius * ny).astype(np.intp)
        inside = (tx >= 0) & (ty >= 0) & (tx < width) & (ty < height)
        flat = np.bincount(ty[inside] * width + tx[inside], weights=weight[inside], minlength=height * width)
        sigma = max(1.0, 0.22 * radius)
        votes = cv2.GaussianBlur(flat.reshape(height, width).astype(np.float32), (0, 0), sigma)
        # A whole ring of full votes, spread by the blur, peaks at 1.
        out += _peaks(votes * (sigma * sigma / radius), radius)
        radius *= _RADIUS_STEP
    return out


def _peaks(votes: Picture, radius: float, count: int = 6) -> list[Seed]:
    """The highest local maxima that are at least `radius` apart."""
    reach = 2 * max(1, round(radius / 2.0)) + 1
    highest = cv2.dilate(votes, np.ones((reach, reach), np.uint8))
    ys, xs = np.nonzero((votes >= highest) & (votes > 0))
    order = np.argsort(-votes[ys, xs], kind="stable")[:count]
    return [Seed(float(xs[i]), float(ys[i]), radius, float(votes[ys[i], xs[i]])) for i in order]


def _blobs(picture: Picture) -> list[Seed]:
    short = min(picture.shape)
    least, most = (SMALLEST * short) ** 2 * 0.7, (LARGEST * short) ** 2 * 0.8
    out: list[Seed] = []
    for level in np.unique(np.quantile(picture, _QUANTILES)):
        below = (picture <= level).astype(np.uint8)
        for opened in (0.02, 0.06):
            side = 2 * max(1, round(opened * short / 2.0)) + 1
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            lines, _ = cv2.findContours(
                cv2.morphologyEx(below, cv2.MORPH_OPEN, kernel), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
            )
            for line in lines:
                if least <= cv2.contourArea(line) <= most:
                    out += _blob(line, short)
    return out


def _blob(line: NDArray[np.int32], short: int) -> list[Seed]:
    hull = cv2.convexHull(line)
    area = cv2.contourArea(hull)
    _, (a, b), _ = cv2.minAreaRect(hull)
    if area <= 0 or min(a, b) < 0.3 * max(a, b) or max(a, b) > LARGEST * short:
        return []
    m = cv2.moments(hull)
    solid = cv2.contourArea(line) / area
    full = area / max(a * b * np.pi / 4.0, 1e-6)  # 1 for an ellipse, 4 / pi for a rectangle
    weight = float(solid * max(0.0, 1.0 - 2.0 * abs(full - 1.0)))
    return [Seed(m["m10"] / m["m00"], m["m01"] / m["m00"], float(np.sqrt(area / np.pi)), weight)]


def _thin(seeds: list[Seed]) -> list[Seed]:
    """Best first, without those that repeat a better one."""
    kept: list[Seed] = []
    for seed in sorted(seeds, key=lambda s: -s.weight):
        for other in kept:
            near = (seed.x - other.x) ** 2 + (seed.y - other.y) ** 2 < (
                0.3 * min(seed.radius, other.radius)
            ) ** 2
            if near and 0.8 < seed.radius / other.radius < 1.25:
                break
        else:
            kept.append(seed)
    return kept
