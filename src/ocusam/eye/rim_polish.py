"""The last step to a rim: an ellipse matched to the edge's own course, and how sure it is.

Purpose: `polish` takes an ellipse that lies on the right edge and moves it to the place that the picture
supports best; it says with which standard deviations.

Notable choices. Places of the edge come from the grey levels along each normal (`rim_lines.py`), one small
least squares for all normals at once. Normals whose levels are unlike most others' count less or not at all
(lids, lashes, reflections: `rim_alike.py`), and so do places far from the ellipse; all weights change
smoothly, since a place that is in on one frame and out on the next makes a still eye tremble. The fit goes on
until it stands still, so that the answer does not remember where the mask began.

A weak wish for roundness (`rounded.py`) decides only what a short arc leaves open.

The standard deviations are those of noise: how much the result would scatter if the same still eye were
filmed again. The noise of the pixels is measured inside the pupil, which is even. Smoothing with a Gaussian
of sigma s makes the noise of places at a distance d correlate as exp(-d^2 / 4 s^2); with this the places'
covariance K is carried through the fit: (J'UJ)^-1 J'U K U J (J'UJ)^-1; that of the ground, which all places
share, is added. The fixed texture of the iris, which pulls places to and fro but stays where it is, does not
scatter and is not in it; it is in the fit's residual (`rms_px`).

What it does not know: whether it is the right edge; noise that depends on brightness or that a codec made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.pixel_noise import PixelNoise
from ocusam.eye.rim_alike import weighted_median
from ocusam.eye.rim_lines import (
    NORMALS,
    Noise,
    Places,
    Smoothed,
    edge_on,
    half,
    noise_on,
    rim_of,
    tukey,
)
from ocusam.eye.rounded import (
    Around,
    ComplexArray,
    Shape,
    as_complex,
    ellipse_of,
    inverse,
    moved,
    normals_at,
    pull,
    shape_of,
    solved,
    with_wish,
)

FloatArray = NDArray[np.float64]
F32 = NDArray[np.float32]

LOOSEST = 0.03
"""How far a centre may be left open, as a share of the diameter."""
OUTLINE_SD, OUTLINE_TOGETHER = 0.03, 10.0
"""Error of the mask's rim, as a share of the diameter, and how many of its points share one."""
_ROUNDS = 8
_WIDTH_ROUNDS = 4  # of them measure how wide the edge is; going on would let noise and width feed each other
_STILL_PX, _STILL = 0.03, 0.0005  # px, share of the diameter: a smaller step is the last
_REWEIGHTINGS = 4
_CUT, _LEAST_CUT_PX = 6.0, 0.15  # no place counts that far from the ellipse, robust standard deviations
_SAME_PX = 1e-3  # a reweighting that changes less is the last
_TINY = 1e-9 * np.eye(5)


@dataclass(frozen=True, eq=False)
class Polished:
    """What `polish` found.

    Attributes:
        ellipse: px of the picture.
        places: (N, 2) places of the edge that carry the fit, px.
        share: weight of the normals that agree, over all, 0..1.
        rms_px: weighted distance of the places from the ellipse.
        center_sd_px, major_sd_px, minor_sd_px, angle_sd_deg: standard deviations by noise; the centre's is
            the mean of both directions, the angle's at most that of an even distribution (52 degrees).
    """

    ellipse: Ellipse
    places: FloatArray
    share: float
    rms_px: float
    center_sd_px: float
    major_sd_px: float
    minor_sd_px: float
    angle_sd_deg: float


def normals_of(ellipse: Ellipse, n: int) -> tuple[ComplexArray, ComplexArray]:
    """Points at equal parameter angles from the end of the major axis on, and unit normals pointing outwards.
    -> (n,), (n,)."""
    shape = shape_of(ellipse)
    turned = np.exp(2j * np.pi * np.arange(n) / n + 1j * math.radians(ellipse.angle))
    return rim_of(shape, turned)


