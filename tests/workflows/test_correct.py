"""A correction of a finished run equals one of a predictor that kept everything in memory."""

import copy
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import killed_run
from killed_run import predictor, write_clip
from ocusam.core.errors import InputError, OutputError, PromptError
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows.correct import Correction, CorrectSettings, correct
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.prompt_pack import read_json
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.masklets import Masklets, encode
from ocusam.workflows.session.resume import SessionLog

NUM_FRAMES, START = 44, 20
PROMPTS = {"pupil": (14.0, 20.0), "iris": (70.0, 22.0)}
Rows = dict[tuple[int, str], tuple[bytes, float, float]]


@pytest.fixture(scope="module")
def network() -> SAM2VideoPredictor:
    return predictor()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, network: SAM2VideoPredictor) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("base")
    video = write_clip(folder / "clip.mp4", NUM_FRAMES)
    points = [f"{name}:{x},{y}@{START}" for name, (x, y) in PROMPTS.items()]
    settings = RunSettings(views="none", overlay=False, chunk_frames=10, snapshot_frames=7)
    track_eye(video, points, model=network, out=folder / "run", settings=settings)
    return video, folder / "run"


@pytest.fixture
def run(base: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(base[1], tmp_path / "run"))


def stored(folder: Path) -> Rows:
    masks = Masklets.from_folder(folder / "masklets")
    table = masks.table
    assert len(table) == len(table.unique(["frame_idx", "view", "object"])) == 2 * NUM_FRAMES
    return {
        (r["frame_idx"], r["object"]): (
            encode(masks.mask(r["frame_idx"], r["object"])),
            r["predicted_iou"],
            r["object_score"],
        )
        for r in table.iter_rows(named=True)
    }


class AllInMemory:
    """The published way: one session, every memory kept, corrections as conditioning frames."""

    predictor = predictor(memory_window=None, add_all_frames_to_correct_as_cond=True)
    tracked: tuple[Rows, Any] | None = None  # the run before corrections, once for all tests

    def __init__(self, video: Path) -> None:
        self.state = self.predictor.init_state(str(video))
        self.rows: Rows = {}
        if AllInMemory.tracked is None:
            for name, point in PROMPTS.items():
                self.click(name, point, START)
            self.go(START)
            self.go(START, reverse=True)
            AllInMemory.tracked = (self.rows, self.state.objects)
        self.rows, self.state.objects = copy.deepcopy(AllInMemory.tracked)

    def click(self, name: str, point: tuple[float, float], frame: int) -> None:
        self.predictor.add_new_points_or_box(
            self.state, frame, name, points=np.array([point], np.float32), labels=[1]
        )

    def go(self, start: int, **options: Any) -> None:
        for out in self.predictor.propagate(self.state, start_frame_idx=start, **options):
            if options.get("reverse") and out.frame_idx == start:
                continue
            for i, name in enumerate(out.obj_ids):
                scores = (float(out.predicted_iou[i]), float(out.object_score[i]))
                self.rows[out.frame_idx, str(name)] = (encode(out.masks[i]), *scores)


def of(rows: Rows, name: str) -> Iterator[tuple[int, tuple[bytes, float, float]]]:
    return ((frame, rows[frame, name]) for frame in range(NUM_FRAMES))


def same(folder: Path, reference: AllInMemory, name: str, before: Rows) -> None:
    now, other = stored(folder), "iris" if name == "pupil" else "pupil"
    assert dict(of(now, name)) == dict(of(reference.rows, name))
    assert dict(of(now, other)) == dict(of(before, other))


def fix(run: Path, click: str, network: SAM2VideoPredictor, video: Path, **settings: Any) -> Correction:
    exact = CorrectSettings(**{"stop_iou": None, **settings})
    return correct(run, click, settings=exact, model=network, video=video)


@pytest.mark.parametrize(
    ("frame", "direction"),  # frame 33 was tracked forward, frame 11 backward
    [
        (33, "forward"),
        (11, "both"),
        *(pytest.param(33, d, marks=pytest.mark.slow) for d in ("backward", "both")),
        *(pytest.param(11, d, marks=pytest.mark.slow) for d in ("forward", "backward")),
    ],
)
def test_a_correction_equals_one_with_everything_in_memory(
    frame: int, direction: str, base: tuple[Path, Path], run: Path, network: SAM2VideoPredictor
) -> None:
    reference, before = AllInMemory(base[0]), stored(run)
    reference.click("pupil", (60, 25), frame)
    if direction == "backward":
        reference.go(frame, max_frame_num_to_track=0)
    else:
        reference.go(frame)
    if direction != "forward":
        reference.go(frame, reverse=True)
    done = fix(run, f"pupil:60,25@{frame}", network, base[0], direction=direction)
    assert stored(run) != before
    same(run, reference, "pupil", before)
    ways = {"forward": NUM_FRAMES - frame, "backward": frame + 1, "both": NUM_FRAMES}
    assert done.retracked == ways[direction]
    # Snapshots lie 7 frames apart, memory reaches 16 frames either way.
    assert done.replayed <= 7 + 16 + 16 + 7 and done.encoded <= done.replayed + done.retracked + 4


