"""Batches: the bookkeeping with threads in place of processes, crashes and Ctrl-C with real ones."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fake_predictor import FakeOutput, FakePredictor, eye_truth, write_eye_video
from ocusam.core.errors import InputError, OcusamError
from ocusam.workflows import batch, eye
from ocusam.workflows.batch import BatchOptions, Watcher, run_batch
from ocusam.workflows.inputs.recording_list import BatchItem, list_recordings
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.results.eye3d_tables import FILES as EYE3D_FILES
from ocusam.workflows.results.gaze_both import BOTH_FILES
from ocusam.workflows.trials import FILES as TRIAL_FILES

PLAIN = RunSettings(overlay=False, report=False)


class Mortal(FakePredictor):
    """Its process dies at the first frame of a video that is 4 frames long; one of 5 takes very long."""

    def propagate(self, inference_state: Any, *args: Any, **kwargs: Any) -> Iterator[FakeOutput]:
        count = inference_state.source.num_frames
        for out in super().propagate(inference_state, *args, **kwargs):
            if count == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            if count == 5 and out.frame_idx == 2:
                time.sleep(120)
            yield out


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for every recording: quick, but cannot die alone."""

    def start(index: int, item: BatchItem, options: BatchOptions) -> Any:
        ours, theirs = Pipe(duplex=False)

        def work() -> None:
            try:
                batch.run_item(
                    item, options, lambda done, total, what: theirs.send(("progress", done, total))
                )
                theirs.send(("end", None))
            except OcusamError as error:
                theirs.send(("end", str(error)))
            finally:
                theirs.close()

        thread: Any = threading.Thread(target=work)
        thread.exitcode = 0
        thread.start()
        return batch._Running(index, item, thread, ours)

    monkeypatch.setattr(batch, "_start", start)


def make_list(folder: Path, *rows: str) -> list[BatchItem]:
    for name, frames in (("a", 25), ("b", 3), ("crash", 4), ("slow", 5)):
        if any(row.startswith(name) for row in rows):
            write_eye_video(folder / f"{name}.mp4", eye_truth(frames, range(10, 16)))
    (folder / "text.mp4").write_text("no video")
    (folder / "list.csv").write_text("\n".join(["video,point,prompts", *rows]) + "\n")
    return list_recordings(folder / "list.csv", folder / "out")


def states(result: batch.BatchResult, folder: Path) -> list[str]:
    """The states, the same in the table and in the file."""
    assert (
        pl.read_csv(folder / "out" / "summary.csv")["status"].to_list() == result.summary["status"].to_list()
    )
    return result.summary["status"].to_list()


def test_failures_stop_no_other_and_a_rerun_does_what_is_missing(tmp_path: Path, in_threads: None) -> None:
    items = make_list(tmp_path, 'a.mp4,"pupil:60,55",', 'text.mp4,"pupil:1,1",', "b.mp4,,b.json")
    told: list[Any] = []
    watcher = Watcher(lambda *values: told.append(values), lambda row: told.append(row["recording"]))
    options = BatchOptions(FakePredictor(), settings=PLAIN, jobs=2)
    result = run_batch(items, tmp_path / "out", options, watcher)
    assert states(result, tmp_path) == ["finished", "failed", "failed"]
    assert (result.failed, result.interrupted) == (2, False)
    first, second, third = result.summary.iter_rows(named=True)
    assert (first["recording"], first["frames"], first["share_tracked"]) == ("a", 25, 0.76)
    assert "not a video" in second["message"] and second["frames"] is None
    assert "No such file" in third["message"] and "b.json" in third["message"]
    assert ("a", 25, 25) in told and {"a", "text", "b"} <= {t for t in told if isinstance(t, str)}

    # What is missing is done; a finished run is not touched.
    (tmp_path / "b.json").write_text(
        '{"ocusam_prompts": 1, "prompts": [{"object": "pupil", "points": [[60, 55]]}]}'
    )
    before = (items[0].out / "run.json").stat().st_mtime_ns
    again = run_batch(items, tmp_path / "out", options)
    assert states(again, tmp_path) == ["finished", "failed", "finished"]
    assert again.summary["message"][0] == "was finished before"
    assert again.summary["frames"].to_list() == [25, None, 3]
    assert (items[0].out / "run.json").stat().st_mtime_ns == before


