from pathlib import Path

import av
import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.video.source import Frame, IterableSource, SequenceSource
from ocusam.workflows.inputs.frame_times import NOMINAL, clock_of, open_timed, read_times
from ocusam.workflows.inputs.settings import RunSettings

PICTURES = np.zeros((3, 4, 6), np.uint8)
AT_30_HZ = [1_000_000_000, 1_033_000_000, 1_067_000_000]


def times_of(path: Path, text: str, column: str | None = None, unit: str | None = None) -> list[int]:
    path.write_text(text, encoding="utf-8")
    return read_times(path, column, unit)[0].tolist()


@pytest.mark.parametrize(
    ("text", "column", "unit"),
    [
        ("1.0\n1.033\n1.067\n", None, None),
        ("frame,Time\n0,1.0\n1,1.033\n2,1.067\n", None, None),
        ("frame;time_ms\n0;1000\n1;1033,0\n2;1067\n\n", None, None),
        ("Time [ms]\tled\n1000\t0\n1033\t1\n1067\t1\n", None, None),
        ("Time [\u03bcs]\tled\n1000000\t0\n1033000\t1\n1067000\t1\n", None, None),  # a Greek mu
        ("# timestamp (us)\n1000000\n1033000\n1067000\n", None, None),
        ("time,cam_ttl\n7,1.0\n8,1.033\n9,1.067\n", "CAM_TTL", None),
        ("timestamp_ns\n1000000000\n1033000000\n1067000000\n", None, None),
        ("t\n1000\n1033\n1067\n", None, "ms"),
        ("time\n1970-01-01T00:00:01.0000000Z\n1970-01-01T01:00:01.0330000+01:00\n1970-01-01 00:00:01.067\n",
         None, None),
    ],
)  # fmt: skip
def test_tables_as_cameras_and_programs_write_them(
    text: str, column: str | None, unit: str | None, tmp_path: Path
) -> None:
    assert times_of(tmp_path / "t.csv", text, column, unit) == AT_30_HZ


def test_digits_that_a_float_has_not(tmp_path: Path) -> None:
    text = "1728546126.508032163\n1728546126.541365497\n"
    assert times_of(tmp_path / "t.txt", text) == [1_728_546_126_508_032_163, 1_728_546_126_541_365_497]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t\n1000\n1033\n1067\n", "33.5 s apart. They look like ms"),
        ("t\n0\n5\n10\n", "5 s apart. They look like ms"),
        ("t\n0\n0.00001\n0.00002\n", "1e-05 s apart. Say what they are"),
        ("time,timestamp\n1,1\n2,2\n", "several columns look like times"),
        ("a,b\n1,2\n", "no column is called time"),
        ("time,led\n1,0\n,1\n", "'' is no time .frame 1."),
        ("time\n1\nnan\n", "'nan' is no time"),
        ("0,1.0\n1,1.03\n", "2 columns and no header"),
        ("", "holds no time"),
        ("time\n0,033\n0,066\n0,100\n", "Decimal commas need semicolons"),
        ("frame,time\n0,0,033\n1,0,066\n", "more cells than the first, which names 2"),
        ("time\n1e30000000\n", "is no time"),
        ("time\n2026-12-01T10:00:00\n2026-12-01T10:00:00\n2026-12-01T10:00:01\n2026-12-01T10:00:01\n",
         "too coarse"),
    ],
)  # fmt: skip
def test_tables_that_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        times_of(tmp_path / "t.csv", text)


def test_a_column_is_not_found_without_a_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 columns and no header"):
        times_of(tmp_path / "t.csv", "1.0\n1.03\n", "cam_ttl")


def test_a_video_gets_the_times_of_its_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array(AT_30_HZ) / 1e9)
    with open_timed(PICTURES, RunSettings(times=str(tmp_path / "t.npy"))) as source:
        assert [f.timestamp_ns for f in source] == AT_30_HZ
        assert source.fps == pytest.approx(29.85, abs=0.01) and clock_of(source) == "t.npy (s)"
    with open_timed(PICTURES, RunSettings(fps=100.0)) as source:
        assert source.timestamps_ns.tolist() == [0, 10_000_000, 20_000_000]
        assert clock_of(source) == "100 frames per second, as stated"
    assert clock_of(SequenceSource(PICTURES)) == clock_of(IterableSource(iter(PICTURES))) == f"30{NOMINAL}"
    timed = (Frame(i, 7 * i, picture) for i, picture in enumerate(PICTURES))
    assert clock_of(IterableSource(timed)) == "presentation times"
    assert clock_of(SequenceSource(PICTURES, fps=25.0)) == "presentation times"
    assert clock_of(SequenceSource(PICTURES, timestamps_ns=[0, 5, 9])) == "presentation times"


def test_a_raw_stream_gets_times(tmp_path: Path) -> None:
    path = tmp_path / "cam.h264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=90)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode())
    np.save(tmp_path / "t.npy", np.array(AT_30_HZ) / 1e9)
    for wanted, times in (
        (RunSettings(times=str(tmp_path / "t.npy")), AT_30_HZ),
        (RunSettings(fps=100.0), [0, 10_000_000, 20_000_000]),
        (RunSettings(), [0, 40_000_000, 80_000_000]),
    ):
        with open_timed(path, wanted) as source:
            assert [f.timestamp_ns for f in source] == source.timestamps_ns.tolist() == times
            assert not source.truncated and (NOMINAL in clock_of(source)) == (wanted == RunSettings())


def test_times_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("t\n0\n0.03\n0.06\n0.09\n")
    with pytest.raises(InputError, match="4 times, but the video has 3 frames"):
        open_timed(PICTURES, RunSettings(times=str(tmp_path / "t.csv")))
    (tmp_path / "t.csv").write_text("t\n0\n0.06\n0.03\n")
    with pytest.raises(InputError, match="go backward after frame 1"):
        open_timed(PICTURES, RunSettings(times=str(tmp_path / "t.csv")))
    with pytest.raises(InputError, match="no file of times"):
        open_timed(PICTURES, RunSettings(times=str(tmp_path / "gone.csv")))
    with pytest.raises(InputError, match="for a file of times"):
        open_timed(PICTURES, RunSettings(times_unit="ms"))


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"fps": 30.0, "times": "t.csv"}, {"times_unit": "min"}])
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"rate|s, ms, us, ns"):
        RunSettings(**wrong)  # type: ignore[arg-type]
