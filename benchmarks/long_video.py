"""Memory over the length of a video: is what a run keeps constant?

Makes a video file of the given length (a small drawn eye that is gone for 0.2 s every five seconds; half a
minute is drawn and repeated), follows its pupil with the real job of `ocusam eye` and prints resident memory:
when five minutes of video are done, at the end of tracking, after the tables and the report were written, and
the peaks of both parts.

    python benchmarks/long_video.py --minutes 10
    python benchmarks/long_video.py --minutes 120                     # 432,000 frames
    python benchmarks/long_video.py --minutes 120 --outlines mask --glints off    # in a quarter of the time

The network is a scripted one (what is dark is pupil; memories have the places and sizes of the miniature
network's), so that time is that of everything else. `--model miniature` takes the miniature network with
random weights (masks are of no use then), `--model nano` the packaged one. The figures are of this process
(Linux: /proc/self). Every run writes into a fresh folder, whose size is printed too.

Most of the time goes into fitting the pupil's outline to the picture's edge, frame by frame, which keeps
nothing from one frame to the next, and into looking for reflections. `--outlines mask` leaves out the first
(ellipses by the mask, as where the picture's edge is not clear), `--glints off` the second; compare ten
minutes with and without before believing a long run without. Every line printed while tracking has all
figures so far, so a run that is broken off has told what it found.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ocusam.core.geometry import Ellipse
from ocusam.eye import signals
from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, StepOutput
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.writer import VideoWriter
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings


class Scripted(SAM2):
    """No network: dark is pupil. Its "features" are the picture at mask size, its memories are zeros."""

    def encode_image(self, images_b3hw: Tensor) -> ImageFeatures:
        """The picture's brightness at mask size."""
        side, cells = self.config.low_res_size, self.config.image_size // 16
        grey = F.interpolate(images_b3hw.mean(dim=1, keepdim=True), size=(side, side), mode="area")
        none = torch.zeros(1, self.config.hidden_dim, cells, cells)
        return ImageFeatures(none, (grey, grey[..., ::2, ::2]))

    def track_step(self, features: ImageFeatures, **prompts: Any) -> StepOutput:
        """What is darker than an iris, or nothing."""
        low = (-0.8 - features.high_res[0]) * 20.0
        here = bool((low > 0).any())
        side, rows = self.config.image_size, len(low)
        high = F.interpolate(low, size=(side, side), mode="bilinear", align_corners=False)
        score = torch.full((rows, 1), 5.0 if here else -5.0)
        low = low if here else torch.full_like(low, -1024.0)
        pointer = torch.zeros(rows, self.config.hidden_dim)
        return StepOutput(low, high, torch.full((rows,), 0.9), score, pointer, None)

    def encode_memory(
        self, features: ImageFeatures, mask_logits_b1hw: Tensor, *args: Any, **kw: Any
    ) -> Tensor:
        """Zeros in the shape of a memory."""
        cells = self.config.image_size // 16
        return torch.zeros(len(mask_logits_b1hw), self.config.mem_dim, cells, cells)