def polish(
    picture: Smoothed,
    start: Ellipse,
    sign: float,
    pixels: PixelNoise,
    *,
    seen: FloatArray | None = None,
    carriers: FloatArray | None = None,
    outline: FloatArray | None = None,
    inner: Around | None = None,
) -> Polished | None:
    """Move an ellipse to where the picture's edge supports it best.

    Args:
        picture: around the object.
        start: on the edge within a few px.
        sign: 1 where inside is darker, -1 where it is brighter.
        pixels: the noise of the picture's pixels inside.
        seen: (NORMALS,) weights 0..1 by angle on the unit circle from +x, or None for all alike.
        carriers: (NORMALS,) weights of those normals that are known to cross the right edge: they say what
            is usual there; None: those of `seen`.
        outline: (M, 2) points of the rim by the mask, px: a weak hold where the picture has none.
        inner: what lies within, instead of the wish for roundness.

    Returns:
        The ellipse with its standard deviations, or None where too little of an edge carries it.
    """
    shape = shape_of(start)
    radius = shape.p
    still = max(_STILL_PX, _STILL * start.major)
    width = max(1.2 * picture.sigma, 0.8)
    noise = noise_on(pixels, picture.sigma, shape.radius)
    weights = np.ones(NORMALS) if seen is None else seen
    known = weights if carriers is None else carriers * weights
    rim = None if outline is None or not len(outline) else as_complex(outline)
    found: Places | None = None
    for number in range(_ROUNDS):
        found = edge_on(picture, shape, width, sign, (weights, known), noise)
        if found is None:
            return None
        found, step = _step_of(
            found, shape, (noise.along, (rim, inner), known), _REWEIGHTINGS if number > 1 else 2
        )
        # A step beyond the normals' length is no small correction any more.
        size = _size(step)
        limit = half(found.width, radius)
        now = moved(shape, step * min(1.0, limit / max(size, 1e-9)))
        if now is None:
            return None
        shape = now
        width = found.width if number < _WIDTH_ROUNDS else width
        if size < still and number >= 2:
            break
    assert found is not None
    return _told(found, shape, noise, (rim, inner))


Hold = tuple[FloatArray, FloatArray, Around | None]
Held = tuple[ComplexArray | None, Around | None]


def _step_of(
    found: Places, shape: Shape, given: tuple[float, Held, FloatArray], times: int
) -> tuple[Places, FloatArray]:
    """Change of the five parameters, places far from it set aside smoothly; the round with these weights and
    the residuals that are left."""
    sigma, held, known = given
    residual, step = found.off, np.zeros(5)
    weight = _close(found, residual, known)
    hold = _hold(shape, held)
    for _ in range(times):
        now = solved(*_equations(found, weight, _variance(weight, residual, shape, sigma), shape, hold))
        change = math.inf if now is None else float(np.abs(now - step).max())
        step = step if now is None else now
        residual = found.off - found.slopes @ step
        weight = _close(found, residual, known)
        if change < _SAME_PX:
            break
    return replace(found, used=weight, residual=residual), step


def _close(found: Places, residual: FloatArray, known: FloatArray) -> FloatArray:
    """The weights, less where a place is far from the ellipse. How far that is the normals say that are known
    to cross the right edge: a lid's edge that counted would widen it until it stayed in."""
    away = np.abs(residual)
    spread = 1.4826 * weighted_median(away, found.weight * known)
    return found.weight * tukey(away / max(_CUT * spread, _LEAST_CUT_PX))


def _hold(shape: Shape, held: Held) -> Hold:
    """What the mask's rim adds to the normal equations beside places of variance 1 px^2, (5, 5) and (5,); and
    what lies within."""
    outline, inner = held
    if outline is None:
        return np.zeros((5, 5)), np.zeros(5), inner
    sd = OUTLINE_SD * 2.0 * shape.radius
    at = normals_at(outline, shape)
    return *pull(at, tukey(at[2] / (3.0 * sd)) / (sd**2 * OUTLINE_TOGETHER)), inner


