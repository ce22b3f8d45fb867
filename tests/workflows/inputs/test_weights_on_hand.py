"""`ocusam models`: what is listed, fetched, verified, and said when offline."""

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocusam.cli.main import app
from ocusam.weights import hub as hub_module
from ocusam.weights.hub import PUBLISHED, HubFile, UnreachableError
from ocusam.weights.registry import packaged_weights
from ocusam.workflows.inputs import weights_on_hand as weights_on_hand_module
from ocusam.workflows.inputs.weights_on_hand import fetch_model, list_models, weights_on_hand

runner = CliRunner()
TINY = "sam2.1_hiera_tiny"
CONTENT = b"weights"


class FakeHub:
    """Serves every file, into the folder of OCUSAM_WEIGHTS only; or is offline."""

    online = True

    def announced_sha256(self, file: HubFile) -> str | None:
        if not self.online:
            raise UnreachableError("no route to host")
        return hashlib.sha256(CONTENT).hexdigest()

    def download(self, file: HubFile, folder: Path | None) -> Path:
        assert folder is not None
        (folder / file.filename).write_bytes(CONTENT)
        return folder / file.filename

    def cached(self, file: HubFile) -> Path | None:
        return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hub_module, "HuggingFaceHub", FakeHub)
    monkeypatch.setattr(FakeHub, "online", True)
    monkeypatch.setenv("OCUSAM_WEIGHTS", str(tmp_path))
    return tmp_path


def test_listed_fetched_verified(folder: Path) -> None:
    assert [row.name for row in list_models()] == ["nano", *PUBLISHED]
    assert weights_on_hand(TINY) is None
    found = fetch_model("facebook/sam2.1-hiera-tiny")
    assert (found.name, found.verified, found.path) == (TINY, True, folder / "sam2.1_hiera_tiny.pt")
    assert weights_on_hand(TINY) == found.path
    row = next(row for row in list_models(verify=True) if row.name == TINY)
    assert (row.where, row.verified) == ("fetched", True)


def test_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = runner.invoke(app, ["models", "fetch", TINY])
    assert result.exit_code == 0 and "verified" in result.output
    listed = runner.invoke(app, ["models"])
    assert listed.exit_code == 0 and "fetched" in listed.output and "sam2_hiera_large" in listed.output
    assert "verified" in runner.invoke(app, ["models", "verify"]).output
    (folder / PUBLISHED[TINY].filename).write_bytes(b"other")
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 2 and "DAMAGED" in result.output


def test_the_packaged_weights_are_verified_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 0 and "packaged, verified" in result.output
    broken = tmp_path / "nano.safetensors"
    whole = packaged_weights("nano")
    assert whole is not None
    content = bytearray(whole.read_bytes())
    content[-1] ^= 1
    broken.write_bytes(content)
    monkeypatch.setattr(weights_on_hand_module, "packaged_weights", {"nano": broken}.get)
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 2 and "packaged, DAMAGED" in result.output
    assert "install ocusam again" in " ".join(result.stderr.split())


def test_offline_and_unknown_names_end_with_code_2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeHub, "online", False)
    result = runner.invoke(app, ["models", "fetch", TINY])
    assert result.exit_code == 2 and "no route to host" in result.output and "OCUSAM_WEIGHTS" in result.output
    result = runner.invoke(app, ["models", "fetch", "sam9"])
    assert result.exit_code == 2 and "sam9" in result.output
