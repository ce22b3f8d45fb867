"""Follow objects live: `ocusam camera`.

Purpose: frames from a camera, a stream or a file, masks as they come; on the way a window, a recording, and
figures about latency. Where nobody gave a prompt, the eye is looked for first (`find.live_search`),
unless a click in the window (`live_window`) is quicker.

Notable choices: the latency of a frame runs from its arrival here to its masks at the picture's size, waiting
included; the first frame, which waits for the prompts, does not count. With `drop` (the default where the
source is live) only the newest frame is tracked, so frame numbers count tracked frames, and their times tell
what was left out. Frames that passed while the eye was looked for have no number either: the one it was found
on is frame 0, and the recording begins with it. A click belongs to the next frame that is tracked, as if it
had been given with @FRAME. Ctrl-C is how a live run ends: what was recorded is finished as after the last
frame; a second Ctrl-C breaks off.

What it does not know: several eyes in one picture.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ocusam.core.errors import InputError, OcusamError, PromptError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import PromptPack, check_inside
from ocusam.engines.choice import TORCH
from ocusam.eye.whole_frame import measure_frame
from ocusam.report.trail import Trails
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.outputs import FrameOutput
from ocusam.video.live import Feed, Grabbed, Grabber, open_feed
from ocusam.video.source import Frame
from ocusam.workflows.find.clicks import ClearClicks
from ocusam.workflows.find.judge import judge_of
from ocusam.workflows.find.live_search import LiveSearch
from ocusam.workflows.inputs.glints import AUTO, OFF, wanted_glints
from ocusam.workflows.inputs.input_size import FINE
from ocusam.workflows.inputs.prompt_tables import as_pack
from ocusam.workflows.inputs.settings import FLOAT32, PromptsLike, check_computing
from ocusam.workflows.latencies import Latencies
from ocusam.workflows.live_picture import looking_picture, tracked_picture
from ocusam.workflows.live_prompts import LivePrompts
from ocusam.workflows.live_window import LiveWindow, why_no_window
from ocusam.workflows.results.recording import Recording
from ocusam.workflows.session.follow import Progress, enter_prompt
from ocusam.workflows.session.models import OpenedModel, names_parts, open_predictor
from ocusam.workflows.session.outputs import objects_of
from ocusam.workflows.session.run_folder import check_free, describe_input

LOOKING = "looking for the eye"


@dataclass(frozen=True)
class CameraSettings:
    """Options of a live run.

    Attributes:
        drop: track the newest frame only and count the others; None: where the source is live.
        max_frames: end after so many frames, those included that pass while the eye is looked for; None: when
            the source ends, or the user.
        window: show the overlay where there is a screen, and take clicks there.
        overlay: write `overlay.mp4` into the recording.
        report: write `report.html` into the recording.
        dtype, size, compiled, engine: how the network computes, as of `RunSettings`.
        glints: reflections in the recording's tables, as of `RunSettings`; but "auto" is "off" where the
            source is live or frames are dropped: the next frame waits until a frame's spots are found.
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
    glints: str | int = AUTO

    def __post_init__(self) -> None:
        check_computing(self)
        wanted_glints(self.glints)
        object.__setattr__(self, "glints", str(self.glints))
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f"max_frames={self.max_frames}: give at least 1 frame.")


@dataclass(frozen=True)
class CameraRun:
    """What a live run was like.

    Attributes:
        num_frames: frames tracked, the first one included.
        passed: frames that passed before, while the eye was looked for.
        found: where no prompt was given, what the search says (`LiveSearch.to_dict`); None: nothing was found
            before the user ended the run.
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
    passed: int
    found: dict[str, Any] | None
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
    prompts: PromptsLike | PromptPack | Path | None = None,
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
            Or a `PromptPack`, or a file of prompts, without reference pictures. None: the eye is looked for,
            with a network that names its parts (`nano`).
        model: a model's name, a `Sam2Config`, or a ready `SAM2VideoPredictor`.
        weights: a checkpoint file; None for the packaged weights of `nano`.
        device: where the network runs.
        out: folder to record into (what `ocusam eye` writes: tables, `masklets/`, `overlay.mp4`,
            `report.html`, `prompts.json`, `run.json`), or None.
        settings: further options.
        progress: called after every frame with (done, in all or None, what).

    Raises:
        PromptError: no prompt, and a network that cannot do without, or no eye that convinces before the
            source or `max_frames` ends the run; a prompt outside the picture, or for pictures of another
            size; a reference picture.
        OcusamError: the rest of the family; nothing half-written is left.
    """
    settings = settings or CameraSettings()
    pack = as_pack(prompts, source)
    if pack.references:
        raise PromptError(
            "A live run takes no annotated picture beforehand (references): give prompts of its own frames."
        )
    if not pack and not names_parts(model):
        raise PromptError("Nothing to follow: give at least one point, for example --point pupil:320,240.")
    if out is not None:
        check_free(Path(out), resumable=False)
    with ExitStack() as stack:
        feed = open_feed(source)
        stack.callback(feed.close)
        opened = open_predictor(model, weights, device, settings)
        no_window = why_no_window() if settings.window else None
        window = LiveWindow(pack.names) if settings.window and no_window is None else None
        if window is not None:
            stack.callback(window.close)
        # Opened last, so that closed first: its thread reads from the feed.
        grabber = stack.enter_context(Grabber(feed, drop=settings.drop))
        run = _Run(opened, pack, settings, window)
        if out is not None:
            run.record = {"input": {**describe_input(source), "fps": feed.fps}, "drop": grabber.drop}
            run.folder = Path(out)
            if settings.glints != AUTO or not (feed.live or grabber.drop):
                run.glints = settings.glints
        interrupted = stack.enter_context(_interrupt(grabber))
        run.all(grabber, stack, feed, progress)
        if not run.num_frames and not (interrupted.is_set() or run.closed):
            raise run.nothing(source, again=not (feed.live or grabber.drop))
        return run.finish(grabber, interrupted.is_set() or run.closed, no_window)


