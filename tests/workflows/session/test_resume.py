"""A run that is broken off anywhere goes on, and ends as if nothing had happened, bit for bit."""

import errno
import json
import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

import killed_run
from fake_predictor import FakePredictor, eye_truth, write_eye_video
from killed_run import PROMPTS, SETTINGS, contents, predictor, run, run_in_process, write_clip
from ocusam.core.errors import InputError, OutputError, PromptError
from ocusam.core.prompts import PromptPack, parse_point
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.prompt_pack import reference_picture
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session import atomic
from ocusam.workflows.session.measuring import BEHIND
from ocusam.workflows.session.resume import SessionLog
from ocusam.workflows.track import track


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """A video, the folder of an undisturbed run, and how many things happened while it tracked."""
    folder = tmp_path_factory.mktemp("whole")
    video = write_clip(folder / "clip.mp4")
    return video, folder / "run", run(video, folder / "run")


def test_chunks_follow_passes_and_only_what_counts_is_left(whole: tuple[Path, Path, int]) -> None:
    _, out, _ = whole
    log = SessionLog.read(out / "masklets")
    assert log is not None and log.finished
    assert [(c.way, c.first, c.last) for c in log.chunks] == [
        (0, 9, 13), (0, 14, 18), (0, 19, 23), (1, 16, 12), (1, 11, 7), (1, 6, 2), (1, 1, 0),
    ]  # fmt: skip
    # Rows of reflections are made anew from these at the end of every run.
    made = {p.name for p in (out / "masklets").iterdir() if not p.name.startswith("reflections_")}
    assert made == log.files()


@pytest.mark.parametrize("share", [0.25, 0.7, 0.9])
def test_a_killed_run_goes_on_and_ends_the_same(
    share: float, whole: tuple[Path, Path, int], tmp_path: Path
) -> None:
    video, undisturbed, events = whole
    out = tmp_path / "run"
    assert run_in_process(video, out, kill_at=round(share * events)) == -signal.SIGKILL
    log = SessionLog.read(out / "masklets")
    assert log is not None and not log.finished and log.chunks
    assert log.way == (1 if share > 0.5 else 0)
    run(video, out)
    assert contents(out) == contents(undisturbed)
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished" and len(record["resumed"]) == 1


@pytest.mark.slow
def test_twenty_kills_at_random(whole: tuple[Path, Path, int], tmp_path: Path) -> None:
    video, undisturbed, events = whole
    draw, killed, backward, number = random.Random(7), 0, 0, 0
    while killed < 20:
        out = tmp_path / f"run{number}"
        number += 1
        # The same run may be killed several times; what is left of it is done by the next call.
        while run_in_process(video, out, kill_at=draw.randint(1, events + 20)) == -signal.SIGKILL:
            killed += 1
            log = SessionLog.read(out / "masklets")
            backward += log is not None and log.way == 1
        assert contents(out) == contents(undisturbed)
    assert backward > 0


@pytest.mark.parametrize("at", [6, 37])  # in the pass forward and in the one backward
def test_interrupt_keeps_the_frames_since_the_last_chunk(
    at: int, whole: tuple[Path, Path, int], tmp_path: Path
) -> None:
    video, undisturbed, _ = whole
    out = tmp_path / "run"

    def interrupt(done: int, total: int | None, what: str) -> None:
        if done == at and what == "tracking":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="--resume"):
        track_eye(video, PROMPTS, model=predictor(), out=out, settings=SETTINGS, progress=interrupt)
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "interrupted" and record["reason"] == "interrupted by the user"
    log = SessionLog.read(out / "masklets")
    # Frames that the tracker was ahead of the measuring are measured and kept too.
    assert log is not None and at <= log.steps <= at + 2 * (BEHIND + 1)
    assert log.way == (1 if at > 30 else 0)
    assert at > 30 or not log.chunks[-1].whole  # backward it comes to the end of a chunk here
    run(video, out)
    assert contents(out) == contents(undisturbed)


