from pathlib import Path

import numpy as np
import pytest

from ocusam.core.errors import InputError, OutputError
from ocusam.video.reader import open_video
from ocusam.video.writer import VideoWriter


def ramp(offset: int, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    grey = (np.arange(width)[None, :] * 2 + np.arange(height)[:, None] + offset) % 200
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_what_is_written_can_be_read_back(tmp_path: Path, size):
    path = tmp_path / "deep" / "out.mp4"
    with VideoWriter(path, 25, size, crf=1) as writer:
        for number in range(8):
            writer.write(ramp(number, size))
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["out.mp4"]
    frames = list(open_video(path))
    assert len(frames) == 8 and [f.timestamp_ns for f in frames][:3] == [0, 40_000_000, 80_000_000]
    assert frames[0].image.shape[:2] == (48, 64)
    for number, frame in enumerate(frames):
        got = frame.image[: size[0], : size[1]].astype(int)
        assert np.abs(got - ramp(number, size)).mean() < 4


def test_given_times_are_kept(tmp_path: Path):
    times = [1_000_000_000, 1_005_000_000, 1_030_000_000, 1_030_000_000]
    with VideoWriter(tmp_path / "a.mp4", 200, (16, 16)) as writer:
        for t in times:
            writer.write(np.zeros((16, 16), dtype=np.uint8), t)
    got = open_video(tmp_path / "a.mp4").timestamps_ns
    assert (
        np.abs(got - np.array([0, 5_000_000, 30_000_000, 30_000_000])).max() < 12_000
    )  # one tick of 1/90000 s
    assert (np.diff(got) > 0).all()


def test_nothing_is_left_when_it_fails_or_when_nothing_was_written(tmp_path: Path):
    def fail() -> None:
        with VideoWriter(tmp_path / "a.mp4", 25, (16, 16)) as writer:
            writer.write(np.zeros((16, 16), dtype=np.uint8))
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    with VideoWriter(tmp_path / "b.mp4", 25, (16, 16)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path: Path):
    with pytest.raises(InputError, match="frame rate"):
        VideoWriter(tmp_path / "a.mp4", 0, (16, 16))
    with pytest.raises(OutputError, match="cannot be written"):
        VideoWriter(tmp_path / "a.unknown", 25, (16, 16))
    with (
        VideoWriter(tmp_path / "a.mp4", 25, (16, 16)) as writer,
        pytest.raises(InputError, match=r"\(8, 16\)"),
    ):
        writer.write(np.zeros((8, 16), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3)).astype(np.uint8)

    def write() -> None:
        with VideoWriter(tmp_path / "a.mp4", 25, (64, 64), crf=1) as writer:
            for image in noise:
                writer.write(image)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # as if the disk ended here
        with pytest.raises(OutputError, match=r"a\.mp4 cannot be written"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
