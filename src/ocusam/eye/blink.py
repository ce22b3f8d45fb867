"""Blinks told apart from a lost track, first version.

Purpose: give every frame of an eye the state tracked, blink or lost, and list the blinks.

Notable choices. Two steps. A causal step (`PupilPresence`, usable live) says frame by frame whether the pupil
is seen: object score above 0, an ellipse, and a visible area not below `min_visible` of the running median of
the last seen second (a lid leaves a sliver that the network may still outline). A second pass over the whole
recording joins frames without pupil to gaps and names each: a *blink* lasts 30 to 1000 ms (spontaneous blinks
last 100-400 ms; Stern, Walrath and Goldstein 1984, DOI 10.1111/j.1469-8986.1984.tb02312.x) and has a seen
pupil on either side; a gap of a single frame counts from 30 ms only with the frame's own duration. Where the
iris or the sclera of the same eye is tracked it must shrink too: a pupil that vanishes in a wide open eye is
lost, not a blink. All else is lost.

What it does not know: amplitude, partial blinks with the pupil in sight, and closures beyond a second, which
it calls lost. Thresholds are from the literature or round numbers; none was tuned on recordings.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.eye.signals import BLINK, LOST, TRACKED

BLINK_COLUMNS: dict[str, type[pl.DataType]] = {
    "view": pl.Int64,
    "onset_frame": pl.Int64,
    "offset_frame": pl.Int64,
    "onset_ns": pl.Int64,
    "offset_ns": pl.Int64,
    "duration_ms": pl.Float64,
}


@dataclass(frozen=True)
class BlinkRules:
    """Limits of the first blink detector.

    Attributes:
        min_ms, max_ms: duration of the span without pupil.
        min_visible: below this share of the running median area the pupil counts as covered.
        open_share: the iris or sclera keeps at least this share of its area in an eye that stays open.
        window_s: length of the running median.
    """

    min_ms: float = 30.0
    max_ms: float = 1000.0
    min_visible: float = 0.3
    open_share: float = 0.6
    window_s: float = 1.0


@dataclass
class PupilPresence:
    """Causal: is the pupil seen on this frame? Feed frames in order of time."""

    rules: BlinkRules = field(default_factory=BlinkRules)
    _seen: deque[tuple[int, float]] = field(default_factory=deque)

    def step(self, timestamp_ns: int, area_px: float | None) -> bool:
        """Whether a pupil of visible `area_px` (None: no mask or no ellipse) counts as seen."""
        if area_px is None or area_px <= 0:
            return False
        horizon = timestamp_ns - int(self.rules.window_s * 1e9)
        while len(self._seen) > 1 and self._seen[0][0] < horizon:
            self._seen.popleft()
        usual = float(np.median([area for _, area in self._seen])) if self._seen else area_px
        if area_px < self.rules.min_visible * usual:
            return False
        self._seen.append((timestamp_ns, area_px))
        return True


def classify(signals: pl.DataFrame, rules: BlinkRules | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give states to all rows of a recording and list its blinks.

    Args:
        signals: a table of `SignalTable.table()`.
        rules: limits; None for the defaults.

    Returns:
        (signals with the column `state` set, blinks with the columns `BLINK_COLUMNS`). Rows of a blink or of
        a frame that counts as covered keep no shape: within a blink no pupil values are given.
    """
    rules = rules or BlinkRules()
    blink_rows: list[tuple[object, ...]] = []
    parts: list[pl.DataFrame] = []
    for (view,), eye in sorted(signals.group_by("view"), key=lambda item: int(str(item[0][0]))):
        pupil = eye.filter(pl.col("object") == "pupil").sort("frame_idx")
        if pupil.is_empty():
            parts.append(eye)
            continue
        time = pupil["timestamp_ns"].to_numpy()
        presence = PupilPresence(rules)
        areas = [a if s == TRACKED else None for a, s in zip(pupil["area_px"], pupil["state"], strict=True)]
        seen = np.array([presence.step(int(t), a) for t, a in zip(time, areas, strict=True)], dtype=bool)
        states = np.where(seen, TRACKED, LOST).astype(object)
        openness = _openness(eye, pupil["frame_idx"])
        for first, last in _runs(~seen):
            if _is_blink(first, last, time, openness, rules):
                states[first : last + 1] = BLINK
                frames = pupil["frame_idx"]
                end = int(time[last + 1])
                blink_rows.append(
                    (view, frames[first], frames[last], int(time[first]), end, (end - int(time[first])) / 1e6)
                )
        parts.append(_with_states(eye, pupil["frame_idx"], states))
    table = pl.concat(parts) if parts else signals
    key = ["frame_idx", "view", "object"]
    return table.sort(key), pl.DataFrame(blink_rows, schema=BLINK_COLUMNS, orient="row")


def _with_states(eye: pl.DataFrame, frames: pl.Series, states: NDArray[np.object_]) -> pl.DataFrame:
    """Set the pupil's states; the eye's other objects say blink instead of lost during a blink."""
    lookup = pl.DataFrame({"frame_idx": frames, "_pupil": [str(s) for s in states]})
    joined = eye.join(lookup, on="frame_idx", how="left")
    is_pupil = pl.col("object") == "pupil"
    state = (
        pl.when(is_pupil)
        .then(pl.col("_pupil"))
        .when((pl.col("state") == LOST) & (pl.col("_pupil") == BLINK))
        .then(pl.lit(BLINK))
        .otherwise(pl.col("state"))
    )
    out = joined.with_columns(state.alias("state")).drop("_pupil")
    shape = [
        "center_x_px",
        "center_y_px",
        "major_px",
        "minor_px",
        "angle_deg",
        "area_px",
        "rim_share",
        "fit_rms_px",
        "parts",
    ]
    gone = pl.col("state") != TRACKED
    return out.with_columns([pl.when(gone).then(None).otherwise(pl.col(c)).alias(c) for c in shape])


def _openness(eye: pl.DataFrame, frames: pl.Series) -> NDArray[np.float64] | None:
    """Area of iris and sclera together over its median, for each frame; None where neither is tracked.

    The pupil's own area is not in it: what is asked is whether the *rest* of the eye stays in sight."""
    rest = eye.filter(pl.col("object").is_in(["iris", "sclera"]))
    if rest.is_empty():
        return None
    area = rest.group_by("frame_idx").agg(pl.col("area_px").fill_null(0.0).sum())
    aligned = (
        pl.DataFrame({"frame_idx": frames}).join(area, on="frame_idx", how="left")["area_px"].fill_null(0.0)
    )
    values = aligned.to_numpy().astype(np.float64)
    seen = values[values > 0]
    return values / float(np.median(seen)) if len(seen) else None


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _is_blink(
    first: int, last: int, time: NDArray[np.int64], openness: NDArray[np.float64] | None, rules: BlinkRules
) -> bool:
    if first == 0 or last == len(time) - 1:
        return False  # not flanked by a seen pupil
    duration_ms = (int(time[last + 1]) - int(time[first])) / 1e6
    if not rules.min_ms <= duration_ms <= rules.max_ms:
        return False
    return openness is None or float(openness[first : last + 1].min()) < rules.open_share
