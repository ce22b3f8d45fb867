"""Feeds and the thread that keeps the newest frame."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.video.live import DeviceFeed, Feed, FileFeed, Grabber, StreamFeed, open_feed
from ocusam.video.push import PushSource
from ocusam.video.source import EndOfVideo, Frame, SequenceSource
from ocusam.video.writer import VideoWriter
from rtsp_camera import RtspCamera

PICTURES = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 3), np.uint8)


class Scripted(Feed):
    """A camera that delivers the next picture when told."""

    def __init__(self, count: int, live: bool = True) -> None:
        self.live = live
        self.count = count
        self.go = threading.Semaphore(0)
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Frame]:
        for i in range(self.count):
            self.go.acquire()
            yield Frame(i, i * 1000, PICTURES[i])
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Nothing to close."""


def test_without_dropping_every_frame_comes() -> None:
    with Grabber(FileFeed(PICTURES)) as grabber:
        assert not grabber.drop
        assert [grabbed.frame.frame_idx for grabbed in grabber] == list(range(6))
    assert grabber.dropped == 0


def test_a_slow_user_gets_the_newest_frame_and_the_others_are_counted() -> None:
    feed = Scripted(6)
    with Grabber(feed) as grabber:
        assert grabber.drop
        frames = iter(grabber)
        feed.go.release()
        assert next(frames).frame.frame_idx == 0
        for _ in range(4):
            feed.go.release()
        for _ in range(500):
            if grabber.dropped == 3:
                break
            time.sleep(0.01)
        assert grabber.dropped == 3
        assert next(frames).frame.frame_idx == 4
        feed.go.release()
        assert [grabbed.frame.frame_idx for grabbed in frames] == [5]
    assert grabber.dropped == 3


def test_an_error_of_the_camera_reaches_the_user() -> None:
    feed = Scripted(1)
    feed.error = InputError("unplugged")
    feed.go.release()
    with Grabber(feed) as grabber, pytest.raises(InputError, match="unplugged"):
        list(grabber)


def test_stopping_ends_the_wait_for_a_silent_camera() -> None:
    feed = Scripted(1)
    with Grabber(feed) as grabber:
        threading.Timer(0.2, grabber.stopped.set).start()
        assert list(grabber) == []
        feed.go.release()


def test_a_file_runs_at_its_own_speed_when_frames_are_dropped() -> None:
    source = SequenceSource(PICTURES, fps=50)
    with Grabber(FileFeed(source), drop=True) as grabber:
        start = time.perf_counter()
        frames = [grabbed.frame.frame_idx for grabbed in grabber]
        assert time.perf_counter() - start >= 0.1
    assert frames[-1] == 5 and len(frames) + grabber.dropped == 6


def test_what_opens_as_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 25, (32, 32)) as writer:
        for value in (0, 100):
            writer.write(np.full((32, 32, 3), value, np.uint8))
    feed = open_feed(str(path))
    assert isinstance(feed, FileFeed) and feed.fps == 25 and len(list(feed)) == 2
    feed.close()
    assert open_feed(feed) is feed
    stream = StreamFeed(path.as_uri())  # the one kind of address that needs no network
    times = [frame.timestamp_ns for frame in stream]
    assert np.diff(times).tolist() == [40_000_000]
    stream.close()
    opened: list[int] = []
    monkeypatch.setattr(DeviceFeed, "__init__", lambda self, number: opened.append(number))
    for number in ("0", 1):
        open_feed(number)
    assert opened == [0, 1]


def test_an_rtsp_camera() -> None:
    pictures = [np.full((48, 64, 3), (200, 20 + 8 * i, 60), np.uint8) for i in range(12)]
    with RtspCamera(pictures, fps=25) as camera:
        feed = open_feed(camera.address)
        assert isinstance(feed, StreamFeed) and feed.live and feed.fps == 25
        frames = list(feed)  # to the end: the camera hangs up
        feed.close()
    assert [frame.frame_idx for frame in frames] == list(range(12))
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.abs(frame.image.astype(int) - picture).max() < 8
    # Though the first frame comes without a time of its own.
    assert [frame.timestamp_ns for frame in frames] == [40_000_000 * i for i in range(12)]


def test_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's pictures are blue first, and their times are those of their arrival."""

    class Capture:
        def __init__(self, number: int) -> None:
            self.left = 3 if number == 0 else 0

        def isOpened(self) -> bool:
            return self.left > 0

        def get(self, what: int) -> float:
            return 0.0  # many drivers do not say

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.left -= 1
            return (True, np.full((4, 5, 3), (1, 2, 3), np.uint8)) if self.left >= 0 else (False, None)

        def release(self) -> None:
            self.left = -1

    monkeypatch.setattr("ocusam.video.live.cv2.VideoCapture", Capture)
    feed = open_feed("0")
    frames = list(feed)
    feed.close()
    assert feed.live and feed.fps is None and [frame.frame_idx for frame in frames] == [0, 1, 2]
    assert frames[0].image[0, 0].tolist() == [3, 2, 1]
    assert (np.diff([frame.timestamp_ns for frame in frames]) >= 0).all()
    with pytest.raises(InputError, match="plugged in"):
        open_feed(1)


@pytest.mark.parametrize("source", ["no_such_file.mp4", "rtsp://127.0.0.1:1/none", 97])
def test_what_cannot_be_opened(source: object) -> None:
    with pytest.raises(InputError):
        open_feed(source)


def test_pushed_frames() -> None:
    source = PushSource(PICTURES[0], keep=2)
    for picture in PICTURES[1:4]:
        source.push(picture)
    assert (source.newest, source.oldest, source.num_frames, source.size) == (3, 2, None, (4, 5))
    assert (source.read(2).image == 2).all() and len(source.timestamps_ns) == 2
    with pytest.raises(EndOfVideo, match="not come"):
        source.read(4)
    with pytest.raises(InputError, match="passed"):
        source.read(1)
    with pytest.raises(InputError, match="size"):
        source.push(PICTURES[0, :2])
    assert source.newest == 3
