import gzip
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from finished_run import CLOSED, FRAMES, LEFT, make_run
from gazing_eye import NINE, TARGETS, recording, write_run
from ocusam.core.errors import InputError, OutputError
from ocusam.eye.targets import Screen, TargetSettings
from ocusam.workflows.gaze import run_gaze
from ocusam.workflows.results.export_bids import BidsLabels, write_bids
from ocusam.workflows.results.finished_run import FinishedRun, open_run
from ocusam.workflows.results.gaze_tables import GazeSettings

LABELS = BidsLabels("01", "reading", ["left", "right"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return open_run(make_run(tmp_path_factory.mktemp("bids") / "run"))


def table(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def test_one_file_for_each_eye_with_its_sidecar(run: FinishedRun, tmp_path: Path) -> None:
    files = write_bids(run, tmp_path, replace(LABELS, session="1", run=2))
    beh = tmp_path / "sub-01" / "ses-1" / "beh"
    stem = "sub-01_ses-1_task-reading_run-2_recording-eye"
    assert sorted(path.name for path in files) == sorted(path.name for path in beh.iterdir())
    assert len(files) == 8 and (beh / f"{stem}2_physioevents.json").is_file()
    sidecar = json.loads((beh / f"{stem}1_physio.json").read_text())
    assert (sidecar["PhysioType"], sidecar["RecordedEye"]) == ("eyetrack", "left")
    assert (sidecar["SamplingFrequency"], sidecar["SampleCoordinateSystem"]) == (50.0, "custom")
    assert sidecar["Columns"][:4] == ["timestamp", "x_coordinate", "y_coordinate", "pupil_size"]
    assert "diameter" in sidecar["pupil_size"]["Description"]
    # Whether these are times of capture, only the clock says.
    assert sidecar["timestamp"]["Description"] == "Time stamp of the frame; clock: presentation times."

    rows = table(beh / f"{stem}1_physio.tsv.gz")
    assert len(rows) == FRAMES and {len(row) for row in rows} == {len(sidecar["Columns"])}
    assert [rows[0][0], rows[1][0]] == ["1728546126.508032160", "1728546126.528032160"]
    assert LEFT[0] is not None
    assert [float(v) for v in rows[0][1:3]] == pytest.approx(LEFT[0].center, abs=0.5)
    assert rows[CLOSED[3]][1:4] == ["n/a"] * 3 and rows[CLOSED[3]][-1] == "0"
    right = table(beh / f"{stem}2_physio.tsv.gz")
    assert float(right[0][1]) == pytest.approx(160 + LEFT[0].center[0], abs=0.5)


def test_blinks_and_other_events(run: FinishedRun, tmp_path: Path) -> None:
    blinks = pl.DataFrame({"view": [0, 1], "onset_ns": [400_000_000, 0], "offset_ns": [560_000_000, 1]})
    found = pl.DataFrame(
        {
            "view": [0, 0, 1],
            "event": ["fixation", "saccade", "fixation"],
            "onset_ns": [0, 380_000_000, 5],
            "offset_ns": [300_000_000, 420_000_000, 6],
        }
    )
    told = FinishedRun(run.folder, run.record)
    vars(told).update(blinks=blinks, events=found)  # in place of the files
    write_bids(told, tmp_path, LABELS)
    stem = tmp_path / "sub-01" / "beh" / "sub-01_task-reading_recording-eye1_physioevents"
    assert json.loads(stem.with_suffix(".json").read_text())["Columns"] == [
        "onset",
        "duration",
        "trial_type",
        "blink",
    ]
    assert table(stem.with_suffix(".tsv.gz")) == [
        ["0.000000000", "0.300000000", "fixation", "0"],
        ["0.380000000", "0.040000000", "saccade", "1"],
        ["0.400000000", "0.160000000", "blink", "1"],
    ]


@pytest.mark.parametrize("weights", ["eyes/own.safetensors", r"D:\eyes\own.safetensors"])
def test_a_dataset_does_not_tell_where_the_weights_lay(
    weights: str, run: FinishedRun, tmp_path: Path
) -> None:
    model = {"model": "nano", "weights": weights, "weights_sha256": "00"}
    write_bids(FinishedRun(run.folder, run.record | {"model": model}), tmp_path, LABELS)
    for sidecar in (tmp_path / "sub-01" / "beh").glob("*_physio.json"):
        assert json.loads(sidecar.read_text())["Model"] == model | {"weights": "own.safetensors"}
    assert sidecar.name.endswith("physio.json")


def test_a_dataset_grows_and_nothing_is_overwritten(run: FinishedRun, tmp_path: Path) -> None:
    write_bids(run, tmp_path, LABELS)
    with pytest.raises(OutputError, match="exists already"):
        write_bids(run, tmp_path, LABELS)
    write_bids(run, tmp_path, replace(LABELS, overwrite=True))
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t31\n")
    (tmp_path / "README").rename(tmp_path / "README.md")
    write_bids(run, tmp_path, replace(LABELS, subject="02", eyes=["-", "right"]))
    assert (tmp_path / "participants.tsv").read_text() == "participant_id\tage\nsub-01\t31\nsub-02\tn/a\n"
    assert not (tmp_path / "README").exists()
    assert len(list((tmp_path / "sub-02" / "beh").iterdir())) == 4


@pytest.mark.parametrize("wrong", [{"subject": "p_1"}, {"task": "a b"}, {"session": ""}, {"run": 0}])
def test_labels_are_letters_and_digits(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(LABELS, **wrong)


def test_eyes_must_fit_the_views(run: FinishedRun, tmp_path: Path) -> None:
    for eyes in (["left"], ["left", "both"]):
        with pytest.raises(InputError, match="each of the 2 views"):
            write_bids(run, tmp_path, replace(LABELS, eyes=eyes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("screen", [None, Screen((1920, 1080), (531.0, 299.0), 600.0)], ids=["deg", "screen"])
def test_gaze_stands_for_the_pupil_once_it_is_known(screen: Screen | None, tmp_path: Path) -> None:
    run = gaze_run(tmp_path / "run", screen)
    write_bids(run, tmp_path / "study", replace(LABELS, eyes=["left"]))
    beh = tmp_path / "study" / "sub-01" / "beh"
    stem = "sub-01_task-reading"
    sidecar = json.loads((beh / f"{stem}_recording-eye1_physio.json").read_text())
    assert sidecar["Columns"][:3] == ["timestamp", "x_coordinate", "y_coordinate"]
    assert sidecar["Columns"][-2:] == ["pupil_x", "pupil_y"] and 0 < sidecar["AverageCalibrationError"] < 1
    unit = "degree" if screen is None else "pixel"
    assert sidecar["x_coordinate"]["Units"] == unit and sidecar["pupil_x"]["Units"] == "pixel"
    rows = table(beh / f"{stem}_recording-eye1_physio.tsv.gz")
    held = [row for row in rows[4 * 120 + 60 : 5 * 120] if row[1] != "n/a"]  # the target in the middle
    middle = (0.0, 0.0) if screen is None else (959.5, 539.5)
    assert [float(v) for v in held[0][1:3]] == pytest.approx(middle, abs=1.0 if screen is None else 40)
    assert float(held[0][-2]) == pytest.approx(run.signals["center_x_px"].drop_nulls().median(), abs=60)
    kinds = {row[2] for row in table(beh / f"{stem}_recording-eye1_physioevents.tsv.gz")}
    assert {"fixation", "saccade"} <= kinds
    shown = beh / f"{stem}_events.json"
    assert shown.exists() == (screen is not None)
    if screen is not None:
        assert sidecar["SampleCoordinateSystem"] == "gaze-on-screen"
        assert json.loads(shown.read_text())["StimulusPresentation"]["ScreenDistance"] == 0.6


def gaze_run(folder: Path, screen: Screen | None) -> FinishedRun:
    write_run(folder, recording(NINE))
    settings = None if screen is None else GazeSettings(TargetSettings(screen=screen))
    run_gaze(folder, TARGETS, settings=settings, report=False)
    return open_run(folder)


@pytest.mark.slow
def test_the_official_validator_finds_no_error(run: FinishedRun, tmp_path: Path) -> None:
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("the official validator is not here: pip install bids-validator-deno")
    write_bids(run, tmp_path, LABELS)
    write_bids(run, tmp_path, replace(LABELS, subject="02", session="a", run=3))
    scratch = tmp_path.with_name(tmp_path.name + "_gaze")
    screen = Screen((1920, 1080), (531.0, 299.0), 600.0)
    write_bids(gaze_run(scratch / "deg", None), tmp_path, replace(LABELS, subject="03", eyes=["left"]))
    write_bids(gaze_run(scratch / "px", screen), tmp_path, replace(LABELS, subject="04", eyes=["left"]))
    said = subprocess.run(
        [validator, "--format", "json", "--max-rows", "-1", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    issues = json.loads(said.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    # A file that BIDS forbids must be noticed: the check itself works.
    (tmp_path / "sub-01" / "beh" / "sub-01_task-reading_recording-eye1_physio.json").write_text("{}")
    said = subprocess.run(
        [validator, "--format", "json", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert any(i["severity"] == "error" for i in json.loads(said.stdout)["issues"]["issues"])
