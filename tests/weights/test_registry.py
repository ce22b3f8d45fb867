import hashlib
from pathlib import Path

import pytest

from ocusam.core.errors import WeightsError
from ocusam.weights import registry


def test_fingerprint(tmp_path: Path):
    path = tmp_path / "w"
    path.write_bytes(b"x" * 3_000_000)
    assert registry.sha256(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    with pytest.raises(WeightsError):
        registry.sha256(tmp_path / "none")


def test_models_without_packaged_weights_are_named_as_such(monkeypatch):
    assert registry.packaged_weights("sam2.1_hiera_tiny") is None
    with pytest.raises(WeightsError, match=r"'sam2\.1_hiera_tiny'"):
        registry.require_packaged_weights("sam2.1_hiera_tiny")
    monkeypatch.setitem(registry.PACKAGED, "nano", "absent.safetensors")
    assert registry.packaged_weights("nano") is None
    with pytest.raises(WeightsError, match="there are: none"):
        registry.require_packaged_weights("nano")


def test_packaged_weights_are_those_that_are_announced_and_fit_their_size_limit():
    path = registry.packaged_weights("nano")
    assert path is not None
    assert registry.sha256(path) == registry.PACKAGED_SHA256["nano"], "other weights: say so in registry.py"
    assert path.stat().st_size <= 16 * 2**20
