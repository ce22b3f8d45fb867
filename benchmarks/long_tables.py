"""How much memory do the tables of a long recording take while they are made?

    python benchmarks/long_tables.py --rows 36000     # ten minutes at 60 frames per second
    python benchmarks/long_tables.py --rows 432000    # two hours

Draws the measured rows of one pupil (it moves slowly and is lost on 8 of every 300 frames), stores them in
chunks of 500 as a run does, and makes and writes all tables as at the end of `ocusam eye`. Printed: resident
memory of the process before, once all packages are imported, and after, and the largest in between (Linux:
/proc/self). The report and the overlay are left out; `long_video.py` has the whole job.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pymovements
from long_video import peak_mb, resident_mb

from ocusam.core.masklet import View
from ocusam.eye.signals import COLUMNS
from ocusam.workflows.results.eye_tables import make_tables, named
from ocusam.workflows.session.run_folder import RunFolder

CHUNK = 500


def drawn(first: int, last: int) -> pl.DataFrame:
    """Rows of the frames `first` to `last`, exclusive."""
    rng, frames = np.random.default_rng(first), np.arange(first, last)
    lost = frames % 300 < 8
    x = 32 + 10 * np.sin(frames / 200) + rng.normal(0, 0.05, len(frames))
    numbers = {
        "center_x_px": x,
        "center_y_px": x,
        "major_px": 16 + rng.normal(0, 0.05, len(frames)),
        "minor_px": 15 + rng.normal(0, 0.05, len(frames)),
        "area_px": 200 + x,
    }
    texts = {"object": "pupil", "edge": "picture"}
    columns: dict[str, list[object]] = {}
    for name, kind in COLUMNS.items():
        values = numbers.get(name, np.full(len(frames), 0.5))
        plain = 1 if kind == pl.Int64 else None
        columns[name] = [
            None if gone else texts.get(name, plain if plain is not None else float(value))
            for gone, value in zip(lost, values, strict=True)
        ]
    columns |= {
        "frame_idx": frames.tolist(),
        "timestamp_ns": (frames * 16_666_667).tolist(),
        "view": [0] * len(frames),
        "object": ["pupil"] * len(frames),
        "state": ["lost" if gone else "tracked" for gone in lost],
        "object_score": np.where(lost, -5.0, 5.0).tolist(),
    }
    return pl.DataFrame({name: columns[name] for name in COLUMNS}, schema=COLUMNS)


def show(what: str) -> None:
    """Print what there is and was."""
    now, peak = resident_mb(), peak_mb()
    print(f"{what:<24} resident {now:7.1f} MB, peak {peak:7.1f} MB, {time.process_time():6.1f} s", flush=True)


def main() -> None:
    """Draw, make, write, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=36_000, help="rows of the recording (36,000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for first in range(0, options.rows, CHUNK):
            paths.append(Path(folder) / f"rows_{first:08d}.parquet")
            drawn(first, min(first + CHUNK, options.rows)).write_parquet(paths[-1])
        show(f"before, pymovements {pymovements.__version__}")

        def rows() -> pl.DataFrame:
            return pl.concat([pl.read_parquet(path) for path in paths], rechunk=False)

        tables = make_tables(rows(), [View(0, (0, 0, 64, 64))])
        show("tables made")
        with RunFolder(Path(folder) / "run", {}) as run:
            for name, table in named(tables).items():
                run.write_table(name, table)
        show("tables written")
        print(f"signals: {tables.signals.estimated_size() / 1e6:.1f} MB in {tables.signals.width} columns")


if __name__ == "__main__":
    main()
