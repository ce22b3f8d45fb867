"""Targets that someone looked at: when, where, and the screen they were shown on.

Purpose: a table as people have it becomes one that a calibration can use (`make_targets`); px of a screen
become degrees and back (`Screen`).

Notable choices: degrees are the horizontal and the vertical angle of the line from the eye to the target,
each by its own tangent (x = atan(offset / distance)), so that a line of the screen stays a line; distances
between two such directions are true angles (`angle_between`). A column that looks like a misspelt one is an
error, any other unknown one is left alone: logs of experiments have many. Times that lie outside the
recording are an error too, since the cause is another clock.

What it does not know: an eye that is not straight in front of the screen's middle; curved screens; whether
anyone did look at the target (`calibration.py` finds out).
"""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import InputError

FloatArray = NDArray[np.float64]
CALIBRATION, VALIDATION = "calibration", "validation"
TARGET_COLUMNS: dict[str, type[pl.DataType]] = {
    "target": pl.Int64, "start_ns": pl.Int64, "end_ns": pl.Int64, "x_deg": pl.Float64, "y_deg": pl.Float64,
    "use": pl.String,
}  # fmt: skip
BLOCK = "block"
"""Column: rows with the same value are shown together, one calibration a block."""
LONGEST_S = 3.0
"""A target without an end counts until the next one, at most so long."""
_LEAST_SPAN_NS, MOST_S = 1e6, 9e9
"""No targets follow each other within a millisecond; nor is a time in s beyond the year 2255."""
_STARTS, _ENDS, _LENGTHS = ("t", "start", "start_s"), ("end", "end_s"), ("duration", "duration_s")
_PLACES = {"": ("x", "y"), "deg": ("x_deg", "y_deg"), "px": ("x_px", "y_px")}
KNOWN = (
    *_STARTS, "start_ns", *_ENDS, "end_ns", *_LENGTHS, *(c for p in _PLACES.values() for c in p), "use",
    BLOCK,
)  # fmt: skip
END_COLUMNS = (*_ENDS, "end_ns", *_LENGTHS)
"""Without any of them a target lasts until the next one."""
UNITS, ORIGINS, CLOCKS = ("deg", "px"), ("top-left", "center"), ("recording", "first-frame")


@dataclass(frozen=True)
class Screen:
    """A flat screen, its middle straight in front of the eye.

    Attributes:
        size_px: (width, height); pixel centres at integers, origin at the upper left.
        size_mm: (width, height) of the picture on it.
        distance_mm: from the eye to the screen's middle.

    Raises:
        InputError: something is not above 0.
    """

    size_px: tuple[int, int]
    size_mm: tuple[float, float]
    distance_mm: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) and v > 0 for v in (*self.size_px, *self.size_mm, self.distance_mm)):
            raise InputError(
                f"A screen has a size in px, a size in mm and a distance in mm, all above 0; got "
                f"{self.size_px}, {self.size_mm}, {self.distance_mm}."
            )

    def to_degrees(self, xy_px: FloatArray) -> FloatArray:
        """(N, 2) px -> (N, 2) degrees from the middle, x to the right, y down."""
        size, extent = np.array(self.size_px, dtype=np.float64), np.array(self.size_mm)
        offset_mm = (xy_px - (size - 1.0) / 2.0) * extent / size
        return np.asarray(np.degrees(np.arctan2(offset_mm, self.distance_mm)))

    def to_px(self, xy_deg: FloatArray) -> FloatArray:
        """(N, 2) degrees -> (N, 2) px; NaN for a direction that never meets the screen's plane."""
        size, extent = np.array(self.size_px, dtype=np.float64), np.array(self.size_mm)
        flat = np.where(np.abs(xy_deg) < 89.0, xy_deg, np.nan)
        offset_mm = np.tan(np.radians(flat)) * self.distance_mm
        return np.asarray(offset_mm * size / extent + (size - 1.0) / 2.0)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


@dataclass(frozen=True)
class TargetSettings:
    """How a table of targets is to be read.

    Attributes:
        unit: of plain columns x, y: "deg" or "px".
        screen: needed for px.
        origin: of px: "top-left" (y down) or "center" (y up, as PsychoPy has it).
        clock: what t counts from: "recording": the clock of timestamp_ns, or "first-frame".
    """

    unit: str = "deg"
    screen: Screen | None = None
    origin: str = "top-left"
    clock: str = "recording"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("unit", self.unit, UNITS), ("origin", self.origin, ORIGINS), ("clock", self.clock, CLOCKS),
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"Unknown {name} {value!r} of targets; give {' or '.join(known)}.")