class _Run:
    """The loop over frames and what it needs."""

    def __init__(
        self,
        opened: OpenedModel,
        pack: PromptPack,
        settings: CameraSettings,
        window: LiveWindow | None,
    ) -> None:
        self.camera = SAM2CameraPredictor(opened.predictor)  # type: ignore[arg-type]
        self.opened, self.pack, self.settings, self.window = opened, pack, settings, window
        self.prompts = LivePrompts(pack.prompts)
        self.search = None if pack else LiveSearch(judge_of(opened.predictor))
        self.clear, self.trails = ClearClicks(), Trails()
        self.folder: Path | None = None
        self.glints: str | int = OFF
        self.record: dict[str, Any] = {}
        self.recording: Recording | None = None
        self.latencies, self.num_frames, self.seconds, self.started = Latencies(), 0, 0.0, 0.0
        self.broken_off: str | None = None
        self.closed = False

    @property
    def passed(self) -> int:
        """Frames that passed while the eye was looked for."""
        return self.search.passed if self.search is not None else 0

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
        limit = self.settings.max_frames
        for grabbed in grabber:
            if self.prompted(grabbed.frame):
                self.follow(grabbed, stack, feed)
                left = None if limit is None else limit - self.passed
                told: tuple[int, int | None, str] = (self.num_frames, left, "tracking")
            else:
                self.closed = self.window is not None and not self.window.show(looking_picture(grabbed.frame))
                told = (self.passed, None, LOOKING)
            if progress is not None:
                progress(*told)
            if self.closed or self.passed + self.num_frames == limit:
                return

    def prompted(self, frame: Frame) -> bool:
        """Take in what was clicked; where there is nothing to track yet, look for the eye on this frame.

        Returns:
            Whether there is something to track."""
        clicks = self.window.take_clicks() if self.window is not None else []
        size = (frame.image.shape[0], frame.image.shape[1])
        if self.prompts.click(clicks, self.num_frames, size) and self.recording is not None:
            self.recording.prompted(self.prompts.all)
        if not self.prompts and self.search is not None:
            eye = self.search.step(frame)
            self.prompts.add(eye.prompts if eye is not None else ())
        return bool(self.prompts)

    def follow(self, grabbed: Grabbed, stack: ExitStack, feed: Feed) -> None:
        """Track one frame, record and show it."""
        output, objects = self.track(grabbed)
        if self.num_frames == 0:
            self.started = grabbed.arrived_s
            self.open_recording(stack, grabbed.frame, feed)
        else:
            self.latencies.add(time.perf_counter() - grabbed.arrived_s)
        self.num_frames += 1
        self.closed = not self.show(output, objects)
        self.seconds = time.perf_counter() - self.started

    def track(self, grabbed: Grabbed) -> tuple[FrameOutput, list[ObjectFrame]]:
        """Segment one frame, prompts for it included; its masks are at hand afterwards."""
        frame, camera = grabbed.frame, self.camera
        output = None
        if self.num_frames == 0:
            size = (frame.image.shape[0], frame.image.shape[1])
            self.pack.check_size(size)
            check_inside(self.prompts.all, size)
            camera.load_first_frame(frame.image, frame.timestamp_ns)
        else:
            output = camera.step(frame.image, frame.timestamp_ns)
        here = self.clear(camera.predictor, camera.state, 0, self.prompts.at(self.num_frames))
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
            "prompts": [prompt.to_dict() for prompt in self.prompts.all],
            "clicks": self.clear.told,
            "settings": {**asdict(self.settings), "glints": self.glints},
        }
        if self.search is not None and self.search.found is not None:
            record["found"] = self.search.to_dict()
        self.recording = stack.enter_context(
            Recording(
                self.folder,
                record,
                (height, width),
                fps=feed.fps,
                overlay=self.settings.overlay,
                report=self.settings.report,
                glints=self.glints,
            )
        )
        self.recording.prompted(self.prompts.all)

    def show(self, output: FrameOutput, objects: list[ObjectFrame]) -> bool:
        """Hand a frame to the recording and the window; False once the user closed the window."""
        if self.recording is None and self.window is None:
            return True
        measured = measure_frame(objects, spots=self.recording is not None and self.glints != OFF)
        picture = None
        if self.window is not None or self.settings.overlay:
            picture = tracked_picture(output, objects, measured.objects, self.trails)
        if self.recording is not None:
            self.recording.add(objects, measured, picture, output.timestamp_ns)
        return self.window is None or picture is None or self.window.show(picture)

    def nothing(self, source: Any, *, again: bool) -> OcusamError:
        """Why not a single frame was tracked; `again`: the same frames can be had again."""
        if self.search is None or not self.passed:
            return InputError("The source delivered no frame.")
        called = source if isinstance(source, str | Path | int) else "SOURCE"
        return self.search.nothing(f"ocusam camera {called}", again=again)

    def finish(self, grabber: Grabber, interrupted: bool, no_window: str | None) -> CameraRun:
        """Finish the recording and sum up."""
        run = CameraRun(
            self.num_frames,
            self.passed,
            self.search.to_dict() if self.search is not None else None,
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
                passed=run.passed,
                dropped=run.dropped,
                latency_ms_median=run.latency_ms_median,
                latency_ms_p95=run.latency_ms_p95,
                interrupted=interrupted,
                broken_off=run.broken_off,
                seconds=round(self.seconds, 2),
            )
        return run


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
