"""Several calibrations in one recording, and validations between them."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from gazing_eye import HOLD_S, HZ, NINE, recording, write_run
from ocusam.cli.main import app
from ocusam.core.errors import InputError
from ocusam.eye.events import EventRules
from ocusam.workflows.eye import EyeRecording
from ocusam.workflows.gaze import run_gaze
from ocusam.workflows.results.gaze_tables import GazeSettings

# A calibration, two targets again, the second calibration, two targets again. The eye rests on the last
# place before the second calibration when that begins: only the map changes there. Its targets are said to
# be 3 degrees farther to the right, so that the two maps differ by that.
OFF = 3.0
FIRST, SECOND = NINE, NINE[::-1]
PLACES = [*FIRST, NINE[4], NINE[8], *SECOND, NINE[0], NINE[4]]
SWITCH = round(11 * HOLD_S * HZ)


def shown(places: list[tuple[float, float]], begin: int, off: float = 0.0) -> pl.DataFrame:
    """Targets, one after the other; from the place of this number on."""
    times = [HOLD_S * (begin + i) for i in range(len(places))]
    return pl.DataFrame({"t": times, "x": [x + off for x, _ in places], "y": [y for _, y in places]})


A, B = shown(FIRST, 0), shown(SECOND, 11, OFF)
CHECKS = pl.concat([shown([NINE[4], NINE[8]], 9), shown([NINE[0], NINE[4]], 20)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recalibrated")
    for name, table in (("a", A), ("b", B), ("c", CHECKS)):
        table.write_csv(folder / f"{name}.csv")
    return write_run(folder / "run", recording(PLACES))


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["gaze", *(str(a) for a in arguments)])
    return result.exit_code, " ".join(result.stdout.split()), result.stderr


def told(run: Path, name: str) -> Path:
    return run.parent / f"{name}.csv"


def test_every_sample_is_mapped_by_the_calibration_in_force(run: Path, tmp_path: Path) -> None:
    # In any order on the command line: what counts is when they were shown.
    code, out, err = call(
        run, "--targets", told(run, "b"), "--targets", told(run, "a"), "--validate", told(run, "c")
    )
    assert code == 0, err
    gaze = pl.read_csv(run / "gaze.csv").drop_nulls("gaze_x_deg")
    assert gaze.filter(pl.col("frame_idx") < SWITCH)["calibration"].unique().to_list() == [1]
    assert gaze.filter(pl.col("frame_idx") >= SWITCH)["calibration"].unique().to_list() == [2]
    for number, off in ((3, 0.0), (10, 0.0), (12, OFF), (21, OFF)):
        held = gaze.filter(pl.col("frame_idx").is_between(number * 120 + 60, number * 120 + 119))
        assert held["gaze_x_deg"].median() == pytest.approx(PLACES[number][0] + off, abs=0.5), number

    record = json.loads((run / "calibration.json").read_text())
    assert [one["name"] for one in record["calibrations"]] == [str(told(run, "a")), str(told(run, "b"))]
    assert record["calibrations"][1]["begins_ns"] == round(11 * HOLD_S * 1e9)
    rows = [(r["calibration"], r["targets"], r["left_out"]) for r in record["summary"]]
    assert rows == [(1, 9, 0), (2, 9, 0)]
    assert all(r["accuracy_deg"] < 0.5 and r["precision_rms_s2s_deg"] > 0 for r in record["summary"])
    assert "calibration 1, view 0: pupil_cr" in out and "calibration 2, view 0: pupil_cr" in out
    page = (run / "report.html").read_text()
    assert "Gaze was calibrated 2 times" in page and "view 0, calibration 2" in page
    assert "by calibration 2 was computed" in page

    # BIDS has one number for all calibrations, and says how many there were.
    EyeRecording.load(run).to_bids(tmp_path / "study", subject="01", task="reading", eyes=["left"])
    (path,) = (tmp_path / "study" / "sub-01" / "beh").glob("*_physio.json")
    sidecar, errors = json.loads(path.read_text()), [r["accuracy_deg"] for r in record["summary"]]
    assert sidecar["CalibrationCount"] == 2
    assert sidecar["AverageCalibrationError"] == pytest.approx(sum(errors) / 2, abs=1e-4)

    # A calibration that goes to another recording is the last one.
    other = write_run(tmp_path / "task", recording([NINE[4], NINE[8]], seed=3))
    later = run_gaze(other, calibration=run / "calibration.json", report=False)
    assert later.table.drop_nulls()["gaze_x_deg"][60] == pytest.approx(OFF, abs=0.8)
    # Files of format 1 had the models of the one calibration at the top.
    old = {**record, "format": 1, "views": record["calibrations"][0]["views"]}
    (tmp_path / "old.json").write_text(json.dumps({k: v for k, v in old.items() if k != "calibrations"}))
    later = run_gaze(other, calibration=tmp_path / "old.json", report=False)
    assert later.table.drop_nulls()["gaze_x_deg"][60] == pytest.approx(0.0, abs=0.8)


def test_a_switch_is_no_saccade_and_in_no_fixation(run: Path) -> None:
    for method in ("adaptive", "ivt", "idt"):
        settings = GazeSettings(rules=EventRules(method=method))
        gaze = run_gaze(run, [A, B], settings=settings, report=False)
        events = gaze.events.filter(pl.col("event") != "blink")
        over = (pl.col("onset_frame") <= SWITCH) & (pl.col("offset_frame") >= SWITCH)
        assert events.filter(over).is_empty(), method
        near = pl.col("onset_frame").is_between(SWITCH - 20, SWITCH + 10)
        assert events.filter(near & (pl.col("event") == "saccade")).is_empty(), method
        # The jump is there, in the table of samples.
        x = gaze.table.filter(pl.col("frame_idx").is_between(SWITCH - 1, SWITCH))["gaze_x_deg"]
        assert x[1] - x[0] == pytest.approx(OFF, abs=0.8)


def test_validations_tell_error_and_drift_by_the_calibration_in_force(run: Path) -> None:
    code, out, err = call(
        run, "--targets", told(run, "a"), "--targets", told(run, "b"), "--validate", told(run, "c")
    )
    assert code == 0, err
    record = json.loads((run / "calibration.json").read_text())
    first, second = record["validations"]
    assert (first["calibration"], first["targets"], second["calibration"]) == (1, 2, 2)
    assert first["accuracy_deg"] < 0.5 and abs(first["drift_x_deg"]) < 0.4
    assert first["since_calibration_s"] == pytest.approx(0.0, abs=1e-6)
    # Shown where they are, under a calibration to targets that were said to be elsewhere.
    assert second["drift_x_deg"] == pytest.approx(OFF, abs=0.4) and abs(second["drift_y_deg"]) < 0.4
    assert second["accuracy_deg"] == pytest.approx(OFF, abs=0.4)
    fitted = {r["target"] for r in record["targets"] if r["use"] == "calibration"}
    assert fitted == set(range(1, 10)) and len(record["targets"]) == 22
    assert "validation 2, view 0: error 2." in out or "validation 2, view 0: error 3." in out
    assert "since calibration 2" in out and out.count("target by target") == 2 and " at (-12, -8)" in out
    page = (run / "report.html").read_text()
    assert "Validation 2 of view 0" in page and "after calibration 2, on 2 validation targets" in page


def test_blocks_of_one_table_are_as_good_as_tables(run: Path) -> None:
    separate = run_gaze(run, [A, B], validate=CHECKS, report=False)
    parts = [A.with_columns(block=1), CHECKS.head(2).with_columns(block=1), B.with_columns(block=2),
             CHECKS.tail(2).with_columns(block=2)]  # fmt: skip
    uses = ["calibration"] * 9 + ["validation"] * 2 + ["calibration"] * 9 + ["validation"] * 2
    one = pl.concat(parts).with_columns(pl.Series("use", uses))
    blocks = run_gaze(run, one, report=False)
    assert [f.name for f in blocks.fitted] == ["table 1, block 1", "table 1, block 2"]
    assert blocks.table.equals(separate.table)
    drifts = ["accuracy_deg", "drift_x_deg", "drift_y_deg", "since_calibration_s"]
    assert blocks.validations.select(drifts).equals(separate.validations.select(drifts))
    # Without an end a target lasts until the next one, in whichever table that stands.
    assert separate.targets["samples_seen"].max() == blocks.targets["samples_seen"].max() < 100
    together = run_gaze(run, one.drop("block"), report=False)
    assert len(together.fitted) == 1 and together.calibrations[0].accuracy > 1.0


def test_from_python(run: Path) -> None:
    gaze = EyeRecording.load(run).calibrate([A, B], validate=CHECKS)
    assert gaze.summary()["calibration"].to_list() == [1, 2]
    assert gaze.validations["validation"].to_list() == [1, 2]
    alone = EyeRecording.load(run).calibrate(A, validate=[CHECKS.head(2), CHECKS.tail(2)])
    assert alone.validations["calibration"].to_list() == [1, 1]
    assert alone.validations["since_calibration_s"].to_list() == pytest.approx([0.0, 11 * HOLD_S])


def test_validations_of_one_table_are_told_apart_by_their_time(run: Path) -> None:
    later = shown([NINE[0], NINE[4]], 20, -OFF)
    checks = pl.concat([CHECKS.head(2), later]).with_columns(duration=HOLD_S)
    gaze = EyeRecording.load(run).calibrate(A, validate=checks)
    assert gaze.validations["targets"].to_list() == [2, 2]
    assert gaze.validations["drift_x_deg"].to_list() == pytest.approx([0.0, OFF], abs=0.4)
    # Single targets between trials stay together.
    alone = EyeRecording.load(run).calibrate(A, validate=checks.head(3))
    assert alone.validations["targets"].to_list() == [3]


def test_another_recordings_calibration_is_validated_too(run: Path, tmp_path: Path) -> None:
    run_gaze(run, [A], report=False, out=tmp_path)
    code, out, err = call(run, "--calibration", tmp_path / "calibration.json", "--validate", told(run, "c"),
                          "--no-report", "--out", tmp_path / "out")  # fmt: skip
    assert code == 0, err
    assert out.count("(mean of 2 targets for validation") == 2 and "since the calibration" in out


def test_an_eye_that_cannot_be_calibrated_again_keeps_its_calibration(tmp_path: Path) -> None:
    left, right = recording(PLACES), recording(PLACES, seed=1).with_columns(view=pl.lit(1, dtype=pl.Int64))
    gone = pl.col("frame_idx").is_between(SWITCH + 10, 20 * 120)
    shape = [c for c in right.columns if c.endswith(("_px", "_deg"))]
    right = right.with_columns(
        pl.when(gone).then(pl.lit("lost")).otherwise(pl.col("state")).alias("state"),
        *(pl.when(~gone).then(pl.col(c)).alias(c) for c in shape),
    )
    run = write_run(tmp_path / "both", pl.concat([left, right]).sort("frame_idx", "view", "object"))
    B.write_csv(tmp_path / "b.csv")
    A.write_csv(tmp_path / "a.csv")
    CHECKS.write_csv(tmp_path / "c.csv")
    code, out, err = call(
        run,
        "--targets",
        tmp_path / "a.csv",
        "--targets",
        tmp_path / "b.csv",
        "--validate",
        tmp_path / "c.csv",
    )
    assert code == 0, err
    assert "calibration 2, view 1: not possible, another one stays in force" in out
    gaze = pl.read_csv(run / "gaze.csv")
    late = gaze.filter(pl.col("frame_idx") > 20 * 120)
    assert late.group_by("view").agg(pl.col("calibration").unique()).sort("view").rows() == [
        (0, [2]),
        (1, [1]),
    ]
    both = pl.read_csv(run / "gaze_both.csv")
    assert both["calibration"].unique().sort().to_list() == [1, 2]
    assert both.filter(pl.col("frame_idx") == SWITCH)["calibration"].to_list() == [2]
    events = pl.read_csv(run / "gaze_both_events.csv", infer_schema_length=None)
    over = (pl.col("onset_frame") <= SWITCH) & (pl.col("offset_frame") >= SWITCH)
    assert events.filter(over).is_empty()
    near = pl.col("onset_frame").is_between(SWITCH - 20, SWITCH + 5) & (pl.col("event") == "saccade")
    assert events.filter(near).is_empty()
    record = json.loads((run / "calibration.json").read_text())
    # Both eyes held all targets of the first calibration, and none of the second.
    assert [(r["calibration"], r["targets"]) for r in record["both"]["by_calibration"]] == [(1, 9)]
    found = {(r["view"], r["validation"]): r["calibration"] for r in record["validations"]}
    assert found == {(0, 1): 1, (0, 2): 2, (1, 1): 1, (1, 2): 1}
    assert [r["calibration"] for r in record["both"]["validations"]] == [1, 2]


def test_what_is_refused(run: Path) -> None:
    with pytest.raises(InputError, match=r"begins at 0\.000 s, before the last target of calibration 1"):
        run_gaze(run, [A, A], report=False)
    with pytest.raises(InputError, match=r"Calibration 2 \(table 2\) cannot be made.*leave its targets out"):
        run_gaze(run, [A, B.head(2)], report=False)
    few = pl.concat([A.with_columns(block=1), B.head(2).with_columns(block=2)])
    with pytest.raises(InputError, match="without the column block all targets of the table are fitted"):
        run_gaze(run, few, report=False)
    with pytest.raises(InputError, match="Row 10 of the targets has no block"):
        run_gaze(run, few.with_columns(pl.when(pl.col("block") == 1).then(pl.col("block"))), report=False)
    with pytest.raises(InputError, match="No target is for calibration"):
        run_gaze(run, A.with_columns(use=pl.lit("validation")), report=False)
    with pytest.raises(InputError, match=r"table 2: .*outside the recording"):
        run_gaze(run, [A, B.with_columns(pl.col("t") + 1e4)], report=False)
    with pytest.raises(InputError, match="Give a table of targets"):
        run_gaze(run, validate=CHECKS, report=False)