def angle_between(a_deg: FloatArray, b_deg: FloatArray) -> FloatArray:
    """Angle between two directions in degrees, (N, 2) each (or one of them (2,)) -> (N,)."""
    a, b = np.broadcast_arrays(np.tan(np.radians(a_deg)), np.tan(np.radians(b_deg)))
    one = np.ones((*a.shape[:-1], 1))
    p, q = np.concatenate([a, one], axis=-1), np.concatenate([b, one], axis=-1)
    # By the tangent of the angle: the cosine of a small one has no digits left.
    return np.asarray(np.degrees(np.arctan2(np.linalg.norm(np.cross(p, q), axis=-1), (p * q).sum(axis=-1))))


def make_targets(
    table: pl.DataFrame, first_ns: int, last_ns: int, settings: TargetSettings | None = None
) -> pl.DataFrame:
    """Targets with times and places that a calibration can use.

    Args:
        table: when: t, start or start_s (s), or start_ns; until when: end, end_s or duration (s), or end_ns,
            or none (until the next target, at most 3 s). Where: x, y (unit by `settings`), x_deg, y_deg or
            x_px, y_px. Optionally use: "calibration" or "validation", and block. A table made here is
            returned as it is.
        first_ns, last_ns: times of the recording's first and last frame.
        settings: how to read it.

    Returns:
        Columns `TARGET_COLUMNS`, in order of time; `target` is the row in the table given, from 1. Where the
        table has a column `block`, that too, as text.

    Raises:
        InputError: columns that are missing, doubled or misspelt, cells that are no numbers, times outside
            the recording, px without a screen.
    """
    settings = settings or TargetSettings()
    if all(table.schema.get(name) == kind for name, kind in TARGET_COLUMNS.items()):
        return table.sort("start_ns")
    _check_names(table.columns)
    if table.is_empty():
        raise InputError("The table of targets has no rows.")
    start = _times(table, (*_STARTS, "start_ns"), settings.clock, first_ns)
    if start is None:
        raise InputError(_wanted("a time (t or start, in s, or start_ns)", table))
    end = _times(table, (*_ENDS, "end_ns"), settings.clock, first_ns)
    if end is None:
        end = _default_ends(table, start)
    places = _places(table, settings)
    for row, (on, off) in enumerate(zip(start.tolist(), end.tolist(), strict=True), start=1):
        if off <= on:
            raise InputError(f"Target {row} ends before it begins ({on / 1e9:.3f} s to {off / 1e9:.3f} s).")
        if off < first_ns or on > last_ns:
            raise InputError(
                f"Target {row} ({on / 1e9:.3f} s to {off / 1e9:.3f} s) lies outside the recording, which "
                f"runs from {first_ns / 1e9:.3f} s to {last_ns / 1e9:.3f} s. "
                f"{_which_clock(start, first_ns, last_ns, settings.clock)}; else remove the row."
            )
    made = {
        "target": np.arange(1, len(table) + 1), "start_ns": start, "end_ns": end,
        "x_deg": places[:, 0], "y_deg": places[:, 1], "use": _uses(table),
    }  # fmt: skip
    found = pl.DataFrame(made, schema=TARGET_COLUMNS)
    return (found if BLOCK not in table.columns else found.with_columns(_blocks(table))).sort("start_ns")


def _which_clock(start: NDArray[np.int64], first_ns: int, last_ns: int, clock: str) -> str:
    """What times that lie outside the recording may mean."""
    zero = first_ns if clock == "first-frame" else 0
    for unit, share in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        meant = (start - zero) * share + zero
        spread = np.ptp(meant) > 0.05 * (
            last_ns - first_ns
        )  # where the clock begins at 0, all small times fit
        if spread and ((first_ns <= meant) & (meant <= last_ns)).all():
            return f"In {unit} they would lie inside: nanoseconds go into a column start_ns, all others are s"
    other = CLOCKS[1 - CLOCKS.index(clock)]
    told = "the first frame" if clock == CLOCKS[0] else "the clock of the recording"
    return f"If the times count from {told}, say so (clock {other})"


def _wanted(what: str, table: pl.DataFrame) -> str:
    return (
        f"The targets need columns t, x, y: {what} is missing; got {', '.join(table.columns) or 'none'}. "
        f"Known columns: {', '.join(KNOWN)}."
    )


def _check_names(columns: list[str]) -> None:
    for name in columns:
        close = difflib.get_close_matches(name.strip().lower(), KNOWN, n=1, cutoff=0.8)
        # Names of one or two letters are close to everything.
        if name not in KNOWN and close and len(name) > 2:
            raise InputError(
                f"Unknown column {name!r} in the targets: did you mean {close[0]!r}? Known columns: "
                f"{', '.join(KNOWN)}."
            )


