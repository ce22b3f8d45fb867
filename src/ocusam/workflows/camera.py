"""Follow objects live: `ocusam camera`.

Purpose: frames from a camera, a stream or a file, prompts on the first one, masks as they come; on the way a
window, a recording, and figures about latency.

Notable choices: the latency of a frame runs from its arrival here to its masks at the picture's size, waiting
included; the first frame, which waits for the prompts, does not count. With `drop` (the default where the
source is live) only the newest frame is tracked, so frame numbers count tracked frames, and their times tell
what was left out. Ctrl-C is how a live run ends: what was recorded is finished as after the last frame; a
second Ctrl-C breaks off. Latencies are counted in steps of 0.1 ms, so they do not grow with the stream.

What it does not know: clicks in the window; several eyes in one picture.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError, PromptError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt, PromptPack, check_inside
from ocusam.engines.choice import TORCH
from ocusam.eye.signals import LOST, TRACKED, Measurement
from ocusam.eye.whole_frame import measure_object
from ocusam.report.overlay import Drawn, draw
from ocusam.report.trail import Trails
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.outputs import FrameOutput
from ocusam.video.live import Feed, Grabbed, Grabber, open_feed
from ocusam.video.source import Frame
from ocusam.workflows.find.clicks import ClearClicks
from ocusam.workflows.inputs.input_size import FINE
from ocusam.workflows.inputs.prompt_pack import write_json
from ocusam.workflows.inputs.settings import FLOAT32, PromptsLike, as_prompts, check_computing
from ocusam.workflows.live_window import LiveWindow, why_no_window
from ocusam.workflows.results.recording import Recording
from ocusam.workflows.session.follow import Progress, enter_prompt
from ocusam.workflows.session.models import OpenedModel, open_predictor
from ocusam.workflows.session.outputs import objects_of
from ocusam.workflows.session.run_folder import check_free, describe_input

_TICKS_PER_MS = 10


@dataclass(frozen=True)
class CameraSettings:
    """Options of a live run.

    Attributes:
        drop: track the newest frame only and count the others; None: where the source is live.
        max_frames: end after so many frames; None: when the source ends, or the user.
        window: show the overlay where there is a screen.
        overlay: write `overlay.mp4` into the recording.
        report: write `report.html` into the recording.
        dtype, size, compiled, engine: how the network computes, as of `RunSettings`.
    """

    drop: bool | None = None
    max_frames: int | None = None
    window: bool = False
    overlay: bool = True
    report: bool = True
    dtype: str = FLOAT32
    size: str | int = FINE
    compiled: bool = False
    engine: str = TORCH

    def __post_init__(self) -> None:
        check_computing(self)
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f"max_frames={self.max_frames}: give at least 1 frame.")


class Latencies:
    """Durations, counted in steps of 0.1 ms."""

    def __init__(self) -> None:
        self._ticks: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one."""
        self._ticks[round(seconds * 1000 * _TICKS_PER_MS)] += 1

    def percentile(self, percent: float) -> float | None:
        """The duration in ms that `percent` of all do not exceed (nearest rank); None where there is none."""
        total = self._ticks.total()
        if not total:
            return None
        rank, seen = max(1, int(np.ceil(total * percent / 100))), 0
        for tick in sorted(self._ticks):
            seen += self._ticks[tick]
            if seen >= rank:
                break
        return tick / _TICKS_PER_MS


@dataclass(frozen=True)
class CameraRun:
    """What a live run was like.

    Attributes:
        num_frames: frames tracked, the first one included.
        dropped: frames that came while the network was busy, and were left out.
        latency_ms_median: from a frame's arrival to its masks; None where only one frame came.
        latency_ms_p95: 95th percentile of that.
        fps: frames tracked per second.
        interrupted: the user ended it.
        broken_off: why a recording ended before its source did (a picture of another size), or None.
        no_window: why no window was shown though it was asked for, or None.
        folder: where it was recorded, or None.
    """

    num_frames: int
    dropped: int
    latency_ms_median: float | None
    latency_ms_p95: float | None
    fps: float
    interrupted: bool
    broken_off: str | None
    no_window: str | None
    folder: Path | None


