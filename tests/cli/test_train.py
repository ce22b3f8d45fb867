"""`ocusam train`: what it says before it trains."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from ocusam.cli.main import app

CONFIG = 'model = "miniature"\n[[stage]]\nkind = "images"\nsteps = 3\nsize = 64\nlr = 1e-3\n'


def test_check_says_what_would_be_trained(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(CONFIG)
    result = CliRunner().invoke(
        app, ["train", str(tmp_path / "t.toml"), "-o", str(tmp_path / "o"), "--check"]
    )
    assert result.exit_code == 0
    assert "starting from random numbers" in result.output and "3 steps" in result.output
    assert not (tmp_path / "o").exists()


def test_a_misspelt_key_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(CONFIG + "lerning = 1\n")
    result = CliRunner().invoke(app, ["train", str(tmp_path / "t.toml"), "-o", str(tmp_path / "o")])
    assert result.exit_code == 2 and "unknown lerning" in result.output
    assert not (tmp_path / "o").exists()


def test_export_before_anything_was_trained(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(CONFIG)
    result = CliRunner().invoke(
        app,
        ["train", str(tmp_path / "t.toml"), "-o", str(tmp_path / "o"), "--export", str(tmp_path / "w.pt")],
    )
    assert result.exit_code == 2 and "no checkpoint" in result.output
