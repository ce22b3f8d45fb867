"""Rows of a recording of any length: one column of one object at a time, or some frames at a time.

Purpose: two hours at 60 frames per second are 432,000 rows an object, 75 MB as a table, and every copy is as
much again. What looks at a whole recording (blinks, doubtful frames, quality, events) needs a few columns of
one object; what is written and drawn needs a few frames with all columns. `ObjectRows` is the first, the
windows of `LongRows` the second. A table in memory is one part (`LongRows.of`).

Notable choices: parts are read through functions, each time they are asked for, so nothing but the numbers at
work is held. Parts may come in any order and overlap (a backward pass, a corrected object); of two rows of
the same frame, view and object the one of the later part counts. What depends on the row alone, or on the
rows of the same frame (states that were found, vectors), is put into a window when it is read (`changed`).

What it does not know: files, and what the columns mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Reader = Callable[[list[str] | None], pl.DataFrame]
ReadBlock = Callable[[str, int, int], FloatArray]
Place = slice | NDArray[np.int64]
Change = Callable[[pl.DataFrame], pl.DataFrame]
Object = tuple[int, str]

STATES = ("tracked", "blink", "lost")
"""States by their codes in `ObjectRows.states`."""
KEY = ["frame_idx", "view", "object"]
WINDOW = 4096
"""Frames that are held at a time."""
BLOCK = 1 << 15
"""Frames of one object that are worked on at a time, where that can be."""


@dataclass(frozen=True, eq=False)
class ObjectRows:
    """All rows of one object of one view, in order of frames.

    Attributes:
        frame_idx, time_ns: (N,).
        states: (N,) codes, see `STATES`.
        read: gives a column by its name, (N,), NaN where it is empty.
        names: columns that there are.
        read_block: gives a column from one row to another, (last - first,); None: cut from the whole.
    """

    frame_idx: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    states: NDArray[np.uint8]
    read: Callable[[str], FloatArray]
    names: frozenset[str] = frozenset()
    read_block: ReadBlock | None = None

    def __len__(self) -> int:
        return len(self.frame_idx)

    @property
    def tracked(self) -> NDArray[np.bool_]:
        """(N,) where the object is tracked."""
        return np.asarray(self.states == 0)

    @property
    def step_ns(self) -> float:
        """Median time between rows; 0 with fewer than two."""
        steps = np.diff(self.time_ns)
        return float(np.median(steps, overwrite_input=True)) if len(steps) else 0.0

    def numbers(self, name: str) -> FloatArray:
        """(N,) a column where the object is tracked, NaN elsewhere."""
        return np.where(self.tracked, self.read(name), np.nan)

    def block(self, first: int, end: int) -> ObjectRows:
        """The rows from `first` to `end`, exclusive, cut to those that there are."""
        first, end = max(first, 0), min(end, len(self))

        def read(name: str) -> FloatArray:
            return self._cut(name, first, end)

        def read_block(name: str, a: int, b: int) -> FloatArray:
            return self._cut(name, first + a, first + b)

        here = slice(first, end)
        frames, times, states = self.frame_idx[here], self.time_ns[here], self.states[here]
        return ObjectRows(frames, times, states, read, self.names, read_block)

    def _cut(self, name: str, first: int, end: int) -> FloatArray:
        return self.read(name)[first:end] if self.read_block is None else self.read_block(name, first, end)

    def on(self, frames: NDArray[np.int64]) -> ObjectRows:
        """The rows of other frames (sorted), lost where there are none."""
        if np.array_equal(frames, self.frame_idx):
            return self
        at = np.searchsorted(self.frame_idx, frames)
        at = np.minimum(at, max(len(self) - 1, 0))
        here = self.frame_idx[at] == frames if len(self) else np.zeros(len(frames), dtype=np.bool_)
        lost = np.uint8(STATES.index("lost"))

        def read(name: str) -> FloatArray:
            return np.where(here, self.read(name)[at], np.nan)

        def read_block(name: str, a: int, b: int) -> FloatArray:
            if a >= b or not len(self):
                return np.full(b - a, np.nan)
            own = at[a:b]  # in order
            values = self._cut(name, int(own[0]), int(own[-1]) + 1)[own - own[0]]
            return np.where(here[a:b], values, np.nan)

        states = np.where(here, self.states[at], lost)
        return ObjectRows(frames, self.time_ns[at], states, read, self.names, read_block)


def state_codes(states: pl.Series) -> NDArray[np.uint8]:
    """Codes (`STATES`) of a column of states; unknown ones count as lost."""
    codes = np.full(len(states), STATES.index("lost"), dtype=np.uint8)
    for code, state in enumerate(STATES):
        codes[(states == state).fill_null(False).to_numpy()] = code
    return codes


def state_texts(codes: NDArray[np.uint8]) -> pl.Series:
    """A column of states from their codes."""
    return pl.Series(np.array(STATES, dtype=object)[codes], dtype=pl.String)


class LongRows:
    """Rows in parts.

    Args:
        parts: at least one function that reads a part: some columns, or all (None). Of rows that are there
            twice that of the later part counts.

    Attributes:
        objects: (view, object) of all rows, in order.
    """

    def __init__(self, parts: Sequence[Reader]) -> None:
        self._parts = list(parts)
        self._changes: list[Change] = []
        self._states: dict[Object, NDArray[np.uint8]] = {}
        self._columns: dict[Object, dict[str, FloatArray]] = {}
        self._spans: list[tuple[int, int]] = []
        found: set[Object] = set()
        for read in self._parts:
            keys = read(KEY)
            frames = keys["frame_idx"]
            self._spans.append((int(frames.min()), int(frames.max())) if len(frames) else (0, -1))  # type: ignore[arg-type]
            found |= set(keys.select("view", "object").unique().rows())
        self.objects: list[Object] = sorted(found)

    @classmethod
    def of(cls, table: pl.DataFrame | LongRows) -> LongRows:
        """A table as rows in one part; what is `LongRows` already, as it is."""
        if isinstance(table, LongRows):
            return table
        return cls([lambda names: table if names is None else table.select(names)])

    def with_parts(self, more: Sequence[Reader] = (), *, without: Sequence[str] = ()) -> LongRows:
        """These rows less some columns, and further parts that have none of those; before any change."""
        assert not self._changes, "parts are added before windows are changed"
        return LongRows([*(_less(read, without) for read in self._parts), *more])

    def changed(
        self,
        change: Change,
        states: Mapping[Object, NDArray[np.uint8]] | None = None,
        columns: Mapping[Object, Mapping[str, FloatArray]] | None = None,
    ) -> LongRows:
        """The same rows with a change of every window. What it does to the states of whole objects, and
        columns that it adds, are given beside it (in order of frames), for `rows`."""
        out = LongRows([])
        out.__dict__.update(self.__dict__)
        out._changes, out._states = [*self._changes, change], {**self._states, **(states or {})}
        out._columns = {**self._columns, **{key: dict(own) for key, own in (columns or {}).items()}}
        return out

    @property
    def views(self) -> list[int]:
        """Numbers of the views."""
        return sorted({view for view, _ in self.objects})

    def rows(self, view: int, name: str) -> ObjectRows:
        """One object's rows. Columns are as they lie in the parts: of changes those show that were told."""
        added = self._columns.get((view, name), {})
        frames, places = self._places(view, name)
        time, states = np.empty(len(frames), np.int64), np.empty(len(frames), np.uint8)
        for read, at in zip(self._parts, places, strict=True):
            if _any(at):
                part = self._of(read(["view", "object", "timestamp_ns", "state"]), view, name)
                time[at], states[at] = part["timestamp_ns"].to_numpy(), state_codes(part["state"])

        def read_column(column: str) -> FloatArray:
            return added[column] if column in added else read_block(column, 0, len(frames))

        def read_block(column: str, first: int, end: int) -> FloatArray:
            if column in added:
                return added[column][first:end]
            out = np.full(max(end - first, 0), np.nan)
            for read, at in zip(self._parts, places, strict=True):
                if not _any(at, first, end):
                    continue
                part = self._of(read(["view", "object", column]), view, name)
                values = part[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
                if isinstance(at, slice):
                    low, high = max(at.start, first), min(at.stop, end)
                    out[low - first : high - first] = values[low - at.start : high - at.start]
                else:
                    inside = (at >= first) & (at < end)
                    out[at[inside] - first] = values[inside]
            return out

        names = frozenset({*self._parts[0](None).columns, *added})
        given = self._states.get((view, name), states)
        return ObjectRows(frames, time, given, read_column, names, read_block)

    def _places(self, view: int, name: str) -> tuple[NDArray[np.int64], list[Place]]:
        """One object's frames, in order, and where in them the rows of each part are."""
        every = [self._of(read(KEY), view, name)["frame_idx"].to_numpy() for read in self._parts]
        frames = np.concatenate([np.empty(0, np.int64), *every])
        if len(frames) and not (np.diff(frames) > 0).all():
            frames = np.unique(frames)
        places: list[Place] = []
        for part in every:
            at: Place = np.searchsorted(frames, part)
            if len(part):
                first = int(np.searchsorted(frames, part[0]))
                # As a rule a part is one stretch; places one by one would be as large as a column.
                if np.array_equal(frames[first : first + len(part)], part):
                    at = slice(first, first + len(part))
            places.append(at)
        return frames, places

    @staticmethod
    def _of(part: pl.DataFrame, view: int, name: str) -> pl.DataFrame:
        return part.filter((pl.col("view") == view) & (pl.col("object") == name))

    def windows(self, size: int = WINDOW) -> Iterator[pl.DataFrame]:
        """All rows in order of frame, view and object, so many frames at a time; at least one table."""
        spans = [span for span in self._spans if span[1] >= span[0]]
        if not spans:
            yield self._window(0, 0)
            return
        last = max(span[1] for span in spans)
        for first in range(min(span[0] for span in spans), last + 1, size):
            yield self._window(first, min(first + size, last + 1))

    def on_frames(self, frames: Sequence[int]) -> pl.DataFrame:
        """The rows of some frames, in order."""
        found = [self._window(0, 0)]
        ordered, first = sorted(set(frames)), 0
        while first < len(ordered):
            end = first
            while end < len(ordered) and ordered[end] - ordered[first] < WINDOW // 4:
                end += 1
            rows = self._window(ordered[first], ordered[end - 1] + 1)
            found.append(rows.filter(pl.col("frame_idx").is_in(ordered[first:end])))
            first = end
        return pl.concat(found)

    def table(self) -> pl.DataFrame:
        """All rows as one table."""
        return pl.concat(list(self.windows()), rechunk=True)

    def frames(self) -> NDArray[np.int64]:
        """Numbers of all frames that have rows, in order."""
        found = [np.empty(0, np.int64)]
        for read in self._parts:
            found.append(read(["frame_idx"])["frame_idx"].unique().sort().to_numpy())
        frames = np.concatenate(found)
        return frames if (np.diff(frames) > 0).all() else np.unique(frames)

    def count_frames(self) -> int:
        """How many `frames` there are."""
        spans = sorted(span for span in self._spans if span[1] >= span[0])
        if any(later[0] <= before[1] for before, later in itertools.pairwise(spans)):
            return len(self.frames())
        return sum(read(["frame_idx"])["frame_idx"].n_unique() for read in self._parts)

    def span_ns(self) -> tuple[int, int] | None:
        """First and last time stamp; None without rows."""
        ends: list[int] = []
        for read in self._parts:
            time = read(["timestamp_ns"])["timestamp_ns"]
            if len(time):
                ends += [int(str(time.min())), int(str(time.max()))]
        return (min(ends), max(ends)) if ends else None

    def _window(self, first: int, end: int) -> pl.DataFrame:
        """Rows of the frames `first` to `end`, exclusive."""
        here = pl.col("frame_idx").is_between(first, end, closed="left")
        found = [
            read(None).filter(here)
            for read, (a, b) in zip(self._parts, self._spans, strict=True)
            if a < end and b >= first
        ]
        table = pl.concat(found) if found else self._parts[0](None).clear()
        if len(found) > 1:
            table = table.unique(subset=KEY, keep="last", maintain_order=True)
        table = table.sort(KEY)
        for change in self._changes:
            table = change(table)
        return table


def _any(at: Place, first: int = 0, end: int | None = None) -> bool:
    """Whether there are places from `first` to `end`, exclusive."""
    if isinstance(at, slice):
        return at.stop > first and (end is None or at.start < end)
    return bool(((at >= first) & (True if end is None else at < end)).any())


def _less(read: Reader, columns: Sequence[str]) -> Reader:
    return lambda names: read(names).drop(columns, strict=False)
