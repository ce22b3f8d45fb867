"""Scores of tracked eyes against hand-checked truth.

Purpose: from a signals table and the annotated frames of one eye to the figures `ocusam evaluate` prints.

Notable choices: centre errors are given relative to the *true* pupil's major axis; IoU is that of the two
filled, completed ellipses. Frames with a visible pupil that the tracker gave no ellipse for count as zero in
`iou_median` and are left out in `iou_median_found` (published scores leave them out, which flatters a tracker
that gives up). Entries of low confidence are counted but not scored. Frames whose pupil is closed or out of
sight ask only for the state.

What it does not know: reflections.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.signals import BLINK, TRACKED, ellipse_of


@dataclass(frozen=True)
class Annotation:
    """Truth of one eye on one frame: complete outlines in px of the whole picture, None where unknown or
    absent."""

    frame_idx: int
    eye: str
    state: str  # open, partial, closed
    pupil: Ellipse | None
    iris: Ellipse | None
    confidence: str  # high, medium, low

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Annotation:
        """Read one entry of annotations.json.

        Raises:
            InputError: a missing field or an unknown state.
        """
        try:
            state = str(entry["state"])
            if state not in ("open", "partial", "closed"):
                raise InputError(
                    f"Annotation of frame {entry['frame_idx']}: unknown state {state!r}; known: open, "
                    "partial, closed."
                )
            return cls(
                int(entry["frame_idx"]),
                str(entry["eye"]),
                state,
                _ellipse(entry.get("pupil")),
                _ellipse(entry.get("iris")),
                str(entry.get("confidence", "high")),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"An annotation lacks the field {error}: {dict(entry)}.") from None


def _ellipse(value: Mapping[str, Any] | None) -> Ellipse | None:
    if value is None:
        return None
    return Ellipse((value["cx"], value["cy"]), (value["major"], value["minor"]), value["angle_deg"])


@dataclass(frozen=True)
class Comparison:
    """One object on one annotated frame: what is true and what was said.

    Attributes:
        frame_idx, eye, object, state_true, confidence: of the annotation.
        state: the tracker's state ("missing" when there is no row).
        truth, found: ellipses.
        error_px: distance of the centres; None when either is absent.
        error_rel: the same over the true major axis.
        iou: of the filled ellipses; 0 when nothing was found although something is there.
    """

    frame_idx: int
    eye: str
    object: str
    state_true: str
    confidence: str
    state: str
    truth: Ellipse | None
    found: Ellipse | None
    error_px: float | None
    error_rel: float | None
    iou: float | None


def compare(
    annotations: Iterable[Annotation],
    signals: pl.DataFrame,
    view_of_eye: Mapping[str, int],
    name: str = "pupil",
) -> list[Comparison]:
    """Put truth and finding side by side for one object; annotations without it (and not closed) are passed
    over."""
    rows = {
        (int(r["frame_idx"]), int(r["view"])): r
        for r in signals.filter(pl.col("object") == name).iter_rows(named=True)
    }
    out = []
    for a in annotations:
        truth = a.pupil if name == "pupil" else a.iris
        if truth is None and a.state != "closed":
            continue
        row = rows.get((a.frame_idx, view_of_eye[a.eye]))
        state = str(row["state"]) if row is not None else "missing"
        found = ellipse_of(row) if row is not None and state == TRACKED else None
        error = relative = iou = None
        if truth is not None:
            iou = truth.iou(found) if found is not None else 0.0
            if found is not None:
                error = math.dist(truth.center, found.center)
                relative = error / truth.major
        out.append(
            Comparison(
                a.frame_idx, a.eye, name, a.state, a.confidence, state, truth, found, error, relative, iou
            )
        )
    return out


@dataclass(frozen=True)
class Score:
    """Figures of one clip, eye or set; None where nothing was there to score.

    Attributes:
        scored: frames with a true outline of high or medium confidence.
        found: of these, frames with an ellipse.
        low_confidence: frames left out.
        error_rel_median, error_px_median: centre error over found frames.
        within_5px: share of *scored* frames with a centre error up to 5 px (lost frames count as misses).
        iou_median, iou_mean: lost frames as zero. iou_median_found: lost frames left out.
        closed, closed_called: closed frames, and the share of them called blink or lost.
        open_frames, false_blinks: open frames, and the share of them called blink. open_lost: called lost or
        missing.
    """

    scored: int
    found: int
    low_confidence: int
    error_rel_median: float | None
    error_px_median: float | None
    within_5px: float | None
    iou_median: float | None
    iou_mean: float | None
    iou_median_found: float | None
    closed: int
    closed_called: float | None
    open_frames: int
    false_blinks: float | None
    open_lost: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def score(comparisons: Iterable[Comparison]) -> Score:
    """Figures over comparisons of one object."""
    items = list(comparisons)
    seen = [c for c in items if c.truth is not None and c.confidence != "low"]
    found = [c for c in seen if c.found is not None]
    closed = [c for c in items if c.state_true == "closed"]
    opened = [c for c in items if c.state_true == "open" and c.confidence != "low"]
    ious = [c.iou for c in seen if c.iou is not None]
    errors = [c.error_px for c in found if c.error_px is not None]
    return Score(
        scored=len(seen),
        found=len(found),
        low_confidence=sum(c.truth is not None and c.confidence == "low" for c in items),
        error_rel_median=_median([c.error_rel for c in found if c.error_rel is not None]),
        error_px_median=_median(errors),
        within_5px=sum(e <= 5.0 for e in errors) / len(seen) if seen else None,
        iou_median=_median(ious),
        iou_mean=float(np.mean(ious)) if ious else None,
        iou_median_found=_median([c.iou for c in found if c.iou is not None]),
        closed=len(closed),
        closed_called=_share(c.state != TRACKED for c in closed),
        open_frames=len(opened),
        false_blinks=_share(c.state == BLINK for c in opened),
        open_lost=_share(c.state not in (TRACKED, BLINK) for c in opened),
    )


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _share(flags: Iterable[bool]) -> float | None:
    values = list(flags)
    return sum(values) / len(values) if values else None
