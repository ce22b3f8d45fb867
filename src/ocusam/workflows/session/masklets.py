"""Masks on disk and in memory: COCO RLE in chunks of Parquet.

Purpose: `masklets/` of a run's folder, and the `Masklets` a caller gets.

Notable choices: one row per frame, view and object: scores and the mask as compressed COCO RLE (column-major,
readable by pycocotools) *of the whole picture*, whatever the view. Rows are written in chunks under a
temporary name and renamed, so a chunk is either whole or absent. An object that is absent on a frame has an
empty mask, not a missing row. Where an object was corrected, a later chunk holds its new rows; who reads the
files by hand takes the last row of a frame, view and object.

What it does not know: the memory a tracker needs to go on from a chunk (`resume`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pycocotools import mask as coco

from ocusam.core.errors import InputError
from ocusam.core.masklet import MaskPatch, ObjectFrame
from ocusam.workflows.session.atomic import write_bytes

SCHEMA: dict[str, type[pl.DataType]] = {
    "frame_idx": pl.Int64,
    "timestamp_ns": pl.Int64,
    "view": pl.Int64,
    "object": pl.String,
    "height": pl.Int64,
    "width": pl.Int64,
    "counts": pl.Binary,
    "predicted_iou": pl.Float64,
    "object_score": pl.Float64,
}
KEY = ["frame_idx", "view", "object"]
CHUNK_FRAMES = 500


def encode(mask: NDArray[np.bool_]) -> bytes:
    """Compressed COCO RLE counts of a mask (H, W)."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return bytes(rle["counts"])


def encode_patch(patch: MaskPatch, origin: tuple[int, int], size: tuple[int, int]) -> bytes:
    """As `encode`, of a patch of a view that begins at `origin` (x, y) in a picture of `size` (h, w)."""
    height, width = size
    x, y = patch.origin[0] + origin[0], patch.origin[1] + origin[1]
    columns = np.zeros((patch.inside.shape[1], patch.inside.shape[0] + 2), dtype=np.int8)
    columns[:, 1:-1] = patch.inside.T
    # Where runs begin and end, column by column; one that goes on into the next column has no end there.
    column, row = np.nonzero(np.diff(columns, axis=1))
    edges = (column + x) * height + row + y
    goes_on = np.flatnonzero(edges[1:] == edges[:-1])
    edges = np.delete(edges, np.concatenate([goes_on, goes_on + 1]))
    bounds = np.concatenate([[0], edges, [height * width]])
    counts = np.diff(bounds if not len(edges) or edges[-1] < height * width else bounds[:-1])
    rle = coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return bytes(rle["counts"])


