"""Does resident memory grow with the length of a video?

    python benchmarks/memory_growth.py [--frames 3000] [--weights FILE] [--report]

Renders a video file, tracks the pupil with `nano` through all of it as `ocusam eye` does (masks and tables
written to a folder, no overlay; the report only with --report), and prints the process's resident memory
after frame 100 and its growth from there on. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from ocusam.core.prompts import ObjectPrompt
from ocusam.synthetic.eye import iter_eye_frames, lab_style
from ocusam.video.writer import VideoWriter
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings


def resident_mb() -> float:
    """Resident memory of this process, MB (2^20 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def render(path: Path, frames: int) -> ObjectPrompt:
    """Write the video; returns a click on the first frame's pupil."""
    center: tuple[float, float] | None = None
    with VideoWriter(path, 60.0, (256, 256)) as writer:
        for frame in iter_eye_frames(3, frames, (256, 256), 60.0, lab_style()):
            writer.write(np.repeat(frame.image[..., None], 3, axis=-1))
            pupil = frame.ellipses["pupil"]
            if center is None and pupil is not None:
                center = pupil.center
    assert center is not None
    return ObjectPrompt("pupil", 0, points=np.array([center]), labels=np.array([1]))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--report", action="store_true", help="write report.html at the end")
    options = parser.parse_args()
    sizes: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "eye.mp4"
        click = render(video, options.frames)
        recording = track_eye(
            video,
            [click],
            weights=options.weights,
            out=Path(folder) / "run",
            settings=RunSettings(overlay=False, report=options.report),
            progress=lambda done, total, what: sizes.append(resident_mb()),
        )
    after = np.array(sizes[100:])
    sys.stdout.write(
        f"{recording.num_frames} frames at {recording.fps:.1f} frames/s; resident after frame 100: "
        f"{after[0]:.0f} MB, at most {after.max() - after[0]:.0f} MB more later, "
        f"at the end {after[-1] - after[0]:+.0f} MB\n"
    )


if __name__ == "__main__":
    main()