def _equations(
    found: Places, used: FloatArray, variance: float, shape: Shape, hold: Hold
) -> tuple[FloatArray, FloatArray]:
    """Normal equations for the change of the five parameters. -> (5, 5), (5,)."""
    weighted = found.slopes.T * used
    left = weighted @ found.slopes + variance * hold[0] + _TINY
    return with_wish(left, weighted @ found.off + variance * hold[1], shape, variance, hold[2])


def _variance(used: FloatArray, residual: FloatArray, shape: Shape, sigma: float) -> float:
    """Scatter of the places, px^2, times the number of neighbours that say the same."""
    variance = float((residual * residual) @ used) / max(float(used.sum()), 1e-9)
    together = max(1.0, math.sqrt(4.0 * math.pi) * sigma / (2.0 * math.pi * shape.radius / NORMALS))
    return max(variance, 0.05**2) * together


def _told(found: Places, shape: Shape, noise: Noise, held: Held) -> Polished | None:
    ellipse = ellipse_of(shape)
    total = float(found.used.sum())
    if total <= 0:
        return None
    places = found.rim + found.off * found.normals
    variance = _variance(found.used, found.residual, shape, noise.along)
    left, _ = _equations(found, found.used, variance, shape, _hold(shape, held))
    open_to = inverse(left)
    # How far the scatter of the places, which holds the iris's texture too, leaves the centre open.
    open_px = math.sqrt(max(0.5 * variance * float(open_to[0, 0] + open_to[1, 1]), 0.0))
    if open_px > LOOSEST * ellipse.major:
        return None
    apart = places[:, None] - places
    covariance = np.exp((apart.real**2 + apart.imag**2) / (-4.0 * noise.along**2))
    # What a place counts falls with its distance, so it gives way less to noise than its weight says.
    within = np.sqrt(found.used / np.maximum(found.weight, 1e-9))
    answer = found.weight * within * np.maximum(5.0 * within - 4.0, 0.0)
    answer_to = inverse(_equations(found, answer, variance, shape, _hold(shape, held))[0])
    gain = answer_to @ (found.slopes.T * (answer * found.sd))
    common = answer_to @ ((found.slopes.T * answer) @ found.by_ground)
    spread = gain @ covariance @ gain.T + common @ found.ground @ common.T
    center_sd = math.sqrt(0.5 * float(spread[0, 0] + spread[1, 1]))
    # The major axis is 2 (p + |q|), the minor one 2 (p - |q|), and q turns by twice the angle.
    turn = shape.q / abs(shape.q) if shape.q else 1.0 + 0.0j
    rows = 2.0 * np.array(
        [
            [turn.real, turn.imag, 1.0],
            [-turn.real, -turn.imag, 1.0],
            [-0.5 * turn.imag, 0.5 * turn.real, 0.0],
        ]
    )
    scatter = np.diag(rows @ spread[2:, 2:] @ rows.T)
    major_sd, minor_sd, across = np.sqrt(np.maximum(scatter, 0.0)).tolist()
    angle_sd = min(math.degrees(across / max(2.0 * abs(shape.q), 1e-9)), 180.0 / math.sqrt(12.0))
    rms = math.sqrt(float(found.used @ (found.residual * found.residual)) / total)
    used = found.used > 0.2
    kept = np.ascontiguousarray(places[used]).view(np.float64).reshape(-1, 2)
    return Polished(ellipse, kept, float(used.mean()), rms, center_sd, major_sd, minor_sd, angle_sd)


def _size(step: FloatArray) -> float:
    """How far a step moves the centre or a point of the outline on the picture's axes, px, at most."""
    x, y, real, imaginary, along = np.abs(step).tolist()
    return float(max(x, y, along + real, imaginary))