def decode(counts: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (H, W) of compressed COCO RLE counts."""
    return np.asarray(coco.decode({"size": list(size), "counts": counts}), dtype=np.bool_)


def parquet(table: pl.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file."""
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()


def mask_rows(objects: list[ObjectFrame], size: tuple[int, int]) -> list[tuple[Any, ...]]:
    """Rows (as `SCHEMA`) of objects on one frame, masks in the whole picture of `size` (h, w)."""
    return [
        (
            item.frame_idx,
            item.timestamp_ns,
            item.view.index,
            item.name,
            *size,
            encode_patch(item.patch, item.view.region[:2], size),
            item.predicted_iou,
            item.object_score,
        )
        for item in objects
    ]


class MaskletWriter:
    """Collects rows and writes a chunk every `chunk_frames` frames; without a folder it keeps them in memory.

    Args:
        folder: where chunks go (made if absent), or None.
        size: (height, width) px of the whole picture.
        chunk_frames: frames a chunk.
    """

    def __init__(self, folder: Path | None, size: tuple[int, int], chunk_frames: int = CHUNK_FRAMES) -> None:
        self.folder = folder
        self.size = size
        self.chunk_frames = chunk_frames
        self._rows: list[tuple[Any, ...]] = []
        self._frames = 0
        self._chunks = 0
        self._kept: list[pl.DataFrame] = []

    def add(self, objects: list[ObjectFrame]) -> None:
        """Append all objects of one view on one frame."""
        self._rows += mask_rows(objects, self.size)
        self._frames += 1
        if self._frames >= self.chunk_frames:
            self.flush()

    def flush(self) -> None:
        """Write what is collected as one chunk."""
        if not self._rows:
            return
        table = pl.DataFrame(self._rows, schema=SCHEMA, orient="row")
        self._rows, self._frames = [], 0
        if self.folder is None:
            self._kept.append(table)
            return
        name = f"chunk_{self._chunks:05d}.parquet"
        self._chunks += 1
        write_bytes(self.folder / name, parquet(table))

    def finish(self) -> Masklets:
        """Write the last chunk and give the masklets to read."""
        self.flush()
        if self.folder is not None:
            return Masklets.from_folder(self.folder, self.size)
        return Masklets(self._kept, self.size)


class Masklets:
    """Objects' masks over a video, read when asked for.

    Args:
        parts: tables of rows or Parquet files of them, in the order of writing: where an object has two rows
            on a frame (it was corrected), the later one counts.
        size: (height, width) px of the whole picture.

    Attributes:
        size: (height, width) px of the masks: the whole picture.
        truncated: the video announced more frames than could be read; told by who tracked it.
    """

    def __init__(self, parts: Sequence[pl.DataFrame | Path], size: tuple[int, int]) -> None:
        self._parts = list(parts)
        self.size = size
        self.truncated = False
        self._spans: list[tuple[int, int]] | None = None
        self._cache: dict[int, dict[tuple[int, str], bytes]] = {}
        self._cached: tuple[int, int] = (0, 0)

    @classmethod
    def from_folder(cls, folder: str | Path, size: tuple[int, int] | None = None) -> Masklets:
        """The masklets of a run's `masklets` folder.

        Raises:
            InputError: the folder holds none.
        """
        chunks = sorted(Path(folder).glob("chunk_*.parquet"))
        if not chunks:
            raise InputError(f"{folder} holds no masklets (chunk_*.parquet).")
        if size is None:
            first = pl.scan_parquet(chunks, glob=False).select("height", "width").head(1).collect()
            size = (int(first["height"][0]), int(first["width"][0]))
        return cls(chunks, size)

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Masklets:
        """No masks at all."""
        return cls([], size)

    @property
    def table(self) -> pl.DataFrame:
        """All rows without the masks: frame_idx, timestamp_ns, view, object, predicted_iou, object_score."""
        rows = self._read([*KEY, "timestamp_ns", "predicted_iou", "object_score"])
        columns = ["frame_idx", "timestamp_ns", "view", "object", "predicted_iou", "object_score"]
        return rows.select(columns).sort(KEY)

    @property
    def objects(self) -> list[str]:
        """Names of the objects."""
        return sorted(self._read(["object"], unique=["object"])["object"].to_list())

    @property
    def num_frames(self) -> int:
        """Number of frames that have rows."""
        return len(self._read(["frame_idx"], unique=["frame_idx"]))

    def masks(self, frame_idx: int) -> dict[tuple[int, str], NDArray[np.bool_]]:
        """(view, object) -> mask (H, W) of one frame; empty when the frame was not tracked.

        Going through the frames in order reads every chunk once."""
        return {key: decode(counts, self.size) for key, counts in self._counts(frame_idx).items()}

    def mask(self, frame_idx: int, name: str, view: int = 0) -> NDArray[np.bool_]:
        """One object's mask (H, W) on one frame.

        Raises:
            InputError: no such frame, object or view.
        """
        counts = self._counts(frame_idx).get((view, name))
        if counts is None:
            raise InputError(
                f"No mask of {name!r} in view {view} on frame {frame_idx}; objects: "
                f"{', '.join(self.objects)}."
            )
        return decode(counts, self.size)

    def __iter__(self) -> Iterator[tuple[int, dict[tuple[int, str], NDArray[np.bool_]]]]:
        """(frame_idx, masks) in order of time."""
        for frame_idx in sorted(self._read(["frame_idx"], unique=["frame_idx"])["frame_idx"].to_list()):
            yield frame_idx, self.masks(frame_idx)

    def _read(self, columns: list[str], unique: list[str] = KEY) -> pl.DataFrame:
        """Some columns of all rows that count."""
        tables = [
            part.select(columns)
            if isinstance(part, pl.DataFrame)
            else pl.read_parquet(part, columns=columns, glob=False)
            for part in self._parts
        ]
        if not tables:
            return pl.DataFrame(schema={c: SCHEMA[c] for c in columns})
        return pl.concat(tables).unique(subset=unique, keep="last", maintain_order=True)

    def _counts(self, frame_idx: int) -> dict[tuple[int, str], bytes]:
        """The RLEs of a frame. What is read reaches from the frame to where the chunk with it ends."""
        first, last = self._cached
        if not first <= frame_idx < last:
            spans = self._frame_spans()
            ends = [b for a, b in spans if a <= frame_idx <= b]
            # As far as the shortest chunk that holds the frame; a chunk that begins before that is read too.
            last = min(ends, default=frame_idx) + 1
            self._cache, self._cached = {}, (frame_idx, last)
            wanted = pl.col("frame_idx").is_between(frame_idx, last, closed="left")
            for part, (a, b) in zip(self._parts, spans, strict=True):
                if a < last and b >= frame_idx:
                    rows = pl.read_parquet(part, glob=False) if isinstance(part, Path) else part
                    for frame, view, name, counts in rows.filter(wanted).select(*KEY, "counts").iter_rows():
                        self._cache.setdefault(frame, {})[view, name] = counts
        return self._cache.get(frame_idx, {})

    def _frame_spans(self) -> list[tuple[int, int]]:
        """First and last frame of every part, read once; (0, -1) of an empty one."""
        if self._spans is None:
            self._spans = []
            for part in self._parts:
                rows = (
                    pl.read_parquet(part, columns=["frame_idx"], glob=False)
                    if isinstance(part, Path)
                    else part
                )
                frames = rows["frame_idx"]
                self._spans.append((int(frames.min()), int(frames.max())) if len(frames) else (0, -1))  # type: ignore[arg-type]
        return self._spans
