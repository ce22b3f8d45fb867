"""How many frames of eyes a second does the renderer draw on one core?

    python benchmarks/renderer_speed.py [--frames 8 32] [--size 256] [--clips 12]

Prints frames per second of processor time for clips of each length, drawn one after the other in one thread,
and the median over rounds. A busy machine changes it little.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import cv2

from ocusam.synthetic.eye import render_eye_clip


def main() -> None:
    """Render and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32], help="frames of a clip")
    parser.add_argument("--size", type=int, default=256, help="width and height in pixels")
    parser.add_argument("--clips", type=int, default=12, help="clips of a round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    for frames in given.frames:
        rates = []
        for round_ in range(given.rounds):
            start = time.process_time()
            for seed in range(given.clips):
                render_eye_clip(1_000 * round_ + seed, num_frames=frames, size=(given.size, given.size))
            rates.append(given.clips * frames / (time.process_time() - start))
        sys.stdout.write(
            f"clips of {frames} frames at {given.size} px: {statistics.median(rates):.0f} frames/s (median "
            f"of {given.rounds} rounds, {min(rates):.0f} to {max(rates):.0f})\n"
        )


if __name__ == "__main__":
    main()
