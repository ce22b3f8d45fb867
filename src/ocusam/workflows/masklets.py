"""Masks on disk and in memory: COCO RLE in chunks of Parquet.

Purpose: `masklets/` of a run's folder, and the `Masklets` a caller gets.

Notable choices: one row per frame, view and object: scores and the mask as compressed COCO RLE (column-major,
readable by pycocotools) *of the whole picture*, whatever the view. Rows are written in chunks under a
temporary name and renamed, so a chunk is either whole or absent. An object that is absent on a frame has an
empty mask, not a missing row.

What it does not know: the memory a tracker needs to go on from a chunk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pycocotools import mask as coco

from ocusam.core.errors import InputError, OutputError
from ocusam.core.masklet import ObjectFrame

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
CHUNK_FRAMES = 500


def encode(mask: NDArray[np.bool_]) -> bytes:
    """Compressed COCO RLE counts of a mask (H, W)."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return bytes(rle["counts"])


def decode(counts: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (H, W) of compressed COCO RLE counts."""
    return np.asarray(coco.decode({"size": list(size), "counts": counts}), dtype=np.bool_)


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
        for item in objects:
            mask = item.mask
            if item.view.size != self.size:
                whole = np.zeros(self.size, dtype=np.bool_)
                x0, y0, x1, y1 = item.view.region
                whole[y0:y1, x0:x1] = mask
                mask = whole
            self._rows.append(
                (
                    item.frame_idx,
                    item.timestamp_ns,
                    item.view.index,
                    item.name,
                    *self.size,
                    encode(mask),
                    item.predicted_iou,
                    item.object_score,
                )
            )
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
        temporary = self.folder / f".{name}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            table.write_parquet(temporary)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"Cannot write the masks to {self.folder} ({error}).") from None

    def finish(self) -> Masklets:
        """Write the last chunk and give the masklets to read."""
        self.flush()
        if self.folder is not None:
            return Masklets.from_folder(self.folder, self.size)
        table = pl.concat(self._kept) if self._kept else pl.DataFrame(schema=SCHEMA)
        return Masklets(table.lazy(), self.size)


class Masklets:
    """Objects' masks over a video, read when asked for.

    Attributes:
        size: (height, width) px of the masks: the whole picture.
    """

    def __init__(self, rows: pl.LazyFrame, size: tuple[int, int]) -> None:
        self._rows = rows
        self.size = size
        self._cache: dict[tuple[int, int, str], bytes] = {}
        self._cached: tuple[int, int] = (0, -1)

    @classmethod
    def from_folder(cls, folder: str | Path, size: tuple[int, int] | None = None) -> Masklets:
        """The masklets of a run's `masklets` folder.

        Raises:
            InputError: the folder holds none.
        """
        chunks = sorted(Path(folder).glob("chunk_*.parquet"))
        if not chunks:
            raise InputError(f"{folder} holds no masklets (chunk_*.parquet).")
        rows = pl.scan_parquet(chunks)
        if size is None:
            first = rows.select("height", "width").head(1).collect()
            size = (int(first["height"][0]), int(first["width"][0]))
        return cls(rows, size)

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Masklets:
        """No masks at all."""
        return cls(pl.DataFrame(schema=SCHEMA).lazy(), size)

    @property
    def table(self) -> pl.DataFrame:
        """All rows without the masks: frame_idx, timestamp_ns, view, object, predicted_iou, object_score."""
        keep = ["frame_idx", "timestamp_ns", "view", "object", "predicted_iou", "object_score"]
        return self._rows.select(keep).sort("frame_idx", "view", "object").collect()

    @property
    def objects(self) -> list[str]:
        """Names of the objects."""
        return sorted(self._rows.select(pl.col("object").unique()).collect()["object"].to_list())

    @property
    def num_frames(self) -> int:
        """Number of frames that have rows."""
        return int(self._rows.select(pl.col("frame_idx").n_unique()).collect().item())

    def masks(self, frame_idx: int) -> dict[tuple[int, str], NDArray[np.bool_]]:
        """(view, object) -> mask (H, W) of one frame; empty when the frame was not tracked.

        Reads ahead: going through the frames in order costs one read of the files for every chunk's
        length."""
        self._load(frame_idx)
        return {
            (view, name): decode(counts, self.size)
            for (frame, view, name), counts in self._cache.items()
            if frame == frame_idx
        }

    def mask(self, frame_idx: int, name: str, view: int = 0) -> NDArray[np.bool_]:
        """One object's mask (H, W) on one frame.

        Raises:
            InputError: no such frame, object or view.
        """
        self._load(frame_idx)
        counts = self._cache.get((frame_idx, view, name))
        if counts is None:
            raise InputError(
                f"No mask of {name!r} in view {view} on frame {frame_idx}; objects: "
                f"{', '.join(self.objects)}."
            )
        return decode(counts, self.size)

    def __iter__(self) -> Iterator[tuple[int, dict[tuple[int, str], NDArray[np.bool_]]]]:
        """(frame_idx, masks) in order of time."""
        for frame_idx in sorted(
            self._rows.select(pl.col("frame_idx").unique()).collect()["frame_idx"].to_list()
        ):
            yield frame_idx, self.masks(frame_idx)

    def _load(self, frame_idx: int) -> None:
        first, last = self._cached
        if first <= frame_idx < last:
            return
        span = (frame_idx, frame_idx + CHUNK_FRAMES)
        part = self._rows.filter(pl.col("frame_idx").is_between(*span, closed="left"))
        rows = part.select("frame_idx", "view", "object", "counts").collect()
        self._cache = {(f, v, o): c for f, v, o, c in rows.iter_rows()}
        self._cached = span
