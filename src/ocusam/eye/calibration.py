"""Gaze from an eye video: a polynomial from pupil or pupil-reflection positions to targets.

Purpose: fit (`calibrate`), say how good it is, apply (`Calibration.apply`), and check for drift (`drift`).

Notable choices. Features are the pupil-CR vector (robust to small slips of the camera) or the pupil's centre
alone. For each, polynomials of first degree, of second degree without and with the cross term, and of third
degree are tried (Cerrolaza, Villanueva and Cabeza 2012, DOI 10.1145/2240156.2240158, compare such); the model
with the least leave-one-out error over *targets* is taken: fitted without a target, tested on it, so that a
model with many terms does not win by bending. Of each target the most stable stretch is used, found by its
dispersion, after `SKIP_S` for the eye to arrive; it gives several bins, so that pupil size within a target
varies. The optional correction for pupil size adds the diameter, and its product with the features, to the
polynomial (the artefact is several degrees: Drewes, Zhu, Hu and Hu 2014, DOI 10.1371/journal.pone.0111197);
it is kept only where leave-one-out says so. *Accuracy* is the mean distance of predicted from true targets,
leave-one-out; the unit is that of the targets.

What it does not know: the eye in three dimensions; the screen, unless targets are in its units; movements of
the head.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.reflection import VECTOR_COLUMNS
from ocusam.eye.signals import TRACKED, is_reflection

FloatArray = NDArray[np.float64]
PUPIL_CR, PUPIL = "pupil_cr", "pupil"
_COLUMNS = {PUPIL_CR: VECTOR_COLUMNS, PUPIL: ("center_x_px", "center_y_px")}
# Exponents of (x, y) of each polynomial.
MODELS: dict[str, tuple[tuple[int, int], ...]] = {
    "linear": ((0, 0), (1, 0), (0, 1)),
    "quadratic": ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2)),
    "quadratic with cross term": ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)),
    "cubic": ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (3, 0), (2, 1), (1, 2), (0, 3)),
}
SKIP_S = 0.4
STABLE_S = 0.5
BINS = 5
MIN_SAMPLES = 5
MIN_TARGETS = 4


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted map from an eye's features to gaze.

    Attributes:
        feature: "pupil_cr" or "pupil".
        reflection: object name of the reflection of "pupil_cr", or "".
        model: name of the polynomial, a key of `MODELS`.
        with_size: whether the pupil's diameter is part of it.
        unit: of targets and gaze, "deg" or what else the targets are in.
        weights: (terms, 2).
        center, scale: (3,) each: x, y and diameter are standardised with them.
        accuracy: mean leave-one-out error, in `unit`.
        errors: one row per target: target, x, y, error (leave-one-out), bins.
        tried: one row per model: feature, model, with_size, error (leave-one-out mean).
    """

    feature: str
    reflection: str
    model: str
    with_size: bool
    unit: str
    weights: FloatArray
    center: FloatArray
    scale: FloatArray
    accuracy: float
    errors: pl.DataFrame
    tried: pl.DataFrame

    def predict(self, features: FloatArray) -> FloatArray:
        """(N, 2) gaze for (N, 3) feature x, y and diameter; NaN where one is missing."""
        return _design((features - self.center) / self.scale, self.model, self.with_size) @ self.weights

    def apply(self, signals: pl.DataFrame, *, view: int = 0) -> pl.DataFrame:
        """The table with `gaze_x_<unit>` and `gaze_y_<unit>` on the pupil's rows of one view; rows without
        the pupil (or the reflection, where it is needed) stay empty."""
        names = [f"gaze_{axis}_{self.unit}" for axis in "xy"]
        here = (pl.col("object") == "pupil") & (pl.col("view") == view)
        rows = signals.filter(here).sort("frame_idx")
        gaze = self.predict(_features(_eye(signals, view, self.reflection), self.feature))
        found = rows.select("frame_idx", "view", "object").with_columns(
            [pl.Series(f"_{n}", gaze[:, k]).fill_nan(None) for k, n in enumerate(names)]
        )
        joined = signals.join(found, on=["frame_idx", "view", "object"], how="left", maintain_order="left")
        for name in names:
            old = [pl.col(name)] if name in signals.columns else []
            joined = joined.with_columns(pl.coalesce(pl.col(f"_{name}"), *old).alias(name)).drop(f"_{name}")
        return joined