def peak_mb() -> float:
    """Largest resident memory since the last call, MB."""
    status = Path("/proc/self/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    Path("/proc/self/clear_refs").write_text("5")
    return peak * 1024 / 1e6


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
        peak: largest until then.
        peak_since: largest since the mark.
        spent: processor time until then, s.
        samples: (frame, memory) every so many frames.
    """

    mark: int
    every: int
    at_mark: float | None = None
    tracked: float = 0.0
    peak: float = 0.0
    peak_since: float = 0.0
    spent: float = 0.0
    samples: list[tuple[int, float]] = field(default_factory=list)

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Called after every frame."""
        if what != "tracking":
            return
        if done % self.every == 0 or done in (self.mark, total):
            self.tracked, self.spent = resident_mb(), time.process_time()
            lately = peak_mb()
            self.peak = max(self.peak, lately)
            self.samples.append((done, self.tracked))
            since = ""
            if done == self.mark:
                self.at_mark = self.tracked
            elif self.at_mark is not None:
                self.peak_since = max(self.peak_since, lately)
                most = self.peak_since - self.at_mark
                since = f", since minute 5 {self.tracked - self.at_mark:+.1f} MB, at most {most:+.1f} MB"
            print(
                f"frame {done:>7}: {self.tracked:7.1f} MB resident, peak {self.peak:.1f} MB{since}; "
                f"{self.spent:.0f} s of processor time",
                flush=True,
            )


def write_video(path: Path, num_frames: int, fps: float, side: int) -> None:
    """A dark pupil in a grey iris that wanders about and vanishes now and then, with noise."""
    rng = np.random.default_rng(0)
    ground = rng.normal(170, 6, (side, side))
    loop = []
    for t in range(int(30 * fps)):
        angle = 2 * np.pi * t / (30 * fps)
        if 2 * fps <= t % (5 * fps) < 2.2 * fps:  # nothing in sight, every five seconds
            loop.append(np.clip(ground, 0, 255).astype(np.uint8))
            continue
        center = (side / 2 + side / 6 * np.sin(3 * angle), side / 2 + side / 10 * np.cos(2 * angle))
        picture = ground.copy()
        picture[Ellipse(center, (side * 0.6, side * 0.6), 0).mask((side, side))] = 110
        picture[Ellipse(center, (side * 0.25, side * 0.25), 0).mask((side, side))] = 25
        loop.append(np.clip(picture, 0, 255).astype(np.uint8))
    with VideoWriter(path, fps, (side, side)) as writer:
        for t in range(num_frames):
            writer.write(loop[t % len(loop)])


def predictor(name: str) -> SAM2VideoPredictor | str:
    """A network by its name, or one of the two small ones."""
    if name == "scripted":
        return SAM2VideoPredictor(Scripted(get_config("miniature")).eval(), fill_hole_area=0)
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
    parser.add_argument(
        "--model", default="scripted", help="scripted, miniature, or a name that `ocusam` knows"
    )
    parser.add_argument(
        "--outlines",
        choices=("picture", "mask"),
        default="picture",
        help="what ellipses are fitted to: the picture's edge, as `ocusam eye` does, or the mask alone",
    )
    parser.add_argument("--glints", choices=("auto", "off"), default="auto", help="as of `ocusam eye` (auto)")
    parser.add_argument("--overlay", action="store_true", help="draw overlay.mp4 too")
    parser.add_argument("--folder", type=Path, default=None, help="where video and run go (a temporary one)")
    options = parser.parse_args()
    num_frames = round(options.minutes * 60 * options.fps)
    # As a rule where chunks end, so that what waits to be written does not show.
    every = max(1, num_frames // 10_000) * 500 if num_frames >= 2000 else max(1, num_frames // 20)
    watch = Watch(round(300 * options.fps), every)
    if options.outlines == "mask":
        signals.refine_rim = lambda *_: None
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        video, out = Path(folder) / "long.mp4", Path(folder) / "run"
        write_video(video, num_frames, options.fps, options.side)
        started, before = time.perf_counter(), time.process_time()
        peak_mb()
        recording = track_eye(
            video,
            f"pupil:{options.side / 2},{options.side / 2 + options.side / 10}",
            model=predictor(options.model),
            out=out,
            settings=RunSettings(overlay=options.overlay, glints=options.glints),
            progress=watch,
        )
        seconds, after, tables = time.perf_counter() - started, resident_mb(), peak_mb()
        at_end = time.process_time()
        stored = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6
        memory = sum(p.stat().st_size for p in (out / "masklets").glob("*.safetensors")) / 1e6
    print(f"{recording.num_frames} frames of {options.side} px, {options.model}: {seconds:.0f} s in all")
    each = (watch.spent - before) / recording.num_frames
    print(f"processor time: {1e3 * each:.2f} ms a frame tracked, {at_end - watch.spent:.1f} s for the rest")
    print(f"{len(recording.blinks)} blinks, {len(recording.events)} events")
    if watch.at_mark is not None:
        print(f"resident after 5 minutes of video: {watch.at_mark:.1f} MB")
        print(
            f"growth from there: last tracked frame {watch.tracked - watch.at_mark:+.1f} MB, largest while "
            f"tracking {watch.peak_since - watch.at_mark:+.1f} MB, largest to the end of everything "
            f"{max(watch.peak_since, tables) - watch.at_mark:+.1f} MB"
        )
    half = [(done, mb) for done, mb in watch.samples if done >= num_frames / 4]
    if len(half) >= 3:
        slope = np.polyfit(*zip(*half, strict=True), 1)[0]
        print(f"slope from a quarter of the video on: {slope * 1e5:+.1f} MB in 100,000 frames")
    print(f"resident after the last tracked frame: {watch.tracked:.1f} MB, after the tables: {after:.1f} MB")
    print(f"peak while tracking: {watch.peak:.1f} MB, while making tables and report: {tables:.1f} MB")
    print(f"on disk: {stored:.1f} MB, of which snapshots {memory:.1f} MB")


if __name__ == "__main__":
    main()
