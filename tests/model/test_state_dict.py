"""The names and shapes of all weights are the official ones, for every published model."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from ocusam.model.build import make_network

DIGESTS = json.loads((Path(__file__).parents[1] / "golden" / "state_dict_digests.json").read_text())


def shapes_of(name: str) -> dict[str, list[int]]:
    network = make_network(name, device="meta")
    return {key: list(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("name", DIGESTS)
def test_names_and_shapes_are_official(name: str) -> None:
    shapes = shapes_of(name)
    text = json.dumps(sorted((key, shape) for key, shape in shapes.items()), separators=(",", ":"))
    assert len(shapes) == DIGESTS[name]["tensors"]
    assert hashlib.sha256(text.encode()).hexdigest() == DIGESTS[name]["sha256"]


@pytest.mark.parametrize("name", DIGESTS)
def test_the_published_tensors_load_strictly(name: str, shared_dir: Path) -> None:
    """All names and shapes of the published checkpoint, and no other."""
    file = shared_dir / "reference" / "state_dict_shapes.json"
    if not file.is_file():
        pytest.skip("the reference is not beside this repository")
    shapes = json.loads(file.read_text())[name]
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    network = make_network(name, device="meta")
    assert str(network.load_state_dict(state, strict=True, assign=True)) == "<All keys matched successfully>"
    del state["no_mem_embed"]
    with pytest.raises(RuntimeError, match="no_mem_embed"):
        network.load_state_dict(state, strict=True, assign=True)


def test_nano_stays_small() -> None:
    network = make_network("nano", device="meta")
    assert sum(p.numel() for p in network.parameters()) <= 8_000_000
