"""How large is report.html of a long recording, and how long does it take to make?

    python benchmarks/report_size.py --minutes 10 --hz 60 --out report_60
    python benchmarks/report_size.py --minutes 10 --hz 200 --out report_200

The signals are those of the renderer's motion model (saccades, drift, blinks, pupil size) with noise; pupil,
iris and one reflection. The pictures are eight rendered frames over and over, with their noise, since what
counts is their size as JPEG. No network runs. Printed: bytes of the page and of its parts, and processor
time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.eye.reflection import with_pupil_cr_vectors
from ocusam.eye.signals import COLUMNS
from ocusam.report.html import render
from ocusam.synthetic.eye import iter_eye_frames, lab_style
from ocusam.synthetic.motion import EyeMotion
from ocusam.video.source import Frame, VideoSource
from ocusam.workflows.results.eye_tables import make_tables
from ocusam.workflows.results.report import thumbnails

SIZE = (480, 640)


class Repeated(VideoSource):
    """A few rendered pictures over and over."""

    def __init__(self, count: int, hz: float) -> None:
        grey = [f.image for f in iter_eye_frames(1, 8, SIZE, 4.0, lab_style())]
        self._pictures = [np.repeat(g[..., None], 3, axis=-1) for g in grey]
        self._count, self._hz = count, hz

    @property
    def size(self) -> tuple[int, int]:
        return SIZE

    @property
    def num_frames(self) -> int:
        return self._count

    @property
    def fps(self) -> float:
        return self._hz

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return np.round(np.arange(self._count) * 1e9 / self._hz).astype(np.int64)

    def read(self, frame_idx: int) -> Frame:
        picture = self._pictures[frame_idx % len(self._pictures)]
        return Frame(frame_idx, round(frame_idx * 1e9 / self._hz), picture)

    def close(self) -> None:
        return


def signals(count: int, hz: float) -> pl.DataFrame:
    """Pupil, iris and one reflection as a tracker might deliver them."""
    style, rng = lab_style(1), np.random.default_rng(0)
    motion = EyeMotion(style.motion, style.light, style.camera, hz, rng)
    states = [motion.advance() for _ in range(count)]
    gaze = np.array([s.gaze for s in states])
    wide = 2 * 86.0 * np.array([s.pupil_ratio for s in states])
    open_share = 1.0 - np.array([s.blink for s in states])
    noise = rng.normal(0, 0.08, (count, 4))
    table = []
    sizes = {"pupil": wide, "iris": np.full(count, 172.0), "cr": np.full(count, 9.0)}
    for name, size in sizes.items():
        gain = 1.4 if name == "cr" else 2.7
        least = 0.45 if name == "pupil" else 0.25
        seen = open_share > least
        area = np.pi / 4 * size**2 * np.clip(open_share * 1.3, 0, 1)
        rows = {
            "frame_idx": np.arange(count),
            "timestamp_ns": np.round(np.arange(count) * 1e9 / hz).astype(np.int64),
            "view": np.zeros(count, np.int64), "object": [name] * count,
            "state": np.where(seen, "tracked", "lost"), "center_x_px": 320 + gain * gaze[:, 0] + noise[:, 0],
            "center_y_px": 240 + gain * gaze[:, 1] + noise[:, 1], "major_px": size + noise[:, 2],
            "minor_px": size * 0.97 + noise[:, 3], "angle_deg": np.full(count, 40.0), "area_px": area,
            "predicted_iou": np.where(rng.random(count) < 0.002, 0.3, 0.9),
            "object_score": np.where(seen, 4.0, -3.0),
            "rim_share": np.clip(open_share * 1.2, 0, 1), "fit_rms_px": np.full(count, 0.3),
            "parts": np.ones(count, np.int64), "edge": ["picture"] * count,
            "center_sd_px": np.full(count, 0.05),
        }  # fmt: skip
        part = pl.DataFrame(rows)
        missing = {c: pl.lit(None, dtype=t) for c, t in COLUMNS.items() if c not in part.columns}
        part = part.with_columns(**missing).select(*COLUMNS)
        measured = [c for c in COLUMNS if c.endswith(("_px", "_deg")) or c in ("rim_share", "parts", "edge")]
        table.append(part.with_columns(pl.when(pl.Series(seen)).then(pl.col(c)).alias(c) for c in measured))
    return with_pupil_cr_vectors(pl.concat(table).sort("frame_idx", "object"))


def main() -> None:
    """Make the page and print its size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--hz", type=float, default=60.0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    count = round(given.minutes * 60 * given.hz)
    marks = [time.process_time()]
    tables = make_tables(signals(count, given.hz))
    marks.append(time.process_time())
    record = {"input": {"path": "long.mp4", "size_hw": list(SIZE)}, "ocusam": "benchmark"}
    with TemporaryFile() as spool:
        pictures = thumbnails(Repeated(count, given.hz), tables, None, spool)
        page = render(tables, record, pictures)
    marks.append(time.process_time())
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.html").write_text(page, encoding="utf-8")
    parts = {name: _length(page, name) for name in ("figures", "pictures")}
    print(
        f"{given.minutes:g} minutes at {given.hz:g} Hz ({count} frames, {len(tables.blinks)} blinks, "
        f"{len(tables.events)} events, {len(pictures)} pictures): {len(page.encode()) / 1e6:.1f} MB, of "
        f"which figures {parts['figures'] / 1e6:.1f}, pictures {parts['pictures'] / 1e6:.1f}; processor "
        f"time: tables {marks[1] - marks[0]:.0f} s, page {marks[2] - marks[1]:.0f} s"
    )


def _length(page: str, name: str) -> int:
    start = page.index(f'id="{name}">')
    return page.index("</script>", start) - start


if __name__ == "__main__":
    main()
