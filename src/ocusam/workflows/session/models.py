"""Which network does the work: names, weights, and what a run's record says of them.

Purpose: `open_predictor` for every job.

Notable choices: a published name without weights is an error here, although the builders allow it (random
weights track nothing). A ready predictor may be passed instead of a name; then the caller answers for its
weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ocusam.core.errors import ModelError, WeightsError
from ocusam.model.config import Sam2Config
from ocusam.model.sam2 import SAM2
from ocusam.tracking.build import build_sam2_video_predictor
from ocusam.tracking.compiled import compile_network
from ocusam.tracking.find_config import find_config
from ocusam.tracking.huggingface_config import WEIGHTS_FILE
from ocusam.weights.hub import PUBLISHED
from ocusam.weights.registry import packaged_weights, sha256
from ocusam.workflows.inputs.input_size import input_px
from ocusam.workflows.inputs.settings import Computing, RunSettings
from ocusam.workflows.inputs.weights_on_hand import weights_on_hand
from ocusam.workflows.session.follow import Predictor


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A predictor and its provenance (`record`: plain values for `run.json`)."""

    predictor: Predictor
    record: dict[str, Any]


def open_predictor(
    model: str | Path | Sam2Config | OpenedModel | Predictor = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    computing: Computing | None = None,
) -> OpenedModel:
    """Build a tracker with weights.

    Args:
        model: whatever `tracking.find_config` understands (a name, a YAML file, a folder of transformers, a
            `Sam2Config`), or a ready predictor (then `weights`, `device` and `computing` are not used).
        weights: checkpoint file; None for those that are here: packaged, in the model's folder, or fetched.
        device: where to run.
        computing: type of the numbers, size of the input, engine, compiled or not; None: a run's defaults.

    Raises:
        ModelError: unknown name; neither a name nor a predictor for videos; a network that cannot be compiled
            here; an engine that is not installed.
        WeightsError: no weights, or weights that do not fit.
    """
    if isinstance(model, OpenedModel):
        return model
    if not isinstance(model, str | Path | Sam2Config):
        if not hasattr(model, "init_state"):
            raise ModelError(
                f"model: a {type(model).__name__} cannot follow a video; give the name of a model, or a "
                "predictor as build_sam2_video_predictor makes it."
            )
        return OpenedModel(model, {"model": type(model).__name__, "weights": None})
    computing = computing or RunSettings()
    config = find_config(model).config
    path = weights_file(model, weights, config)
    side = input_px(computing.size, config)
    predictor: Any = build_sam2_video_predictor(
        model,
        path,
        device,
        dtype=getattr(torch, computing.dtype),
        engine=computing.engine,
        image_size=side,
    )
    if computing.compiled:
        compile_network(predictor.model)
    record = {
        "model": config.name,
        "image_size": side,
        "weights": str(path),
        "weights_sha256": sha256(path),
        "packaged": path == packaged_weights(config.name),
        "device": device,
        "dtype": computing.dtype,
        "compiled": computing.compiled,
        "engine": computing.engine,
    }
    return OpenedModel(predictor, record)


def names_parts(model: Any) -> bool:
    """Whether a network names the parts of the eye without a prompt, told without building it.

    Args:
        model: as of `open_predictor`.

    Raises:
        ModelError: unknown name.
    """
    if isinstance(model, OpenedModel):
        model = model.predictor
    if isinstance(model, str | Path | Sam2Config):
        return find_config(model).config.names_parts
    network = getattr(model, "model", None)
    return isinstance(network, SAM2) and network.config.names_parts


def weights_file(model: str | Path | Sam2Config, weights: str | Path | None, config: Sam2Config) -> Path:
    """The file that is meant: the one given, the one in the model's own folder, or the one that is here."""
    if weights is None and not isinstance(model, Sam2Config) and (Path(model) / WEIGHTS_FILE).is_file():
        weights = model
    path = Path(weights) if weights is not None else weights_on_hand(config.name)
    if path is None:
        raise WeightsError(
            f"The model {config.name!r} needs weights: give --weights FILE (a SAM 2 checkpoint, .pt or "
            ".safetensors)"
            + (f", or fetch them: ocusam models fetch {config.name}." if config.name in PUBLISHED else ".")
            + (" This installation lacks the packaged file." if config.name == "nano" else "")
        )
    return path / WEIGHTS_FILE if path.is_dir() else path
