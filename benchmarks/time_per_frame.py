"""Time of a tracked frame against input size, number of objects and length of the video, as a picture.

    python benchmarks/time_per_frame.py [--clock processor] [--length 400] [--json times.json]
        [--svg docs/images/time_per_frame.svg]

`nano` with the packaged weights, one thread, float32, memory bank full: image encoder, memory attention, mask
decoder, memory encoder; the median of some frames. Against the length: the same at 160 px along one pass
of `--length` frames, averaged over tens, with nothing cut from what a pass does between frames (the bank
fills at its beginning). `--clock processor` (the default) hardly minds other programs, `--clock wall` wants
an idle machine. The picture needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network_speed import REMEMBERED, Ours

from ocusam.model.build import at_size
from ocusam.model.sam2 import SAM2
from ocusam.tracking.build import build_sam2
from ocusam.tracking.video_predictor import SAM2VideoPredictor

SIZES = (128, 160, 192, 256, 320, 384)
OBJECTS = (1, 2, 4, 8)
CLOCKS: dict[str, Callable[[], float]] = {"processor": time.process_time, "wall": time.perf_counter}


def noise(side: int) -> np.ndarray[Any, Any]:
    """A picture; what is on it does not matter for time."""
    return np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)


def full_bank(network: SAM2, objects: int, repeats: int, clock: Callable[[], float]) -> float:
    """Median ms a frame."""
    ours = Ours(network, noise(network.config.image_size), objects, REMEMBERED + repeats + 3)
    ours.step()
    times = []
    for _ in range(repeats):
        start = clock()
        ours.step()
        times.append(1e3 * (clock() - start))
    return round(statistics.median(times), 2)


def along(network: SAM2, frames: int, clock: Callable[[], float]) -> dict[int, float]:
    """Mean ms of every ten frames of one pass, by the last frame's number."""
    side = network.config.image_size
    predictor = SAM2VideoPredictor(network)
    # An iterable is read and encoded when its frame is wanted, so times belong to their frames.
    state = predictor.init_state(picture for picture in [noise(side)] * frames)
    predictor.add_new_points_or_box(state, 0, 0, points=[[side / 2, side / 2]], labels=[1])
    out, start = {}, clock()
    for output in predictor.propagate(state):
        if output.frame_idx % 10 == 9:
            now = clock()
            out[output.frame_idx] = round(1e2 * (now - start), 2)
            start = now
    return out


def draw(found: dict[str, Any], path: Path) -> None:
    """Three curves beside each other."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "ocusam", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    titles = {
        "size": "side of the input, px (one object)",
        "objects": "objects (256 px and 160 px)",
        "length": "frame of the video (160 px, one object)",
    }
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        curves = found[key] if key == "objects" else {"": found[key]}
        most = max(time for curve in curves.values() for time in curve.values())
        for name, curve in curves.items():
            axis.plot([int(x) for x in curve], list(curve.values()), marker="o", ms=3, label=name)
        axis.set(xlabel=title, ylim=(0, 1.1 * most))
        if key == "objects":
            axis.legend(frameon=False)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"{found['clock']} ms a frame")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clock", choices=list(CLOCKS), default="processor")
    parser.add_argument("--repeats", type=int, default=9, help="frames of each median")
    parser.add_argument("--length", type=int, default=400, help="frames of the pass")
    parser.add_argument("--svg", type=Path, help="draw to this file")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clock, network = CLOCKS[options.clock], build_sam2("nano")
    found: dict[str, Any] = {"clock": options.clock, "torch": torch.__version__}
    found["size"] = {s: full_bank(at_size(network, s), 1, options.repeats, clock) for s in SIZES}
    found["objects"] = {
        f"{s} px": {n: full_bank(at_size(network, s), n, options.repeats, clock) for n in OBJECTS}
        for s in (256, 160)
    }
    found["length"] = along(at_size(network, 160), options.length, clock)
    sys.stdout.write(json.dumps(found) + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.svg:
        draw(found, options.svg)


if __name__ == "__main__":
    main()
