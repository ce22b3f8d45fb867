import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from gazing_eye import NINE, TARGETS, recording, write_run
from ocusam.cli.main import app
from ocusam.workflows.gaze import run_gaze
from ocusam.workflows.trials import run_trials

runner = CliRunner()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("t") / "run", recording([*NINE, (5.0, 4.0), (-5.0, -4.0)]))


def test_trials_as_typed(run: Path, tmp_path: Path) -> None:
    """Decimal commas between semicolons, as spreadsheets save them; in px before, in degrees after gaze."""
    table = tmp_path / "trials.csv"
    table.write_text("start;end;cond\n10,9;11,9;near\n12,1;13,1;far\n", encoding="utf-16")
    asked = ["trials", str(run), "-t", str(table), "-o", str(tmp_path / "out")]
    result = runner.invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert "view 0: 2 trials" in result.output
    assert "in px: there is no gaze" in result.output
    first = pl.read_csv(tmp_path / "out" / "trials.csv")
    assert first["cond"].to_list() == ["near", "far"] and "first_saccade_amplitude_px" in first.columns
    assert "gaze_x_deg" not in pl.read_csv(tmp_path / "out" / "trial_samples.csv").columns

    run_gaze(run, TARGETS, report=False)
    result = runner.invoke(app, [*asked, "--baseline=-0.3,0"])
    assert result.exit_code == 0, result.output
    rows = pl.read_csv(tmp_path / "out" / "trials.csv")
    # From (5, 4) to (-5, -4), 200 ms after the places change at 12 s: 300 ms into the second trial.
    assert rows["first_saccade_amplitude_deg"][1] == pytest.approx(12.8, abs=1.0)
    samples = pl.read_csv(tmp_path / "out" / "trial_samples.csv", infer_schema_length=None)
    late = samples.filter((pl.col("trial") == 2) & (pl.col("time_ms") > 600))
    assert late["gaze_x_deg"].median() == pytest.approx(-5.0, abs=0.4)
    record = json.loads((tmp_path / "out" / "trials.json").read_text())
    assert record["settings"]["baseline_s"] == [-0.3, 0.0] and record["events"] == "deg"


def test_what_is_told_of_trials(run: Path, tmp_path: Path) -> None:
    table = tmp_path / "blocks.csv"
    table.write_text("trial,start,end\n1,1,2\n2,3,NA\n1,5,6\n2,7,8\n3,0,1\n")
    result = runner.invoke(app, ["trials", str(run), "-t", str(table), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "no baseline in 1 trial: 3" in result.output and "no end of 1 trial: 2" in result.output
    assert "names of more than one trial, which start_ns tells apart: 1, 2" in result.output


def test_trials_beyond_the_recording_are_named(run: Path, tmp_path: Path) -> None:
    """A trial longer than the recording had shown in its data loss alone."""
    last = int(pl.read_csv(run / "signals.csv")["timestamp_ns"].max()) / 1e9  # type: ignore[arg-type]
    table = tmp_path / "trials.csv"
    table.write_text(f"trial,start,end\na,-0.5,1\nb,1,2\nc,3,{last + 0.01}\nd,4,{last + 1}\n")
    result = runner.invoke(app, ["trials", str(run), "-t", str(table), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    told = "a part outside the recording, which counts as data loss, of 2 trials: a, d"
    assert told in " ".join(result.output.split())
    assert json.loads((tmp_path / "out" / "trials.json").read_text())["outside_recording"] == ["a", "d"]


def test_the_doubtful_frames_of_the_run_are_left_out(run: Path, tmp_path: Path) -> None:
    """Those that stand in doubtful.csv, not those that would be found anew."""
    here = tmp_path / "run"
    shutil.copytree(run, here)
    table = pl.DataFrame({"start": [1.0], "end": [2.0]})
    before = run_trials(here, table).samples.filter("usable")["frame_idx"].to_list()
    doubt = {"rank": 1, "frame_idx": before[5], "timestamp_ns": 0, "view": 0, "object": "pupil", "score": 2.0}
    pl.DataFrame(doubt | {"reason": "jump"}).write_csv(here / "doubtful.csv")
    after = run_trials(here, table).samples.filter("usable")["frame_idx"].to_list()
    assert before[5] not in after and set(before) - set(after) == {before[5]}


def test_what_is_refused_as_typed(run: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (["-t", str(tmp_path / "gone.csv")], "no table of trials"),
        (["-t", str(tmp_path / "gone.csv"), "--baseline=0"], "as --baseline=-0.2,0"),
    ):
        result = runner.invoke(app, ["trials", str(run), *arguments])
        assert result.exit_code == 2 and message in result.stderr.replace("\n", " ")


def test_the_experiments_own_table_is_not_written_over(run: Path, tmp_path: Path) -> None:
    own = tmp_path / "trials.csv"
    own.write_text("start,end\n1,2\n")
    for asked in (["-t", str(own), "-o", str(tmp_path)], ["-t", str(own), "-o", f"{tmp_path}/./"]):
        result = runner.invoke(app, ["trials", str(run), *asked])
        assert result.exit_code == 2 and "would be lost" in result.stderr.replace("\n", " ")
    assert own.read_text() == "start,end\n1,2\n" and list(tmp_path.iterdir()) == [own]
    ours = tmp_path / "out" / "trials.csv"
    asked = ["trials", str(run), "-o", str(tmp_path / "out"), "-t"]
    for _ in range(2):  # what was written here may be written again
        assert runner.invoke(app, [*asked, str(own)]).exit_code == 0
    assert runner.invoke(app, [*asked, str(ours)]).exit_code == 2  # but not while it is read
