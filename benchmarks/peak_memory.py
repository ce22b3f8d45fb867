"""How much memory does tracking a video take at most, ours against transformers' Sam2VideoModel?

    python benchmarks/peak_memory.py [--model sam2.1_hiera_tiny] [--size 1024] [--frames 200] [--track 28]
        [--dtype float32] [--json peak.json]

A clip of 1024 x 768 px with one moving disc is written once. Each side tracks it in a process of its own,
with the same random weights and one click, and tells its peak of resident memory (`ru_maxrss`): ours from the
file with `init_state` and `propagate`; theirs with all frames read, resized and normalised into the session
before the first, as its own video processor does (which needs torchvision, so it is driven directly). Printed
are both peaks in MB (2^20 bytes), what a process holds that has only imported everything and built the
network, and the ratios. Time does not matter here, so a busy machine does no harm.

`--track N` tracks the first N frames and states what the rest would add: the growth of the peak per frame
once the memory bank is full, over the second half of those frames, times the frames that were left out. What
is held before the first frame (theirs: the whole video) is that of all frames.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.frames import picture_to_input
from ocusam.video.reader import open_video
from ocusam.video.writer import VideoWriter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

SIZE = (768, 1024)
CLICK = (300.0, 384.0)
FULL_AFTER = 17
"""Frames behind which a bank holds all pointers and maps that it can."""


def write_clip(path: Path, frames: int) -> None:
    """A disc that wanders over a textured ground."""
    ground = np.random.default_rng(0).integers(60, 120, (*SIZE, 3), dtype=np.uint8)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    with VideoWriter(path, 30.0, SIZE) as writer:
        for t in range(frames):
            picture = ground.copy()
            picture[(x - CLICK[0] - t) ** 2 + (y - CLICK[1]) ** 2 < 80**2] = (210, 190, 170)
            writer.write(picture)


def peak_so_far() -> float:
    """Peak of this process's resident memory, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def ours(network: SAM2, video: Path, track: int) -> list[float]:
    """Track it our way; every mask at the size of the video. Returns the peak after each frame."""
    peaks = []
    predictor = SAM2VideoPredictor(network)
    state = predictor.init_state(str(video))
    predictor.add_new_points_or_box(state, 0, 1, points=[CLICK], labels=[1])
    for output in predictor.propagate(state):
        assert output.masks.shape == (1, *SIZE)
        peaks.append(peak_so_far())
        if len(peaks) == track:
            break
    return peaks


def theirs(network: SAM2, video: Path, track: int) -> list[float]:
    """Track it their way; masks stay at the network's low resolution. Returns the peak after each frame."""
    import transformers

    from transformers_peer import video_peer

    side, dtype = network.config.image_size, network.dtype
    peer = video_peer(network).to(dtype)
    with open_video(video) as source:
        count = source.num_frames or 0
        pixels = torch.empty((count, 3, side, side), dtype=dtype)
        for i, frame in enumerate(source):
            pixels[i] = torch.from_numpy(picture_to_input(frame.image, side))
    session = transformers.Sam2VideoInferenceSession(
        video=pixels, video_height=SIZE[0], video_width=SIZE[1], dtype=dtype
    )
    x, y = CLICK[0] * side / SIZE[1], CLICK[1] * side / SIZE[0]
    prompt = {
        "point_coords": torch.tensor([[[[x, y]]]]),
        "point_labels": torch.tensor([[[1]]], dtype=torch.int32),
    }
    session.add_point_inputs(session.obj_id_to_idx(1), 0, prompt)
    session.obj_with_new_inputs.append(1)
    peaks = []
    with torch.inference_mode():
        for i in range(track):
            peer(inference_session=session, frame_idx=i)
            peaks.append(peak_so_far())
    return peaks


def nothing(network: SAM2, video: Path, track: int) -> list[float]:
    """What is there before anything is tracked, imports of both sides included."""
    import transformers  # noqa: F401

    import transformers_peer  # noqa: F401

    return [peak_so_far()]


SIDES = {"nothing": nothing, "ours": ours, "theirs": theirs}


def peak_of(side: str, video: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Run one side in a process of its own; its peak over all frames and what a frame adds to it, in MB."""
    command = [sys.executable, __file__, "--side", side, "--video", str(video), "--model", options.model]
    command += ["--size", str(options.size), "--dtype", options.dtype, "--track", str(options.track)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    peaks = json.loads(told.strip().splitlines()[-1])
    start = max(FULL_AFTER, len(peaks) // 2)
    growth = (peaks[-1] - peaks[start]) / (len(peaks) - 1 - start) if len(peaks) > start + 1 else 0.0
    left = options.frames - options.track if len(peaks) > 1 else 0
    return peaks[-1] + growth * left, growth


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="sam2.1_hiera_tiny")
    parser.add_argument("--size", type=int, default=1024, help="side of the network's input, px")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--track", type=int, help="frames really tracked (default: all); see above")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--video", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        torch.manual_seed(0)
        network = make_network(options.model, image_size=options.size, dtype=getattr(torch, options.dtype))
        sys.stdout.write(json.dumps(SIDES[options.side](network, options.video, options.track)) + "\n")
        return
    options.track = options.track or options.frames
    if not FULL_AFTER + 3 <= options.track <= options.frames and options.track != options.frames:
        parser.error(f"--track must be {FULL_AFTER + 3} to the number of frames")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "disc.mp4"
        write_clip(video, options.frames)
        found = {side: peak_of(side, video, options) for side in SIDES}
    peaks: dict[str, Any] = {side: round(peak, 1) for side, (peak, _) in found.items()}
    asked = {name: getattr(options, name) for name in ("model", "size", "frames", "track", "dtype")}
    out = {
        **asked,
        "torch": torch.__version__,
        "peak_mb": peaks,
        "growth_mb_a_frame": {side: round(growth, 3) for side, (_, growth) in found.items()},
        "share": round(peaks["ours"] / peaks["theirs"], 3),
        "share_of_what_tracking_adds": round(
            (peaks["ours"] - peaks["nothing"]) / (peaks["theirs"] - peaks["nothing"]), 3
        ),
    }
    sys.stdout.write(json.dumps(out) + "\n")
    if options.json:
        options.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
