"""`ocusam batch` as typed; what a batch does is tested with the workflow."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ocusam.cli.main import app
from ocusam.workflows import batch
from ocusam.workflows.batch import BatchOptions, BatchResult
from ocusam.workflows.batch_summary import FAILED, FINISHED, INTERRUPTED, make_row, make_table

runner = CliRunner()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the batch: keeps what it was asked, ends every recording with the given states."""
    kept: dict[str, Any] = {"states": {}}

    def run(items: Any, out: Path, options: BatchOptions, watcher: Any) -> BatchResult:
        kept.update(items=items, options=options)
        rows = []
        for item in items:
            status = kept["states"].get(item.name, FINISHED)
            rows.append(make_row(item, status, message="[/b] it broke" if status == FAILED else ""))
            if status == FINISHED:
                rows[-1].update(frames=120, fps=30.25, share_tracked=0.985, blinks=3)
            watcher.progress(item.name, 60, 120)
            watcher.done(rows[-1])
        return BatchResult(make_table(rows), INTERRUPTED in kept["states"].values())

    monkeypatch.setattr(batch, "run_batch", run)
    return kept


def videos(folder: Path) -> Path:
    (folder / "in").mkdir()
    for name in ("a", "b"):
        (folder / "in" / f"{name}.mp4").touch()
    return folder / "in"


def test_options_reach_every_recording(tmp_path: Path, asked: dict[str, Any]) -> None:
    arguments = ["batch", str(videos(tmp_path)), "-o", str(tmp_path / "out"), "-j", "3", "--views", "2x1",
                 "-p", "pupil:60,55", "--no-overlay", "--start-over"]  # fmt: skip
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert [i.name for i in asked["items"]] == ["a", "b"]
    assert all(i.points == ("pupil:60,55",) and i.views == "2x1" for i in asked["items"])
    options = asked["options"]
    assert (options.jobs, options.settings.overlay, options.start_over) == (3, False, True)
    for word in ("98.5%", "30.25", "2 finished", "summary.csv"):
        assert word in result.output


def test_failures_and_interruption_show_in_the_exit_code(tmp_path: Path, asked: dict[str, Any]) -> None:
    arguments = ["batch", str(videos(tmp_path)), "-o", str(tmp_path / "out"), "-p", "pupil:60,55"]
    asked["states"] = {"b": FAILED}
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert "[/b] it broke" in result.output and "1 failed, 1 finished" in result.output
    asked["states"] = {"b": INTERRUPTED}
    result = runner.invoke(app, arguments)
    assert result.exit_code == 130 and "same command again" in result.stderr


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    for source in (tmp_path / "none.csv", tmp_path):
        result = runner.invoke(app, ["batch", str(source), "-o", str(tmp_path / "out")])
        assert result.exit_code == 2 and result.stderr.startswith("Error:")
    result = runner.invoke(app, ["batch", str(tmp_path), "-o", str(tmp_path / "out"), "-p", "pupil"])
    assert result.exit_code == 2 and "pupil:320,240" in result.stderr


def test_every_option_of_eye_is_one_of_batch() -> None:
    """But `--resume`, which a batch does anyway; and they mean the same when left out."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    eye, both = ({p.name: p for p in group.commands[name].params} for name in ("eye", "batch"))
    assert set(eye) - set(both) == {"resume", "video"}
    assert all(both[name].default == parameter.default for name, parameter in eye.items() if name in both)


def test_settings_of_eye_reach_every_recording(tmp_path: Path, asked: dict[str, Any]) -> None:
    (tmp_path / "a.mp4").touch()
    result = runner.invoke(
        app, ["batch", str(tmp_path), "-o", str(tmp_path / "o"), "--glints", "2", "--bare-clicks"]
    )
    assert result.exit_code == 0, result.output
    assert asked["options"].settings.glints == "2" and not asked["options"].settings.clear_clicks
