"""From a finished run and targets to gaze, on the command line and from Python."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from gazing_eye import HOLD_S, NINE, TARGETS, recording, write_run
from ocusam.cli.main import app
from ocusam.core.errors import InputError
from ocusam.eye.blink import BLINK_COLUMNS
from ocusam.workflows.eye import EyeRecording
from ocusam.workflows.gaze import read_targets, run_gaze
from ocusam.workflows.results.report import remake

# Nine targets, and three of them again at the end, to check by.
SHOWN = pl.concat([
    TARGETS.with_columns(use=pl.lit("calibration")),
    pl.DataFrame({"t": [HOLD_S * i for i in (9, 10, 11)], "x": [-12.0, 0.0, 12.0], "y": [-8.0, 0.0, 8.0]})
    .with_columns(use=pl.lit("validation")),
])  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gaze")
    SHOWN.write_csv(folder / "targets.csv", separator="\t")
    return write_run(folder / "run", recording([*NINE, NINE[0], NINE[4], NINE[8]]))


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["gaze", *(str(a) for a in arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_gaze_on_the_command_line(run: Path) -> None:
    code, out, err = call(run, "--targets", run.parent / "targets.csv", "--screen", "1920x1080,531x299,600")
    assert code == 0, err
    assert "view 0: pupil_cr (cr0), quadratic: accuracy 0." in out and "for validation" in out
    gaze = pl.read_csv(run / "gaze.csv")
    assert gaze.columns == [
        "frame_idx", "timestamp_ns", "view", "gaze_x_deg", "gaze_y_deg", "outside_targets", "outside_sizes",
        "calibration", "screen_x_px", "screen_y_px",
    ]  # fmt: skip
    held = gaze.filter(pl.col("frame_idx").is_between(4 * 120 + 60, 4 * 120 + 119)).drop_nulls()
    assert held["gaze_x_deg"].median() == pytest.approx(0, abs=0.4)
    assert held["screen_x_px"].median() == pytest.approx(959.5, abs=16)
    events = pl.read_csv(run / "gaze_events.csv")
    saccades = events.filter(pl.col("event") == "saccade")
    assert 9 <= len(saccades) <= 14 and saccades["amplitude_deg"].max() == pytest.approx(28.8, abs=1.5)
    record = json.loads((run / "calibration.json").read_text())
    summary = record["summary"][0]
    assert summary["validation_targets"] == 3 and summary["validation_accuracy_deg"] < 0.5
    assert summary["accuracy_deg"] < 0.5 and record["screen"]["distance_mm"] == 600
    page = (run / "report.html").read_text()
    for words in (
        '"id":"targets"',
        "gaze x",
        "deg/s",
        "mean error",
        "validation targets",
        "accuracy (leave-one-out)",
    ):
        assert words in page, words


@pytest.fixture
def two_eyes(tmp_path: Path) -> Path:
    """Two views of which the second loses its pupil for a while."""
    left, right = recording([*NINE, NINE[4]]), recording([*NINE, NINE[4]], seed=1)
    gone = (pl.col("frame_idx").is_between(400, 440)) & (pl.col("object") == "pupil")
    shape = [c for c in right.columns if c.endswith(("_px", "_deg"))]
    right = right.with_columns(
        pl.when(gone).then(pl.lit("lost")).otherwise(pl.col("state")).alias("state"),
        *(pl.when(~gone).then(pl.col(c)).alias(c) for c in shape),
    )
    both = pl.concat([left, right.with_columns(view=pl.lit(1, dtype=pl.Int64))])
    folder = write_run(tmp_path / "both", both.sort("frame_idx", "view", "object"))
    record = json.loads((folder / "run.json").read_text())
    record["views"] = [[0, 0, 640, 480], [0, 0, 640, 480]]
    (folder / "run.json").write_text(json.dumps(record))
    ends = ((0, 700, 720), (1, 703, 725), (1, 300, 310))
    blinks = [(v, a, b, a * 10_000_000, b * 10_000_000) for v, a, b in ends]  # 100 Hz
    table = pl.DataFrame(blinks, schema=list(BLINK_COLUMNS)[:5], orient="row")
    pl.concat([pl.DataFrame(schema=BLINK_COLUMNS), table], how="diagonal_relaxed").write_csv(
        folder / "blinks.csv"
    )
    TARGETS.write_csv(tmp_path / "nine.csv")
    return folder


def test_both_eyes_together(two_eyes: Path) -> None:
    code, out, err = call(two_eyes, "--targets", two_eyes.parent / "nine.csv", "--eyes", "left,right")
    assert code == 0, err
    assert "both eyes (left, right), mean: accuracy 0." in " ".join(out.split())
    both = pl.read_csv(two_eyes / "gaze_both.csv")
    each = pl.read_csv(two_eyes / "gaze.csv")
    assert len(both) == len(each) // 2
    at = both.row(by_predicate=pl.col("frame_idx") == 210, named=True)
    mine = each.filter(pl.col("frame_idx") == 210).sort("view")["gaze_x_deg"].to_list()
    assert at["gaze_x_deg"] == pytest.approx(sum(mine) / 2, abs=2e-4) and at["eyes"] == "left+right"
    assert at["vergence_x_deg"] == pytest.approx(mine[0] - mine[1], abs=2e-4)
    alone = both.filter(pl.col("frame_idx").is_between(400, 440)).drop_nulls("gaze_x_deg")
    assert set(alone["eyes"]) == {"left"} and alone["vergence_x_deg"].null_count() == len(alone)
    record = json.loads((two_eyes / "calibration.json").read_text())
    apart = [row["precision_rms_s2s_deg"] for row in record["summary"]]
    # Two eyes with noise of their own: the mean has less, by the root of two.
    assert record["both"]["precision_rms_s2s_deg"] == pytest.approx(sum(apart) / 2 / 2**0.5, rel=0.1)
    assert record["both"]["accuracy_deg"] < 0.5 and record["both"]["targets"] == 9
    assert 0.9 < record["both"]["with_both_eyes"] < 1.0
    events = pl.read_csv(two_eyes / "gaze_both_events.csv")
    saccades = events.filter(pl.col("event") == "saccade")
    assert "view" not in events.columns and 8 <= len(saccades) <= 12
    # That an eye goes and comes is no saccade.
    assert saccades.filter(pl.col("onset_frame").is_between(395, 445)).is_empty()
    blinks = events.filter(pl.col("event") == "blink")
    assert blinks.select("onset_frame", "offset_frame").rows() == [(700, 725)]
    assert "both eyes" in (two_eyes / "report.html").read_text()


def test_one_eye_has_no_mean(two_eyes: Path) -> None:
    run_gaze(two_eyes, TARGETS, report=False)
    assert pl.read_csv(two_eyes / "gaze_both.csv")["eyes"].unique().sort().to_list()[-1] == "view 0+view 1"
    gaze = run_gaze(two_eyes, TARGETS, eyes=["left", "-"], report=False)
    assert gaze.both is None and not (two_eyes / "gaze_both.csv").exists()
    with pytest.raises(InputError, match="do not fit"):
        run_gaze(two_eyes, TARGETS, eyes=["left"], report=False)


def test_a_page_made_again_shows_gaze_only_while_it_fits(run: Path) -> None:
    run_gaze(run, SHOWN, report=False)
    assert '"id":"targets"' in remake(run).read_text()
    before = (run / "signals.csv").read_text()
    pl.read_csv(run / "signals.csv").write_csv(
        run / "signals.csv", float_precision=2
    )  # as a correction would
    assert '"id":"targets"' not in remake(run).read_text()
    (run / "signals.csv").write_text(before)


def test_an_earlier_calibration_goes_on(run: Path, tmp_path: Path) -> None:
    found = run_gaze(run, SHOWN, out=tmp_path / "made", report=False)
    other = write_run(tmp_path / "task", recording([NINE[4], NINE[8], NINE[4]], seed=3))
    path = tmp_path / "made" / "calibration.json"
    gaze = run_gaze(other, calibration=path, report=False)
    assert gaze.calibrations[0].accuracy == found.calibrations[0].accuracy
    late = gaze.table.filter(pl.col("frame_idx").is_between(180, 239)).drop_nulls()
    assert late["gaze_x_deg"].median() == pytest.approx(12, abs=0.5)
    again = pl.DataFrame({"t": [1.2], "duration": [1.2], "x": [12.0], "y": [8.0]})
    checked = run_gaze(other, again, calibration=path)
    assert '"id":"targets"' in (other / "report.html").read_text()
    assert checked.targets.filter(use="validation")["accuracy_deg"].to_list()[0] < 0.6
    record = json.loads((other / "run.json").read_text())
    record["input"]["size_hw"] = [240, 320]
    (other / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="does not fit"):
        run_gaze(other, calibration=path)


def test_frames_that_the_camera_dropped_are_lost_gaze(tmp_path: Path) -> None:
    signals = recording(NINE)
    dropped = pl.col("frame_idx").is_between(500, 599)
    whole, gaps = (
        run_gaze(write_run(tmp_path / name, part), TARGETS, report=False).summary()["data_loss"][0]
        for name, part in (("whole", signals), ("gaps", signals.filter(~dropped)))
    )
    missing = len(signals.filter(dropped & (pl.col("object") == "pupil") & (pl.col("state") == "tracked")))
    assert missing > 80 and gaps - whole == pytest.approx(missing / 1080, abs=0.01)


def test_from_python(run: Path) -> None:
    recording_ = EyeRecording.load(run)
    gaze = recording_.calibrate(SHOWN)
    assert gaze.calibrations[0].accuracy < 0.5 and len(gaze.targets) == 12
    moved = gaze.to_pymovements()
    assert moved.samples["position"].to_list()[70] == pytest.approx([-12, -8], abs=1.0)
    assert moved.experiment.sampling_rate == 100 and len(moved.events.frame) == len(gaze.events)
    assert recording_.fixations["data_loss"].max() == 0
    assert {"amplitude_px", "peak_velocity_px_s"} <= set(recording_.saccades.columns)
    with pytest.raises(InputError, match="View 3"):
        gaze.to_pymovements(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give a table of targets"),
        (["--targets", "none.csv"], "no table of targets"),
        (["--calibration", "none.json"], "no calibration"),
        (["--screen", "1920x1080"], "as 1920x1080,531x299,600"),
        (["--targets", "few.csv"], "at least 4 targets"),
        (["--targets", "late.csv"], "outside the recording"),
        (["--targets", "good.csv", "--reflection", "cr7"], "there are: cr0"),
        (["--calibration", "few.csv"], "cannot be read as a calibration.json"),
    ],
)
def test_command_lines_that_are_refused(
    run: Path, tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SHOWN.write_csv("good.csv")
    SHOWN.head(3).write_csv("few.csv")
    SHOWN.with_columns(pl.col("t") + 1e6).write_csv("late.csv")
    code, _, err = call(run, *arguments, "--out", "out")
    assert code == 2 and message in err and "Traceback" not in err, err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "t,x,y\n0.5,1.5,-2\n",
        "\ufefft,x,y\r\n0.5,1.5,-2\r\n",
        "t, x, y\n0.5, 1.5, -2\n",
        "t;x;y\n0,5;1,5;-2\n",
        "t;x;y\n0.5;1.5;-2\n",
        't\tx\ty\n"0.5"\t1.5\t-2\n',
        "t\tx\ty\n0,5\t1,5\t-2\n",
        "t;x;y;note\n0.5;1.5;-2;left, then right\n",
        "t;x;y;\n0,5;1,5;-2;\n;;;\n",
    ],
)
def test_targets_as_spreadsheets_write_them(text: str, tmp_path: Path) -> None:
    table = tmp_path / "targets [1].csv"
    for encoding in ("utf-8", "utf-16"):
        table.write_bytes(text.removeprefix("\ufeff" if encoding == "utf-16" else "").encode(encoding))
        read = read_targets(table)
        assert read.columns[:3] == ["t", "x", "y"] and len(read) == 1
        assert [float(value) for value in read.row(0)[:3]] == [0.5, 1.5, -2.0]
    table.write_bytes(text.replace("note", "größe").encode("cp1252", errors="ignore"))
    assert float(read_targets(table)["x"][0]) == 1.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("t,x,y\n1,2,3\n0,5,1,5,-2\n", "line 3 has 5 cells, the header 3; decimal commas need semicolons"),
    ],
)
def test_tables_of_targets_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    table = tmp_path / "targets.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        read_targets(table)


def test_an_accuracy_that_says_nothing_is_told(run: Path, tmp_path: Path) -> None:
    """Targets in another order than they were shown: times fit, and a model is found all the same."""
    wrong = SHOWN.with_columns(pl.col("x", "y").reverse().shuffle(seed=3))
    wrong.write_csv(tmp_path / "wrong.csv")
    SHOWN.write_csv(tmp_path / "right.csv")
    for name, told in (("wrong", True), ("right", False)):
        code, out, err = call(
            run, "--targets", str(tmp_path / f"{name}.csv"), "--out", str(tmp_path / name), "--no-report"
        )
        assert code == 0, err
        assert ("no better than to say always the middle of the targets" in out) is told, out
