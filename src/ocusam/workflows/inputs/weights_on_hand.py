"""Which weights are on this machine: the list behind `ocusam models`, fetching and verifying.

Notable choices: listing reads no file; verifying reads every one of them. Weights that nobody announced a
SHA-256 for (a file that was copied here) are present, and cannot be verified.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocusam.model.build import recognise
from ocusam.model.config import PRESETS, get_config
from ocusam.weights.checkpoint import load_state, read_metadata
from ocusam.weights.hub import PUBLISHED, Hub, local_weights, published
from ocusam.weights.hub import fetch as fetch_published
from ocusam.weights.huggingface import from_huggingface, is_huggingface
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


def describe_weights(path: Path) -> list[str]:
    """What a file of weights is, in lines.

    Args:
        path: the file, or a training's folder.

    Raises:
        WeightsError: no such file, or no weights in it.
    """
    path = path / "weights.safetensors" if path.is_dir() else path
    state = load_state(path)
    if is_huggingface(state):
        state = from_huggingface(state)
    network, count = recognise(state), sum(tensor.numel() for tensor in state.values())
    record = read_metadata(path)
    plan = _plan(record)
    lines = [f"{path}: {count / 1e6:.1f} million numbers, SHA-256 {sha256(path)}"]
    if network is None:
        lines.append("of no network that ocusam knows; give its YAML file or folder as --model")
    else:
        stages = plan.get("stages") or [{}]
        size = stages[-1].get("config", {}).get("clips", {}).get("size", network.image_size)
        side = f", trained at --size {size}" if size != network.image_size else ""
        lines.append(f"network: --model {network.name}{side}")
    lines += [f"{key}: {record[key]}" for key in _RECORD if record.get(key)]
    masks = plan.get("data", {}).get("masks", [])
    lines += [f"masks: {entry.get('format')} {entry.get('path')}" for entry in masks]
    return lines


_RECORD = ("command", "stage", "step", "hours", "seed", "hardware", "ocusam", "torch", "commit")


def _plan(record: dict[str, str]) -> dict[str, Any]:
    """The training's plan inside a record; empty where there is none."""
    try:
        plan = json.loads(record.get("plan", ""))
    except ValueError:
        return {}
    return plan if isinstance(plan, dict) else {}
