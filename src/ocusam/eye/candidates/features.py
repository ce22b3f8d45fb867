"""What speaks for an ellipse being a pupil: figures between about -1 and 1, and their weights.

Purpose: `describe` turns ellipses on a picture into rows of figures; `probability` weighs them.

Notable choices: all grey values are in units of the view's own contrast, all lengths in units of the ellipse
or of the view. What is asked is what a pupil is: darker than a ring around it *on all sides*, a sharp rim,
even inside, lying in an even ring (the iris) that ends in something brighter again (the limbus), with bright
specks in or beside it. Eyebrows, lashes, nostrils and dark corners fail on one side at least, or have no
ring. The weights are a logistic regression on rendered eyes (`benchmarks/fit_candidates.py`, seeds 2,000,000
and up), never on recordings.

What it does not know: other frames, the network.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.eye.candidates.rims import F32, FloatArray, rays, sample

_SECTORS = 8
_REACH = np.linspace(0.05, 4.5, 90)  # distances from the centre, in units of the ellipse


@dataclass(frozen=True, eq=False)
class View:
    """A picture prepared once: `smooth` without small bright specks, `specks` what was taken away, both
    float32; `contrast` and `levels` (sorted grey values) set the scale; `negative`: bright is dark here."""

    smooth: F32
    specks: F32
    contrast: float
    levels: F32
    negative: bool


@dataclass(frozen=True, eq=False)
class Described:
    """Figures (K, F) of K ellipses, the limbus in units of each ellipse (K,), and how clear it is (K,)."""

    figures: FloatArray
    limbus: FloatArray
    limbus_clear: FloatArray


def describe(view: View, ellipses_k5: FloatArray) -> Described:
    """Figures of ellipses on a picture.

    Args:
        view: the prepared picture.
        ellipses_k5: rows center x, center y, major, minor, angle rad; finite.
    """
    xs, ys = rays(ellipses_k5, _REACH, 40)
    p = sample(view.smooth, xs, ys) / np.float32(view.contrast)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Means of nothing, where an ellipse lies partly outside the picture, are NaN and set to 0 below.
        warnings.simplefilter("ignore", RuntimeWarning)
        rim, middle, in_picture = _rim(p)
        rise, where = _rises(p)
    limbus, clear, sectors = _limbus(rise, where)
    specks = np.nan_to_num(sample(view.specks, xs, ys)) / np.float32(view.contrast)
    glint = specks[..., _REACH < 1.8].reshape(len(p), -1).max(axis=1)
    height, width = view.smooth.shape
    cx, cy, major, minor, _ = ellipses_k5.T
    centred = np.hypot((cx - (width - 1) / 2) / width, (cy - (height - 1) / 2) / height) * 2.0
    darker = np.searchsorted(view.levels, middle * view.contrast) / max(len(view.levels), 1)
    log_size = np.log(np.sqrt(major * minor) / min(height, width) / 0.15)
    figures = {
        **rim,
        "darkness": 1.0 - 2.0 * darker,
        "limbus": np.tanh(3.0 * clear),
        "limbus_sides": sectors,
        "iris_size": np.log(limbus / 2.0),
        "iris_size_squared": np.log(limbus / 2.0) ** 2,
        "rim_within": np.tanh(3.0 * _rim_within(rise, where)),
        "glint": np.tanh(2.0 * glint),
        "size": log_size,
        "size_squared": log_size**2,
        "roundness": minor / major,
        "in_picture": in_picture,
        "off_centre": np.clip(centred, 0.0, 1.5),
        "bright": np.full(len(p), float(view.negative)),
    }
    table = np.stack([figures[name] for name in NAMES], axis=1).astype(np.float64)
    return Described(np.nan_to_num(table), limbus, clear)


def _rim(p: F32) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any]]:
    """Figures of the rim and what it encloses; the middle grey inside; the share of rays in the picture."""
    inner, outer = _mean(p, 0.5, 0.88), _mean(p, 1.12, 1.45)
    step = outer - inner  # (K, rays)
    known = np.isfinite(step)
    usual = np.nan_to_num(np.nanmedian(step, axis=1))
    unit = np.maximum(np.abs(usual), 0.02)[:, None]
    support = np.where(known, step > 0.3 * unit, False).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    sides = np.nanmedian(step.reshape(len(p), 4, -1), axis=2)
    core = p[..., (_REACH < 0.85)].reshape(len(p), -1)
    middle = np.nan_to_num(np.nanmedian(core, axis=1))
    uneven = np.nan_to_num(np.nanquantile(core, 0.75, axis=1) - np.nanquantile(core, 0.25, axis=1))
    ring_uneven = np.nan_to_num(np.nanmedian(np.abs(outer - np.nanmedian(outer, axis=1)[:, None]), axis=1))
    around = p[..., (_REACH > 1.2) & (_REACH < 3.0)].reshape(len(p), -1)
    brighter = np.nanmean(around > (middle + 0.35 * np.maximum(usual, 0.01))[:, None], axis=1)
    figures = {
        "contrast": np.tanh(3.0 * usual),
        "contrast_soft": np.tanh(12.0 * usual),
        "support": 2.0 * support - 1.0,
        "weakest_side": np.clip(np.nan_to_num(np.nanmin(sides, axis=1) / unit[:, 0]), -1.0, 1.0),
        "sharpness": _sharpness(p, step),
        "uneven": np.tanh(uneven / unit[:, 0]),
        "ring_uneven": np.tanh(ring_uneven / unit[:, 0]),
        "brighter_around": 2.0 * brighter - 1.0,
    }
    return figures, middle, known.mean(axis=1)


NAMES = (
    "contrast",
    "contrast_soft",
    "support",
    "weakest_side",
    "sharpness",
    "uneven",
    "ring_uneven",
    "darkness",
    "brighter_around",
    "limbus",
    "limbus_sides",
    "iris_size",
    "iris_size_squared",
    "rim_within",
    "glint",
    "size",
    "size_squared",
    "roundness",
    "in_picture",
    "off_centre",
    "bright",
)


def _mean(p: F32, low: float, high: float) -> F32:
    """Mean along the rays between two distances. -> (K, rays)."""
    return np.asarray(p[..., (low <= _REACH) & (high >= _REACH)].mean(axis=-1), dtype=np.float32)


def _sharpness(p: F32, step: F32) -> FloatArray:
    """Share of the rise from inside to outside that happens within a tenth of the radius of the rim, median
    over the rays."""
    before, after = _mean(p, 0.82, 0.92), _mean(p, 1.08, 1.18)
    share = np.nanmedian((after - before) / np.where(np.abs(step) > 0.01, step, np.nan), axis=1)
    return np.clip(np.nan_to_num(share), -1.0, 1.5)


def _rises(p: F32) -> tuple[F32, FloatArray]:
    """How much each side brightens outward at each distance: the mean of the next third of a radius minus
    that of the last. -> rise (K, 8, R'), -1 where not known, and the distances (R',)."""
    sides = np.nanmean(p.reshape(len(p), _SECTORS, -1, p.shape[-1]), axis=2)  # (K, 8, R)
    width = 7  # samples, about a third of the radius
    sums = np.cumsum(np.pad(np.nan_to_num(sides, nan=0.0), ((0, 0), (0, 0), (1, 0))), axis=-1)
    window = (sums[..., width:] - sums[..., :-width]) / width
    rise = window[..., width:] - window[..., :-width]
    there = np.isfinite(sides)
    whole = there[..., : rise.shape[-1]] & there[..., -rise.shape[-1] :]
    where = _REACH[width - 1 : width - 1 + rise.shape[-1]] + 0.5 * (_REACH[1] - _REACH[0])
    return np.where(whole, rise, np.float32(-1.0)).astype(np.float32), where


def _limbus(rise: F32, where: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The next rise beyond the rim on the clearer half of the sides (lids hide the others): where (in units
    of the ellipse), how high (units of contrast), and on what share of the sides."""
    rise, where = rise[..., where > 1.3], where[where > 1.3]
    best = np.sort(rise, axis=1)[:, -_SECTORS // 2 :].mean(axis=1)  # (K, R')
    at = best.argmax(axis=1)
    rows = np.arange(len(rise))
    clear = best[rows, at].astype(np.float64)
    sectors = (rise[rows, :, at] > 0.4 * np.maximum(clear, 0.01)[:, None]).mean(axis=1)
    return where[at], np.maximum(clear, 0.0), sectors.astype(np.float64)


def _rim_within(rise: F32, where: FloatArray) -> FloatArray:
    """Height of a second rim inside this one on most sides: an iris has one (the pupil's), a pupil none."""
    inside = np.sort(rise[..., where < 0.75], axis=1)[:, 2:].mean(axis=1)
    return np.asarray(np.maximum(inside.max(axis=1), 0.0), dtype=np.float64)


# Made by `benchmarks/fit_candidates.py --pictures 260`, in the order of NAMES.
WEIGHTS: FloatArray = np.array(
    [
        0.12,  # contrast
        0.81,  # contrast_soft
        1.84,  # support
        -0.17,  # weakest_side
        0.53,  # sharpness
        -1.02,  # uneven
        -1.81,  # ring_uneven
        -0.70,  # darkness
        0.27,  # brighter_around
        1.65,  # limbus
        0.20,  # limbus_sides
        1.29,  # iris_size
        -0.85,  # iris_size_squared
        0.09,  # rim_within
        0.84,  # glint
        -0.76,  # size
        -0.68,  # size_squared
        0.97,  # roundness
        0.14,  # in_picture
        -2.21,  # off_centre
        -2.24,  # bright
    ]
)
CONSTANT = -2.88


def probability(figures: FloatArray) -> FloatArray:
    """How likely each row of figures (K, F) is a pupil, 0..1."""
    return np.asarray(1.0 / (1.0 + np.exp(-(figures @ WEIGHTS + CONSTANT))), dtype=np.float64)