def run_camera(
    source: Any,
    prompts: PromptsLike,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    settings: CameraSettings | None = None,
    progress: Progress | None = None,
) -> CameraRun:
    """Follow objects live.

    Args:
        source: a device number, an address ("rtsp://..."), a file, or anything `open_video` takes.
        prompts: clicks on the first frame, or on the frame given with @FRAME once it comes; see `track`.
        model: a model's name, a `Sam2Config`, or a ready `SAM2VideoPredictor`.
        weights: a checkpoint file; None for the packaged weights of `nano`.
        device: where the network runs.
        out: folder to record into (what `ocusam eye` writes: tables, `masklets/`, `overlay.mp4`,
            `report.html`, `prompts.json`, `run.json`), or None.
        settings: further options.
        progress: called after every frame with (done, in all or None, what).

    Raises:
        PromptError: no prompt, or one outside the picture.
        OcusamError: the rest of the family; nothing half-written is left.
    """
    settings = settings or CameraSettings()
    entered = as_prompts(prompts)
    if not entered:
        raise PromptError("Nothing to follow: give at least one point, for example --point pupil:320,240.")
    if out is not None:
        check_free(Path(out), resumable=False)
    with ExitStack() as stack:
        feed = open_feed(source)
        stack.callback(feed.close)
        opened = open_predictor(model, weights, device, settings)
        no_window = why_no_window() if settings.window else None
        window = LiveWindow() if settings.window and no_window is None else None
        if window is not None:
            stack.callback(window.close)
        # Opened last, so that closed first: its thread reads from the feed.
        grabber = stack.enter_context(Grabber(feed, drop=settings.drop))
        run = _Run(opened, entered, settings, window)
        if out is not None:
            run.record = {"input": {**describe_input(source), "fps": feed.fps}, "drop": grabber.drop}
            run.folder = Path(out)
        interrupted = stack.enter_context(_interrupt(grabber))
        run.all(grabber, stack, feed, progress)
        return run.finish(grabber, interrupted.is_set(), no_window)


