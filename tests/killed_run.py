"""A run of the miniature network in a process that kills itself; the parent goes on with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.writer import VideoWriter
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session import atomic
from tracking.conftest import draw_network

# Two views; clicks in the middle, so that there is a backward pass; iris is clicked later than the pupil.
PROMPTS = ["pupil:14,20@9", "iris:30,20@13", "pupil:80,22@17", "-pupil:60,5@17"]
SETTINGS = RunSettings(views="2x1", overlay=False, chunk_frames=5, snapshot_frames=4)
NUM_FRAMES = 24
TABLES = ("signals.csv", "blinks.csv", "events.csv", "quality.csv", "doubtful.csv", "prompts.json")


def predictor(**options: Any) -> SAM2VideoPredictor:
    """The miniature network, the same in every process."""
    torch.set_num_threads(1)
    # Naming parts too: what they say of the lids must survive a kill.
    network = draw_network("miniature", binarize_mask_from_pts_for_mem_enc=True, names_parts=True)
    return SAM2VideoPredictor(network, fill_hole_area=8, **options)


def write_clip(path: Path, num_frames: int = NUM_FRAMES) -> Path:
    """Two discs that move over a texture, side by side, as H.264."""
    ground = np.random.default_rng(3).integers(40, 90, (40, 112, 3))
    y, x = np.mgrid[:40, :112]
    with VideoWriter(path, 50, (40, 112)) as writer:
        for t in range(num_frames):
            picture = ground.copy()
            for cx in (14 + t % 28, 72 + t % 24):
                picture[(x - cx) ** 2 + (y - 20) ** 2 < 64] = (220, 200, 180)
            writer.write(picture.astype(np.uint8))
    return path


def run(video: Path, out: Path, kill_at: int | None = None, **changes: Any) -> int:
    """Track, going on where there is something; the process dies at the n-th thing that happens to it (a
    frame, a file brought to the disk, a rename). Returns how many things happened up to the last frame."""
    happened = tracked = 0

    def event(*args: Any) -> None:
        nonlocal happened, tracked
        happened += 1
        if args and args[-1] == "tracking":
            tracked = happened
        if happened == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function: Any) -> Any:
        def call(*args: Any) -> Any:
            event()
            result = function(*args)
            event()
            return result

        return call

    class CountingOs:
        fsync, replace = staticmethod(counted(os.fsync)), staticmethod(counted(os.replace))

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    atomic.os = CountingOs()  # type: ignore[assignment]
    try:
        settings = RunSettings(**{**SETTINGS.to_dict(), "resume": True, **changes})
        track_eye(video, PROMPTS, model=predictor(), out=out, settings=settings, progress=event)
    finally:
        atomic.os = os
    return tracked


def run_in_process(video: Path, out: Path, kill_at: int | None = None) -> int:
    """`run` in a process of its own; returns its exit code (-9 when it was killed)."""
    # The server imports everything once; it finds our modules by this only.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run", "pymovements", "ocusam.report.html"])
    process = context.Process(target=run, args=(video, out, kill_at))
    process.start()
    process.join(300)
    assert process.exitcode is not None
    return process.exitcode


def contents(out: Path) -> dict[str, bytes]:
    """All results as bytes; without `run.json` (times) and the log."""
    stored = [p for p in (out / "masklets").iterdir() if p.suffix in (".parquet", ".safetensors")]
    stored = [p for p in stored if not p.name.startswith("state_")]
    return {p.name: p.read_bytes() for p in [*stored, *(out / name for name in TABLES)]}
