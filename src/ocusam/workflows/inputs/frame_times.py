"""Times of frames that are not in the video: a camera's log, the acquisition system's clock, a frame rate.

Purpose: `open_timed` opens a job's video with the times that its settings name (`times`, or `fps`), so that
all tables are on the user's own clock.

Notable choices: one time for every frame, in the frames' order. A list of another length is refused: which
times belong to which frames cannot be known, and a shift by one would go unnoticed. Numbers are read as
decimals, not as floats: seconds since 1970 with nine decimals have more digits than a float holds. A column
is found by its name, its unit by the name's end (`time_ms`, `Time [ms]`); plain names are seconds, unless
frames would then be a tenth of a millisecond or minutes apart: that is refused with the unit that fits, as
is a clock of whole seconds, on which most frames have the time of the one before.
Dates are read as ISO 8601, as Bonsai writes them; without an offset they count as UTC.

What it does not know: clocks that drift; lists of the frames that were dropped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.video.reader import open_video
from ocusam.video.recordings import TimedSource
from ocusam.video.source import NANOSECONDS, NOMINAL_FPS, VideoSource, nominal_timestamp_ns
from ocusam.workflows.inputs.table_text import decoded, separator

UNITS = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1_000, "ns": 1}
NAMES = ("t", "time", "times", "timestamp", "timestamps", "frame_time", "frametime", "capture_time")
USUAL_STEP_S = (0.0002, 2.0)
"""Frames of a video come at .5 to 5,000 per second."""
_UNIT = r"(seconds|sec|s|milliseconds|msec|ms|microseconds|us|µs|\u03bcs|nanoseconds|ns)"
_ENDS = re.compile(rf"(?:[\s_.]+{_UNIT}|[\s_.]*[\[(]\s*{_UNIT}\s*[\])])$")
_LONG = {"seconds": "s", "sec": "s", "milliseconds": "ms", "msec": "ms", "microseconds": "us", "µs": "us",
         "\u03bcs": "us", "nanoseconds": "ns"}  # fmt: skip
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?$")


class Clocked(Protocol):
    """Where a job's times come from, as `RunSettings` has it."""

    @property
    def times(self) -> str | None:
        """A table with a time for every frame, or a NumPy file."""

    @property
    def times_column(self) -> str | None:
        """The table's column; None: found by its name."""

    @property
    def times_unit(self) -> str | None:
        """One of `UNITS`; None: by the column's name."""

    @property
    def fps(self) -> float | None:
        """Frames per second, in place of the video's own times."""


def check_clock(wanted: Clocked) -> None:
    """Refuse what cannot be.

    Raises:
        InputError: says which.
    """
    if wanted.fps is not None and not 0 < wanted.fps < 1e6:
        raise InputError(f"fps={wanted.fps:g}: a frame rate is a positive number of frames per second.")
    if wanted.fps is not None and wanted.times is not None:
        raise InputError("The frames get their times from a file or from a frame rate: give one of the two.")
    if wanted.times_unit is not None and wanted.times_unit not in UNITS:
        raise InputError(f"times_unit={wanted.times_unit!r}: times are in {', '.join(UNITS)}.")


def open_timed(video: Any, wanted: Clocked) -> VideoSource:
    """Open a video with the times that were asked for, or with its own.

    Args:
        video: anything `video.reader.open_video` takes.
        wanted: whence its times come.

    Raises:
        InputError: no such file, cells that are no times, times that go backward, or another number of them
            than of frames.
    """
    if wanted.times is None and (wanted.times_column is not None or wanted.times_unit is not None):
        raise InputError("A column or a unit of times is for a file of times: give it, with --times.")
    if wanted.times is None and wanted.fps is None:
        return open_video(video)
    listed = None
    if wanted.times is not None:
        listed = read_times(wanted.times, wanted.times_column, wanted.times_unit)
    source = open_video(video, fps=wanted.fps)
    try:
        count = source.num_frames
        if listed is None:
            clock = f"{wanted.fps:g} frames per second, as stated"
            if count is None:  # pictures that come one by one have got them where they were opened
                return source
            times = np.array([nominal_timestamp_ns(i, wanted.fps) for i in range(count)], dtype=np.int64)
            return TimedSource(source, times, clock)
        times, clock = listed
        if count is not None and count != len(times):
            raise InputError(
                f"{wanted.times} has {len(times)} times, but the video has {count} frames: which belong "
                "together cannot be known. Give one time for each frame of the video, in order."
            )
        return TimedSource(source, times, clock)
    except BaseException:
        source.close()
        raise


def clock_of(source: VideoSource) -> str:
    """What `run.json` calls the clock of a source."""
    known = getattr(source, "clock", None)
    if known is not None:
        return str(known)
    if getattr(source, "nominal", False):
        return f"{source.fps or NOMINAL_FPS:g}{NOMINAL}"
    return "presentation times"


NOMINAL = " frames per second, nominally: there are no times in the pictures or the file"


def digest(times: NDArray[np.int64]) -> str:
    """SHA-256 of times, by which a run knows them again wherever their file lies."""
    return hashlib.sha256(times.astype("<i8").tobytes()).hexdigest()


