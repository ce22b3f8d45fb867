import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.video.reader import open_video
from ocusam.video.recordings import JoinedSource, TimedSource, separate_videos
from ocusam.video.source import EndOfVideo, SequenceSource
from ocusam.video.writer import VideoWriter
from ocusam.workflows.inputs.recording_list import list_recordings


def write_video(path: Path, frames: int, first: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 50.0, (16, 32), crf=0) as out:
        for i in range(frames):
            out.write(np.full((16, 32), 20 * (first + i), np.uint8))
    return path


def write_neon(folder: Path, counts: tuple[int, ...] = (3, 4)) -> Path:
    first = 0
    for part, count in enumerate(counts, start=1):
        video = write_video(folder / f"Neon Sensor Module v1 ps{part}.mp4", count, first)
        times = 1_728_546_126_508_032_160 + 5_000_000 * np.arange(count) + 10**9 * part
        video.with_suffix(".time").write_bytes(times.astype("<i8").tobytes())
        first += count
    write_video(folder / "Neon Scene Camera v1 ps1.mp4", 2)
    return folder


def brightness(source) -> list[int]:  # type: ignore[no-untyped-def]
    return [round(float(f.image.mean()) / 20) for f in source]


def test_parts_of_neon_are_one_video_with_its_capture_times(tmp_path: Path) -> None:
    with open_video(write_neon(tmp_path / "n")) as source:
        assert (source.num_frames, source.fps, source.truncated) == (7, 200.0, False)
        assert brightness(source) == list(range(7))
        times = source.timestamps_ns
        assert [f.timestamp_ns for f in source] == times.tolist()
        assert times[0] == 1_728_546_127_508_032_160 and times[3] - times[0] == 10**9
        assert source.read(5).frame_idx == 5 and round(source.read(1).image.mean() / 20) == 1
        with pytest.raises(EndOfVideo):
            source.read(7)
    with open_video(tmp_path / "n" / "Neon Sensor Module v1 ps2.mp4") as part:
        assert brightness(part) == [3, 4, 5, 6] and part.timestamps_ns[0] == times[3]
        assert isinstance(part, TimedSource) and part.clock == "Neon Sensor Module v1 ps2.time"


@pytest.mark.parametrize("have", [3, 9])
def test_times_and_frames_that_do_not_agree(have: int, tmp_path: Path) -> None:
    folder = write_neon(tmp_path, (5,))
    (folder / "Neon Sensor Module v1 ps1.time").write_bytes(np.arange(have, dtype="<i8").tobytes() + b"xx")
    with open_video(folder) as source:
        assert (source.num_frames, source.truncated) == (min(have, 5), True)
        assert len(list(source)) == len(source.timestamps_ns) == min(have, 5)


def test_pupil_core(tmp_path: Path) -> None:
    seconds = np.array([5000.25, 5000.255, 5000.2600001])
    for eye in ("eye0", "eye1"):
        write_video(tmp_path / "000" / f"{eye}.mp4", 3)
        np.save(tmp_path / "000" / f"{eye}_timestamps.npy", seconds)
    write_video(tmp_path / "000" / "world.mp4", 2)
    with pytest.raises(InputError, match=r"eye0\.mp4 or .*eye1\.mp4"):
        open_video(tmp_path / "000")
    with open_video(tmp_path / "000" / "eye1.mp4") as source:
        assert source.timestamps_ns.tolist() == [5_000_250_000_000, 5_000_255_000_000, 5_000_260_000_100]
    (tmp_path / "000" / "eye1_timestamps.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"eye1_timestamps\.npy cannot be read"):
        open_video(tmp_path / "000" / "eye1.mp4")
    np.save(tmp_path / "000" / "eye1_timestamps.npy", seconds[::-1])
    with pytest.raises(InputError, match="go backward after frame 0"):
        open_video(tmp_path / "000" / "eye1.mp4")


@pytest.mark.parametrize("name", ["livedata.json", "livedata.json.gz"])
def test_tobii_glasses_2(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "rec" / "segments" / "1"
    write_video(folder / "eyesstream.mp4", 3)
    assert open_video(tmp_path / "rec").timestamps_ns.tolist() == [0, 20_000_000, 40_000_000]
    lines = [{"ts": 100, "s": 0, "pts": 1, "pv": 4}, {"ts": 5_000_500, "s": 0, "evts": 500}]
    text = "\n".join(json.dumps(line) for line in lines).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    with open_video(tmp_path / "rec") as source:
        assert source.timestamps_ns.tolist() == [5_000_000_000 + 20_000_000 * i for i in range(3)]
    (folder / name).write_bytes(b'{"evts": 5')
    with pytest.raises(InputError, match=r"livedata\.json.* cannot be read"):
        open_video(tmp_path / "rec")


def test_plain_videos_and_folders_of_pictures_are_no_recordings(tmp_path: Path) -> None:
    video = write_video(tmp_path / "eye0.mp4", 3)
    assert not isinstance(open_video(video), TimedSource) and separate_videos(tmp_path) == []


def test_a_part_that_breaks_off_ends_the_whole() -> None:
    class Short(SequenceSource):
        def read(self, frame_idx: int):  # type: ignore[no-untyped-def]
            if frame_idx > 1:
                raise EndOfVideo("it broke off")
            return super().read(frame_idx)

    pictures = np.zeros((3, 8, 8), np.uint8)
    source = JoinedSource([Short(pictures), SequenceSource(pictures)])
    assert source.num_frames == 6 and not source.truncated
    assert len(list(source)) == 2
    assert source.num_frames == 2 and source.truncated and len(source.timestamps_ns) == 2


def test_a_batch_takes_the_eye_videos_of_recordings(tmp_path: Path) -> None:
    write_neon(tmp_path / "p1" / "neon")
    write_video(tmp_path / "p2" / "000" / "world.mp4", 2)
    for eye in ("eye0", "eye1"):
        np.save(
            write_video(tmp_path / "p2" / "000" / f"{eye}.mp4", 2).with_name(f"{eye}_timestamps.npy"),
            [0.0, 1.0],
        )
    items = list_recordings(tmp_path, tmp_path / "out")
    assert [i.name for i in items] == ["p1/neon", "p2/000/eye0", "p2/000/eye1"]
    assert items[0].video == tmp_path / "p1" / "neon"
    (alone,) = list_recordings(tmp_path / "p1" / "neon", tmp_path / "out")
    assert (alone.name, alone.video) == ("neon", tmp_path / "p1" / "neon")