def test_an_unfinished_run_goes_on_or_starts_over(
    tmp_path: Path, in_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,) = make_list(tmp_path, 'b.mp4,"pupil:60,55",')
    item.out.mkdir(parents=True)
    (item.out / "run.json").write_text('{"status": "interrupted"}')
    made_later = (*BOTH_FILES, *TRIAL_FILES, *EYE3D_FILES)
    for name in ("notes.txt", *made_later):
        (item.out / name).write_text("mine")
    options = BatchOptions(FakePredictor(), settings=PLAIN)
    over = run_batch([item], tmp_path / "out", replace(options, start_over=True))
    assert states(over, tmp_path) == ["finished"] and over.summary["frames"].to_list() == [3]
    assert (item.out / "notes.txt").read_text() == "mine"
    assert not any((item.out / name).exists() for name in made_later)  # of a run that is no more
    # A table of the user's own may have this name.
    (item.out / "run.json").write_text('{"status": "interrupted"}')
    (item.out / "trials.csv").write_text("mine")
    run_batch([item], tmp_path / "out", replace(options, start_over=True))
    assert (item.out / "trials.csv").read_text() == "mine"

    (item.out / "run.json").write_text('{"status": "interrupted"}')
    asked: list[bool] = []
    monkeypatch.setattr(eye, "track_eye", lambda *args, settings, **kwargs: asked.append(settings.resume))
    run_batch([item], tmp_path / "out", options)
    (item.out / "run.json").unlink()
    run_batch([item], tmp_path / "out", options)
    assert asked == [True, False]


def test_a_folder_with_foreign_results_is_left_alone(tmp_path: Path, in_threads: None) -> None:
    (item,) = make_list(tmp_path, 'b.mp4,"pupil:60,55",')
    item.out.mkdir(parents=True)
    (item.out / "signals.csv").write_text("mine")
    result = run_batch([item], tmp_path / "out", BatchOptions(FakePredictor(), settings=PLAIN))
    assert states(result, tmp_path) == ["failed"] and "another run" in result.summary["message"][0]
    assert (item.out / "signals.csv").read_text() == "mine"


def test_no_jobs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 or more"):
        run_batch([], tmp_path, BatchOptions(jobs=0))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_process_that_dies_costs_its_recording_only(tmp_path: Path) -> None:
    items = make_list(tmp_path, 'crash.mp4,"pupil:60,55",', 'b.mp4,"pupil:60,55",')
    result = run_batch(items, tmp_path / "out", BatchOptions(Mortal(), settings=PLAIN, jobs=2))
    assert states(result, tmp_path) == ["failed", "finished"], result.summary["message"].to_list()
    assert "signal 9" in result.summary["message"][0]
    assert json.loads((items[0].out / "run.json").read_text())["status"] == "running"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_leaves_a_truthful_summary(tmp_path: Path) -> None:
    items = make_list(tmp_path, 'b.mp4,"pupil:60,55",', 'slow.mp4,"pupil:60,55",', 'a.mp4,"pupil:60,55",')
    main = threading.main_thread().ident
    assert main is not None

    def done(row: dict[str, Any]) -> None:
        # Once the first is done the second, which takes minutes, is started; interrupt a little later.
        threading.Timer(2.0, signal.pthread_kill, (main, signal.SIGINT)).start()

    started = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist's workers ignore Ctrl-C
    try:
        options = BatchOptions(Mortal(), settings=PLAIN)
        result = run_batch(items, tmp_path / "out", options, Watcher(done=done))
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.interrupted and time.monotonic() - started < 100
    assert states(result, tmp_path) == ["finished", "interrupted", "not run"], result.summary[
        "message"
    ].to_list()
    assert not items[2].out.exists()