@pytest.mark.slow
def test_corrections_on_corrections(base: tuple[Path, Path], run: Path, network: SAM2VideoPredictor) -> None:
    reference, before = AllInMemory(base[0]), stored(run)
    for click, point, frame, options in [
        ("pupil:60,25@33", (60, 25), 33, {}),
        ("pupil:20,20@36", (20, 20), 36, {}),  # a few frames into the first one
        ("pupil:50,12@33", (50, 12), 33, {}),  # the same frame again
        ("pupil:30,30@25", (30, 30), 25, {"last": 30}),  # between frames that are trusted
    ]:
        reference.click("pupil", point, frame)
        limit = {"max_frame_num_to_track": options["last"] - frame} if options else {}
        reference.go(frame, **limit)
        fix(run, click, network, base[0], **options)
    same(run, reference, "pupil", before)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and len(record["corrections"]) == 4
    assert record["prompts"] == json.loads((base[1] / "run.json").read_text())["prompts"]
    kept = [(p.name, p.frame_idx) for p in read_json(run / "prompts.json").prompts]
    assert kept == [("pupil", 20), ("iris", 20), ("pupil", 33), ("pupil", 36), ("pupil", 25)]
    # The tables follow, and chunks hold no row twice.
    rows = pl.read_csv(run / "signals.csv").filter(pl.col("object").is_in(["pupil", "iris"]))
    assert len(rows) == 2 * NUM_FRAMES  # spots of the picture beside them
    assert len(pl.concat([pl.read_parquet(p) for p in (run / "masklets").glob("chunk_*")])) == len(rows)


def test_a_correction_ends_where_masks_meet(
    base: tuple[Path, Path], run: Path, network: SAM2VideoPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocusam.workflows.session.going.MEETING_FRAMES", 3)
    reference, before = AllInMemory(base[0]), stored(run)
    # A click that says what was known: masks hardly move, so that they meet at once.
    done = fix(run, "pupil:60,25@30", network, base[0], stop_iou=0.01)
    assert done.retracked == 3
    # Up to there it is what a predictor that kept everything gives; from there on what was before.
    reference.click("pupil", (60, 25), 30)
    reference.go(30, max_frame_num_to_track=2)
    same(run, reference, "pupil", before)
    assert {frame for (frame, _) in before if frame > 32} and stored(run)[30, "pupil"] != before[30, "pupil"]
    log = SessionLog.read(run / "masklets")
    assert log is not None and log.finished


def test_an_interrupted_correction_is_finished_later(
    base: tuple[Path, Path], run: Path, network: SAM2VideoPredictor, tmp_path: Path
) -> None:
    undisturbed = Path(shutil.copytree(run, tmp_path / "undisturbed"))
    fix(undisturbed, "pupil:60,25@24", network, base[0], direction="both")
    stopped = CorrectSettings(direction="both", stop_iou=None)

    def interrupt(done: int, total: int | None, what: str) -> None:
        if done == NUM_FRAMES + 13:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="ocusam correct"):
        correct(run, "pupil:60,25@24", settings=stopped, model=network, video=base[0], progress=interrupt)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    with pytest.raises(OutputError, match="not finished"):
        fix(run, "pupil:60,25@30", network, base[0])
    correct(run, model=network, video=base[0])
    for name in ("signals.csv", "blinks.csv", "quality.csv", "prompts.json"):
        assert (run / name).read_bytes() == (undisturbed / name).read_bytes()
    assert stored(run) == stored(undisturbed)


@pytest.mark.slow
def test_one_of_two_views(tmp_path: Path, network: SAM2VideoPredictor) -> None:
    video = write_clip(tmp_path / "clip.mp4", 24)
    killed_run.run(video, tmp_path / "run")

    def rows() -> dict[tuple[int, int, str], bytes]:
        masks = Masklets.from_folder(tmp_path / "run" / "masklets")
        return {(t, *key): encode(mask) for t, found in masks for key, mask in found.items()}

    before = rows()
    with pytest.raises(PromptError, match="'iris' in view 1"):
        fix(tmp_path / "run", "iris:80,22@20", network, video)
    done = fix(tmp_path / "run", "pupil:100,8@20", network, video, direction="both", first=15)
    after = rows()
    assert done.retracked == 24 - 15
    assert after.keys() == before.keys()
    assert {key[1:] for key in after if after[key] != before[key]} == {(1, "pupil")}
    assert min(key[0] for key in after if after[key] != before[key]) >= 15


