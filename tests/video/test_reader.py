import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.video.reader import FileSource, open_video
from ocusam.video.source import EndOfVideo
from ocusam.video.writer import VideoWriter
from video.conftest import numbered

BITS = 8


def number_of(image: NDArray[np.uint8]) -> int:
    """The number that a frame of `make_video` carries in its stripes."""
    width = image.shape[1]
    middle = image[image.shape[0] // 2].mean(axis=-1)
    return sum(int(middle[(2 * bit + 1) * width // (2 * BITS)] > 127) << bit for bit in range(BITS))


def numbers(source, frames) -> list[int]:
    return [number_of(source.read(t).image) for t in frames]


def test_frames_come_in_order_with_their_times(make_video):
    with open_video(make_video(count=30)) as source:
        assert isinstance(source, FileSource)
        frames = list(source)
        assert [number_of(f.image) for f in frames] == list(range(30))
        assert [f.frame_idx for f in frames] == list(range(30))
        assert [f.timestamp_ns for f in frames] == [i * 40_000_000 for i in range(30)]
        assert source.timestamps_ns.tolist() == [i * 40_000_000 for i in range(30)]
        assert source.size == (48, 64) and source.num_frames == 30 and source.fps == 25.0
        assert not source.truncated


@pytest.mark.skipif(os.name == "nt", reason="no colons in names there")
def test_a_name_may_hold_whatever_the_disk_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("12:30", "eye%03d [x] #?.mp4")
    with VideoWriter(path, 25.0, (48, 64)) as writer:
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    with open_video(path) as source:
        assert len(list(source)) == 3 and len(source.timestamps_ns) == 3


@pytest.mark.parametrize(
    ("name", "codec", "gop", "b_frames"),
    [
        ("clip.mp4", "libx264", 12, 2),
        ("clip.mp4", "libx264", 250, 3),
        ("clip.mkv", "libx264", 8, 0),
        ("clip.avi", "mpeg4", 10, 0),
        ("clip.avi", "mpeg4", 10, 2),
        ("clip.ts", "mpeg2video", 10, 2),
        ("clip.mov", "mjpeg", 1, 0),
    ],
)
def test_any_frame_can_be_read_in_any_order(make_video, name, codec, gop, b_frames):
    path = make_video(name, 60, codec=codec, gop=gop, b_frames=b_frames)
    order = np.random.default_rng(0).permutation(60).tolist()
    with open_video(path) as source:
        assert numbers(source, order) == order
        assert numbers(source, range(59, -1, -1)) == list(range(59, -1, -1))
        assert numbers(source, range(60)) == list(range(60))
        assert source.num_frames == 60


@pytest.mark.parametrize(("name", "codec", "b_frames"), [("c.h264", "libx264", 2), ("c.mjpeg", "mjpeg", 0)])
def test_a_raw_stream_has_frames_and_no_times_of_its_own(make_video, name, codec, b_frames):
    """As small cameras write them: no packet of H.264 has a time, those of JPEG get a made one."""
    with open_video(make_video(name, 30, codec=codec, b_frames=b_frames)) as source:
        assert source.nominal and source.num_frames == 30
        assert source.timestamps_ns.tolist() == [i * 40_000_000 for i in range(30)]  # 25 per second, guessed
        assert numbers(source, (7, 29, 3)) == [7, 29, 3] and not source.truncated
    with open_video(make_video()) as source:
        assert not source.nominal


def test_any_frame_in_any_order_with_a_variable_rate_and_open_groups(tmp_path):
    # Times as a phone or a browser writes them; the first one is not 0; pictures refer across key frames.
    path, steps = tmp_path / "vfr.mkv", np.random.default_rng(1).integers(1, 9, 60)
    times = 500 + 10 * np.cumsum(steps)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=100, options={"x264-params": "open-gop=1:keyint=9"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.max_b_frames = 3
        for number, time in enumerate(times.tolist()):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    order = np.random.default_rng(2).permutation(60).tolist()
    with open_video(path) as source:
        assert numbers(source, order) == order
        assert numbers(source, range(59, -1, -1)) == list(range(59, -1, -1))
        assert [source.read(t).timestamp_ns for t in (40, 3)] == [int(times[t]) * 10**6 for t in (40, 3)]
        assert np.array_equal(source.timestamps_ns, times * 10**6)
        assert not source.truncated


@pytest.mark.parametrize("turn", [None, 90, 180])
def test_odd_and_turned_videos_can_be_read_backward(make_video, turn):
    # 4:4:4, since 4:2:0 has no odd sizes.
    path = make_video(f"odd{turn}.mp4", 30, size=(49, 67), turn=turn, pix_fmt="yuv444p")
    with open_video(path) as source:
        forward = [frame.image for frame in source]
        assert source.size == ((67, 49) if turn == 90 else (49, 67)) == forward[0].shape[:2]
        for t in range(29, -1, -1):
            assert np.array_equal(source.read(t).image, forward[t])
        upright = [np.rot90(image, -turn // 90) if turn else image for image in forward]
        assert [number_of(image) for image in upright] == list(range(30))


@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray", 8), ("gray16le", 16), ("gray10le", 10)])
def test_grey_of_any_depth_in_any_order(tmp_path, pix_fmt, bits):
    path = tmp_path / "grey.mkv"
    top = (1 << bits) - 1
    ramp = np.linspace(0, top, 16 * 24).reshape(16, 24).astype(np.uint8 if bits == 8 else np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 24, pix_fmt
        for t in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(ramp, t, axis=0), format=pix_fmt)))
        container.mux(stream.encode())
    with open_video(path) as source:
        for t in (7, 2, 11, 0):
            image, true = source.read(t).image, np.roll(ramp, t, axis=0) / top * 255
            assert (image == image[..., :1]).all()
            assert np.abs(image[..., 0] - true).max() < 1.5


def test_pictures_that_change_size_end_the_video(make_video, tmp_path):
    large = make_video("large.ts", 20, codec="mpeg2video")
    small = make_video("small.ts", 20, codec="mpeg2video", size=(32, 48))
    path = tmp_path / "both.ts"
    path.write_bytes(large.read_bytes() + small.read_bytes())
    with open_video(path) as source:
        seen = [number_of(f.image) for f in source]
        # The decoder drops a picture that it still holds when the size changes.
        assert seen == list(range(len(seen))) and 18 <= len(seen) <= 20
        assert source.truncated and source.num_frames == len(seen)
        with pytest.raises(EndOfVideo, match="another size, 48 x 32 px"):
            source.read(len(seen))
        assert numbers(source, [5, 17]) == [5, 17]


def test_reading_on_after_a_jump_and_after_the_end(make_video):
    with open_video(make_video(count=40)) as source:
        assert numbers(source, [0, 1, 30, 31, 5, 6, 39]) == [0, 1, 30, 31, 5, 6, 39]
        with pytest.raises(EndOfVideo, match="0 to 39"):
            source.read(40)
        assert numbers(source, [3, 39, 38]) == [3, 39, 38]
        with pytest.raises(InputError, match="count from 0"):
            source.read(-1)


def test_only_a_few_pictures_are_held_while_reading_forward(make_video):
    with FileSource(make_video(count=40)) as source:
        for frame in source.iterate():
            assert len(source._buffer) <= 8, frame.frame_idx


def test_a_turned_video_is_shown_upright(make_video):
    upright = [f.image for f in open_video(make_video("upright.mp4", 3))]
    for turn, quarter in ((90, 1), (-90, -1), (180, 2)):
        with open_video(make_video(f"turned{turn}.mp4", 3, turn=turn)) as source:
            image = source.read(2).image
            assert source.size == image.shape[:2] == np.rot90(upright[2], quarter).shape[:2]
            assert np.array_equal(image, np.rot90(upright[2], quarter))


def test_a_truncated_file_gives_what_decodes_and_says_so(make_video, tmp_path):
    # The index in front, as a recorder that was switched off leaves it when it writes ahead.
    whole = make_video("whole.mp4", 60, options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with open_video(path) as source:
        seen = [number_of(f.image) for f in source]
        assert 3 < len(seen) < 60
        assert seen == list(range(len(seen)))
        assert source.truncated
        assert source.num_frames == len(seen) == len(source.timestamps_ns)
        with pytest.raises(EndOfVideo):
            source.read(len(seen))
        assert numbers(source, [7, 3]) == [7, 3]


def test_a_damaged_packet_costs_no_more_than_its_frames(make_video, tmp_path):
    path = make_video("clip.avi", 40, codec="mjpeg", gop=1, b_frames=0)
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][20]
        position, length = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[position + 8 : position + length] = b"\0" * (length - 8)
    broken = tmp_path / "broken.avi"
    broken.write_bytes(data)
    with open_video(broken) as source:
        frames = list(source)
        assert [number_of(f.image) for f in frames] == [*range(20), *range(21, 40)]
        assert frames[20].timestamp_ns == 21 * 40_000_000
        assert source.truncated
        assert number_of(source.read(25).image) == 26


def test_what_cannot_be_read_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="No such file"):
        open_video(tmp_path / "none.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    with pytest.raises(InputError, match="not a video"):
        open_video(text)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(InputError):
        open_video(empty)
    with pytest.raises(InputError, match="int"):
        open_video(3)


def test_a_file_without_pictures_or_without_frames(tmp_path: Path):
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
    with pytest.raises(InputError, match="no video"):
        open_video(sound)
    header_only = tmp_path / "none.avi"
    with av.open(str(header_only), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(InputError):
        open_video(header_only)
