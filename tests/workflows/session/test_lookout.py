"""A pupil that leaves and comes back elsewhere is clicked by the tracker; kills, corrections after that."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest
import torch

import killed_run
from fake_predictor import eye_picture
from killed_run import contents
from ocusam.cli.eye import describe_recovery
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import View
from ocusam.tracking.outputs import FrameOutput
from ocusam.tracking.session import VideoSession
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.reader import open_video
from ocusam.video.writer import VideoWriter
from ocusam.workflows.correct import CorrectSettings, correct
from ocusam.workflows.eye import EyeWork, track_eye
from ocusam.workflows.inputs.settings import RunSettings, as_prompts
from ocusam.workflows.session import lookout
from ocusam.workflows.session.follow import Tracker
from ocusam.workflows.session.going import go_on
from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.session_files import Cadence, SessionFiles

FPS, NUM_FRAMES = 20, 70
# Frames from which on the pupil is lost until it is clicked; it is away for the first four of each.
GAPS = (range(8, 28), range(28, 48), range(48, 68))
PLACES = ((60.0, 55.0), (110.0, 60.0), (50.0, 70.0), (100.0, 50.0))
FORWARD = [20, 40, 60]  # half a second and ten frames after the loss, and a tenth of a second to be sure
PROMPTS = ["pupil:60,55@0", "iris:80,55@0"]
SETTINGS = RunSettings(
    views="none", overlay=False, report=False, chunk_frames=9, snapshot_frames=7, resume=True
)


def pupil_at(frame: int) -> Ellipse | None:
    """Where the pupil is."""
    if any(frame in gap[:4] for gap in GAPS):
        return None
    place = next((PLACES[i + 1] for i, gap in enumerate(GAPS) if frame in gap), PLACES[0])
    return Ellipse(place, (30.0, 26.0), 0.0)


def write_video(path: Path, gaps: bool = True) -> Path:
    noise = np.random.default_rng(0).normal(0, 3, (120, 160))
    with VideoWriter(path, FPS, (120, 160), crf=8) as writer:
        for frame in range(NUM_FRAMES):
            picture = eye_picture(pupil_at(frame) if gaps else Ellipse(PLACES[0], (30.0, 26.0), 0.0)) + noise
            writer.write(np.clip(picture, 0, 255).astype(np.uint8))
    return path


class Loses(SAM2VideoPredictor):
    """The miniature network with its real memories; whether and where it sees the pupil is told by the
    picture, and in a gap it does not see it until it is clicked there. Predicted IoUs stay the network's."""

    gaps: tuple[range, ...] = GAPS

    def propagate(self, inference_state: VideoSession, *args: Any, **options: Any) -> Iterator[FrameOutput]:
        for output in super().propagate(inference_state, *args, **options):
            yield self.told(inference_state, output, bool(options.get("reverse")))

    def frame_output(self, inference_state: VideoSession, frame_idx: int) -> FrameOutput:
        return self.told(inference_state, super().frame_output(inference_state, frame_idx), None)

    def told(self, state: VideoSession, output: FrameOutput, reverse: bool | None) -> FrameOutput:
        frame, i = output.frame_idx, output.obj_ids.index("pupil")
        gap = next((gap for gap in self.gaps if frame in gap), None)
        clicks = [c for c in self.clicked(state) if gap and c in gap]
        lost = gap is not None and not any(c >= frame if reverse else c <= frame for c in clicks)
        small = output.low_res_logits.shape[-2:]
        grey = cv2.resize(output.image[..., 0], small[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        logits, score = output.low_res_logits.clone(), output.object_score.copy()
        logits[i, 0] = torch.from_numpy((70.0 - grey) / 10.0)
        score[i] = -5.0 if lost or not (grey < 70).any() else 5.0
        logits[i] = logits[i] if score[i] > 0 else -1024.0
        return replace(output, low_res_logits=logits, object_score=score)

    def clicked(self, state: VideoSession) -> list[int]:
        """Frames with clicks, those that are forgotten too."""
        return list(state.objects["pupil"].points)


@pytest.fixture(scope="module", autouse=True)
def no_judge() -> Iterator[None]:
    """Random weights agree with nothing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lookout, "judge_of", lambda predictor: None)
        yield


@pytest.fixture(scope="module")
def network() -> Loses:
    return Loses(killed_run.predictor().model, fill_hole_area=8)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4")


# What lay on the disk when the run was at a frame; a kill leaves just that.
KILLED_AT = (20, 47, 17, 19, 21, 30, 63, NUM_FRAMES)


@pytest.fixture(scope="module")
def run(video: Path, network: Loses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")

    def copy(done: int, total: int | None, what: str) -> None:
        if done in KILLED_AT:
            shutil.copytree(folder / "run", folder / f"killed{done}")

    track_eye(video, PROMPTS, model=network, out=folder / "run", settings=SETTINGS, progress=copy)
    return folder / "run"


def test_it_is_found_elsewhere_and_the_tables_say_so(
    run: Path, video: Path, network: Loses, tmp_path: Path
) -> None:
    told = json.loads((run / "run.json").read_text())["recoveries"]
    assert [r["frame_idx"] for r in told] == FORWARD
    assert [r["lost_since_frame"] for r in told] == [8, 28, 48]
    assert all(pupil_at(r["frame_idx"]).contains(np.array(r["click"])) for r in told)  # type: ignore[union-attr]
    assert {r["object"] for r in told} == {"pupil"} and all(r["score"] >= 0.6 for r in told)
    assert "pupil lost on frame 8, found again by itself, pupil:1" in describe_recovery(told[0])
    signals = pl.read_csv(run / "signals.csv")
    clicked = signals.filter("recovered")
    assert clicked["frame_idx"].to_list() == FORWARD and set(clicked["object"]) == {"pupil"}
    doubtful = pl.read_csv(run / "doubtful.csv").filter(
        pl.col("reason").str.contains("found again by itself")
    )
    assert sorted(doubtful["frame_idx"]) == FORWARD
    pupil = signals.filter(pl.col("object") == "pupil")
    seen = pupil.filter(pl.col("state") == "tracked")["frame_idx"].to_list()
    assert seen == [*range(8), *range(20, 28), *range(40, 48), *range(60, 70)]
    at = pupil.filter(pl.col("frame_idx") == 20).row(0, named=True)  # the frame of the click has its shape
    assert np.hypot(at["center_x_px"] - PLACES[1][0], at["center_y_px"] - PLACES[1][1]) < 1

    without = replace(SETTINGS, recover=False)
    track_eye(video, PROMPTS, model=network, out=tmp_path / "run", settings=without)
    other = pl.read_csv(tmp_path / "run" / "signals.csv")
    assert not other["recovered"].any()
    states = other.filter(pl.col("object") == "pupil")["state"].to_list()
    assert states[8:68] == ["lost"] * 60 and states[68:] == ["tracked"] * 2
    # The iris goes through the network by itself once their memories are of different ages: rounding differs.
    iris = [
        table.filter(pl.col("object") == "iris").select("predicted_iou", "object_score").to_numpy()
        for table in (signals, other)
    ]
    assert np.allclose(*iris, atol=1e-3)


@pytest.mark.parametrize(
    "done", [*KILLED_AT[:2], *(pytest.param(n, marks=pytest.mark.slow) for n in KILLED_AT[2:])]
)
def test_a_killed_run_finds_the_same(
    done: int, run: Path, video: Path, network: Loses, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(run.parent / f"killed{done}", tmp_path / "run"))
    track_eye(video, PROMPTS, model=network, out=out, settings=SETTINGS)
    assert contents(out) == contents(run)
    assert (
        json.loads((out / "run.json").read_text())["recoveries"]
        == (json.loads((run / "run.json").read_text())["recoveries"])
    )


def test_an_interrupted_run_finds_the_same(run: Path, video: Path, network: Loses, tmp_path: Path) -> None:
    def interrupt(done: int, total: int | None, what: str) -> None:
        if done == 40:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        track_eye(video, PROMPTS, model=network, out=out, settings=SETTINGS, progress=interrupt)
    track_eye(video, PROMPTS, model=network, out=out, settings=SETTINGS)
    assert contents(out) == contents(run)


def test_it_looks_again_on_the_way_back(video: Path, network: Loses) -> None:
    recording = track_eye(video, ["pupil:60,55@69"], model=network, settings=replace(SETTINGS, resume=False))
    assert [(r["lost_since_frame"], r["frame_idx"]) for r in recording.recoveries] == [
        (67, 55),
        (51, 39),
        (31, 19),
    ]
    assert recording.signals["state"].to_list()[52:56] == ["tracked"] * 4


def test_a_blink_is_no_loss(video: Path, network: Loses) -> None:
    class Blinks(Loses):
        gaps = (range(8, 16), range(28, 36))  # 0.4 s each, the eye open: what is lost comes back by itself

    blinks = Blinks(network.model, fill_hole_area=8)
    recording = track_eye(video, PROMPTS, model=blinks, settings=replace(SETTINGS, resume=False))
    assert recording.recoveries == () and not recording.signals["recovered"].any()


class AllInMemory:
    """One session with every memory kept, which recovered as the run did and is corrected as published."""

    def __init__(self, video: Path, model: Any) -> None:
        self.predictor = Loses(
            model, fill_hole_area=8, memory_window=None, add_all_frames_to_correct_as_cond=True
        )
        source = open_video(video)
        work = EyeWork()
        files = SessionFiles(None, source.size, Cadence(), work.rows)
        tracker = Tracker(source, self.predictor, [View(0, (0, 0, source.size[1], source.size[0]))])
        files.log.passes = tracker.begin(as_prompts(PROMPTS))
        go_on(tracker, files, work.on_frame, recover=True)
        assert [r["frame_idx"] for r in files.log.recoveries] == FORWARD
        self.state = tracker.state(0)

    def correct(self, point: tuple[float, float], frame: int) -> dict[int, float]:
        """Predicted IoU of the pupil from a corrected frame on."""
        click = np.array([point], np.float32)
        self.predictor.add_new_points_or_box(self.state, frame, "pupil", points=click, labels=[1])
        outputs = self.predictor.propagate(self.state, start_frame_idx=frame)
        return {o.frame_idx: float(o.predicted_iou[o.obj_ids.index("pupil")]) for o in outputs}


@pytest.mark.parametrize(
    "frame",
    # Before a click that is forgotten later, just after it, and before one that is kept.
    [24, *(pytest.param(f, marks=pytest.mark.slow) for f in (17, 20, 22, 44, 62))],
)
def test_a_correction_afterwards_equals_one_with_everything_in_memory(
    frame: int, run: Path, video: Path, network: Loses, tmp_path: Path
) -> None:
    reference = AllInMemory(video, network.model)
    assert sorted(reference.state.objects["pupil"].bank.conditioning) == [0, 40, 60]
    wanted = reference.correct((100, 52), frame)
    out = Path(shutil.copytree(run, tmp_path / "run"))
    before = _ious(out)
    exact = CorrectSettings(stop_iou=None)
    correct(out, f"pupil:100,52@{frame}", settings=exact, model=network, video=video)
    after = _ious(out)
    assert after != before
    assert {f: after[f] for f in range(frame, NUM_FRAMES)} == wanted
    assert {f: after[f] for f in range(frame)} == {f: before[f] for f in range(frame)}


def _ious(folder: Path) -> dict[int, float]:
    rows = Masklets.from_folder(folder / "masklets").table.filter(pl.col("object") == "pupil")
    return dict(rows.select("frame_idx", "predicted_iou").iter_rows())
