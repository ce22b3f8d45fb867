"""Which weights are on this machine: the list behind `ocusam models`, fetching and verifying.

Notable choices: listing reads no file; verifying reads every one of them. Weights that nobody announced a
SHA-256 for (a file that was copied here) are present, and cannot be verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocusam.model.config import PRESETS, get_config
from ocusam.weights.hub import PUBLISHED, Hub, local_weights, published
from ocusam.weights.hub import fetch as fetch_published
from ocusam.weights.registry import (
    PACKAGED,
    PACKAGED_SHA256,
    packaged_weights,
    require_packaged_weights,
    sha256,
)


@dataclass(frozen=True)
class ModelOnHand:
    """A known network.

    Attributes:
        name: as `build_sam2` takes it.
        image_size: side of its input, px.
        where: "packaged", "fetched", or "" where no weights are here.
        path: the weights, or None.
        verified: the file is what was announced; None: not asked, or nothing was announced.
    """

    name: str
    image_size: int
    where: str
    path: Path | None
    verified: bool | None = None


def weights_on_hand(name: str, hub: Hub | None = None) -> Path | None:
    """Return the weights that a model's name stands for on this machine: packaged or fetched ones."""
    packaged = packaged_weights(name)
    if packaged is not None:
        return packaged
    local = local_weights(name, hub)
    return None if local is None else local.path


def list_models(*, verify: bool = False, hub: Hub | None = None) -> list[ModelOnHand]:
    """All networks with weights to be had: `nano` first, then the published ones, newest first.

    Args:
        verify: read every file and compare its SHA-256.
        hub: see `weights.hub`.
    """
    rows = []
    for name in [*PACKAGED, *PUBLISHED]:
        assert name in PRESETS
        packaged, local = packaged_weights(name), local_weights(name, hub)
        where = "packaged" if packaged is not None else "fetched" if local is not None else ""
        path = packaged if packaged is not None else local.path if local is not None else None
        verified = None
        if verify and packaged is not None:
            verified = sha256(packaged) == PACKAGED_SHA256[name]
        elif verify and local is not None:
            verified = local.verify()
        rows.append(ModelOnHand(name, get_config(name).image_size, where, path, verified))
    return rows


def fetch_model(name: str, hub: Hub | None = None) -> ModelOnHand:
    """Fetch a model's weights unless they are here, and verify them.

    Args:
        name: "nano", one of the published names, or their repository ("facebook/sam2.1-hiera-tiny").
        hub: see `weights.hub`.

    Raises:
        WeightsError: unknown name; not here and not to be fetched; or damaged.
    """
    name = next((known for known, file in PUBLISHED.items() if file.repo == name), name)
    size = get_config(name).image_size if name in PRESETS else 0
    if name in PACKAGED:
        return ModelOnHand(name, size, "packaged", require_packaged_weights(name))
    published(name)
    found = fetch_published(name, hub)
    return ModelOnHand(name, size, "fetched", found.path, True if found.announced_sha256 else None)