def calibrate(
    signals: pl.DataFrame,
    targets: pl.DataFrame,
    *,
    view: int = 0,
    unit: str = "deg",
    feature: str | None = None,
    size_correction: bool | None = None,
) -> Calibration:
    """Fit gaze to targets.

    Args:
        signals: table of a recording, with pupil-CR vectors where a reflection was tracked.
        targets: columns t (s on the recording's clock, when the target appeared), x, y, and optionally
            duration (s; else until the next target, at most 3 s).
        view: which eye.
        unit: of x and y; names the gaze columns.
        feature: "pupil_cr" or "pupil"; None: the better one by leave-one-out.
        size_correction: True, False, or None: where it is better by leave-one-out.

    Raises:
        InputError: a column is missing, or fewer than four targets have enough samples.
    """
    reflection = _steadiest(signals, view)
    points = _collect(_eye(signals, view, reflection), targets)
    wanted = [feature] if feature is not None else [PUPIL_CR, PUPIL]
    sizes = (False, True) if size_correction is None else (size_correction,)
    if not set(wanted) <= set(_COLUMNS):
        raise InputError(f"Unknown feature {feature!r}: give pupil_cr or pupil.")
    best: Calibration | None = None
    tried: list[tuple[str, str, bool, float]] = []
    enough = 0
    for name, model, with_size in itertools.product(wanted, MODELS, sizes):
        data = points[name]
        count = len(np.unique(data.target))
        enough = max(enough, count)
        terms = _design(np.zeros((1, 3)), model, with_size).shape[1]
        # Without one target there must still be as many as the polynomial has terms.
        if count < max(MIN_TARGETS, len(MODELS[model]) + 1) or len(data.target) < terms + 2:
            continue
        fitted = _fit(data, (name, reflection if name == PUPIL_CR else ""), model, with_size, unit)
        tried.append((name, model, with_size, fitted.accuracy))
        # A model with more terms has to be better by more than a hair.
        if best is None or fitted.accuracy < 0.97 * best.accuracy:
            best = fitted
    if best is None:
        raise InputError(
            f"A calibration needs at least {MIN_TARGETS} targets with {MIN_SAMPLES} samples each; {enough} "
            f"of {len(targets)} have them. Check that t is in seconds on the recording's clock."
        )
    table = pl.DataFrame(tried, schema=["feature", "model", "with_size", "error"], orient="row")
    return Calibration(**{**best.__dict__, "tried": table.sort("error")})


def drift(
    calibration: Calibration, signals: pl.DataFrame, targets: pl.DataFrame, *, view: int = 0
) -> pl.DataFrame:
    """Error on targets shown again later.

    Args:
        calibration: to be checked.
        signals, targets, view: as for `calibrate`.

    Returns:
        One row per target: t, x, y, offset_x, offset_y (median predicted minus true), error; in the unit of
        the calibration. A drift correction subtracts the offsets.
    """
    data = _collect(_eye(signals, view, calibration.reflection), targets)[calibration.feature]
    rows = []
    gaze = calibration.predict(data.features)
    for number in np.unique(data.target):
        mine = data.target == number
        true = data.xy[mine][0]
        dx, dy = (np.median(gaze[mine], axis=0) - true).tolist()
        rows.append(
            (
                float(targets["t"][int(number)]),
                float(true[0]),
                float(true[1]),
                dx,
                dy,
                float(np.hypot(dx, dy)),
            )
        )
    return pl.DataFrame(rows, schema=["t", "x", "y", "offset_x", "offset_y", "error"], orient="row")


@dataclass(frozen=True, eq=False)
class _Points:
    """Bins of stable samples: features (N, 3), targets' places (N, 2) and numbers (N,)."""

    features: FloatArray
    xy: FloatArray
    target: NDArray[np.int64]


