"""Samples of an eye that can stand for a target: valid ones, from the stretch in which it held still.

Purpose: from a recording's signals and targets to what a calibration is fitted to and checked on.

Notable choices: a sample counts when the pupil (and the reflection, where it is needed) is tracked, farther
than `PAD_MS` from any blink, and not in the list of doubtful frames. The first `SKIP_S` of a target are left
out: the eye is on its way. Of the rest the stretch of `STABLE_S` with the least scatter is taken, so that a
glance aside does no harm, and within it samples more than `OUTLIER` robust standard deviations from its
median are dropped. A target without enough of them is told with the reason, not fitted.

What it does not know: whether the eye looked at the target or steadily elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.quality import HOLE
from ocusam.eye.reflection.spot import VECTOR_COLUMNS
from ocusam.eye.signals import TRACKED, is_reflection

FloatArray = NDArray[np.float64]
PUPIL_CR, PUPIL, EYE3D = "pupil_cr", "pupil", "eye3d"
DIRECTION_COLUMNS = ("direction_x_deg", "direction_y_deg")
"""Of the optical axis by a model of the eyeball (`eye.sphere`), where one was fitted."""
SKIP_S, STABLE_S, PAD_MS = 0.4, 0.5, 50.0
BINS, MIN_SAMPLES, OUTLIER = 5, 5, 5.0
SHARE_OF_STEADIEST = 0.5
"""A reflection seen in less than this share of the frames of the one seen most is no candidate."""


@dataclass(frozen=True, eq=False)
class EyeRows:
    """One eye of a recording, frame by frame.

    Attributes:
        frame_idx, time_ns: (N,).
        pupil: (N, 3) x, y and diameter of the pupil, px; NaN where not tracked.
        vectors: reflection -> (N, 2) pupil-CR vector, px; NaN where either is not tracked.
        clean: (N,) bool, false near blinks and on doubtful frames.
        axis: (N, 2) direction of the optical axis, deg; None without a model of the eyeball.
    """

    frame_idx: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    pupil: FloatArray
    vectors: dict[str, FloatArray]
    clean: NDArray[np.bool_]
    axis: FloatArray | None = None

    def features(self, source: str) -> FloatArray:
        """(N, 3) x, y and the pupil's diameter; of the vector to a reflection of that name, of the optical
        axis ("eye3d"), or of the pupil ("")."""
        if not source:
            return self.pupil
        none = np.full((len(self.pupil), 2), np.nan)
        xy = self.axis if source == EYE3D else self.vectors.get(source)
        return np.concatenate([none if xy is None else xy, self.pupil[:, 2:]], axis=1)


@dataclass(frozen=True, eq=False)
class Held:
    """One target, as an eye held it.

    Attributes:
        target: its number.
        start_ns: when it appeared.
        place: (2,) degrees.
        features: (N, 3) of the samples used.
        samples: (N,) their rows in `EyeRows`.
        follows: (N - 1,) bool, whether a sample is the next frame after the one before, by its number and by
            the clock.
        seen: samples while it was shown.
    """

    target: int
    start_ns: int
    place: FloatArray
    features: FloatArray
    samples: NDArray[np.int64]
    follows: NDArray[np.bool_]
    seen: int

    def bins(self) -> FloatArray:
        """(B, 3) medians of the samples in up to `BINS` parts: what the fit sees."""
        return np.stack([np.median(part, axis=0) for part in np.array_split(self.features, BINS)])


def eye_rows(
    signals: pl.DataFrame,
    view: int = 0,
    blinks: pl.DataFrame | None = None,
    doubts: pl.DataFrame | None = None,
) -> EyeRows:
    """One eye's samples.

    Args:
        signals: table of a recording, with pupil-CR vectors where a reflection was tracked.
        view: which eye.
        blinks, doubts: tables of the recording, or None.

    Raises:
        InputError: no pupil in this view.
    """
    mine = signals.filter(pl.col("view") == view)
    pupil = mine.filter(pl.col("object") == "pupil").sort("frame_idx")
    if pupil.is_empty():
        raise InputError(f"View {view} has no pupil: gaze needs one.")
    tracked = pl.col("state") == TRACKED
    xyd = [
        pl.when(tracked).then(pl.col(c)).cast(pl.Float64) for c in ("center_x_px", "center_y_px", "major_px")
    ]
    key = pupil.select("frame_idx")
    vectors = {}
    for name in reflections(mine) if VECTOR_COLUMNS[0] in signals.columns else []:
        rows = mine.filter((pl.col("object") == name) & tracked).select("frame_idx", *VECTOR_COLUMNS)
        joined = key.join(rows, on="frame_idx", how="left", maintain_order="left")
        vectors[name] = _array(joined.select(VECTOR_COLUMNS))
    time = pupil["timestamp_ns"].to_numpy().astype(np.int64)
    frames = pupil["frame_idx"].to_numpy().astype(np.int64)
    clean = np.ones(len(time), dtype=np.bool_)
    if blinks is not None:
        pad = int(PAD_MS * 1e6)
        spans = blinks.filter(pl.col("view") == view).select("onset_ns", "offset_ns")
        for onset, offset in spans.iter_rows():
            clean[np.searchsorted(time, onset - pad) : np.searchsorted(time, offset + pad, "right")] = False
    if doubts is not None:
        odd = doubts.filter((pl.col("view") == view) & (pl.col("object") == "pupil"))["frame_idx"]
        clean &= ~np.isin(frames, odd.to_numpy())
    axis = None
    if set(DIRECTION_COLUMNS) <= set(signals.columns):
        axis = _array(pupil.select(pl.when(tracked).then(pl.col(c)) for c in DIRECTION_COLUMNS))
    return EyeRows(frames, time, _array(pupil.select(xyd)), vectors, clean, axis)


def reflections(signals: pl.DataFrame) -> list[str]:
    """The reflections of one view that are tracked often enough, the steadiest first."""
    counts = signals.filter(pl.col("state") == TRACKED)["object"].value_counts().sort("count", "object")
    found = [(int(n), str(name)) for name, n in counts.iter_rows() if is_reflection(str(name))]
    most = max((n for n, _ in found), default=0)
    return [name for n, name in sorted(found, key=lambda f: (-f[0], f[1])) if n >= SHARE_OF_STEADIEST * most]


def hold(eye: EyeRows, targets: pl.DataFrame, source: str = "") -> tuple[list[Held], dict[int, str]]:
    """Samples of every target.

    Args:
        eye: of `eye_rows`.
        targets: of `targets.make_targets`.
        source: name of the reflection whose vector is taken, "eye3d", or "" for the pupil alone.

    Returns:
        (targets with enough samples in order of time, reason by number for the others).
    """
    features = eye.features(source)
    longest = HOLE * float(np.median(np.diff(eye.time_ns))) if len(eye.time_ns) > 1 else 0.0
    there = np.asarray(np.isfinite(features).all(axis=1))
    found, reasons = [], {}
    for row in targets.sort("start_ns").iter_rows(named=True):
        number, length = int(row["target"]), row["end_ns"] - row["start_ns"]
        first = row["start_ns"] + min(int(SKIP_S * 1e9), int(0.4 * length))
        window = np.arange(*np.searchsorted(eye.time_ns, [first, row["end_ns"] + 1]))
        valid = window[there[window] & eye.clean[window]]
        used = _stable(eye.time_ns, features, valid)
        if len(used) < MIN_SAMPLES:
            reasons[number] = _why(window, there, valid)
            continue
        place = np.array([row["x_deg"], row["y_deg"]], dtype=np.float64)
        follows = (np.diff(used) == 1) & (np.diff(eye.time_ns[used]) <= longest)
        found.append(Held(number, int(row["start_ns"]), place, features[used], used, follows, len(window)))
    return found, reasons


def _why(window: NDArray[np.int64], there: NDArray[np.bool_], valid: NDArray[np.int64]) -> str:
    if not len(window):
        return "no frame while it was shown"
    if not there[window].any():
        return f"not tracked in any of its {len(window)} frames"
    return f"{len(valid)} valid samples of {len(window)} (blinks, lost and doubtful frames left out)"


def _stable(time_ns: NDArray[np.int64], features: FloatArray, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of the stretch with the least scatter, without outliers."""
    if len(rows) < MIN_SAMPLES:
        return rows[:0]
    time, xy = time_ns[rows], features[rows, :2]
    ends = np.searchsorted(time, time + int(STABLE_S * 1e9), side="right")
    best, chosen = np.inf, np.arange(len(rows))
    for first, end in enumerate(ends.tolist()):
        if time[-1] - time[first] < 0.98 * STABLE_S * 1e9:
            break
        if end - first >= MIN_SAMPLES:
            scatter = float(xy[first:end].std(axis=0).sum())
            if scatter < best:
                best, chosen = scatter, np.arange(first, end)
    middle = np.median(features[rows[chosen]], axis=0)
    away = np.abs(features[rows[chosen]] - middle)
    # Half of the values lie within 0.6745 standard deviations of a normal cloud's middle.
    limit = OUTLIER * np.maximum(np.median(away, axis=0) / 0.6745, 1e-9)
    return np.asarray(rows[chosen[(away <= limit).all(axis=1)]])


def _array(table: pl.DataFrame) -> FloatArray:
    return table.select(pl.all().cast(pl.Float64).fill_null(float("nan"))).to_numpy().astype(np.float64)
