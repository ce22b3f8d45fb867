"""Recordings of eye trackers: their eye videos with the times at which the pictures were taken.

Purpose: `open_video` on a recording's folder or on one of its eye videos gives frames with capture times,
which a video's own presentation times only approximate.

What is known, and whence the times come:

- Neon, native: `Neon Sensor Module v1 ps1.mp4`, `ps2.mp4`, ... with `.time` beside each, little-endian int64
  nanoseconds (UTC), one a frame. The parts of a folder are one recording and are read as one video. Both eyes
  lie side by side in the picture; `--views auto` splits it.
- Tobii Glasses 2: `eyesstream.mp4`, four views stacked. The file's own times, in microseconds from its start;
  where `livedata.json` or `livedata.json.gz` lies beside it, its `evts` entries place that start on the clock
  of the gaze samples.
- Pupil Core (and Pupil Invisible converted to it): `eye0.mp4` with `eye0_timestamps.npy`, float64 seconds on
  Pupil's clock. Each eye is a video of its own.

Notable choices: times are never invented. Frames for which the recording holds no time are left out, times
without a frame mean that the video breaks off; `truncated` is true in both cases. Neon's `.time_aux` is not
read: what its clock is, is not documented.

What it does not know: which view is which eye; scene videos.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.video.reader import FileSource
from ocusam.video.source import NANOSECONDS, EndOfVideo, Frame, VideoSource, natural_key

_TOBII = "eyesstream.mp4"
_LIVE_DATA = ("livedata.json.gz", "livedata.json")
_PUPIL_VIDEOS = (".mp4", ".mjpeg", ".avi")


class TimedSource(VideoSource):
    """A video with other times than its own.

    Args:
        source: the video; closed with this one.
        times_ns: (T,) capture times, not descending.
        clock: where they come from, for the record of a run.

    Raises:
        InputError: no time, or times that go backward.
    """

    def __init__(self, source: VideoSource, times_ns: NDArray[np.int64], clock: str) -> None:
        if not len(times_ns):
            raise InputError(f"{clock} holds no time.")
        back = np.flatnonzero(np.diff(times_ns) < 0)
        if len(back):
            raise InputError(f"The times of {clock} go backward after frame {int(back[0])}.")
        self.video = source
        self.clock = clock
        self._times = times_ns

    @property
    def read_ahead(self) -> bool:
        return self.video.read_ahead

    @property
    def size(self) -> tuple[int, int]:
        return self.video.size

    @property
    def num_frames(self) -> int:
        count = self.video.num_frames
        return len(self._times) if count is None else min(count, len(self._times))

    @property
    def fps(self) -> float | None:
        """From the median step of the capture times."""
        step = float(np.median(np.diff(self._times))) if len(self._times) > 1 else 0.0
        return NANOSECONDS / step if step > 0 else self.video.fps

    @property
    def truncated(self) -> bool:
        return self.video.truncated or self.video.num_frames != len(self._times)

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return self._times[: self.num_frames]

    def read(self, frame_idx: int) -> Frame:
        if frame_idx >= len(self._times):
            raise EndOfVideo(
                f"Frame {frame_idx} was asked for, but {self.clock} has {len(self._times)} times."
            )
        return Frame(frame_idx, int(self._times[frame_idx]), self.video.read(frame_idx).image)

    def close(self) -> None:
        self.video.close()


class JoinedSource(VideoSource):
    """Videos one after the other, as one.

    A part that breaks off ends the whole: frames after it would get wrong numbers.

    Args:
        parts: videos of one size, in order of time; closed with this one.

    Raises:
        InputError: none, or of different sizes.
    """

    def __init__(self, parts: Sequence[VideoSource]) -> None:
        if not parts:
            raise InputError("Nothing to join: give at least one video.")
        for part in parts:
            if part.size != parts[0].size:
                raise InputError(
                    f"The parts of a recording have different sizes: {parts[0].size} and {part.size} (h, w)."
                )
        self.parts = list(parts)
        counts = [part.num_frames or 0 for part in parts]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(int).tolist()
        self._end: int | None = None

    @property
    def read_ahead(self) -> bool:
        return all(part.read_ahead for part in self.parts)

    @property
    def size(self) -> tuple[int, int]:
        return self.parts[0].size

    @property
    def num_frames(self) -> int:
        return self._starts[-1] if self._end is None else self._end

    @property
    def fps(self) -> float | None:
        return self.parts[0].fps

    @property
    def truncated(self) -> bool:
        return self._end is not None or any(part.truncated for part in self.parts)

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        return np.concatenate([part.timestamps_ns for part in self.parts])[: self.num_frames]

    @property
    def clock(self) -> str:
        """Where the times come from."""
        return str(getattr(self.parts[0], "clock", "presentation times"))

    def read(self, frame_idx: int) -> Frame:
        self._check_index(frame_idx)
        part = int(np.searchsorted(self._starts, frame_idx, side="right")) - 1
        try:
            frame = self.parts[part].read(frame_idx - self._starts[part])
        except EndOfVideo:
            self._end = frame_idx
            raise
        return Frame(frame_idx, frame.timestamp_ns, frame.image)

    def close(self) -> None:
        for part in self.parts:
            part.close()


def open_recording(path: Path) -> VideoSource | None:
    """The eye video of an eye tracker's recording, with its capture times.

    Args:
        path: a recording's folder, or one of its eye videos.

    Returns:
        None where the path is nothing of the kind (a plain video, a folder of pictures, no file at all).

    Raises:
        InputError: a recording that cannot be read, or a folder with the videos of two eyes: lists them.
    """
    videos = recording_videos(path)
    if not videos:
        return None
    if len(videos) > 1 and _neon_times(videos[0]) is None:
        names = " or ".join(str(video) for video in videos)
        raise InputError(f"{path} holds a video for each eye: give {names}, or use `ocusam batch` for both.")
    opened: list[VideoSource] = []
    try:
        for video in videos:
            opened.append(_open(video))
        return opened[0] if len(opened) == 1 else JoinedSource(opened)
    except BaseException:
        for source in opened:
            source.close()
        raise


def recording_videos(path: Path) -> list[Path]:
    """The eye videos of a recording, or the path itself where it is one; empty where it is no recording.

    Those of Neon belong together as parts of one video; those of Pupil Core are one for each eye."""
    if path.is_file():
        known = _neon_times(path) or _pupil_times(path) or (path.name == _TOBII or None)
        return [path] if known else []
    if not path.is_dir():
        return []
    for tobii in (path / _TOBII, *sorted(path.glob(f"segments/*/{_TOBII}"))):
        if tobii.is_file():
            return [tobii]
    files = sorted((p for p in path.iterdir() if p.is_file()), key=lambda p: natural_key(p.name))
    neon = [p for p in files if p.name.startswith("Neon Sensor Module") and _neon_times(p)]
    pupil = [p for p in files if p.stem in ("eye0", "eye1") and _pupil_times(p)]
    return neon or pupil


def separate_videos(folder: Path) -> list[Path]:
    """What of a folder is tracked on its own: the folder itself where its videos are parts of one recording,
    else each eye video; empty where it is no recording's folder."""
    videos = recording_videos(folder)
    return [folder] if videos and _neon_times(videos[0]) else videos


