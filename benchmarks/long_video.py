"""Memory over the length of a video: is what a run keeps constant?

Makes a video file of the given length (a small drawn eye; half a minute is drawn and repeated), follows its
pupil with a miniature network (random weights: masks are of no use, memories have their places and numbers)
and prints resident memory: when five minutes of video are done, at the end of tracking, after the tables and
the overlay were written, and the peak.

    python benchmarks/long_video.py --minutes 10
    python benchmarks/long_video.py --minutes 120     # 432,000 frames

`--model nano` takes the packaged network instead. The figures are of this process (Linux: /proc/self/statm).
Every run writes into a fresh folder, whose size is printed too.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ocusam.core.geometry import Ellipse
from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.writer import VideoWriter
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings


def resident_mb() -> float:
    """Resident memory of this process, MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Watch:
    """Progress callback that notes memory.

    Attributes:
        mark: frame at which five minutes are done.
        at_mark: memory there.
        tracked: memory after the last tracked frame.
        samples: (frame, memory) every so many frames.
    """

    mark: int
    every: int
    at_mark: float | None = None
    tracked: float = 0.0
    samples: list[tuple[int, float]] = field(default_factory=list)

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Called after every frame."""
        if what != "tracking":
            return
        if done == self.mark:
            self.at_mark = resident_mb()
        if done % self.every == 0 or done == total:
            self.tracked = resident_mb()
            self.samples.append((done, self.tracked))
            print(f"frame {done:>7}: {self.tracked:7.1f} MB resident", flush=True)


def write_video(path: Path, num_frames: int, fps: float, side: int) -> None:
    """A dark pupil in a grey iris that wanders about, with noise."""
    rng = np.random.default_rng(0)
    ground = rng.normal(170, 6, (side, side))
    loop = []
    for t in range(int(30 * fps)):
        angle = 2 * np.pi * t / (30 * fps)
        center = (side / 2 + side / 6 * np.sin(3 * angle), side / 2 + side / 10 * np.cos(2 * angle))
        picture = ground.copy()
        picture[Ellipse(center, (side * 0.6, side * 0.6), 0).mask((side, side))] = 110
        picture[Ellipse(center, (side * 0.25, side * 0.25), 0).mask((side, side))] = 25
        loop.append(np.clip(picture, 0, 255).astype(np.uint8))
    with VideoWriter(path, fps, (side, side)) as writer:
        for t in range(num_frames):
            writer.write(loop[t % len(loop)])


def predictor(name: str) -> SAM2VideoPredictor | str:
    """The packaged network by its name, or a miniature one with random weights."""
    if name != "miniature":
        return name
    torch.manual_seed(0)
    return SAM2VideoPredictor(make_network(get_config("miniature")), fill_hole_area=8)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the video (10)")
    parser.add_argument("--fps", type=float, default=60.0, help="frames per second (60)")
    parser.add_argument("--side", type=int, default=64, help="px of the square picture (64)")
    parser.add_argument("--model", default="miniature", help="miniature, or a name that `ocusam` knows")
    parser.add_argument("--overlay", action="store_true", help="draw overlay.mp4 too")
    parser.add_argument("--folder", type=Path, default=None, help="where video and run go (a temporary one)")
    options = parser.parse_args()
    num_frames = round(options.minutes * 60 * options.fps)
    watch = Watch(round(300 * options.fps), max(1, num_frames // 20))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        video, out = Path(folder) / "long.mp4", Path(folder) / "run"
        write_video(video, num_frames, options.fps, options.side)
        started = time.perf_counter()
        recording = track_eye(
            video,
            f"pupil:{options.side / 2},{options.side / 2 + options.side / 10}",
            model=predictor(options.model),
            out=out,
            settings=RunSettings(overlay=options.overlay),
            progress=watch,
        )
        seconds, after = time.perf_counter() - started, resident_mb()
        stored = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6
        memory = sum(p.stat().st_size for p in (out / "masklets").glob("*.safetensors")) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(f"{recording.num_frames} frames of {options.side} px, {options.model}: {seconds:.0f} s in all")
    if watch.at_mark is not None:
        print(f"resident after 5 minutes of video: {watch.at_mark:.1f} MB")
        print(f"growth from there to the last tracked frame: {watch.tracked - watch.at_mark:+.1f} MB")
    print(f"resident after the last tracked frame: {watch.tracked:.1f} MB, after the tables: {after:.1f} MB")
    print(f"peak: {peak:.1f} MB")
    print(f"on disk: {stored:.1f} MB, of which snapshots {memory:.1f} MB")


if __name__ == "__main__":
    main()
