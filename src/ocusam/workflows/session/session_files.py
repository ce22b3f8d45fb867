"""Writing a session: frames in, chunks, rows and snapshots out, one commit a chunk.

Purpose: `SessionFiles` collects what was tracked and measured and makes it durable; `resume` says in which
order and why.

Notable choices: without a folder everything stays in memory, and nothing can be taken up again. Tables are
made every `chunk_frames` frames, so what Python holds does not grow with the video.

What it does not know: networks; what the rows mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError, OutputError
from ocusam.core.masklet import ObjectFrame
from ocusam.eye.long_rows import LongRows, Reader
from ocusam.eye.signals import COLUMNS
from ocusam.tracking.snapshot import TrackMemory
from ocusam.workflows.session.atomic import write_bytes
from ocusam.workflows.session.masklets import KEY, SCHEMA, Masklets, mask_rows, parquet
from ocusam.workflows.session.memory_files import Bundle, Prompted, add_snapshot, read_snapshot
from ocusam.workflows.session.resume import Chunk, SessionLog, tidy

_STATE = "state"


@dataclass(frozen=True)
class Cadence:
    """How often what is written.

    Attributes:
        chunk_frames: frames a chunk.
        snapshot_frames: a snapshot for corrections after every so-manieth frame; 0: only where a pass begins.
        masks: keep the masks.
    """

    chunk_frames: int = 500
    snapshot_frames: int = 64
    masks: bool = True


class SessionFiles:
    """The session's files, and what waits to be written.

    Args:
        folder: `masklets/` of the run, or None to keep all in memory.
        size: (height, width) px of the whole picture.
        cadence: how often what is written.
        rows: returns what was measured since it was last called, as a table with the columns `masklets.KEY`;
            None: nothing is measured.

    Attributes:
        log: what counts.
        prompted: memories of prompted frames.
    """

    def __init__(
        self,
        folder: Path | None,
        size: tuple[int, int],
        cadence: Cadence,
        rows: Callable[[], pl.DataFrame | None] | None = None,
    ) -> None:
        self.folder, self.size, self.cadence, self._measured = folder, size, cadence, rows
        self.log = SessionLog()
        self.prompted = Prompted()
        self._masks: list[tuple[Any, ...]] = []
        self._older: tuple[pl.DataFrame | None, pl.DataFrame | None] = (None, None)
        self._frames = 0
        self._chunk: Chunk | None = None
        self._bundle = Bundle()
        self._kept: list[tuple[pl.DataFrame, pl.DataFrame | None]] = []

    # ---- opening -------------------------------------------------------------------------------------------

    def begin(self, log: SessionLog) -> None:
        """Start from nothing."""
        self.log = log
        if self.folder is not None:
            tidy(self.folder, None)

    def reopen(self, log: SessionLog) -> dict[int, list[TrackMemory]]:
        """Go on where a log says. Returns the memories of every view, none where no state was stored.

        Raises:
            InputError: a file that the log names is missing or damaged.
        """
        assert self.folder is not None
        self.log = log
        tidy(self.folder, log)
        for i in range(log.prompted):
            self.prompted.read(self.folder / f"prompted_{i:05d}.safetensors")
        if log.chunks and not log.chunks[-1].whole:
            self._take_back(len(log.chunks) - 1)
        return read_snapshot(self.folder / log.state, _STATE, self.prompted) if log.state else {}

    def _take_back(self, number: int) -> None:
        """Continue a chunk that was cut short; its files stay until they are replaced."""
        self._chunk = self.log.chunks.pop()
        masks, rows, memory = (self._path(kind, number) for kind in ("chunk", "rows", "memory"))
        low, high = sorted(frame - self.log.ahead for frame in (self._chunk.first, self._chunk.last))
        # Its longer successor may have been written without having been committed.
        counts = pl.col("frame_idx").is_between(low, high)
        try:
            self._older = (
                pl.read_parquet(masks, glob=False).filter(counts) if masks.exists() else None,
                on_disk(rows)(None).filter(counts) if rows.exists() else None,
            )
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"The session in {self.folder} is damaged ({error}).") from None
        if memory.exists():
            self._bundle = Bundle.read(memory)
        self._frames = abs(self._chunk.last - self._chunk.first) + 1

    def _path(self, kind: str, number: int) -> Path:
        assert self.folder is not None
        suffix = "safetensors" if kind in ("memory", "prompted", "state") else "parquet"
        return self.folder / f"{kind}_{number:05d}.{suffix}"

    # ---- frame by frame ------------------------------------------------------------------------------------

    def pack(self, objects: list[ObjectFrame]) -> list[tuple[Any, ...]]:
        """Rows of the masks of all objects of one view on one frame, where masks are kept. Any thread may
        call it: nothing changes."""
        return mask_rows(objects, self.size) if self.cadence.masks else []

    def add(self, objects: list[ObjectFrame], masks: list[tuple[Any, ...]]) -> None:
        """Append all objects of one view on one frame, with what `pack` made of them."""
        self._masks += masks
        self.log.steps += 1
        self.log.frames = max(self.log.frames, objects[0].frame_idx + 1)

    @property
    def nearly_full(self) -> bool:
        """Whether the next `frame_done` writes a chunk: all frames up to that one must have been added."""
        return self._frames + 1 >= self.cadence.chunk_frames

    def pass_begins(self, states: dict[int, Any]) -> None:
        """Note the memories with which a pass begins."""
        self._snapshot(None, states)

    def frame_done(self, frame: int, states: dict[int, Any]) -> None:
        """All views of a frame were added; write a chunk when there are enough."""
        if self._chunk is None:
            self._chunk = Chunk(self.log.way, frame, frame)
        if self._frames == 0:
            self._chunk.first = frame
        self._chunk.last = self.log.after = frame
        self._frames += 1
        every = self.cadence.snapshot_frames
        if every and frame % every == 0:
            self._snapshot(frame, states)
        if self._frames >= self.cadence.chunk_frames:
            self.commit(states)

    def pass_ends(self, states: dict[int, Any]) -> None:
        """The pass is over; its last chunk is written, and the next pass is what comes."""
        self.log.way += 1
        self.log.after, self.log.agreed = None, 0
        self.commit(states)
        self._empty()

    def _snapshot(self, frame: int | None, states: dict[int, Any]) -> None:
        if self.folder is None:
            return
        if self._chunk is None:
            self._chunk = Chunk(self.log.way, -1, -1)
        self._chunk.snapshots.append(frame)
        add_snapshot(self._bundle, _name(frame), states, self.prompted, near=frame)

    # ---- making it count -----------------------------------------------------------------------------------

    def commit(self, states: dict[int, Any], *, whole: bool = True) -> None:
        """Write what waits as one chunk, then the log.

        Args:
            states: sessions by view, as they are after the last frame.
            whole: False where the chunk is cut short and is to grow when the run goes on.

        Raises:
            OutputError: a file cannot be written; what was committed before still counts.
        """
        masks, rows = self._tables()
        if self.folder is None:
            if self._frames:
                self._kept.append((masks, rows))
            self._empty()
            return
        before = replace(self.log, chunks=list(self.log.chunks))
        try:
            self._commit(masks, rows, states, whole)
        except OutputError:
            self.log.__dict__.update(before.__dict__)
            raise
        if self._frames:
            self._empty()

    def _commit(
        self, masks: pl.DataFrame, rows: pl.DataFrame | None, states: dict[int, Any], whole: bool
    ) -> None:
        assert self.folder is not None
        log, number, old_state = self.log, len(self.log.chunks), self.log.state
        if self._frames:
            if self.cadence.masks:
                write_bytes(self._path("chunk", number), parquet(masks))
            if rows is not None:
                write_bytes(self._path("rows", number), parquet(rows))
            if self._bundle.facts:
                self._bundle.write(self._path("memory", number))
            assert self._chunk is not None
            self._chunk.whole = whole
            log.chunks.append(self._chunk)
        state = Bundle()
        add_snapshot(state, _STATE, states, self.prompted)
        if self.prompted.fresh:
            self.prompted.write(self._path("prompted", log.prompted))
            log.prompted += 1
        # Another name than the state that counts until the log is replaced.
        turn = (int(old_state[6:11]) + 1) % 100_000 if old_state else 0
        log.state = self._path("state", turn).name
        state.write(self.folder / log.state)
        log.write(self.folder)
        if old_state:
            (self.folder / old_state).unlink(missing_ok=True)

    def _tables(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        masks = pl.DataFrame(self._masks, schema=SCHEMA, orient="row")
        rows = self._measured() if self._measured is not None else None
        older_masks, older_rows = self._older
        if older_masks is not None:
            masks = pl.concat([older_masks, masks])
        if older_rows is not None and rows is not None:
            rows = pl.concat([older_rows, rows])
        return masks, rows

    def _empty(self) -> None:
        self._masks, self._frames, self._chunk, self._bundle = [], 0, None, Bundle()
        self._older = (None, None)

    def compact(self) -> None:
        """Drop rows that a correction replaced. Each file stays whole, so it may be killed and done again."""
        if self.folder is None or not self.log.corrections:
            return
        passes, chunks = self.log.passes, self.log.chunks
        newest = [i for i, c in enumerate(chunks) if passes[c.way].correction == len(self.log.corrections)]
        for kind in ("chunk", "rows"):
            for old in range(min(newest, default=0)):
                later = [i for i in newest if _overlap(chunks[i], chunks[old])]
                paths = [p for p in (self._path(kind, i) for i in later) if p.exists()]
                if not paths or not self._path(kind, old).exists():
                    continue
                replaced = pl.concat([pl.read_parquet(path, columns=KEY, glob=False) for path in paths])
                table = pl.read_parquet(self._path(kind, old), glob=False)
                kept = table.join(replaced, on=KEY, how="anti", maintain_order="left")
                if len(kept) < len(table):
                    write_bytes(self._path(kind, old), parquet(kept))

    # ---- reading -------------------------------------------------------------------------------------------

    def masklets(self) -> Masklets | None:
        """All masks that count; None where they are not kept."""
        if not self.cadence.masks:
            return None
        if self.folder is not None:
            return Masklets.from_folder(self.folder, self.size)
        return Masklets([masks for masks, _ in self._kept], self.size)

    def rows(self) -> LongRows | None:
        """All rows that count, read from the chunks when asked for; None where nothing is measured."""
        if self._measured is None:
            return None
        parts: list[Reader] = []
        if self.folder is None:
            parts = [_in_memory(rows) for _, rows in self._kept if rows is not None]
        else:
            paths = [self._path("rows", i) for i in range(len(self.log.chunks))]
            parts = [on_disk(path) for path in paths if path.exists()]
        return LongRows(parts) if parts else None


def _in_memory(rows: pl.DataFrame) -> Reader:
    return lambda names: rows if names is None else rows.select(names)


def on_disk(path: Path) -> Reader:
    """What reads the rows of a chunk's file; measurements that an older version did not make are empty."""

    def read(names: list[str] | None) -> pl.DataFrame:
        try:
            table = pl.read_parquet(path, columns=names, parallel="none", glob=False)  # small files
        except pl.exceptions.ColumnNotFoundError:
            return read(None).select(names)
        absent = [c for c in COLUMNS if c not in table.columns] if names is None else []
        if not absent:
            return table
        added = table.with_columns(pl.lit(None, dtype=COLUMNS[c]).alias(c) for c in absent)
        return added.select(*COLUMNS, pl.exclude(*COLUMNS))

    return read


def _overlap(a: Chunk, b: Chunk) -> bool:
    spans = [sorted((c.first, c.last)) for c in (a, b)]
    return spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]


def _name(frame: int | None) -> str:
    return "begin" if frame is None else str(frame)