@pytest.mark.parametrize("full_for", ["chunk_00002.parquet", "session.json", "state_00004.safetensors"])
def test_a_full_disk_keeps_what_is_done(
    full_for: str, whole: tuple[Path, Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, undisturbed, _ = whole
    out = tmp_path / "run"
    seen = 0

    def full(source: Path, target: Path) -> None:
        nonlocal seen
        seen += target.name == full_for
        if target.name == full_for and (seen == 3 or full_for != "session.json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        os.rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "replace", full)
        with pytest.raises(OutputError, match=r"disk is full.*--resume"):
            track_eye(video, PROMPTS, model=predictor(), out=out, settings=SETTINGS)
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    run(video, out)
    assert contents(out) == contents(undisturbed)


def test_a_full_disk_at_the_end_is_told_too(
    whole: tuple[Path, Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(whole[1], tmp_path / "run"))
    (out / "signals.csv").unlink()

    def full(source: Path, target: Path) -> None:
        if target.name == "signals.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        os.rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "replace", full)
        with pytest.raises(OutputError, match=r"disk is full.*--resume"):
            run(whole[0], out)
    run(whole[0], out)
    assert contents(out) == contents(whole[1])


def test_a_run_with_a_reference_picture_goes_on(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "clip.mp4", 9)
    shown = reference_picture(np.full((30, 50, 3), 90, np.uint8), [parse_point("ball:20,15")])
    pack = PromptPack((parse_point("ball:14,20@4"),), (shown,))
    settings = RunSettings(views="none", overlay=False, chunk_frames=4, resume=True)

    def interrupt(done: int, total: int | None, what: str) -> None:
        if done == 6 and what == "tracking":
            os.kill(os.getpid(), signal.SIGINT)

    track(video, pack, model=predictor(), out=tmp_path / "a", settings=settings)
    with pytest.raises(KeyboardInterrupt):
        track(video, pack, model=predictor(), out=tmp_path / "b", settings=settings, progress=interrupt)
    masklets = track(video, None, model=predictor(), out=tmp_path / "b", settings=settings)
    assert masklets.table["frame_idx"].to_list() == list(range(9))
    files = [{p.name: p.read_bytes() for p in (tmp_path / n / "masklets").glob("[cmp]*_*")} for n in "ab"]
    assert files[0] == files[1] and len(files[0]) == 3 + 1 + 1  # chunks, snapshots, prompted


def test_a_finished_run_is_left_as_it_is_and_needs_no_prompts(
    whole: tuple[Path, Path, int], tmp_path: Path
) -> None:
    video, out, _ = whole
    before = contents(out)
    settings = RunSettings(**{**SETTINGS.to_dict(), "resume": True})
    rec = track_eye(video, model=predictor(), out=out, settings=settings)
    assert rec.num_frames == killed_run.NUM_FRAMES and contents(out) == before
    with pytest.raises(PromptError, match="at least one point"):
        track(video, None, model=predictor(), out=tmp_path / "empty", settings=settings)


def test_another_job_is_refused(whole: tuple[Path, Path, int], tmp_path: Path) -> None:
    video, out, _ = whole
    before = contents(out)
    settings = RunSettings(**{**SETTINGS.to_dict(), "resume": True})
    other = write_clip(tmp_path / "other.mp4", 25)
    with pytest.raises(OutputError, match=r"input differs \(bytes: was \d+, now \d+\)"):
        track_eye(other, PROMPTS, model=predictor(), out=out, settings=settings)
    with pytest.raises(OutputError, match="prompts differs"):
        track_eye(video, PROMPTS[:1], model=predictor(), out=out, settings=settings)
    with pytest.raises(OutputError, match='model: was "SAM2VideoPredictor", now "FakePredictor"'):
        track_eye(video, PROMPTS, model=FakePredictor(), out=out, settings=settings)
    changed = RunSettings(**{**settings.to_dict(), "resume": True, "chunk_frames": 7})
    with pytest.raises(OutputError, match="chunk_frames: was 5, now 7"):
        track_eye(video, PROMPTS, model=predictor(), out=out, settings=changed)
    assert contents(out) == before


def test_a_damaged_session_is_an_error_and_stays(whole: tuple[Path, Path, int], tmp_path: Path) -> None:
    video, _, events = whole
    out = tmp_path / "run"
    run_in_process(video, out, kill_at=events // 2)
    states = list((out / "masklets").glob("state_*"))  # two where the kill came between new and old
    assert states
    for state in states:
        state.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        run(video, out)
    (out / "masklets" / "session.json").write_text("{")
    with pytest.raises(InputError, match=r"session\.json"):
        run(video, out)
    assert (out / "masklets" / "chunk_00000.parquet").exists()


def test_a_picture_that_cannot_be_read_ends_the_run_where_it_is(tmp_path: Path) -> None:
    import av

    video, pictures = write_eye_video(tmp_path / "v.mp4", eye_truth(12)), tmp_path / "pictures"
    pictures.mkdir()
    with av.open(str(video)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(pictures / f"{i}.png")
    good = (pictures / "7.png").read_bytes()
    (pictures / "7.png").write_bytes(b"damaged")
    out, settings = tmp_path / "run", RunSettings(overlay=False, resume=True)
    with pytest.raises(InputError, match=r"7\.png.*--resume"):
        track_eye(pictures, "pupil:60,55", model=FakePredictor(), out=out, settings=settings)
    (pictures / "7.png").write_bytes(good)
    rec = track_eye(pictures, "pupil:60,55", model=FakePredictor(), out=out, settings=settings)
    assert rec.signals["frame_idx"].to_list() == list(range(12))
    again = track_eye(pictures, "pupil:60,55", model=FakePredictor())
    assert rec.signals.equals(again.signals)
