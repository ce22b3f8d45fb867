"""Gaze from an eye video: a polynomial from pupil or pupil-reflection positions to targets.

Purpose: fit (`calibrate`), say how good it is (`Calibration.checked`), apply (`Calibration.apply`).

Notable choices. Features are the vector from a corneal reflection to the pupil's centre (robust to small
slips of the camera), or the pupil's centre alone. For each, polynomials of first degree, of second degree
without and with the cross term, and of third degree are tried (Cerrolaza, Villanueva and Cabeza 2012, DOI
10.1145/2240156.2240158, compare such), by the error on *places* they were not fitted to: leave one place out,
fit, predict it. A richer model has to be better by `HAIR`, the pupil alone by `ALONE` against a pupil-CR
vector, since it would pay with every slip after the calibration. The correction for pupil size adds the
diameter, and its product with the features (the artefact is several degrees: Drewes, Zhu, Hu and Hu 2014, DOI
10.1371/journal.pone.0111197); it is tried only where the diameter varied over the targets by
`LEAST_SIZE_SD` of its mean, since nothing can be learned of it else. *Accuracy* is the angle between the
median gaze at a target, predicted without it, and the target. The model was chosen by that number, so it is a
little optimistic; targets kept for validation (`drift`) are not. *Precision* is that of the samples used.

What it does not know: the eye in three dimensions; movements of the head. Beyond the targets, and at pupil
sizes it has not seen, a polynomial is a guess: `apply` marks such samples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import polars as pl

from ocusam.core.errors import InputError
from ocusam.eye.calibration.held_gaze import (
    EYE3D,
    MIN_SAMPLES,
    PUPIL,
    PUPIL_CR,
    EyeRows,
    FloatArray,
    Held,
    eye_rows,
    hold,
)
from ocusam.eye.targets import CALIBRATION, VALIDATION, angle_between, make_targets

# Exponents of (x, y) of each polynomial, the simplest first.
MODELS: dict[str, tuple[tuple[int, int], ...]] = {
    "linear": ((0, 0), (1, 0), (0, 1)),
    "quadratic": ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2)),
    "quadratic with cross term": ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)),
    "cubic": ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (3, 0), (2, 1), (1, 2), (0, 3)),
}
MIN_PLACES = 4
HAIR, ALONE, LEAST_SIZE_SD = 0.97, 0.8, 0.02
GAZE_COLUMNS = ("gaze_x_deg", "gaze_y_deg")
OUTSIDE_TARGETS, OUTSIDE_SIZES = "outside_targets", "outside_sizes"
_MARGIN = 0.1  # of the range of targets or sizes, still counted as inside
CHECK_COLUMNS: dict[str, type[pl.DataType]] = {
    "use": pl.String, "target": pl.Int64, "start_ns": pl.Int64, "x_deg": pl.Float64, "y_deg": pl.Float64,
    "offset_x_deg": pl.Float64, "offset_y_deg": pl.Float64, "accuracy_deg": pl.Float64,
    "precision_rms_s2s_deg": pl.Float64, "precision_std_deg": pl.Float64, "diameter_px": pl.Float64,
    "samples": pl.Int64, "samples_seen": pl.Int64, "note": pl.String,
}  # fmt: skip
_TRIED = {
    "feature": pl.String, "reflection": pl.String, "model": pl.String, "with_size": pl.Boolean,
    "accuracy_deg": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What a calibration may choose from; None: all of it.

    Attributes:
        feature: "pupil_cr", "pupil", or "eye3d" (the optical axis by `eye.sphere`; only when asked for).
        reflection: name of the object whose vector is used.
        model: a key of `MODELS`.
        size_correction: with the pupil's diameter, or without.
    """

    feature: str | None = None
    reflection: str | None = None
    model: str | None = None
    size_correction: bool | None = None

    def __post_init__(self) -> None:
        if self.feature not in (None, PUPIL_CR, PUPIL, EYE3D):
            raise InputError(f"Unknown feature {self.feature!r}: give pupil_cr or pupil, or eye3d.")
        if self.model is not None and self.model not in MODELS:
            raise InputError(f"Unknown model {self.model!r}: give one of {', '.join(MODELS)}.")


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted map from one eye's features to gaze in degrees.

    Attributes:
        feature: "pupil_cr", "pupil" or "eye3d".
        reflection: object name of the reflection of "pupil_cr", or "".
        model: name of the polynomial, a key of `MODELS`.
        with_size: whether the pupil's diameter is part of it.
        weights: (terms, 2).
        center, scale: (3,) each: x, y and diameter are standardised with them.
        places: (P, 2) degrees it was fitted to.
        sizes: least and greatest diameter it was fitted to, px.
        accuracy: mean over the targets, degrees, leave-one-out.
        checked: one row per target (columns `CHECK_COLUMNS`), leave-one-out.
        tried: one row per model: what it was and its mean error, the best first.
    """

    feature: str
    reflection: str
    model: str
    with_size: bool
    weights: FloatArray
    center: FloatArray
    scale: FloatArray
    places: FloatArray
    sizes: tuple[float, float]
    accuracy: float
    checked: pl.DataFrame
    tried: pl.DataFrame

    @property
    def source(self) -> str:
        """What `held_gaze` takes its features from."""
        return EYE3D if self.feature == EYE3D else self.reflection

    def predict(self, features: FloatArray) -> FloatArray:
        """(N, 2) degrees for (N, 3) feature x, y and diameter; NaN where one that is needed is missing."""
        return _design((features - self.center) / self.scale, self.model, self.with_size) @ self.weights

    def apply(
        self, signals: pl.DataFrame, *, view: int = 0, span: tuple[int | None, int | None] = (None, None)
    ) -> pl.DataFrame:
        """The table with `gaze_x_deg`, `gaze_y_deg` on the pupil's rows of one view, and
        `outside_targets`, `outside_sizes`: whether that is beyond what was calibrated. Rows without the pupil
        (or the reflection, where it is needed), and rows outside of `span` (from, until exclusive, ns), stay
        as they are."""
        eye = eye_rows(signals, view)
        first, end = (None if t is None else int(np.searchsorted(eye.time_ns, t)) for t in span)
        features = eye.features(self.source)[first:end]
        gaze = self.predict(features)
        there = np.isfinite(gaze).all(axis=1)
        made = pl.DataFrame({
            "frame_idx": eye.frame_idx[first:end], "_x": gaze[:, 0], "_y": gaze[:, 1],
            "_t": _outside(gaze, self.places), "_s": self._outside_sizes(features[:, 2]),
        })  # fmt: skip
        made = made.filter(pl.Series(there)).with_columns(view=pl.lit(view), object=pl.lit("pupil"))
        key = ["frame_idx", "view", "object"]
        joined = signals.join(made, on=key, how="left", maintain_order="left")
        names = zip(("_x", "_y", "_t", "_s"), (*GAZE_COLUMNS, OUTSIDE_TARGETS, OUTSIDE_SIZES), strict=True)
        for new, name in names:
            # Another view or span may have been applied before.
            old = [pl.col(name)] if name in signals.columns else []
            joined = joined.with_columns(pl.coalesce(pl.col(new), *old).alias(name)).drop(new)
        return joined

    def _outside_sizes(self, diameter: FloatArray) -> Any:
        low, high = self.sizes
        reach = _MARGIN * max(high - low, 0.1 * high)
        return (diameter < low - reach) | (diameter > high + reach)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return {
            "feature": self.feature, "reflection": self.reflection, "model": self.model,
            "with_size": self.with_size, "terms_xy": [list(t) for t in MODELS[self.model]],
            "weights": self.weights.tolist(), "center": self.center.tolist(), "scale": self.scale.tolist(),
            "places_deg": self.places.tolist(), "sizes_px": list(self.sizes),
            "accuracy_deg": self.accuracy,
            "targets": self.checked.to_dicts(), "tried": self.tried.to_dicts(),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> Calibration:
        """Read what `to_dict` gave.

        Raises:
            InputError: it is something else.
        """
        try:
            weights, center, scale, places = (
                np.array(known[k], dtype=np.float64) for k in ("weights", "center", "scale", "places_deg")
            )
            model, with_size = str(known["model"]), bool(known["with_size"])
            made = cls(
                str(known["feature"]), str(known["reflection"]), model, with_size, weights, center, scale,
                places, (float(known["sizes_px"][0]), float(known["sizes_px"][1])),
                float(known["accuracy_deg"]), pl.DataFrame(known["targets"], schema=CHECK_COLUMNS),
                pl.DataFrame(known["tried"], schema=_TRIED),
            )  # fmt: skip
            terms = _design(np.zeros((1, 3)), model, with_size).shape[1]
            if weights.shape != (terms, 2) or center.shape != (3,) or scale.shape != (3,):
                raise ValueError("the weights do not fit the model")
        except (KeyError, TypeError, ValueError, IndexError, pl.exceptions.PolarsError) as error:
            raise InputError(f"This is no calibration of `ocusam gaze` ({error}).") from None
        return made


def calibrate(
    signals: pl.DataFrame,
    targets: pl.DataFrame,
    *,
    blinks: pl.DataFrame | None = None,
    doubts: pl.DataFrame | None = None,
    view: int = 0,
    choice: Choice | None = None,
) -> Calibration:
    """Fit gaze to targets.

    Args:
        signals: table of a recording, with pupil-CR vectors where a reflection was tracked.
        targets: of `targets.make_targets`, or what it takes with places in degrees; those for validation are
            not used.
        blinks, doubts: tables of the recording; samples near blinks and doubtful frames are left out.
        view: which eye.
        choice: what to choose from.

    Raises:
        InputError: a column is missing, or fewer than four places have enough samples.
    """
    choice = choice or Choice()
    eye = eye_rows(signals, view, blinks, doubts)
    targets = make_targets(targets, int(eye.time_ns[0]), int(eye.time_ns[-1]))
    targets = targets.filter(pl.col("use") == CALIBRATION)
    best: Calibration | None = None
    tried: list[tuple[str, str, str, bool, float]] = []
    most: tuple[int, list[str]] = (-1, [])
    models = [choice.model] if choice.model is not None else list(MODELS)
    for feature, reflection in _candidates(eye, choice):
        held, reasons = hold(eye, targets, EYE3D if feature == EYE3D else reflection)
        places = len(_places(held))
        if places > most[0]:
            most = (places, [f"target {number}: {reason}" for number, reason in reasons.items()])
        mine: Calibration | None = None
        for model, with_size in itertools.product(models, _sizes(held, choice)):
            # Without one place there must still be as many as the polynomial has terms.
            if places < least_places(model):
                continue
            fitted = fit_held(held, reasons, (feature, reflection, model, with_size))
            tried.append((feature, reflection, model, with_size, fitted.accuracy))
            if mine is None or fitted.accuracy < HAIR * mine.accuracy:
                mine = fitted
        if mine is None:
            continue
        least = ALONE if feature == PUPIL and best is not None else HAIR
        if best is None or mine.accuracy < least * best.accuracy:
            best = mine
    if best is None:
        asked = f" ({choice.model})" if choice.model else ""
        raise InputError(
            f"A calibration{asked} needs at least {least_places(choice.model or 'linear')} targets at "
            f"different places with {MIN_SAMPLES} valid samples each; of {len(targets)} targets "
            f"{most[0]} places are such. {'; '.join(most[1][:3])}".strip()
        )
    table = pl.DataFrame(tried, schema=_TRIED, orient="row").sort("accuracy_deg")
    return Calibration(**{**best.__dict__, "tried": table})


def drift(
    calibration: Calibration,
    signals: pl.DataFrame,
    targets: pl.DataFrame,
    *,
    blinks: pl.DataFrame | None = None,
    doubts: pl.DataFrame | None = None,
    view: int = 0,
) -> pl.DataFrame:
    """How far off gaze is on targets the calibration has not seen, or on targets shown again later.

    Args:
        calibration: to be checked.
        signals, targets, blinks, doubts, view: as for `calibrate`; all targets given are checked.

    Returns:
        One row per target, columns `CHECK_COLUMNS`; offsets are gaze minus target.
    """
    eye = eye_rows(signals, view, blinks, doubts)
    targets = make_targets(targets, int(eye.time_ns[0]), int(eye.time_ns[-1]))
    held, reasons = hold(eye, targets, calibration.source)
    predicted = [np.median(calibration.predict(h.features), axis=0) for h in held]
    return _checked(VALIDATION, held, predicted, reasons, calibration)


def _candidates(eye: EyeRows, choice: Choice) -> list[tuple[str, str]]:
    """(feature, reflection) to try."""
    if choice.feature == EYE3D:
        if eye.axis is None:
            raise InputError("Feature eye3d needs a model of the eyeball: run `ocusam eye3d` before.")
        return [(EYE3D, "")]
    if choice.reflection is not None and choice.reflection not in eye.vectors:
        known = ", ".join(eye.vectors) or "none"
        raise InputError(f"No reflection {choice.reflection!r} was tracked well enough; there are: {known}.")
    names = list(eye.vectors) if choice.reflection is None else [choice.reflection]
    found = [(PUPIL_CR, name) for name in names] if choice.feature != PUPIL else []
    if choice.feature == PUPIL_CR and not found:
        raise InputError("No corneal reflection was tracked: feature pupil_cr needs one (object cr).")
    if choice.feature == PUPIL or (choice.feature is None and choice.reflection is None):
        found.append((PUPIL, ""))
    return found


def least_places(model: str) -> int:
    """How many places a polynomial needs, one of them left out."""
    return max(MIN_PLACES, len(MODELS[model]) + 1)


def _sizes(held: Sequence[Held], choice: Choice) -> tuple[bool, ...]:
    if choice.size_correction is not None:
        return (choice.size_correction,)
    diameters = np.concatenate([h.bins()[:, 2] for h in held]) if held else np.zeros(0)
    varied = len(diameters) > 1 and diameters.std() >= LEAST_SIZE_SD * diameters.mean()
    return (False, True) if varied else (False,)


def _places(held: Sequence[Held]) -> FloatArray:
    return np.unique(np.array([h.place for h in held]).reshape(-1, 2), axis=0)


def _design(features: FloatArray, model: str, with_size: bool) -> FloatArray:
    """(N, terms) of standardised x, y, diameter."""
    x, y, d = features.T
    columns = [x**i * y**j for i, j in MODELS[model]]
    if with_size:
        columns += [d, d * x, d * y]
    return np.stack(columns, axis=-1)


def fit_held(held: Sequence[Held], reasons: dict[int, str], what: tuple[str, str, str, bool]) -> Calibration:
    """A calibration of one kind (feature, reflection, model, with size), with its accuracy."""
    feature, reflection, model, with_size = what
    parts = [h.bins() for h in held]
    bins, xy = np.concatenate(parts), np.repeat([h.place for h in held], [len(p) for p in parts], axis=0)
    center, scale = bins.mean(axis=0), np.maximum(bins.std(axis=0), 1e-9)
    design = _design((bins - center) / scale, model, with_size)
    weights = np.asarray(np.linalg.lstsq(design, xy, rcond=None)[0], dtype=np.float64)
    predicted: list[FloatArray] = []
    for h in held:
        # A place that was shown twice is left out both times.
        away = (xy != h.place).any(axis=1)
        without = np.linalg.lstsq(design[away], xy[away], rcond=None)[0]
        predicted.append(
            np.median(_design((h.features - center) / scale, model, with_size) @ without, axis=0)
        )
    diameters = np.concatenate([h.features[:, 2] for h in held])
    sizes = (float(diameters.min()), float(diameters.max()))
    made = Calibration(
        feature, reflection, model, with_size, weights, center, scale, _places(held), sizes, 0.0,
        pl.DataFrame(), pl.DataFrame(),
    )  # fmt: skip
    checked = _checked(CALIBRATION, held, predicted, reasons, made)
    accuracy = float(np.mean(checked["accuracy_deg"].drop_nulls().to_numpy()))
    return Calibration(**{**made.__dict__, "accuracy": accuracy, "checked": checked})


def _checked(
    use: str,
    held: Sequence[Held],
    predicted: Sequence[FloatArray],
    reasons: dict[int, str],
    calibration: Calibration,
) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for h, gaze in zip(held, predicted, strict=True):
        dx, dy = (gaze - h.place).tolist()
        samples = calibration.predict(h.features)
        steps = angle_between(samples[1:], samples[:-1])[h.follows]
        scatter = angle_between(samples, samples.mean(axis=0))
        rows.append({
            "use": use, "target": h.target, "start_ns": h.start_ns, "x_deg": h.place[0], "y_deg": h.place[1],
            "offset_x_deg": dx, "offset_y_deg": dy, "accuracy_deg": float(angle_between(gaze, h.place)),
            "precision_rms_s2s_deg": _rms(steps), "precision_std_deg": _rms(scatter),
            "diameter_px": float(np.median(h.features[:, 2])), "samples": len(h.features),
            "samples_seen": h.seen, "note": "",
        })  # fmt: skip
    rows += [{"use": use, "target": number, "samples": 0, "note": why} for number, why in reasons.items()]
    complete = [{name: row.get(name) for name in CHECK_COLUMNS} for row in rows]
    return pl.DataFrame(complete, schema=CHECK_COLUMNS).sort("target")


def _rms(values: FloatArray) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if len(values) else None


def _outside(gaze: FloatArray, places: FloatArray) -> Any:
    """(N,) whether gaze lies outside the hull of the places, widened by a tenth."""
    middle = places.mean(axis=0)
    hull = cv2.convexHull((middle + (1.0 + 2 * _MARGIN) * (places - middle)).astype(np.float32))
    return np.array([
        math.isfinite(x) and math.isfinite(y) and cv2.pointPolygonTest(hull, (x, y), False) < 0
        for x, y in gaze.tolist()
    ])  # fmt: skip