def _numbers(table: pl.DataFrame, name: str) -> FloatArray:
    try:
        values = table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    except pl.exceptions.PolarsError:
        known = table[name].cast(pl.Float64, strict=False)
        row = int((known.is_null() & table[name].is_not_null()).arg_max() or 0)
        raise InputError(
            f"The column {name!r} of the targets has cells that are no numbers: {table[name][row]!r} in row "
            f"{row + 1}."
        ) from None
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(f"The column {name!r} of the targets has no number in row {int(bad[0]) + 1}.")
    return np.asarray(values)


def _only(table: pl.DataFrame, names: tuple[str, ...]) -> str | None:
    found = [name for name in names if name in table.columns]
    if len(found) > 1:
        raise InputError(f"The targets have both {found[0]!r} and {found[1]!r}: keep one of them.")
    return found[0] if found else None


def _times(
    table: pl.DataFrame, names: tuple[str, ...], clock: str, first_ns: int
) -> NDArray[np.int64] | None:
    name = _only(table, names)
    if name is None:
        return None
    if name.endswith("_ns"):
        given = _numbers(table, name)  # says which row is empty
        if (given % 1).any() or (len(given) > 1 and 0 < np.ptp(given) < _LEAST_SPAN_NS):
            raise InputError(
                f"The column {name!r} of the targets runs from {given.min():g} to {given.max():g}: whole "
                "nanoseconds are meant. Times in s go into t (or start, end)."
            )
        values = table[name].cast(pl.Int64).to_numpy().astype(np.int64)
    else:
        given = _numbers(table, name)
        if np.abs(given).max() >= MOST_S:
            raise InputError(
                f"The column {name!r} of the targets holds {np.abs(given).max():g} s: nanoseconds go into "
                f"{'end_ns' if name in _ENDS else 'start_ns'}."
            )
        values = np.round(given * 1e9).astype(np.int64)
    return np.asarray(values + (first_ns if clock == "first-frame" else 0), dtype=np.int64)


def _default_ends(table: pl.DataFrame, start: NDArray[np.int64]) -> NDArray[np.int64]:
    name = _only(table, _LENGTHS)
    if name is not None:
        return np.asarray(start + np.round(_numbers(table, name) * 1e9).astype(np.int64))
    order, longest = np.unique(start), int(LONGEST_S * 1e9)
    usual = min(longest, int(np.median(np.diff(order)))) if len(order) > 1 else longest
    after = np.searchsorted(order, start, side="right")
    next_one = np.where(after < len(order), order[np.minimum(after, len(order) - 1)], start + usual)
    return np.asarray(np.minimum(next_one, start + longest))


def _places(table: pl.DataFrame, settings: TargetSettings) -> FloatArray:
    """(N, 2) degrees."""
    found = [unit for unit, (x, y) in _PLACES.items() if x in table.columns and y in table.columns]
    if len(found) != 1:
        what = "a place (x and y, x_deg and y_deg, or x_px and y_px)"
        if found:
            raise InputError("The targets have their places twice, in different units: keep one of them.")
        raise InputError(_wanted(what, table))
    unit = found[0] or settings.unit
    xy = np.stack([_numbers(table, name) for name in _PLACES[found[0]]], axis=-1)
    if unit == "deg":
        if np.abs(xy).max() >= 80.0:
            raise InputError(
                f"A target lies {np.abs(xy).max():g} degrees from straight ahead. If the places are in px, "
                "say so (unit px, with the screen's size and distance: --unit px --screen WxH,WxH,D)."
            )
        return xy
    if settings.screen is None:
        raise InputError(
            "Targets in px need the screen: its size in px and in mm and its distance in mm (--screen "
            "1920x1080,531x299,600); or give the places in degrees."
        )
    if settings.origin == "center":
        xy = xy * np.array([1.0, -1.0]) + (np.array(settings.screen.size_px) - 1.0) / 2.0
    return settings.screen.to_degrees(xy)


def _blocks(table: pl.DataFrame) -> pl.Series:
    blocks = table[BLOCK].cast(pl.String).str.strip_chars()
    empty = (blocks.is_null() | (blocks == "")).arg_true()
    if len(empty):
        raise InputError(f"Row {int(empty[0]) + 1} of the targets has no {BLOCK}, others have: say which.")
    return blocks


def _uses(table: pl.DataFrame) -> list[str]:
    if "use" not in table.columns:
        return [CALIBRATION] * len(table)
    uses = [str(v).strip().lower() if v is not None else CALIBRATION for v in table["use"]]
    for row, use in enumerate(uses, start=1):
        if use not in (CALIBRATION, VALIDATION):
            raise InputError(f"Row {row} of the targets has use {use!r}; give {CALIBRATION} or {VALIDATION}.")
    return uses
