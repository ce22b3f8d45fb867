"""How many frames a second does `ocusam eye` make of an eye video, from the file to signals.csv?

    python benchmarks/nano_end_to_end.py [--frames 300] [--rounds 3] [--sizes 160 256] [--dtype float32]
        [--engine torch] [--only pupil] [--json out.json]

A clip of 640 x 480 px is rendered, then tracked with the packaged weights: the pupil alone (`--glints
off`), and pupil, iris and two corneal reflections; without overlay, without and with the report; at every
size of the network's input that is named. Printed are the median of frames per second by the clock over the
rounds (opening the model, tables and files included, imports not: one short run comes before), the same
once running, from frame 25 to the last; processor time, what a frame takes once running and what is spent
once a run, and, of one more run (which is slower for being watched), what of a frame's is spent in which
stage and in which thread. "In no stage" is what an engine and a decoder compute in threads of their own, what
lies between stages, and what is measured in a program of its own (on Linux; elsewhere it is not counted).
Last, the time from a camera's frame to its mask. Clocks say something on an idle
machine only; processor time hardly minds.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from ocusam import build_sam2_camera_predictor
from ocusam.synthetic.eye import iter_eye_frames, lab_style
from ocusam.video.reader import open_video
from ocusam.video.thinned import ThinnedSource
from ocusam.video.writer import VideoWriter
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings

SIZE = (480, 640)
WARM = 25  # frames until memories are full and every program is made
# Where time goes; a stage's own time is without that of the stages inside it.
STAGES = {
    "decode": "ocusam.video.reader:FileSource.read",
    "resize, normalise": "ocusam.tracking.session:picture_to_input",
    "image encoder": "ocusam.model.sam2:SAM2.encode_image",
    "image encoder (engine)": "ocusam.engines.network:EngineNetwork.encode_image",
    "memory attention": "ocusam.model.sam2:SAM2.condition_on_memory",
    "memory attention (engine)": "ocusam.engines.network:EngineNetwork.condition_on_memory",
    "mask decoder": "ocusam.model.sam2:SAM2._sam_heads",
    "memory encoder": "ocusam.model.sam2:SAM2.encode_memory",
    "memory encoder (engine)": "ocusam.engines.network:EngineNetwork.encode_memory",
    "parts of the eye": "ocusam.model.sam2:SAM2.name_parts",
    "holes": "ocusam.tracking.engine:fill_holes",
    "memory bank, batching": "ocusam.tracking.engine:TrackingEngine.track",
    "outline": "ocusam.eye.signals:outer_contour",
    "ellipse by the mask": "ocusam.eye.signals:fit_rim",
    "ellipse by the picture": "ocusam.eye.signals:refine_rim",
    "reflections": "ocusam.eye.signals:locate_reflection",
    "spots around the pupil": "ocusam.eye.whole_frame:spots_of",
    "rest of measuring": "ocusam.eye.whole_frame:measure_object",
    "masks, run lengths": "ocusam.workflows.session.session_files:mask_rows",
    "snapshots": "ocusam.workflows.session.session_files:SessionFiles._snapshot",
    "writing chunks": "ocusam.workflows.session.session_files:SessionFiles.commit",
    "tables, events": "ocusam.workflows.eye:make_tables",
    "report": "ocusam.workflows.eye:finish_report",
    "opening": "ocusam.workflows.eye:prepare",
    "rest of the loop": "ocusam.workflows.session.job:go_on",
}


@dataclass(frozen=True)
class Mark:
    """How far a run has come: seconds by the clock, of processor time, and of that by thread and by stage."""

    clock: float
    processor: float
    threads: dict[str, float]
    stages: dict[str, float]


class Stopwatch:
    """Processor time of each stage, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = threading.local()

    def watch(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            stack = self._inner.__dict__.setdefault("stack", [])
            stack.append(0.0)
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.thread_time() - start
                self.seconds[stage] += spent - stack.pop()
                if stack:
                    stack[-1] += spent

        return timed

    @contextmanager
    def at_all_stages(self) -> Iterator[None]:
        """Watch while the context lasts."""
        with ExitStack() as stack:
            for stage, place in STAGES.items():
                module, names = place.split(":")
                *owners, name = names.split(".")
                owner: Any = importlib.import_module(module)
                for part in owners:
                    owner = getattr(owner, part)
                stack.enter_context(mock.patch.object(owner, name, self.watch(stage, getattr(owner, name))))
            yield


def render(path: Path, frames: int) -> dict[str, tuple[float, float]]:
    """Write a clip; returns a click for each object on its first frame."""
    clicks: dict[str, tuple[float, float]] = {}
    with VideoWriter(path, 120.0, SIZE) as writer:
        for frame in iter_eye_frames(7, frames, SIZE, 120.0, lab_style()):
            writer.write(frame.image, frame.timestamp_ns)
            if not clicks:
                found = {name: e for name, e in frame.ellipses.items() if e is not None}
                clicks = {name: e.center for name, e in found.items() if name != "iris"}
                pupil, iris = found["pupil"], found["iris"]
                clicks["iris"] = (pupil.center[0] + 0.25 * (pupil.major + iris.major), pupil.center[1])
    return clicks


def of_children() -> float:
    """Seconds of processor time of the programs that this one started; 0 where that cannot be told."""
    if not Path("/proc/self/task").is_dir():
        return 0.0
    over = os.times()
    seconds = over.children_user + over.children_system  # those that have ended
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            with suppress(OSError):
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def run(
    source: Any, clicks: dict[str, tuple[float, float]], report: bool, how: dict[str, Any], watch: Stopwatch
) -> list[Mark]:
    """Track once. Returns how far the run had come at its begin, at frame `WARM`, at the last frame and at
    its end."""
    glints = "off" if list(clicks) == ["pupil"] else "auto"
    settings = RunSettings(overlay=False, report=report, zoom="off", glints=glints, **how)

    def mark() -> Mark:
        threads: dict[str, float] = defaultdict(float)
        for thread in threading.enumerate():
            if thread.ident is not None and hasattr(time, "pthread_getcpuclockid"):
                threads[thread.name.split("_")[0]] += time.clock_gettime(
                    time.pthread_getcpuclockid(thread.ident)
                )
        return Mark(time.perf_counter(), time.process_time() + of_children(), threads, dict(watch.seconds))

    def on_frame(done: int, total: int | None, what: str) -> None:
        if what == "tracking" and done in (WARM, total):
            marks.append(mark())

    with tempfile.TemporaryDirectory() as folder:
        marks = [mark()]
        track_eye(source, clicks, out=Path(folder) / "run", settings=settings, progress=on_frame)
        return [*marks, mark()]


def measure(
    video: Path, clicks: dict[str, tuple[float, float]], rounds: int, report: bool, how: dict[str, Any]
) -> dict[str, Any]:
    """Frames per second and processor time of one kind of run."""
    with open_video(video) as source:
        frames = source.num_frames or 0
    runs = [run(video, clicks, report, how, Stopwatch()) for _ in range(rounds)]
    watch = Stopwatch()
    with watch.at_all_stages():
        _, warm, last, _ = run(video, clicks, report, how, watch)
    rates = [frames / (end.clock - begin.clock) for begin, _, _, end in runs]
    counted = frames - WARM
    pace = statistics.median((last.clock - warm.clock) / counted for _, warm, last, _ in runs)
    spent = statistics.median((last.processor - warm.processor) / counted for _, warm, last, _ in runs)
    whole = statistics.median((end.processor - begin.processor) for begin, _, _, end in runs)

    def per_frame(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
        found = {k: round(1e3 * (v - before.get(k, 0.0)) / counted, 3) for k, v in after.items()}
        return {k: v for k, v in found.items() if v > 0.005}

    stages = per_frame(warm.stages, last.stages)
    stages["in no stage"] = round(1e3 * (last.processor - warm.processor) / counted - sum(stages.values()), 3)
    return {
        "objects": list(clicks),
        **how,
        "report": report,
        "frames": frames,
        "frames_per_second": round(statistics.median(rates), 2),
        "slowest_and_fastest": [round(min(rates), 2), round(max(rates), 2)],
        "frames_per_second_once_running": round(1 / pace, 2),
        "processor_ms_per_frame": round(1e3 * whole / frames, 2),
        "processor_ms_per_frame_once_running": round(1e3 * spent, 2),
        "processor_s_once_a_run": round(whole - spent * frames, 2),
        "stages_ms_per_frame": stages,
        "threads_ms_per_frame": per_frame(warm.threads, last.threads),
    }


def camera_latency(video: Path, click: tuple[float, float], how: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds from a frame to its mask, one object, memory bank full."""
    predictor = build_sam2_camera_predictor(
        "nano", dtype=getattr(torch, how["dtype"]), engine=how["engine"], image_size=how["size"]
    )
    times = []
    with open_video(video) as source:
        pictures = [frame.image for frame, _ in zip(source, range(80), strict=False)]
    predictor.load_first_frame(pictures[0])
    predictor.add_new_prompt(None, "pupil", points=[click], labels=[1])
    for picture in pictures[1:]:
        start = time.perf_counter()
        predictor.step(picture).masks  # noqa: B018
        times.append(1e3 * (time.perf_counter() - start))
    late = times[20:]
    return {
        **how,
        "median_ms": round(statistics.median(late), 2),
        "95_percent_ms": round(float(np.percentile(late, 95)), 2),
    }


def machine() -> dict[str, Any]:
    """What it ran on."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    flags = ""
    if info.is_file():
        lines = info.read_text().splitlines()
        name = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), name)
        flags = next((x for x in lines if x.startswith("flags")), "")
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "amx_bf16": "amx_bf16" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": [round(x, 2) for x in os.getloadavg()],
    }


