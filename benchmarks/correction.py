"""What does a correction in the middle of a long run cost, and is it exact?

    python benchmarks/correction.py --frames 10000
    python benchmarks/correction.py --frames 10000 --compare    # against a predictor that kept everything

Makes a video of so many frames (the small drawn eye of `long_video.py`), follows its pupil with the miniature
network (random weights: masks are of no use, memories are real), and clicks on the frame in the middle, three
times, each on a fresh copy of the run: the click and eight frames from there on; the click and all frames
from there to the end, regardless of the old masks; and as `ocusam correct` does by default, until new and old
masks meet. Printed: frames tracked once more to make memories again, frames with new masks, pictures encoded,
and processor time, which load on the machine hardly changes; for comparison that of the run itself.

With --compare the second correction is done once more by a predictor that kept the memories of all frames in
memory (`memory_window=None`), and every mask and score from the corrected frame on must be equal.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from long_video import write_video

from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows.correct import CorrectSettings, correct
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.masklets import Masklets

SIDE, FPS = 64, 60.0
START, CLICK = (32.0, 38.0), (40.0, 30.0)


def predictor(**options: object) -> SAM2VideoPredictor:
    """The miniature network, always the same."""
    torch.manual_seed(0)
    return SAM2VideoPredictor(make_network(get_config("miniature")), fill_hole_area=8, **options)  # type: ignore[arg-type]


def differing(video: Path, run: Path, at: int) -> int:
    """Frames from the corrected one on whose mask or scores are not those of a predictor that kept all."""
    network = predictor(memory_window=None, add_all_frames_to_correct_as_cond=True)
    state = network.init_state(str(video))

    def click(frame: int, point: tuple[float, float]) -> None:
        network.add_new_points_or_box(state, frame, "pupil", points=np.array([point], np.float32), labels=[1])

    click(0, START)
    for _ in network.propagate(state, start_frame_idx=0):
        pass
    click(at, CLICK)
    stored = Masklets.from_folder(run / "masklets")
    rows = {
        r["frame_idx"]: (r["predicted_iou"], r["object_score"]) for r in stored.table.iter_rows(named=True)
    }
    different = 0
    for out in network.propagate(state, start_frame_idx=at):
        scores = (float(out.predicted_iou[0]), float(out.object_score[0]))
        masks = stored.mask(out.frame_idx, "pupil"), out.masks[0]
        different += scores != rows[out.frame_idx] or not np.array_equal(*masks)
    return different


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000, help="frames of the video (10,000)")
    parser.add_argument("--compare", action="store_true", help="compare with a predictor that kept all")
    options = parser.parse_args()
    at, torch_threads = options.frames // 2, torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        video, run = Path(folder) / "video.mp4", Path(folder) / "run"
        write_video(video, options.frames, FPS, SIDE)
        started = time.process_time()
        # Random weights lose what is not there; nothing is to be clicked but by us.
        settings = RunSettings(overlay=False, report=False, recover=False, zoom="off")
        track_eye(video, f"pupil:{START[0]},{START[1]}", model=predictor(), out=run, settings=settings)
        spent = time.process_time() - started
        sys.stdout.write(
            f"run of {options.frames} frames: {spent:.1f} s of processor time ({torch_threads} threads)\n"
        )
        ways = {
            "eight frames": CorrectSettings(last=at + 7, stop_iou=None),
            "until masks meet": CorrectSettings(),
            "to the end": CorrectSettings(stop_iou=None),
        }
        for name, how in ways.items():
            copy = Path(shutil.copytree(run, Path(folder) / name.replace(" ", "_")))
            click = f"pupil:{CLICK[0]},{CLICK[1]}@{at}"
            started = time.process_time()
            done = correct(copy, click, settings=how, model=predictor(), video=video)
            spent = time.process_time() - started
            sys.stdout.write(
                f"correction of frame {at}, {name}: {done.replayed} frames tracked again for memories, "
                f"{done.retracked} with new masks, {done.encoded} pictures encoded, {spent:.1f} s\n"
            )
            sys.stdout.flush()
        if options.compare:
            count = differing(video, Path(folder) / "to_the_end", at)
            sys.stdout.write(f"frames that differ from all in memory: {count} of {options.frames - at}\n")


if __name__ == "__main__":
    main()