class _Run:
    """The loop over frames and what it needs."""

    def __init__(
        self,
        opened: OpenedModel,
        prompts: Sequence[ObjectPrompt],
        settings: CameraSettings,
        window: LiveWindow | None,
    ) -> None:
        self.camera = SAM2CameraPredictor(opened.predictor)  # type: ignore[arg-type]
        self.opened, self.prompts, self.settings, self.window = opened, prompts, settings, window
        self.by_frame: dict[int, list[ObjectPrompt]] = defaultdict(list)
        for prompt in prompts:
            self.by_frame[prompt.frame_idx].append(prompt)
        self.clear, self.trails = ClearClicks(), Trails()
        self.folder: Path | None = None
        self.record: dict[str, Any] = {}
        self.recording: Recording | None = None
        self.latencies, self.num_frames, self.seconds = Latencies(), 0, 0.0
        self.broken_off: str | None = None

    def all(self, grabber: Grabber, stack: ExitStack, feed: Feed, progress: Progress | None) -> None:
        """Track until the source, the user or `max_frames` ends it."""
        try:
            self.loop(grabber, stack, feed, progress)
        except InputError as error:
            if self.recording is None:
                raise
            # What is recorded cannot be had again: it is finished, with the reason in its record.
            self.broken_off = str(error)

    def loop(self, grabber: Grabber, stack: ExitStack, feed: Feed, progress: Progress | None) -> None:
        """The loop itself."""
        started, limit = time.perf_counter(), self.settings.max_frames
        for grabbed in grabber:
            output, objects = self.track(grabbed)
            if self.num_frames == 0:
                self.open_recording(stack, grabbed.frame, feed)
            else:
                self.latencies.add(time.perf_counter() - grabbed.arrived_s)
            self.num_frames += 1
            going_on = self.show(output, objects)
            self.seconds = time.perf_counter() - started
            if progress is not None:
                progress(self.num_frames, limit, "tracking")
            if not going_on or self.num_frames == limit:
                return

    def track(self, grabbed: Grabbed) -> tuple[FrameOutput, list[ObjectFrame]]:
        """Segment one frame, prompts for it included; its masks are at hand afterwards."""
        frame, camera = grabbed.frame, self.camera
        output = None
        if self.num_frames == 0:
            size = (frame.image.shape[0], frame.image.shape[1])
            check_inside(self.prompts, size)
            camera.load_first_frame(frame.image, frame.timestamp_ns)
        else:
            output = camera.step(frame.image, frame.timestamp_ns)
        here = self.clear(camera.predictor, camera.state, 0, self.by_frame.get(self.num_frames, ()))
        for prompt in here:
            enter_prompt(camera.predictor, camera.state, prompt)
        if here or output is None:
            output = camera.newest()
        height, width = output.size
        return output, objects_of(output, View(0, (0, 0, width, height)))

    def open_recording(self, stack: ExitStack, frame: Frame, feed: Feed) -> None:
        """Begin to record, now that the picture's size is known and the prompts fit."""
        if self.folder is None:
            return
        height, width = frame.image.shape[:2]
        self.record["input"]["size_hw"] = [height, width]
        record = {
            **self.record,
            "model": self.opened.record,
            "prompts": [prompt.to_dict() for prompt in self.prompts],
            "clicks": self.clear.told,
            "settings": asdict(self.settings),
        }
        self.recording = stack.enter_context(
            Recording(
                self.folder,
                record,
                (height, width),
                fps=feed.fps,
                overlay=self.settings.overlay,
                report=self.settings.report,
            )
        )
        write_json(self.folder, PromptPack(tuple(self.prompts), size_hw=(height, width)))

    def show(self, output: FrameOutput, objects: list[ObjectFrame]) -> bool:
        """Hand a frame to the recording and the window; False once the user closed the window."""
        if self.recording is None and self.window is None:
            return True
        measured = [measure_object(item) for item in objects]
        picture = None
        if self.window is not None or self.settings.overlay:
            picture = _picture(output, objects, measured, self.trails)
        if self.recording is not None:
            self.recording.add(objects, measured, picture, output.timestamp_ns)
        return self.window is None or picture is None or self.window.show(picture)

    def finish(self, grabber: Grabber, interrupted: bool, no_window: str | None) -> CameraRun:
        """Finish the recording and sum up."""
        if not self.num_frames and not interrupted:
            raise InputError("The source delivered no frame.")
        run = CameraRun(
            self.num_frames,
            grabber.dropped,
            self.latencies.percentile(50),
            self.latencies.percentile(95),
            self.num_frames / max(self.seconds, 1e-9),
            interrupted,
            self.broken_off,
            no_window,
            self.folder if self.recording is not None else None,
        )
        if self.recording is not None:
            self.recording.finish(
                frames=run.num_frames,
                dropped=run.dropped,
                latency_ms_median=run.latency_ms_median,
                latency_ms_p95=run.latency_ms_p95,
                interrupted=interrupted,
                broken_off=run.broken_off,
                seconds=round(self.seconds, 2),
            )
        return run


def _picture(
    output: FrameOutput, objects: Sequence[ObjectFrame], measured: Sequence[Measurement], trails: Trails
) -> NDArray[np.uint8]:
    """The frame with its objects drawn on it, and the way of the pupil's centre."""
    drawn = []
    for item, found in zip(objects, measured, strict=True):
        center = found.ellipse.center if found.ellipse is not None else None
        trail = trails.step(item.name, output.timestamp_ns, center) if item.name == "pupil" else []
        state = TRACKED if found.area_px > 0 else LOST
        drawn.append(Drawn(item.name, item.mask, found.ellipse, state, trail=trail))
    title = f"frame {output.frame_idx}  {output.timestamp_ns / 1e9:.3f} s"
    return draw(output.image, drawn, title=title)


@contextmanager
def _interrupt(grabber: Grabber) -> Iterator[threading.Event]:
    """Let the first Ctrl-C end the iteration over frames; the second one breaks off as ever."""
    happened = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield happened  # signals reach the main thread only
        return

    def stop(number: int, frame: FrameType | None) -> None:
        happened.set()
        grabber.stopped.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield happened
    finally:
        signal.signal(signal.SIGINT, before)
