import json
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest

from fake_predictor import FakePredictor, eye_picture, eye_truth, write_eye_video
from ocusam.core.errors import OcusamError, OutputError, PromptError
from ocusam.core.geometry import Ellipse
from ocusam.eye.signals import COLUMNS
from ocusam.workflows.eye import EyeRecording, track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.track import track

CLOSED = range(20, 30)  # 200 ms at 50 frames per second
TRUTH = eye_truth(60, CLOSED)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("eye") / "eye.mp4", TRUTH)


def test_from_video_to_tables_and_files(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rec = track_eye(video, ["pupil:65,58@10", "iris:90,60@10"], model=FakePredictor(), out=out,
                    settings=RunSettings(chunk_frames=25))  # fmt: skip
    assert sorted(p.name for p in out.iterdir()) == [
        "blinks.csv", "doubtful.csv", "events.csv", "masklets", "overlay.mp4", "prompts.json", "quality.csv",
        "report.html", "run.json", "signals.csv",
    ]  # fmt: skip
    written = pl.read_csv(out / "signals.csv")
    assert written.columns[: len(COLUMNS)] == list(COLUMNS)
    assert len(written) == 2 * 60 and written["frame_idx"].is_sorted()
    pupil = rec.signals.filter(pl.col("object") == "pupil")
    for row in pupil.iter_rows(named=True):
        true = TRUTH[row["frame_idx"]]
        if true is None:
            assert row["state"] == "blink" and row["center_x_px"] is None
        else:
            assert row["state"] == "tracked"
            assert (row["center_x_px"], row["center_y_px"]) == pytest.approx(true.center, abs=0.3)
            assert row["major_px"] == pytest.approx(true.major, abs=0.8)
    assert rec.blinks.select("onset_frame", "offset_frame").rows() == [(20, 29)]
    assert rec.quality.filter(pl.col("object") == "pupil")["data_loss"][0] == pytest.approx(1 / 6)
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished" and record["frames"] == 60 and not record["truncated"]
    assert record["input"]["size_hw"] == [120, 160]
    assert record["prompts"][0]["points"] == [[65.0, 58.0]]
    with av.open(str(out / "overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 60
    assert len(list((out / "masklets").glob("chunk_*.parquet"))) == 3
    assert rec.masklets is not None
    assert rec.masklets.mask(0, "pupil").sum() == pytest.approx(TRUTH[0].area if TRUTH[0] else 0, rel=0.05)


def test_two_eyes_in_one_picture() -> None:
    left, right = eye_truth(5), [Ellipse((80, 60), (26, 26))] * 5
    pictures = np.stack(
        [np.concatenate([eye_picture(a), eye_picture(b)], axis=1) for a, b in zip(left, right, strict=True)]
    )
    rec = track_eye(
        pictures, ["pupil:60,55", "pupil:240,60"], model=FakePredictor(), settings=RunSettings(views="2x1")
    )
    assert rec.signals["view"].to_list() == [0, 1] * 5
    other = rec.signals.filter(pl.col("view") == 1)
    assert other["center_x_px"].to_list() == pytest.approx([240.0] * 5, abs=0.2)
    assert rec.masklets is not None
    assert rec.masklets.mask(0, "pupil", view=1)[60, 240]


def test_any_object_can_be_tracked(video: Path, tmp_path: Path) -> None:
    masklets = track(video, {"ball": (65, 58)}, model=FakePredictor(), out=tmp_path / "t")
    assert masklets.objects == ["ball"] and masklets.num_frames == 60
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == [
        "masklets",
        "overlay.mp4",
        "prompts.json",
        "run.json",
    ]


def test_without_a_prompt_the_eye_is_found(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rec = track_eye(video, model=FakePredictor(), out=out, settings=RunSettings(overlay=False))
    record = json.loads((out / "run.json").read_text())
    assert rec.found == record["found"]
    back = EyeRecording.load(out)
    for name in ("found", "zoom", "recoveries", "scale", "num_frames", "truncated"):
        assert getattr(back, name) == getattr(rec, name), name
    assert rec.zoom is not None
    told = record["found"]["eyes"][0]
    assert told["found"] and record["prompts"][0]["object"] == "pupil"
    assert record["prompts"][0]["frame_idx"] == told["frame_idx"]
    assert rec.num_frames == 60
    for row in rec.signals.filter(pl.col("object") == "pupil").iter_rows(named=True):
        true = TRUTH[row["frame_idx"]]
        if true is not None:
            assert (row["center_x_px"], row["center_y_px"]) == pytest.approx(true.center, abs=0.3)


def test_without_a_prompt_and_without_an_eye_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="--point pupil:"):
        track_eye([eye_picture(None)] * 5, model=FakePredictor(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (["pupill:60,55"], "known names: pupil, iris"),
        (["pupil:200,55"], "160 x 120"),
        (["pupil:60,55@99"], "60 frames"),
    ],
)
def test_bad_prompts_leave_nothing(points: list[str], message: str, video: Path, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=message):
        track_eye(video, points, model=FakePredictor(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_another_run_is_kept(video: Path, tmp_path: Path) -> None:
    track_eye(video, "pupil:60,55", model=FakePredictor(), out=tmp_path / "run")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    with pytest.raises(OutputError, match="another run"):
        track_eye(video, "pupil:60,55", model=FakePredictor(), out=tmp_path / "run")
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()} == before


class Failing(FakePredictor):
    """Gives up before its 31st frame."""

    def propagate(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        for i, out in enumerate(super().propagate(*args, **kwargs)):
            if i == 30:
                raise OcusamError("the weights melt")
            yield out


def test_a_failure_before_the_first_chunk_leaves_nothing(video: Path, tmp_path: Path) -> None:
    with pytest.raises(OcusamError, match=r"melt$"):
        track_eye(video, "pupil:60,55", model=Failing(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_keeps_what_is_done_and_says_how_to_go_on(
    video: Path, tmp_path: Path
) -> None:
    out, settings = tmp_path / "run", RunSettings(chunk_frames=20)
    with pytest.raises(OcusamError, match=r"melt .*--resume"):
        track_eye(video, "pupil:60,55", model=Failing(), out=out, settings=settings)
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "interrupted" and "melt" in record["reason"]
    assert len(list((out / "masklets").glob("chunk_*"))) == 1
    with pytest.raises(OutputError, match="holds another run"):
        track_eye(video, "pupil:60,55", model=FakePredictor(), out=out, settings=settings)


def test_a_truncated_video_is_tracked_as_far_as_it_decodes(video: Path, tmp_path: Path) -> None:
    source = tmp_path / "whole.mkv"
    write_eye_video(source, eye_truth(200))
    broken = tmp_path / "broken.mkv"
    data = source.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    rec = track_eye(broken, "pupil:60,55", model=FakePredictor(), out=tmp_path / "run")
    assert 10 < rec.num_frames < 200
    assert len(rec.signals) == rec.num_frames
    assert json.loads((tmp_path / "run" / "run.json").read_text())["frames"] == rec.num_frames