def _collect(rows: pl.DataFrame, targets: pl.DataFrame) -> dict[str, _Points]:
    for name in ("t", "x", "y"):
        if name not in targets.columns:
            raise InputError(f"The targets need columns t, x, y; got {', '.join(targets.columns)}.")
    time = rows["timestamp_ns"].to_numpy().astype(np.float64) / 1e9
    starts = targets["t"].cast(pl.Float64).to_numpy()
    order = np.sort(starts)
    usual = min(3.0, float(np.median(np.diff(order)))) if len(order) > 1 else 3.0
    spans = []
    for row in targets.iter_rows(named=True):
        start = float(row["t"])
        after = order[order > start]
        length = row.get("duration") or min(3.0, float(after[0]) - start if len(after) else usual)
        spans.append((start + min(SKIP_S, 0.4 * length), start + length))
    out = {}
    for name in _COLUMNS:
        features = _features(rows, name)
        parts: list[tuple[FloatArray, FloatArray, int]] = []
        for number, (first, last) in enumerate(spans):
            inside = (time >= first) & (time <= last) & np.isfinite(features).all(axis=1)
            stable = _stable(time[inside], features[inside])
            if len(stable) >= MIN_SAMPLES:
                place = np.array([targets["x"][number], targets["y"][number]], dtype=np.float64)
                parts += [(np.median(b, axis=0), place, number) for b in np.array_split(stable, BINS)]
        if parts:
            columns = list(zip(*parts, strict=True))
            out[name] = _Points(np.stack(columns[0]), np.stack(columns[1]), np.array(columns[2]))
        else:
            out[name] = _Points(np.zeros((0, 3)), np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
    return out


def _steadiest(signals: pl.DataFrame, view: int) -> str:
    """The reflection that is tracked most often, or ""."""
    rows = signals.filter((pl.col("view") == view) & (pl.col("state") == TRACKED))
    counts = rows["object"].value_counts(sort=True)
    return next((str(n) for n in counts["object"] if is_reflection(str(n))), "")


def _eye(signals: pl.DataFrame, view: int, reflection: str) -> pl.DataFrame:
    """The pupil's rows of one view in order, with its vector to the reflection."""
    mine = signals.filter(pl.col("view") == view)
    pupil = mine.filter(pl.col("object") == "pupil").drop(VECTOR_COLUMNS, strict=False)
    if not reflection or VECTOR_COLUMNS[0] not in signals.columns:
        return pupil.sort("frame_idx")
    vector = mine.filter(pl.col("object") == reflection).select("frame_idx", *VECTOR_COLUMNS)
    return pupil.join(vector, on="frame_idx", how="left").sort("frame_idx")


def _features(rows: pl.DataFrame, feature: str) -> FloatArray:
    """(N, 3) x, y, diameter of the pupil's rows; NaN where not tracked or not there."""
    tracked = pl.col("state") == TRACKED
    names = [*_COLUMNS[feature], "major_px"]
    known = [pl.col(n) if n in rows.columns else pl.lit(None, dtype=pl.Float64) for n in names]
    values = rows.select(
        [
            pl.when(tracked).then(c.cast(pl.Float64)).fill_null(float("nan")).alias(str(k))
            for k, c in enumerate(known)
        ]
    )
    return values.to_numpy().astype(np.float64)


def _stable(time: FloatArray, features: FloatArray) -> FloatArray:
    """The stretch of `STABLE_S` with the least dispersion; all where there is no more."""
    if len(time) < MIN_SAMPLES or time[-1] - time[0] <= STABLE_S:
        return features
    ends = np.searchsorted(time, time + STABLE_S, side="right")
    best, at = np.inf, (0, len(time))
    for first, end in enumerate(ends.tolist()):
        if time[-1] - time[first] < 0.98 * STABLE_S:
            break
        if end - first >= MIN_SAMPLES:
            dispersion = float(features[first:end, :2].std(axis=0).sum())
            if dispersion < best:
                best, at = dispersion, (first, end)
    return features[at[0] : at[1]]


def _design(features: FloatArray, model: str, with_size: bool) -> FloatArray:
    """(N, terms) of standardised x, y, diameter."""
    x, y, d = features.T
    columns = [x**i * y**j for i, j in MODELS[model]]
    if with_size:
        columns += [d, d * x, d * y]
    return np.stack(columns, axis=-1)


def _fit(data: _Points, feature: tuple[str, str], model: str, with_size: bool, unit: str) -> Calibration:
    center = data.features.mean(axis=0)
    scale = np.maximum(data.features.std(axis=0), 1e-9)
    design = _design((data.features - center) / scale, model, with_size)
    errors = []
    for number in np.unique(data.target):
        out = data.target == number
        weights = np.linalg.lstsq(design[~out], data.xy[~out], rcond=None)[0]
        distance = np.hypot(*(design[out] @ weights - data.xy[out]).T)
        x, y = data.xy[out][0].tolist()
        errors.append((int(number), x, y, float(distance.mean()), int(out.sum())))
    table = pl.DataFrame(errors, schema=["target", "x", "y", "error", "bins"], orient="row")
    weights = np.asarray(np.linalg.lstsq(design, data.xy, rcond=None)[0], dtype=np.float64)
    accuracy = float(np.mean([e[3] for e in errors]))
    return Calibration(
        *feature, model, with_size, unit, weights, center, scale, accuracy, table, pl.DataFrame()
    )