def read_times(
    path: str | Path, column: str | None = None, unit: str | None = None
) -> tuple[NDArray[np.int64], str]:
    """The times of a file.

    Args:
        path: a table (commas, semicolons, tabs; with or without a header), or a NumPy file (.npy).
        column: name of the column; None: the one whose name says so, or the only one.
        unit: one of `UNITS`; None: by the column's name, else seconds.

    Returns:
        (T,) ns, and what the clock is called.

    Raises:
        InputError: it cannot be read, or says nothing that could be a frame's time.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file of times {path}.")
    if path.suffix.lower() == ".npy":
        name, cells, comma = "", _array(path), False
    else:
        name, cells, comma = _cells(path, column)
    named = _unit_of(name)
    times, dated = _as_ns(cells, UNITS[unit or named or "s"], comma, f"{path}")
    if not len(times):
        raise InputError(f"{path} holds no time.")
    if len(times) > 1 and not np.median(np.diff(times)):
        raise InputError(
            f"{path}: most frames have the time of the frame before: this clock is too coarse to tell them "
            "apart. Take a finer one, or state the frame rate (--fps)."
        )
    if not dated and unit is None and named is None:
        _check_step(times, path)
    told = "ISO 8601" if dated else unit or named or "s"
    return times, f"{path.name} ({f'column {name}, ' if name else ''}{told})"


def _array(path: Path) -> list[str]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The times {path} cannot be read ({error}).") from None
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.number):
        raise InputError(f"The times {path} are not a list of numbers ({values.shape}, {values.dtype}).")
    return [str(value) for value in values.tolist()]


def _cells(path: Path, column: str | None) -> tuple[str, list[str], bool]:
    """Name of the column, its cells, and whether its numbers may have decimal commas."""
    try:
        text = decoded(path.read_bytes())
        between = separator(text)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=between) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The times {path} cannot be read ({error}).") from None
    if not rows:
        raise InputError(f"{path} holds no time.")
    comma = between != ","
    if any(_one(cell, 1, comma) is not None for cell in rows[0]):  # no header
        if column is not None or len(rows[0]) > 1:
            raise InputError(
                f"{path} has {len(rows[0])} columns and no header: give the columns names, or a file "
                "with the times alone."
            )
        return "", [row[0] for row in rows], comma
    names = [cell.strip().lstrip("#").strip() for cell in rows[0]]
    if any(any(row[len(names) :]) for row in rows[1:]):
        hint = "" if comma else " Decimal commas need semicolons or tabs between the cells."
        raise InputError(f"{path}: lines have more cells than the first, which names {len(names)}.{hint}")
    at = _chosen(names, column, path)
    return names[at], [row[at] if at < len(row) else "" for row in rows[1:]], comma


def _chosen(names: list[str], column: str | None, path: Path) -> int:
    listed = ", ".join(names)
    if column is not None:
        found = [i for i, name in enumerate(names) if name.lower() == column.strip().lower()]
        if not found:
            raise InputError(f"{path} has no column {column!r}; it has {listed}.")
        return found[0]
    if len(names) == 1:
        return 0
    found = [i for i, name in enumerate(names) if _ENDS.sub("", name.lower()).strip(" _") in NAMES]
    if len(found) != 1:
        how = "several columns look like times" if found else "no column is called time or timestamp"
        raise InputError(f"{path}: {how}; say which one holds them, with --times-column. It has {listed}.")
    return found[0]


def _unit_of(name: str) -> str | None:
    lower = name.lower()
    found = _ENDS.search(lower)
    if found is None or found.start() == 0:
        return None
    unit = str(found[1] or found[2])
    return _LONG.get(unit, unit)


def _as_ns(cells: list[str], scale: int, comma: bool, what: str) -> tuple[NDArray[np.int64], bool]:
    """Times in ns, and whether they were dates."""
    times, dated = np.empty(len(cells), dtype=np.int64), False
    for row, cell in enumerate(cells):
        found = _one(cell, scale, comma)
        if found is None:
            raise InputError(f"{what}: {cell.strip()!r} is no time (frame {row}).")
        times[row], is_date = found
        dated = dated or is_date
    return times, dated


def _one(cell: str, scale: int, comma: bool) -> tuple[int, bool] | None:
    """A cell in ns and whether it is a date; None: neither a date nor a number."""
    text = cell.strip().strip('"')
    date = _DATE.match(text)
    try:
        if date is not None:
            offset = date[4] or "Z"
            whole = datetime.fromisoformat(f"{date[1]}T{date[2]}{'+00:00' if offset == 'Z' else offset}")
            since = whole.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
            seconds = since.days * 86_400 + since.seconds
            return seconds * NANOSECONDS + int((date[3] or "").ljust(9, "0")), True
        value = Decimal(text.replace(",", ".") if comma else text) * scale
        if not value.is_finite() or abs(value) >= 1 << 63:
            return None
        return int(value.to_integral_value()), False
    except (ArithmeticError, ValueError):
        return None


def _check_step(times: NDArray[np.int64], path: Path) -> None:
    """Refuse seconds that cannot be seconds."""
    step = float(np.median(np.diff(times))) / NANOSECONDS if len(times) > 1 else USUAL_STEP_S[0]
    if step < 0 or USUAL_STEP_S[0] <= step <= USUAL_STEP_S[1]:
        return
    fits = [u for u in UNITS if USUAL_STEP_S[0] <= step * UNITS[u] / NANOSECONDS <= USUAL_STEP_S[1]]
    hint = f"They look like {' or '.join(fits)}: say so" if fits else "Say what they are"
    raise InputError(
        f"{path}: as seconds, frames would come {step:g} s apart. {hint}, with --times-unit or in the "
        "column's name (time_ms)."
    )
