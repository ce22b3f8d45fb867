"""The names and shapes of all weights are the official ones, for every published model."""

import hashlib
import json
from pathlib import Path

import pytest

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
def test_names_and_shapes_equal_the_reference_file(name: str, shared_dir: Path) -> None:
    expected = json.loads((shared_dir / "reference" / "state_dict_shapes.json").read_text())[name]
    assert shapes_of(name) == expected


def test_nano_stays_small() -> None:
    network = make_network("nano", device="meta")
    assert sum(p.numel() for p in network.parameters()) <= 8_000_000
