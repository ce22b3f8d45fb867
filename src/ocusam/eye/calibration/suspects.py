"""Targets of a calibration that do not fit the others: one that was not looked at, two that are exchanged.

Purpose: a calibration that came out poor often has one cause that a person can mend in the table of targets.
`suspect` finds it: which target's leaving out, or which two targets' exchange of places, would make it good.

Notable choices: it is only looked for where the accuracy is worse than `POOR_DEG`, and only told where the
remedy leaves less than `REMEDY` of the error: of noise, some target always fits worst. Nothing is changed;
who leaves targets out until a figure is good reports a figure that means nothing.

What it does not know: errors common to all targets (a mirrored axis, a shift of all times), which a
polynomial absorbs or which leave no target alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from ocusam.eye.calibration.fit import Calibration, fit_held, least_places
from ocusam.eye.calibration.held_gaze import Held, eye_rows, hold
from ocusam.eye.targets import CALIBRATION

POOR_DEG, REMEDY = 1.0, 0.4
MOST_TRIED = 16
"""Of many targets only those that fit worst are tried: all pairs of 60 would take minutes, and of so many one
mistake stands out."""
_RICHEST = "quadratic"
"""Tried beside the calibration's own model, which was chosen on wrong targets."""


@dataclass(frozen=True)
class Suspect:
    """A likely mistake.

    Attributes:
        targets: the number of the target that does not fit, or of the two that look exchanged.
        accuracy_deg: by leave-one-out, were it mended.
    """

    targets: tuple[int, ...]
    accuracy_deg: float

    def told(self) -> str:
        """In words."""
        if len(self.targets) == 1:
            return (
                f"target {self.targets[0]} does not fit the others: without it accuracy would be "
                f"{self.accuracy_deg:.2f} deg; was it looked at, and is its place right?"
            )
        first, second = self.targets
        return (
            f"targets {first} and {second} look exchanged: with the places exchanged accuracy would be "
            f"{self.accuracy_deg:.2f} deg"
        )


def suspect(
    calibration: Calibration,
    signals: pl.DataFrame,
    targets: pl.DataFrame,
    *,
    blinks: pl.DataFrame | None = None,
    doubts: pl.DataFrame | None = None,
    view: int = 0,
) -> Suspect | None:
    """The one mistake in the targets that would explain a poor calibration, or None.

    Args:
        calibration: what `calibrate` made of the same arguments.
        signals, blinks, doubts, view: as for `calibrate`.
        targets: of `targets.make_targets`.
    """
    if calibration.accuracy <= POOR_DEG:
        return None
    eye = eye_rows(signals, view, blinks, doubts)
    held, _ = hold(eye, targets.filter(pl.col("use") == CALIBRATION), calibration.source)
    best: Suspect | None = None
    for numbers, changed in _changes(held, _worst(calibration)):
        accuracy = _accuracy(changed, calibration)
        limit = REMEDY * calibration.accuracy if best is None else best.accuracy_deg
        if accuracy < limit:
            best = Suspect(numbers, accuracy)
    return best


def _worst(calibration: Calibration) -> set[int]:
    """The targets that fit worst, by their numbers."""
    rows = calibration.checked.filter(pl.col("accuracy_deg").is_not_null())
    return set(rows.sort("accuracy_deg", descending=True)["target"].head(MOST_TRIED).to_list())


def _changes(held: Sequence[Held], among: set[int]) -> Iterator[tuple[tuple[int, ...], list[Held]]]:
    """Every way to leave one of some targets out, or to exchange the places of two of them."""
    tried = [index for index, one in enumerate(held) if one.target in among]
    for index in tried:
        yield (held[index].target,), [h for i, h in enumerate(held) if i != index]
    for i, k in itertools.combinations(tried, 2):
        if not np.array_equal(held[i].place, held[k].place):
            changed = list(held)
            changed[i], changed[k] = (replace(held[a], place=held[b].place) for a, b in ((i, k), (k, i)))
            yield (held[i].target, held[k].target), changed


def _accuracy(held: Sequence[Held], calibration: Calibration) -> float:
    """By leave-one-out, with the calibration's features; infinite with too few places."""
    places = len({tuple(h.place.tolist()) for h in held})
    found = [np.inf]
    for model in {calibration.model, _RICHEST}:
        if places >= least_places(model):
            what = (calibration.feature, calibration.reflection, model, calibration.with_size)
            found.append(fit_held(held, {}, what).accuracy)
    return float(min(found))
