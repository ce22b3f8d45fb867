import json
from pathlib import Path

import pytest

from fake_predictor import FakePredictor, eye_picture, eye_truth
from finished_run import FRAMES, make_run
from ocusam.core.errors import InputError, OutputError
from ocusam.workflows.eye import EyeRecording, track_eye


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> EyeRecording:
    return EyeRecording.load(make_run(tmp_path_factory.mktemp("ways") / "run"))


def test_a_recording_is_read_back(recording: EyeRecording) -> None:
    assert recording.num_frames == FRAMES and not recording.truncated and recording.fps > 0
    assert recording.signals.height == 3 * FRAMES and recording.quality.height == 3
    assert recording.masklets is not None and recording.masklets.mask(0, "pupil", 1)[55, 220]


def test_what_was_decided_is_read_back_too(recording: EyeRecording, tmp_path: Path) -> None:
    assert recording.folder is not None
    record = json.loads((recording.folder / "run.json").read_text())
    decided = {"zoom": {"asked": "auto", "used": False}, "recoveries": [{"view": 0, "frame_idx": 7}]}
    for name in ("signals.csv", "blinks.csv", "quality.csv"):
        (tmp_path / name).write_bytes((recording.folder / name).read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(record | decided))
    back = EyeRecording.load(tmp_path)
    assert back.zoom == decided["zoom"] and back.recoveries == ({"view": 0, "frame_idx": 7},)


def test_a_run_of_an_earlier_version_has_fewer_tables(recording: EyeRecording, tmp_path: Path) -> None:
    assert recording.folder is not None
    for name in ("run.json", "signals.csv", "blinks.csv", "quality.csv"):
        (tmp_path / name).write_bytes((recording.folder / name).read_bytes())
    old = EyeRecording.load(tmp_path)
    assert "; 0 events; " in repr(old)
    assert old.events.is_empty() and old.signals.equals(recording.signals) and old.masklets is None


def test_a_recording_prints_as_one_line(recording: EyeRecording) -> None:
    said = repr(recording)
    assert said.startswith(f"<EyeRecording: {FRAMES} frames; ") and "pupil of view 1" in said
    assert f"in {recording.folder}>" in said and "\n" not in said


def test_the_ways_out(recording: EyeRecording, tmp_path: Path) -> None:
    assert len(recording.to_bids(tmp_path / "b", subject="1", task="t", eyes=["left", "-"], run=2)) == 4
    with pytest.raises(OutputError, match="exists already"):
        recording.to_bids(tmp_path / "b", subject="1", task="t", eyes="left, -", run=2)
    with pytest.raises(InputError, match="'left,up' do not fit"):
        recording.to_bids(tmp_path / "b", subject="1", task="t", eyes="left,up")
    assert recording.to_pupil_core(tmp_path).name == "pupil_positions.csv"
    assert (tmp_path / "p" / "blinks.parquet") in recording.to_parquet(tmp_path / "p")
    signals = recording.filtered(median_samples=3)
    assert signals.height == recording.signals.height and "major_px_validity" in signals.columns
    with pytest.raises(InputError, match="'median'; known: median_samples"):
        recording.filtered(median=3)
    with pytest.raises(InputError, match="no table 'sinals'"):
        recording.to_pandas("sinals")


def test_a_recording_in_memory_says_what_to_do() -> None:
    recording = track_eye([eye_picture(p) for p in eye_truth(3)], "pupil:60,55", model=FakePredictor())
    assert repr(recording).endswith("in memory>")
    with pytest.raises(InputError, match=r"RunSettings\(iris_mm=11.7\); got"):
        track_eye([eye_picture(eye_truth(1)[0])], settings={"iris_mm": 11.7})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="out=FOLDER"):
        recording.to_bids("x", subject="1", task="t", eyes=["left"])


def test_a_run_of_another_sort_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"status": "finished", "input": {"size_hw": [1, 2]}}')
    with pytest.raises(InputError, match=r"no run of `ocusam eye`|has no signals\.csv"):
        EyeRecording.load(tmp_path)
