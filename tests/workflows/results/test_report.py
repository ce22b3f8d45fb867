"""From a run folder to its page, at once and again."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fake_predictor import FakePredictor, eye_truth, write_eye_video
from ocusam.cli.main import app
from ocusam.core.errors import InputError
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.results.report import moments, remake


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    video = write_eye_video(folder / "eye.mp4", eye_truth(60, range(20, 30)))
    track_eye(video, ["pupil:65,58@10", "iris:90,60@10"], model=FakePredictor(), out=folder / "run",
              settings=RunSettings(overlay=False))  # fmt: skip
    return folder / "run"


def test_a_run_writes_its_page_and_tables(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "full blink" in page and '"status": "finished"' in page.replace("&quot;", '"')
    assert pl.read_csv(run / "events.csv")["event"].to_list().count("blink") == 1
    assert (run / "doubtful.csv").exists()


def test_the_page_can_be_made_again(run: Path) -> None:
    before = (run / "report.html").read_text()
    (run / "report.html").unlink()
    (run / "doubtful.csv").unlink()
    assert remake(run) == run / "report.html"
    again = (run / "report.html").read_text()
    marks = [text.count('"jpeg"') for text in (before, again)]
    assert marks[0] == marks[1] > 10
    assert (run / "doubtful.csv").exists()


def test_without_its_video_the_page_has_no_pictures(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["input"] |= {"path": str(tmp_path / "gone.mp4"), "path_from_run": "gone.mp4"}
    for name in ("signals.csv", "blinks.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert "video was not at hand" in remake(tmp_path).read_text()
    with pytest.raises(InputError, match="No such file"):
        remake(tmp_path, video=tmp_path / "gone.mp4")


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        remake(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"signals\.csv"):
        remake(tmp_path)


def test_moments_are_few(run: Path) -> None:
    from ocusam.workflows.results.eye_tables import read_tables

    tables = read_tables(run)
    found = moments(tables)
    assert 0 in found and 59 in found and any("blink" in why for why, _ in found.values())
    assert len(found) <= 60


def test_another_way_to_find_events_is_remembered(run: Path) -> None:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["report", str(run), *arguments])

    assert call("--events", "ivt", "--velocity", "1e9").exit_code == 0
    assert "saccade" not in pl.read_csv(run / "events.csv")["event"].to_list()
    assert "I-VT" in (run / "report.html").read_text()
    assert call().exit_code == 0
    assert "I-VT" in (run / "report.html").read_text()
    refused = call("--events", "ivt")
    assert refused.exit_code == 2 and "threshold in px" in refused.stderr
    assert call("--events", "adaptive").exit_code == 0
