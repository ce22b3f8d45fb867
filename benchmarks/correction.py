"""What does a correction in the middle of a long run cost, and is it exact?

    python benchmarks/correction.py --frames 10000
    python benchmarks/correction.py --frames 10000 --compare    # against a predictor that kept everything
    python benchmarks/correction.py --frames 10000 --compare --network scripted    # masks meet

Makes a video of so many frames (the small drawn eye of `long_video.py`), follows its pupil with the miniature
network (random weights: masks are of no use, memories are real), and clicks on the frame in the middle, three
times, each on a fresh copy of the run: the click and eight frames from there on; as `ocusam correct` does by
default, until new and old masks meet; and all frames from there to the end, regardless of the old masks. With
random weights masks never meet: every click is remembered for good, and changes all masks from there on. With
`--network scripted` (what is dark is pupil) they meet at once. Printed: frames tracked once more to make
memories again, frames with new masks, pictures encoded, and processor time, which load on the machine hardly
changes; for comparison that of the run itself.

With --compare a predictor that kept the memories of all frames (`memory_window=None`) is corrected in the
same way, as far as each of the three went. Every mask and score of the whole video must be equal; behind the
place where a correction ended both have those of the run.
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
from long_video import Scripted, write_video

from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows.correct import CorrectSettings, correct
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.masklets import Masklets, encode

SIDE, FPS = 64, 60.0
START, CLICK = (32.0, 38.0), (40.0, 30.0)


def predictor(network: str, **options: object) -> SAM2VideoPredictor:
    """The miniature network, always the same, or the scripted one."""
    torch.manual_seed(0)
    if network == "scripted":
        return SAM2VideoPredictor(Scripted(get_config("miniature")).eval(), fill_hole_area=0, **options)  # type: ignore[arg-type]
    return SAM2VideoPredictor(make_network(get_config("miniature")), fill_hole_area=8, **options)  # type: ignore[arg-type]


def told(folder: Path) -> dict[int, tuple[bytes, float, float]]:
    """Mask and scores of every frame of a run."""
    stored = Masklets.from_folder(folder / "masklets")
    return {
        r["frame_idx"]: (encode(stored.mask(r["frame_idx"], "pupil")), r["predicted_iou"], r["object_score"])
        for r in stored.table.iter_rows(named=True)
    }


class AllInMemory:
    """A predictor that keeps the memories of all frames, after the same run."""

    def __init__(self, network: str, video: Path) -> None:
        options = {"memory_window": None, "add_all_frames_to_correct_as_cond": True}
        self.predictor = predictor(network, **options)
        self.state = self.predictor.init_state(str(video))
        self.click(0, START)
        self.before = self.go(0)

    def click(self, frame: int, point: tuple[float, float]) -> None:
        """Click on the pupil."""
        self.predictor.add_new_points_or_box(
            self.state, frame, "pupil", points=np.array([point], np.float32), labels=[1]
        )

    def go(self, first: int, count: int | None = None) -> dict[int, tuple[bytes, float, float]]:
        """Track so many frames from one on; None: to the end."""
        most = None if count is None else count - 1
        found = self.predictor.propagate(self.state, start_frame_idx=first, max_frame_num_to_track=most)
        return {
            out.frame_idx: (encode(out.masks[0]), float(out.predicted_iou[0]), float(out.object_score[0]))
            for out in found
        }

    def differing(self, at: int, runs: dict[Path, int]) -> dict[Path, int]:
        """How many frames of each corrected run, which has so many new ones, differ from the same correction
        here."""
        self.click(at, CLICK)
        new, out = self.go(at), {}  # tracking on does not change what was tracked before
        for folder, count in runs.items():
            rows = told(folder)
            wanted = {f: new[f] if at <= f < at + count else self.before[f] for f in self.before}
            out[folder] = sum(rows[f] != wanted[f] for f in wanted)
        return out


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000, help="frames of the video (10,000)")
    parser.add_argument("--compare", action="store_true", help="compare with a predictor that kept all")
    parser.add_argument("--network", choices=("miniature", "scripted"), default="miniature")
    options = parser.parse_args()
    at, torch_threads = options.frames // 2, torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        video, run = Path(folder) / "video.mp4", Path(folder) / "run"
        write_video(video, options.frames, FPS, SIDE)
        started = time.process_time()
        # Random weights lose what is not there; nothing is to be clicked but by us.
        settings = RunSettings(overlay=False, report=False, recover=False, zoom="off")
        track_eye(
            video,
            f"pupil:{START[0]},{START[1]}",
            model=predictor(options.network),
            out=run,
            settings=settings,
        )
        spent = time.process_time() - started
        sys.stdout.write(
            f"run of {options.frames} frames: {spent:.1f} s of processor time ({torch_threads} threads)\n"
        )
        ways = {
            "eight frames": CorrectSettings(last=at + 7, stop_iou=None),
            "until masks meet": CorrectSettings(),
            "to the end": CorrectSettings(stop_iou=None),
        }
        runs = {}
        for name, how in ways.items():
            copy = Path(shutil.copytree(run, Path(folder) / name.replace(" ", "_")))
            click = f"pupil:{CLICK[0]},{CLICK[1]}@{at}"
            started = time.process_time()
            done = correct(copy, click, settings=how, model=predictor(options.network), video=video)
            spent = time.process_time() - started
            sys.stdout.write(
                f"correction of frame {at}, {name}: {done.replayed} frames tracked again for memories, "
                f"{done.retracked} with new masks, {done.encoded} pictures encoded, {spent:.1f} s\n"
            )
            sys.stdout.flush()
            runs[copy] = done.retracked
        if options.compare:
            for copy, count in AllInMemory(options.network, video).differing(at, runs).items():
                sys.stdout.write(
                    f"{copy.name}: frames that differ from all in memory: {count} of {options.frames}\n"
                )


if __name__ == "__main__":
    main()