def tell(found: dict[str, Any]) -> None:
    """Print what `measure` found."""
    sys.stdout.write(
        f"{found['size']} px, {found['dtype']}, {found['engine']}, {'+'.join(found['objects'])}, report "
        f"{'on' if found['report'] else 'off'}: {found['frames_per_second']} frames/s "
        f"({found['slowest_and_fastest']}), once running {found['frames_per_second_once_running']}; "
        f"{found['processor_ms_per_frame']} processor ms a frame, once running "
        f"{found['processor_ms_per_frame_once_running']}, and {found['processor_s_once_a_run']} s once a "
        "run\n"
    )
    for stage, spent in sorted(found["stages_ms_per_frame"].items(), key=lambda item: -item[1]):
        sys.stdout.write(f"    {stage:26s} {spent:8.2f} ms\n")
    sys.stdout.write(f"    by thread: {json.dumps(found['threads_ms_per_frame'])}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300, help="frames of the rendered clip")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--dtype", default="float32", help="as of `ocusam eye`")
    parser.add_argument("--engine", default="torch", help="as of `ocusam eye`")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256], help="sides of the input, px")
    parser.add_argument("--only", choices=["pupil", "all"], help="one kind of run, without report and camera")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    given = parser.parse_args()
    if given.frames <= WARM + 5:
        parser.error(f"--frames {given.frames}: give more than {WARM + 5}; the first {WARM} are not counted")
    facts = machine()
    out: dict[str, Any] = {"machine": facts, "runs": [], "camera": []}
    sys.stdout.write(f"{json.dumps(out['machine'])}\n")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "eye.mp4"
        clicks = render(video, given.frames)
        few = {name: clicks[name] for name in ("pupil",)}
        four = {name: clicks[name] for name in ("pupil", "iris", "cr0", "cr1")}
        with open_video(video) as source:  # imports, caches
            few_frames = ThinnedSource(source, list(range(min(6, given.frames))))
            first = {"size": given.sizes[0], "dtype": given.dtype, "engine": given.engine}
            run(few_frames, four, False, first, Stopwatch())
        kinds = [(few, False), (four, False), (few, True), (four, True)]
        if given.only:
            kinds = [(few if given.only == "pupil" else four, False)]
        for size in given.sizes:
            how = {"size": size, "dtype": given.dtype, "engine": given.engine}
            for chosen, report in kinds:
                found = measure(video, chosen, given.rounds, report, how)
                out["runs"].append(found)
                tell(found)
            if not given.only:
                out["camera"].append(camera_latency(video, clicks["pupil"], how))
                sys.stdout.write(f"camera, frame to mask: {json.dumps(out['camera'][-1])}\n")
    if given.json is not None:
        given.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
