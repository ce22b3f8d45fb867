"""Video files, one frame at a time, and `open_video`, which opens any source of pictures.

Purpose: read files of hours in constant memory, with the times that the file gives, and go to any frame
exactly.

Notable choices: frame k is the k-th picture that comes out of the decoder from the start of the file, in
order of display. Random access uses the file's packets (times and key frames, read once without decoding, 9
bytes a frame): it seeks to the key frame before the wanted time and decodes up to that very time. Where a
file's packets cannot be trusted (times missing or twice, pictures cut away by an edit list), it decodes from
the start, slow but exact. A packet that does not decode is left out and counted; the frames around it keep
their times.

What it does not know: mirrored display matrices and pixels that are not square (both are read as they are
stored).
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.video.packets import PacketIndex, announced_duration, index_packets
from ocusam.video.pictures import PICTURE_SUFFIXES, read_picture
from ocusam.video.source import (
    NANOSECONDS,
    NOMINAL_FPS,
    EndOfVideo,
    Frame,
    IterableSource,
    PictureFolder,
    SequenceSource,
    VideoSource,
    nominal_timestamp_ns,
)
from ocusam.video.stack import TiffStack, is_stack

# What reading backward may keep: the frames between a key frame and the wanted one.
_BUFFER_BYTES = 64 << 20
# Frames kept when reading on: several views of a picture are read ahead, each at its own pace.
_RECENT = 8
_NO_TIME = -(1 << 63)  # FFmpeg's own mark for a frame without a time
_TIMELESS = 0x80  # AVFMT_NOTIMESTAMPS: raw streams of H.264 or JPEG, as small cameras write them


class _NumberingLostError(Exception):
    """A frame after a seek is not the one that the packets announced."""


class FileSource(VideoSource):
    """A video file through FFmpeg (PyAV).

    Args:
        path: the file.

    Attributes:
        nominal: whether it has no times, and those here follow from a guess at the frame rate.

    Raises:
        InputError: no such file, not a video, or no frame that decodes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"No such file: {self.path}.")
        if not self.path.stat().st_size:
            raise InputError(f"{self.path} is empty (0 bytes): copy the video again.")
        self._index: PacketIndex | None = None
        self._index_wrong = False
        self._decode_errors = 0
        self._end: int | None = None
        self._other_size: str | None = None  # of a picture in mid-stream: the video ends before it
        self._pts = array("q")  # of the frames decoded from the start, gap-free
        self._buffer: OrderedDict[int, Frame] = OrderedDict()
        # Kept, and without threads of its own: making these anew for each picture takes longer than
        # converting it (github.com/PyAV-Org/PyAV/issues/2200).
        self._to_rgb = VideoReformatter()
        self._lock = threading.RLock()  # frames are read ahead in one thread, and closed in another
        self._open()
        self._size = (0, 0)  # until the first picture
        first = self._decode_next(_RECENT)
        if first is None:
            self.close()
            raise InputError(f"{self.path} holds no frame that can be decoded.")

    # --- what it says ---------------------------------------------------------------------------------------

    @property
    def read_ahead(self) -> bool:
        return True

    @property
    def size(self) -> tuple[int, int]:
        return self._size

    @property
    def num_frames(self) -> int:
        if self._end is not None:
            return self._end
        index = self._packets()
        packets = len(index.pts) + index.untimed - index.discarded
        return len(index.pts) if index.exact else max(self._announced, packets)

    @property
    def fps(self) -> float | None:
        return self._fps

    @property
    def truncated(self) -> bool:
        index = self._packets()
        if self._decode_errors or index.damaged or self._other_size:
            return True
        have = self._end if self._end is not None else len(index.pts)
        return have < self._announced - index.discarded or self._ends_early(index, have)

    def _ends_early(self, index: PacketIndex, have: int) -> bool:
        """Whether a file that counts no frames (Matroska) announces a longer video than it holds."""
        if self._announced or self._announced_s is None or not have or self._time_base is None:
            return False
        pts = index.pts[: min(have, len(index.pts))]
        held_s = float(int(pts[-1]) * self._time_base)  # the tag, too, counts from the file's zero
        # The last picture may be shown for as long as any other was.
        longest_s = float(int(np.diff(pts).max(initial=0)) * self._time_base)
        return held_s + 1.5 * max(longest_s, 1 / (self._fps or NOMINAL_FPS)) < self._announced_s

    @property
    def timestamps_ns(self) -> NDArray[np.int64]:
        count = self.num_frames
        known = np.array(self._pts, dtype=np.int64)
        if len(known) < count:
            known = self._packets().pts if self._exact else self._decode_all_times()
        return np.array([self._to_ns(pts, i) for i, pts in enumerate(known.tolist())], dtype=np.int64)

    # --- reading --------------------------------------------------------------------------------------------

    def read(self, frame_idx: int) -> Frame:
        if frame_idx < 0:
            raise InputError(f"Frames count from 0, got frame {frame_idx}.")
        with self._lock:
            return self._read(frame_idx)

    def _read(self, frame_idx: int) -> Frame:
        if frame_idx in self._buffer:
            return self._buffer[frame_idx]
        self._check_end(frame_idx)
        if frame_idx != self._next:
            if self._exact:
                self._check_end(frame_idx)
                before = self._packets().key_before(frame_idx)
                if not (before <= self._next <= frame_idx) and not self._seek(before, frame_idx):
                    self._restart()
            elif frame_idx < self._next:
                self._restart()
        keep = min(_RECENT, self._buffer_frames) if frame_idx == self._next else self._buffer_frames
        try:
            self._decode_to(frame_idx, keep)
        except _NumberingLostError:
            self._restart()
            self._decode_to(frame_idx, keep)
        if frame_idx in self._buffer:
            return self._buffer[frame_idx]
        self._check_end(frame_idx)
        raise InputError(f"Frame {frame_idx} of {self.path} cannot be decoded.")

    def close(self) -> None:
        with self._lock:
            self._container.close()

    def _decode_to(self, frame_idx: int, keep: int) -> None:
        while self._next <= frame_idx:
            if self._decode_next(keep) is None:
                return

    def _check_end(self, frame_idx: int) -> None:
        count = self._end
        if count is None and self._index is not None and self._exact:
            count = len(self._index.pts)
        if count is not None and frame_idx >= count:
            why = f"; then its pictures have another size, {self._other_size} px" if self._other_size else ""
            raise EndOfVideo(
                f"Frame {frame_idx} was asked for, but {count} frames of {self.path.name} can be read "
                f"(0 to {count - 1}{why})."
            )

    # --- decoding -------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            # Whole, since FFmpeg takes what stands before the colon of "12:30/eye.mp4" for a protocol.
            self._container = av.open(str(self.path.absolute()))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{self.path} is not a video that can be read ({_reason(error)}).") from None
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{self.path} holds no video (no picture stream).")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._time_base = self._stream.time_base
        self._fps = float(self._stream.average_rate) if self._stream.average_rate else None
        self.nominal = bool(int(self._container.format.flags) & _TIMELESS)
        self._announced = int(self._stream.frames or 0)
        self._announced_s = announced_duration(self._stream)
        self._next = 0
        self._sequential = True  # whether everything since frame 0 went through this decoder
        self._decoder = self._decode()

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Pictures in display order; what does not decode is counted and left out."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError):
                self._count_error()
                with suppress(av.error.FFmpegError):
                    yield from self._stream.codec_context.decode(None)
                return
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self._count_error()

    def _count_error(self) -> None:
        self._decode_errors += 1
        self._index_wrong = True  # a packet without its picture: packets no longer number the frames

    def _decode_next(self, keep: int) -> Frame | None:
        """Decode the frame numbered `_next`, keep it and at most `keep - 1` before it; None at the end."""
        picture = next(self._decoder, None)
        if picture is None:
            if self._sequential or self._exact:
                self._end = self._next
            return None
        if self._differs(picture):
            self._end = self._next
            return None
        frame_idx, pts = self._next, _NO_TIME if picture.pts is None else picture.pts
        if self._sequential:
            if frame_idx == len(self._pts):
                self._pts.append(pts)
            if self._index is not None and not self._index.has(frame_idx, pts):
                self._index_wrong = True
        elif self._index_wrong or not self._packets().has(frame_idx, pts):
            self._index_wrong = True
            raise _NumberingLostError
        return self._keep(frame_idx, picture, keep)

    def _differs(self, picture: av.VideoFrame) -> bool:
        """Whether a picture has another size than the first one, whose size is noted."""
        size = (picture.height, picture.width)
        if _turns(picture) % 2:
            size = size[::-1]
        if self._size == (0, 0):
            self._size = size
        if size != self._size:
            self._other_size = f"{size[1]} x {size[0]}"
        return size != self._size

    def _keep(self, frame_idx: int, picture: av.VideoFrame, keep: int) -> Frame:
        image: NDArray[np.uint8] = np.asarray(
            self._to_rgb.reformat(picture, format="rgb24", threads=1).to_ndarray(), dtype=np.uint8
        )
        turns = _turns(picture)
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
        frame = Frame(frame_idx, self._to_ns(picture.pts, frame_idx), image)
        self._buffer[frame_idx] = frame
        self._buffer.move_to_end(frame_idx)
        while len(self._buffer) > keep:
            self._buffer.popitem(last=False)
        self._next = frame_idx + 1
        return frame

    def _restart(self) -> None:
        self._container.close()
        self._decode_errors = 0
        self._open()

    def _seek(self, key_idx: int, frame_idx: int) -> bool:
        """Place the decoder on the first frame at or after a key frame; False where the file does not allow
        it."""
        index = self._packets()
        target_pts = int(index.pts[key_idx])
        try:
            self._container.seek(target_pts, stream=self._stream, backward=True)
        except (av.error.FFmpegError, OSError):
            return False
        self._decoder = self._decode()
        self._sequential = False
        for picture in self._decoder:
            if picture.pts is None or picture.pts > target_pts:
                return False
            if picture.pts == target_pts:
                if self._differs(picture):
                    raise InputError(
                        f"Frame {frame_idx} of {self.path.name} cannot be read: the pictures there have "
                        f"another size, {self._other_size} px, than the first one."
                    )
                self._buffer.clear()
                self._keep(key_idx, picture, self._buffer_frames)
                return True
        return False

    @property
    def _buffer_frames(self) -> int:
        height, width = self._size
        return max(2, int(_BUFFER_BYTES // (height * width * 3)))

    # --- the packet index -----------------------------------------------------------------------------------

    @property
    def _exact(self) -> bool:
        return not self._index_wrong and self._packets().exact

    def _packets(self) -> PacketIndex:
        if self._index is None:
            self._index = index_packets(self.path)
            start = np.array(self._pts, dtype=np.int64)
            if not np.array_equal(self._index.pts[: len(start)], start):
                self._index_wrong = True
        return self._index

    def _decode_all_times(self) -> NDArray[np.int64]:
        frame_idx = len(self._pts)
        with suppress(EndOfVideo):
            while True:
                self.read(frame_idx)
                frame_idx += 1
        return np.array(self._pts, dtype=np.int64)

    def _to_ns(self, pts: int | None, frame_idx: int) -> int:
        if pts is None or pts == _NO_TIME or self._time_base is None:
            return nominal_timestamp_ns(frame_idx, self._fps)
        return pts * NANOSECONDS * self._time_base.numerator // self._time_base.denominator


def _turns(picture: av.VideoFrame) -> int:
    """Quarter turns that show a picture upright."""
    return round((picture.rotation or 0) / 90) % 4


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def open_video(source: Any, *, fps: float | None = None) -> VideoSource:
    """Open anything that holds pictures in order.

    Args:
        source: a video file; a TIFF stack; a folder of pictures (natural order); the folder or an eye
            video of an eye tracker's recording (`recordings`: with its capture times); one picture file; an
            array (T, H, W) or (T, H, W, 3) of uint8; a list of arrays or Pillow images; any iterable of them
            (then frames can be read forward only); or a `VideoSource`, which is returned as it is.
        fps: frame rate for pictures that carry no times.

    Raises:
        InputError: no such file, not a video, no frames, pictures of other shapes or types.
    """
    if isinstance(source, VideoSource):
        return source
    if isinstance(source, str | Path):
        from ocusam.video.recordings import open_recording  # which reads its files with this module

        path = Path(source)
        recording = open_recording(path)
        if recording is not None:
            return recording
        if path.is_dir():
            return PictureFolder(path, fps=fps)
        if is_stack(path):
            return TiffStack(path, fps=fps)
        if path.suffix.lower() in PICTURE_SUFFIXES:
            return SequenceSource([read_picture(path)], fps=fps)
        return FileSource(path)
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return SequenceSource(source, fps=fps)
    if isinstance(source, Iterable):
        return IterableSource(source, fps=fps)
    raise InputError(
        f"Cannot read a video from {type(source).__name__}: give a path, an array, a list or an iterable."
    )
