"""Thirty damaged videos through the commands: no traceback, the right exit code, nothing lost."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from fake_predictor import FakePredictor, eye_picture, eye_truth
from ocusam.cli.main import app
from ocusam.workflows.session import job
from ocusam.workflows.session.models import OpenedModel

WHOLE, TRUTH = 40, eye_truth(40)
FORMATS = {
    "front.mp4": ("libx264", {"movflags": "faststart"}),
    "end.mp4": ("libx264", {}),
    "a.mkv": ("libx264", {}),
    "a.avi": ("mjpeg", {}),
    "a.ts": ("mpeg2video", {}),
    "a.mov": ("mpeg4", {"movflags": "faststart"}),
}
Make = Callable[[Path], Path]


def video(path: Path, size: tuple[int, int] = (120, 160)) -> Path:
    codec, options = FORMATS.get(path.name, ("libx264", {}))
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 8
        stream.bit_rate = 2_000_000
        for truth in TRUTH:
            picture = av.VideoFrame.from_ndarray(eye_picture(truth, size), format="gray")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le" if path.suffix == ".wav" else "aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 4096), np.int16 if path.suffix == ".wav" else np.float32),
            format="s16" if path.suffix == ".wav" else "fltp",
            layout="mono",
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(name: str, share: float) -> Make:
    def make(folder: Path) -> Path:
        path = video(folder / name)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return make


def spoilt(name: str, at: float, length: float, noise: bool = False) -> Make:
    def make(folder: Path) -> Path:
        path = video(folder / name)
        data = bytearray(path.read_bytes())
        first, count = int(len(data) * at), int(len(data) * length)
        fill = np.random.default_rng(0).integers(0, 256, count).astype(np.uint8).tobytes()
        data[first : first + count] = fill if noise else bytes(count)
        path.write_bytes(data)
        return path

    return make


def content(name: str, data: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def renamed(name: str, to: str) -> Make:
    return lambda folder: video(folder / name).rename(folder / to)


def appended(folder: Path) -> Path:
    path, other = video(folder / "a.mkv"), video(folder / "front.mp4")
    path.write_bytes(path.read_bytes() + other.read_bytes())
    return path


def other_size(folder: Path) -> Path:
    """A stream whose pictures change size after 40 frames, as when a camera is switched over."""
    path, small = video(folder / "a.ts"), video(folder / "b.ts", (96, 128))
    path.write_bytes(path.read_bytes() + small.read_bytes())
    return path


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.mp4", "w") as archive:
        archive.write(video(folder / "front.mp4"))
    return folder / "a.mp4"


def pictures(broken: str) -> Make:
    def make(folder: Path) -> Path:
        out = folder / "pictures"
        out.mkdir()
        for i, truth in enumerate(TRUTH):
            Image.fromarray(eye_picture(truth)).save(out / f"{i}.png")
        if broken == "cut":
            (out / "20.png").write_bytes((out / "20.png").read_bytes()[:200])
        elif broken == "size":
            Image.fromarray(eye_picture(TRUTH[20], (60, 80))).save(out / "20.png")
        elif broken == "first":
            (out / "0.png").write_bytes(b"")
        return out

    return make


def folder_of_nothing(folder: Path) -> Path:
    (folder / "a.mp4").mkdir()
    return folder / "a.mp4"


def dangling(folder: Path) -> Path:
    (folder / "a.mp4").symlink_to(folder / "gone.mp4")
    return folder / "a.mp4"


# What comes of it: all frames; fewer, and it is said; an error in one line; or an error after some frames,
# which are kept.
ALL, FEWER, REFUSED, KEPT = "all frames", "fewer frames", "refused", "kept"
# The decoder mends it, or the file does not say how long it was.
EITHER = "all or fewer frames"
CASES: dict[str, tuple[Make, str]] = {
    **{f"{name} cut in the middle": (cut(name, 0.5), FEWER) for name in FORMATS if name != "end.mp4"},
    "end.mp4 cut in the middle": (cut("end.mp4", 0.5), REFUSED),
    **{f"{name} with a block of zeros": (spoilt(name, 0.5, 0.1), FEWER) for name in FORMATS},
    **{f"{name} with a block of noise": (spoilt(name, 0.6, 0.05, True), FEWER) for name in FORMATS},
    "a.ts cut in the middle": (cut("a.ts", 0.5), EITHER),
    "a.mkv with a block of noise": (spoilt("a.mkv", 0.6, 0.05, True), EITHER),
    "a.mkv cut at the very end": (cut("a.mkv", 0.97), EITHER),
    "a.mkv cut after its header": (cut("a.mkv", 0.02), REFUSED),
    "a.avi without a beginning": (spoilt("a.avi", 0, 0.05), EITHER),
    "front.mp4 without a beginning": (spoilt("front.mp4", 0, 0.2), REFUSED),
    "empty.mp4": (content("empty.mp4", b""), REFUSED),
    "ten bytes": (content("a.mp4", b"\0\0\0\x18ftypmp"), REFUSED),
    "a web page": (content("a.mp4", b"<!doctype html><title>404</title>" * 30), REFUSED),
    "an archive": (zipped, REFUSED),
    "sound.wav": (lambda f: sound(f / "sound.wav"), REFUSED),
    "sound.mp4": (lambda f: sound(f / "sound.mp4"), REFUSED),
    "mp4 called avi": (renamed("front.mp4", "b.avi"), ALL),
    "mkv called mp4": (renamed("a.mkv", "b.mp4"), ALL),
    "mkv called jpg": (renamed("a.mkv", "b.jpg"), REFUSED),
    "two files in one": (appended, ALL),
    "another size in mid-stream": (other_size, FEWER),
    "a folder called mp4": (folder_of_nothing, REFUSED),
    "a link to nothing": (dangling, REFUSED),
    "a cut picture": (pictures("cut"), KEPT),
    "a picture of another size": (pictures("size"), KEPT),
    "an empty first picture": (pictures("first"), REFUSED),
}
FAST = ("a.mkv cut in the middle", "a.avi with a block of zeros", "another size in mid-stream",
        "a cut picture", "sound.mp4", "mkv called jpg")  # fmt: skip


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in CASES])
def test_damaged(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "open_predictor", lambda *a: OpenedModel(FakePredictor(), {"model": "fake"}))
    make, expected = CASES[name]
    (tmp_path / "in").mkdir()
    path, out = make(tmp_path / "in"), tmp_path / "out"
    # A click on frame 3: a seek, a forward and a backward pass.
    arguments = ["eye", str(path), "--point", "pupil:62,56@3", "-o", str(out), "--no-overlay"]
    result = CliRunner().invoke(app, arguments)
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if expected == REFUSED:
        assert result.exit_code == 2 and not out.exists()
        assert len(result.stderr.strip().splitlines()) == 1 and path.name in result.stderr
        return
    record = json.loads((out / "run.json").read_text())
    if expected == KEPT:
        assert result.exit_code == 2 and record["status"] == "interrupted"
        assert "20.png" in result.stderr and "--resume" in result.stderr
        assert len(pl.read_parquet(out / "masklets" / "rows_*.parquet")) == 20 - 3
        Image.fromarray(eye_picture(TRUTH[20])).save(path / "20.png")
        assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 0
    else:
        assert result.exit_code == 0, result.output
        assert expected == EITHER or record["truncated"] == (expected == FEWER)
        assert ("breaks off" in result.output) == record["truncated"]
    frames = json.loads((out / "run.json").read_text())["frames"]
    rows = pl.read_csv(out / "signals.csv")
    assert rows["frame_idx"].to_list() == list(range(frames))
    assert frames == WHOLE if expected in (ALL, KEPT) else 3 < frames <= WHOLE
    shutil.rmtree(out)
