"""Confidence that means what it says: presence scores and predicted IoUs brought in line with what was seen.

Purpose: measure how far confidences are off (`expected_calibration_error`), fit a scale and a shift to their
logits (`fit_affine`), and put these into the network's own last layers (`calibrated`).

Notable choices: an affine map of a logit is the same as another last linear layer. So a calibrated network is
an ordinary checkpoint: nothing is stored beside it, nothing is applied afterwards, and no other checkpoint is
touched. A positive scale keeps the order of candidate masks, so the network chooses as before. Presence is
decided at a score of 0; without a shift every such decision stays as it was too (temperature scaling, Guo et
al. 2017, arXiv 1706.04599), with one the threshold moves to where both answers are equally likely (Platt
1999). Predicted IoUs are shares, fitted by logistic regression with fractional targets (Papke and Wooldridge
1996, doi 10.1002/(SICI)1099-1255(199611)11:6<619::AID-JAE418>3.0.CO;2-1).

What it does not know: where the frames came from. A confidence is calibrated for frames like those it was
fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ocusam.core.errors import ModelError

F64 = NDArray[np.float64]
SCORE_HEAD = "sam_mask_decoder.pred_obj_score_head"
IOU_HEAD = "sam_mask_decoder.iou_prediction_head"


@dataclass(frozen=True)
class Affine:
    """logit -> scale * logit + shift; the scale is positive."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, logits: ArrayLike) -> F64:
        """Apply it."""
        return self.scale * np.asarray(logits, np.float64) + self.shift


def logit(share: ArrayLike, least: float = 1e-4) -> F64:
    """log(p / (1 - p)) of shares kept `least` away from 0 and 1."""
    p = np.clip(np.asarray(share, np.float64), least, 1 - least)
    return np.asarray(np.log(p / (1 - p)))


def sigmoid(logits: ArrayLike) -> F64:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64))))


def fit_affine(logits: ArrayLike, targets: ArrayLike, *, shift: bool = True, ridge: float = 1e-3) -> Affine:
    """The scale (and shift) under which sigmoid(logit) is the mean of the targets, by Newton's method.

    Args:
        logits: (N,).
        targets: (N,) 0 or 1, or shares between.
        shift: fit one; otherwise it is 0.
        ridge: pull towards (1, 0), per sample, so that perfectly divided targets give a finite scale.

    Raises:
        ModelError: fewer than ten samples, or a scale that is not positive: the logits say nothing.
    """
    x, t = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    if len(x) < 10:
        raise ModelError(f"Calibration needs at least 10 frames, got {len(x)}; score more clips.")
    columns = np.stack([x, np.ones_like(x)], 1)[:, : 2 if shift else 1]
    neutral = np.array([1.0, 0.0])[: columns.shape[1]]
    weights = neutral.copy()

    def loss(w: F64) -> float:
        z = columns @ w
        return float((np.logaddexp(0, z) - t * z).mean() + 0.5 * ridge * ((w - neutral) ** 2).sum())

    for _ in range(100):
        p = sigmoid(columns @ weights)
        slope = columns.T @ (p - t) / len(x) + ridge * (weights - neutral)
        curve = (columns * (p * (1 - p))[:, None]).T @ columns / len(x) + ridge * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while size > 1e-6 and loss(weights - size * step) > loss(weights):
            size /= 2
        weights = weights - size * step
        if float(np.abs(size * step).max()) < 1e-9:
            break
    if weights[0] <= 0:
        raise ModelError("These confidences say nothing about the frames (the fitted scale is not positive).")
    return Affine(float(weights[0]), float(weights[1]) if shift else 0.0)


@dataclass(frozen=True)
class Reliability:
    """Samples sorted into bins of stated confidence: mean stated, mean seen, how many."""

    stated: list[float]
    seen: list[float]
    count: list[int]

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of the two, every sample counted once."""
        gaps = np.abs(np.array(self.stated) - np.array(self.seen))
        return float((gaps * self.count).sum() / max(sum(self.count), 1))


def reliability(stated: ArrayLike, seen: ArrayLike, bins: int = 15) -> Reliability:
    """Bins of equal width over 0..1; empty ones are left out (Guo et al. 2017)."""
    p, y = np.asarray(stated, np.float64), np.asarray(seen, np.float64)
    which = np.minimum((p * bins).astype(int), bins - 1)
    full = [k for k in range(bins) if (which == k).any()]
    return Reliability(
        [float(p[which == k].mean()) for k in full],
        [float(y[which == k].mean()) for k in full],
        [int((which == k).sum()) for k in full],
    )


def expected_calibration_error(stated: ArrayLike, seen: ArrayLike, bins: int = 15) -> float:
    """See `Reliability.error`."""
    return reliability(stated, seen, bins).error


def calibrated(state: Mapping[str, Tensor], *, score: Affine, iou: Affine) -> dict[str, Tensor]:
    """The same weights with both maps inside the last layers of their heads.

    The IoU head must end in a sigmoid, as that of SAM 2.1 and `nano` does; the caller answers for it.

    Raises:
        ModelError: a network without a presence score, or a scale that is not positive.
    """
    out = dict(state)
    for head, change in ((SCORE_HEAD, score), (IOU_HEAD, iou)):
        last = _last_layer(state, head)
        if change.scale <= 0:
            raise ModelError(f"A scale of {change.scale} would turn confidences round; it must be positive.")
        out[f"{last}.weight"] = state[f"{last}.weight"] * change.scale
        out[f"{last}.bias"] = state[f"{last}.bias"] * change.scale + change.shift
    return out


def _last_layer(state: Mapping[str, Tensor], head: str) -> str:
    layers = sorted({name.rsplit(".", 1)[0] for name in state if name.startswith(f"{head}.")})
    if not layers:
        raise ModelError(f"These weights have no {head}; nothing can be calibrated.")
    return layers[-1]
