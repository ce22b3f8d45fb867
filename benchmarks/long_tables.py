"""How much memory do the tables and the report of a long recording take while they are made?

    python benchmarks/long_tables.py --frames 36000                # ten minutes at 60 frames per second
    python benchmarks/long_tables.py --frames 432000               # two hours
    python benchmarks/long_tables.py --frames 432000 --objects 4   # and of pupil, iris, sclera, reflection

Draws the measured rows of an eye (the renderer's saccades, drifts, blinks and pupil changes, without
pictures), stores them in chunks of 500 frames as a run does, and makes and writes the tables and the report
(250 pictures of 320 x 240 px noise) as at the end of `ocusam eye`. Printed: resident memory of the process
before, and after each step, and the largest in between (Linux: /proc/self). --out keeps the files, to
compare them with those of another version. The overlay is left out; `long_video.py` has the whole job.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from long_video import peak_mb, resident_mb
from numpy.typing import NDArray

from ocusam.core.masklet import View
from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import COLUMNS
from ocusam.synthetic.eye import lab_style
from ocusam.synthetic.motion import EyeMotion
from ocusam.video.source import Frame, VideoSource
from ocusam.workflows.results.eye_tables import make_tables, named
from ocusam.workflows.results.report import finish_report
from ocusam.workflows.session.run_folder import RunFolder
from ocusam.workflows.session.session_files import on_disk

CHUNK, HZ, SIZE = 500, 60.0, (240, 320)
# Usual diameter px, least opening at which it is seen, px of movement a degree, of every object.
OBJECTS = {
    "pupil": (40.0, 0.45, 2.7), "iris": (110.0, 0.2, 2.7), "sclera": (160.0, 0.1, 2.7),
    "cr0": (6.0, 0.4, 1.4),
}  # fmt: skip


class Noise(VideoSource):
    """A video without a file."""

    def __init__(self, count: int) -> None:
        self._count = count

    @property
    def size(self) -> tuple[int, int]:
        return SIZE

    @property
    def num_frames(self) -> int:
        return self._count

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return np.round(np.arange(self._count) * 1e9 / HZ).astype(np.int64)

    def read(self, frame_idx: int) -> Frame:
        rng = np.random.default_rng(frame_idx)
        picture = rng.integers(60, 160, (*SIZE, 1), dtype=np.uint8).repeat(3, axis=2)
        return Frame(frame_idx, round(frame_idx * 1e9 / HZ), picture)


def chunks(count: int, names: list[str]) -> Iterator[pl.DataFrame]:
    """Rows, 500 frames at a time."""
    style, rng = lab_style(1), np.random.default_rng(0)
    motion = EyeMotion(style.motion, style.light, style.camera, HZ, rng)
    for first in range(0, count, CHUNK):
        frames = np.arange(first, min(first + CHUNK, count))
        states = [motion.advance() for _ in frames]
        gaze = np.array([s.gaze for s in states])
        opening = 1.0 - np.array([s.blink for s in states])
        widths = np.array([s.pupil_ratio for s in states])
        tables = []
        for name in names:
            usual, least, gain = OBJECTS[name]
            size = usual * (widths / 0.4 if name == "pupil" else np.ones(len(frames)))
            noise, seen = rng.normal(0, 0.05, (4, len(frames))), opening > least
            numbers = {
                "center_x_px": 160 + gain * gaze[:, 0] + noise[0],
                "center_y_px": 120 + gain * gaze[:, 1] + noise[1],
                "major_px": size + noise[2], "minor_px": 0.96 * size + noise[3],
                "angle_deg": np.full(len(frames), 40.0),
                "area_px": np.pi / 4 * size**2 * np.clip(1.2 * opening, 0, 1), "rim_share": opening,
                "fit_rms_px": np.full(len(frames), 0.05), "center_sd_px": np.full(len(frames), 0.04),
                "major_sd_px": np.full(len(frames), 0.04), "minor_sd_px": np.full(len(frames), 0.04),
            }  # fmt: skip
            table = pl.DataFrame(
                {
                    "frame_idx": frames, "timestamp_ns": np.round(frames * 1e9 / HZ).astype(np.int64),
                    "predicted_iou": np.where(rng.random(len(frames)) < 0.002, 0.3, 0.9),
                    "object_score": np.where(seen, 4.0, -3.0),
                }
            )  # fmt: skip
            tracked = pl.Series(seen)
            table = table.with_columns(
                pl.lit(0, dtype=pl.Int64).alias("view"),
                pl.lit(name).alias("object"),
                pl.when(tracked).then(pl.lit("tracked")).otherwise(pl.lit("lost")).alias("state"),
                pl.when(tracked).then(pl.lit(1, dtype=pl.Int64)).alias("parts"),
                pl.when(tracked).then(pl.lit("picture")).alias("edge"),
                *(pl.when(tracked).then(pl.Series(v)).alias(c) for c, v in numbers.items()),
            )
            absent = [pl.lit(None, dtype=t).alias(c) for c, t in COLUMNS.items() if c not in table.columns]
            tables.append(table.with_columns(absent).select(*COLUMNS))
        yield pl.concat(tables).sort("frame_idx", "view", "object")


def show(what: str) -> None:
    """Print what there is and was."""
    now, peak = resident_mb(), peak_mb()
    print(f"{what:<16} resident {now:7.1f} MB, peak {peak:7.1f} MB, {time.process_time():6.1f} s", flush=True)


def main() -> None:
    """Draw, make, write, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=36_000, help="frames of the recording (36,000)")
    parser.add_argument("--objects", type=int, default=1, help="objects, 1 to 4 (1)")
    parser.add_argument("--out", type=Path, help="folder for the files, kept (a temporary one)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = []
        for number, rows in enumerate(chunks(options.frames, list(OBJECTS)[: options.objects])):
            paths.append(folder / f"rows_{number:05d}.parquet")
            rows.write_parquet(paths[-1])
        show("before")
        tables = make_tables(LongRows([on_disk(path) for path in paths]), [View(0, (0, 0, *SIZE[::-1]))])
        show("tables made")
        with RunFolder(options.out or folder / "run", {"input": {"size_hw": list(SIZE)}}) as run:
            for name, table in named(tables).items():
                run.write_table(name, table)
            show("tables written")
            finish_report(run, tables, Noise(options.frames), None)
            show("report written")
            sizes = {p.name: p.stat().st_size for p in run.path.iterdir()}
    print(f"{len(tables.blinks)} blinks, {len(tables.events)} events, {len(tables.doubtful)} doubtful frames")
    print(", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sorted(sizes.items())))


if __name__ == "__main__":
    main()
