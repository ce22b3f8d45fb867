import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocusam.cli.main import app
from ocusam.core.errors import InputError, OutputError
from ocusam.model.build import make_network
from ocusam.weights.checkpoint import save_state
from ocusam.workflows.export_network import export_network
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.models import open_predictor


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "miniature.safetensors"
    save_state(path, make_network("miniature").state_dict(), {})
    return path


def test_the_command_writes_a_folder_at_once(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "made" / "parts"
    command = ["models", "export", "miniature", "-o", str(out), "--format", "openvino", "-w", str(weights)]
    result = CliRunner().invoke(app, [*command, "--size", "32"])
    assert result.exit_code == 0, result.output
    told = json.loads((out / "network.json").read_text())
    assert told["config"]["image_size"] == 32
    assert all((out / part["file"]).is_file() for part in told["parts"].values())
    assert [path.name for path in out.parent.iterdir()] == ["parts"]

    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2 and "not an empty folder" in result.output


def test_a_folder_that_holds_something_is_left_alone(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(OutputError, match="not an empty folder"):
        export_network("miniature", tmp_path, "openvino", weights=weights)
    assert list(tmp_path.iterdir()) == [weights]


def test_the_option_reaches_the_network(weights: Path) -> None:
    pytest.importorskip("openvino")
    settings = RunSettings(engine="openvino", dtype="bfloat16")
    opened = open_predictor("miniature", weights, "cpu", settings)
    assert type(opened.predictor.model).__name__ == "EngineNetwork"  # type: ignore[attr-defined]
    assert opened.record["engine"] == "openvino" and settings.to_dict()["engine"] == "openvino"


def test_engines_that_there_are_not() -> None:
    with pytest.raises(InputError, match="torch or openvino"):
        RunSettings(engine="tensorrt")
    with pytest.raises(InputError, match="--compile"):
        RunSettings(engine="openvino", compiled=True)
    result = CliRunner().invoke(app, ["eye", "none.mp4", "-o", "out", "--engine", "onnx"])
    assert result.exit_code == 2 and "torch or openvino" in result.output