def test_what_is_refused(
    base: tuple[Path, Path], run: Path, network: SAM2VideoPredictor, tmp_path: Path
) -> None:
    before = stored(run)
    for click, options, message in [
        ("cr:1,1@5", {}, "follows iris, pupil"),
        ("pupil:500,1@5", {}, "112 x 40"),
        (f"pupil:5,1@{NUM_FRAMES}", {}, "44 frames"),
        ("pupil:5,1@5", {"first": 10}, "frames 10 to 43"),
        ("pupil:5,1@5", {"direction": "sideways"}, "forward, backward, both"),
    ]:
        with pytest.raises(PromptError, match=message):
            fix(run, click, network, base[0], **options)
    with pytest.raises(PromptError, match="Nothing to correct"):
        correct(run, model=network, video=base[0])
    with pytest.raises(OutputError, match="input differs"):
        fix(run, "pupil:5,5@5", network, write_clip(tmp_path / "other.mp4", 45))
    with pytest.raises(InputError, match="holds no run"):
        fix(tmp_path, "pupil:5,5@5", network, base[0])
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="no session to correct"):
        fix(tmp_path, "pupil:5,5@5", network, base[0])
    assert stored(run) == before


def test_snapshots_may_be_thinned_but_not_all_removed(
    base: tuple[Path, Path], run: Path, network: SAM2VideoPredictor
) -> None:
    reference, before = AllInMemory(base[0]), stored(run)
    reference.click("pupil", (60, 25), 42)
    reference.go(42)
    log = SessionLog.read(run / "masklets")
    assert log is not None
    for i, chunk in enumerate(log.chunks):
        if None not in chunk.snapshots:
            (run / "masklets" / f"memory_{i:05d}.safetensors").unlink()
    assert fix(run, "pupil:60,25@42", network, base[0]).replayed > 16
    same(run, reference, "pupil", before)
    for path in (run / "masklets").glob("memory_*"):
        path.unlink()
    with pytest.raises(InputError, match="are gone"):
        fix(run, "iris:60,25@42", network, base[0])


def test_a_correction_keeps_the_diameters_in_mm(
    base: tuple[Path, Path], run: Path, network: SAM2VideoPredictor
) -> None:
    """The scale follows from the settings in run.json and the rows as they are after the correction."""
    record = json.loads((run / "run.json").read_text())
    record["settings"]["mm_per_px"] = 0.05
    (run / "run.json").write_text(json.dumps(record))
    fix(run, "pupil:60,25@40", network, base[0])
    signals, after = pl.read_csv(run / "signals.csv"), json.loads((run / "run.json").read_text())
    assert after["corrections"] and after["scale"] == [{"view": 0, "by": "stated", "mm_per_px": 0.05}]
    pupil = signals.filter((pl.col("object") == "pupil") & (pl.col("state") == "tracked"))
    assert len(pupil) > 0
    np.testing.assert_allclose(pupil["diameter_mm"], 0.05 * pupil["major_px"], atol=1e-6)


def test_a_run_on_a_clock_of_its_own_is_resumed_and_corrected(
    tmp_path: Path, network: SAM2VideoPredictor
) -> None:
    """The times are found again where run, video and times have moved together; others are refused."""
    (tmp_path / "a").mkdir()
    video = write_clip(tmp_path / "a" / "clip.mp4", NUM_FRAMES)
    table = tmp_path / "a" / "cam.csv"
    times = 5.0 + 0.04 * np.arange(NUM_FRAMES)
    table.write_text("time\n" + "\n".join(f"{t:.3f}" for t in times))
    settings = RunSettings(views="none", overlay=False, report=False, times=str(table))
    run = track_eye(video, ["pupil:14,20"], model=network, out=tmp_path / "a" / "run", settings=settings)
    wanted = (times * 1e9).round().astype(np.int64).tolist()
    assert run.signals["timestamp_ns"].unique().sort().to_list() == wanted
    shutil.move(tmp_path / "a", tmp_path / "b")
    correct(tmp_path / "b" / "run", "pupil:14,20@30", model=network)
    after = pl.read_csv(tmp_path / "b" / "run" / "signals.csv")
    assert after["timestamp_ns"].unique().sort().to_list() == wanted
    record = json.loads((tmp_path / "b" / "run" / "run.json").read_text())
    assert record["input"]["clock"] == "cam.csv (column time, s)"
    again = RunSettings(views="none", overlay=False, report=False, resume=True)
    with pytest.raises(OutputError, match="input differs"):
        track_eye(tmp_path / "b" / "clip.mp4", model=network, out=tmp_path / "b" / "run", settings=again)
    (tmp_path / "b" / "cam.csv").unlink()
    with pytest.raises(InputError, match=r"times of the run .*put the file back"):
        correct(tmp_path / "b" / "run", "pupil:14,20@30", model=network)
