from pathlib import Path

from typer.testing import CliRunner

from ocusam.cli.main import app


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert "no run.json" in result.output and "Traceback" not in result.output


def test_help_says_what_it_takes() -> None:
    result = CliRunner().invoke(app, ["report", "--help"])
    assert result.exit_code == 0 and "--video" in result.output