def _open(video: Path) -> VideoSource:
    neon, pupil = _neon_times(video), _pupil_times(video)
    source = FileSource(video)
    try:
        if neon is not None:
            return TimedSource(source, _read_neon(neon), neon.name)
        if pupil is not None:
            return TimedSource(source, _read_pupil(pupil), pupil.name)
        start_us, clock = _tobii_start(video)
        times = source.timestamps_ns + start_us * 1000
        return TimedSource(source, times, clock)
    except BaseException:
        source.close()
        raise


def _neon_times(video: Path) -> Path | None:
    times = video.with_suffix(".time")
    return times if video.suffix.lower() == ".mp4" and times.is_file() else None


def _pupil_times(video: Path) -> Path | None:
    times = video.with_name(f"{video.stem}_timestamps.npy")
    return times if video.suffix.lower() in _PUPIL_VIDEOS and times.is_file() else None


def _read_neon(path: Path) -> NDArray[np.int64]:
    data = path.read_bytes()
    return np.frombuffer(data[: len(data) // 8 * 8], dtype="<i8").astype(np.int64)


def _read_pupil(path: Path) -> NDArray[np.int64]:
    try:
        seconds = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The times {path} cannot be read ({error}).") from None
    if seconds.ndim != 1 or not np.issubdtype(seconds.dtype, np.number) or not np.isfinite(seconds).all():
        raise InputError(
            f"The times {path} are not a list of seconds (shape {seconds.shape}, {seconds.dtype})."
        )
    times: NDArray[np.int64] = np.round(seconds.astype(np.float64) * NANOSECONDS).astype(np.int64)
    return times


def _tobii_start(video: Path) -> tuple[int, str]:
    """Time of the eye video's start on the clock of `livedata.json`, µs, and what the clock is called."""
    for name in _LIVE_DATA:
        path = video.with_name(name)
        if not path.is_file():
            continue
        opener = gzip.open if name.endswith(".gz") else open
        try:
            with opener(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    if '"evts"' in line:
                        entry = json.loads(line)
                        return int(entry["ts"]) - int(entry["evts"]), f"{name} (ts, from evts)"
        except (OSError, EOFError, ValueError, KeyError, TypeError, ZlibError) as error:
            raise InputError(f"{path} cannot be read ({error}).") from None
    return 0, f"{video.name} (presentation times)"
