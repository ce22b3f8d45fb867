"""The column diameter_mm, from a run to all that reads it."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from fake_predictor import FakePredictor, eye_truth, write_eye_video
from ocusam.cli.main import app
from ocusam.eye.scale import DIAMETER_MM
from ocusam.report.methods import methods
from ocusam.workflows.eye import EyeRecording, track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.results.export_bids import BidsLabels, write_bids
from ocusam.workflows.results.export_tables import pupil_positions
from ocusam.workflows.results.eye_tables import read_tables
from ocusam.workflows.results.finished_run import open_run
from ocusam.workflows.results.report import remake

CLOSED = range(20, 30)
POINTS = ["pupil:65,58@10", "iris:90,60@10"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_video(tmp_path_factory.mktemp("mm") / "eye.mp4", eye_truth(60, CLOSED))


def track(video: Path, out: Path | None, **settings: Any) -> EyeRecording:
    wanted = RunSettings(overlay=False, report=False, glints="off", **settings)
    return track_eye(video, POINTS, model=FakePredictor(), out=out, settings=wanted)


@pytest.fixture(scope="module")
def run(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The iris is 60 px wide, the pupil 30: with an iris of 12 mm, 0.2 mm a px and 6 mm."""
    out = tmp_path_factory.mktemp("mm") / "run"
    rec = track(video, out, iris_mm=12.0)
    assert rec.scale == json.loads((out / "run.json").read_text())["scale"]
    return out


def pupil_of(signals: pl.DataFrame) -> pl.DataFrame:
    assert signals.filter(pl.col("object") != "pupil")[DIAMETER_MM].count() == 0
    return signals.filter(pl.col("object") == "pupil").sort("frame_idx")


def test_the_values_and_where_they_come_from(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (scale,) = record["scale"]
    assert scale["mm_per_px"] == pytest.approx(0.2, rel=0.01) and scale["iris_mm"] == 12.0
    assert (
        scale["frames"] == 50
        and scale["iris_px"] == pytest.approx(60.0, rel=0.01)
        and scale["scatter"] < 0.01
    )
    assert record["settings"]["iris_mm"] == 12.0 and record["settings"]["mm_per_px"] is None
    pupil = pupil_of(open_run(run).signals)
    known = pupil[DIAMETER_MM].is_not_null()
    assert (known == pupil["major_px"].is_not_null()).all() and known.sum() == 50
    assert not known[list(CLOSED)].any()
    seen = pupil.filter(known)
    assert seen[DIAMETER_MM].to_numpy() == pytest.approx(6.0, rel=0.03)
    ratio = (seen[DIAMETER_MM] / seen["major_px"]).to_numpy()
    np.testing.assert_allclose(ratio, scale["mm_per_px"], rtol=1e-6)  # one factor: no noise of single frames


def test_the_page_made_again_keeps_and_tells_it(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    before = (copy / "signals.csv").read_bytes()
    page = remake(copy).read_text()
    assert (copy / "signals.csv").read_bytes() == before
    assert "an assumed diameter of the visible iris of 12 mm" in page and "median of 50 frames" in page
    tables, record = read_tables(copy), json.loads((copy / "run.json").read_text())
    assert pupil_of(tables.signals.table())[DIAMETER_MM].count() == 50
    record["scale"] = [
        {"view": 0, "by": "stated", "mm_per_px": 0.05},
        {"view": 1, "by": "iris", "mm_per_px": None},
    ]
    text = methods(tables, record)
    assert "times a stated scale of 0.05 mm per px" in text and "View 1 has no pupil diameters in mm" in text


def test_what_is_handed_on(run: Path, tmp_path: Path) -> None:
    loaded, finished = EyeRecording.load(run), open_run(run)
    assert loaded.scale == json.loads((run / "run.json").read_text())["scale"]
    write_bids(finished, tmp_path, BidsLabels("01", "t", ["left"]))
    sidecar = json.loads(next(tmp_path.rglob("*_physio.json")).read_text())
    at = sidecar["Columns"].index("pupil_size_mm")
    assert sidecar["pupil_size_mm"]["Units"] == "mm" and "12 mm" in sidecar["pupil_size_mm"]["Description"]
    rows = gzip.decompress(next(tmp_path.rglob("*_physio.tsv.gz")).read_bytes()).decode().splitlines()
    assert float(rows[0].split("\t")[at]) == pytest.approx(6.0, rel=0.03)
    assert rows[CLOSED[0]].split("\t")[at] == "n/a"
    assert pupil_positions(finished)["diameter_3d"].count() == 0  # that one is the 3D model's
    assert loaded.to_pymovements().samples[DIAMETER_MM].count() == 50


def test_a_run_without_a_scale_can_be_given_one_later(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rec = track(video, out)
    assert rec.scale is None and pupil_of(rec.signals)[DIAMETER_MM].count() == 0
    finished = open_run(out)
    assert finished.signals.schema[DIAMETER_MM] == pl.Float64 and "scale" not in finished.record
    assert DIAMETER_MM not in rec.to_pymovements().samples.columns
    write_bids(finished, tmp_path / "b", BidsLabels("01", "t", ["left"]))
    assert "_mm" not in next((tmp_path / "b").rglob("*_physio.json")).read_text()
    masks = (out / "masklets" / "chunk_00000.parquet").read_bytes()
    again = track(video, out, mm_per_px=0.1, resume=True)
    assert (out / "masklets" / "chunk_00000.parquet").read_bytes() == masks
    pupil = pupil_of(again.signals).drop_nulls("major_px")
    np.testing.assert_allclose(pupil[DIAMETER_MM], 0.1 * pupil["major_px"])
    record = json.loads((out / "run.json").read_text())
    assert record["scale"] == [{"view": 0, "by": "stated", "mm_per_px": 0.1}]
    assert record["settings"]["mm_per_px"] == 0.1 and record["status"] == "finished"


@pytest.mark.parametrize("command", ["eye", "batch"])
def test_the_command_refuses_and_explains(command: str, video: Path, tmp_path: Path) -> None:
    source = video if command == "eye" else video.parent
    arguments = [command, str(source), "-o", str(tmp_path / "o"), "--point", "pupil:65,58"]
    both = CliRunner().invoke(app, [*arguments, "--iris-mm", "11.7", "--mm-per-px", "0.05"])
    assert both.exit_code == 2 and "give one of them" in " ".join(both.output.split())
    wrong = CliRunner().invoke(app, [*arguments, "--mm-per-px", "-1"])
    assert wrong.exit_code == 2 and "above 0" in " ".join(wrong.output.split())
    assert list(tmp_path.iterdir()) == []
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    assert "--mm-per-px" in shown and "--iris-mm" in shown and "11.7" in shown
