"""Which network does the work: names, weights, and what a run's record says of them.

Purpose: `open_predictor` for every job, and the list behind `ocusam models`.

Notable choices: a published name without weights is an error here, although the builders allow it (random
weights track nothing). A ready predictor may be passed instead of a name; then the caller answers for its
weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocusam.core.errors import WeightsError
from ocusam.model.config import PRESETS, Sam2Config, get_config
from ocusam.tracking.build import build_sam2_video_predictor
from ocusam.weights.registry import packaged_weights, sha256
from ocusam.workflows.follow import Predictor


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A predictor and its provenance (`record`: plain values for `run.json`)."""

    predictor: Predictor
    record: dict[str, Any]


def open_predictor(
    model: str | Sam2Config | Predictor = "nano", weights: str | Path | None = None, device: str = "cpu"
) -> OpenedModel:
    """Build a tracker with weights.

    Args:
        model: a model's name, a `Sam2Config`, or a ready predictor (then `weights` and `device` are not
        used). weights: checkpoint file; None for the packaged weights of `nano`.
        device: where to run.

    Raises:
        ModelError: unknown name.
        WeightsError: no weights, or weights that do not fit.
    """
    if not isinstance(model, str | Sam2Config):
        return OpenedModel(model, {"model": type(model).__name__, "weights": None})
    config = get_config(model)
    path = Path(weights) if weights is not None else packaged_weights(config.name)
    if path is None:
        raise WeightsError(
            f"The model {config.name!r} needs weights: give --weights FILE (a SAM 2 checkpoint, .pt or "
            ".safetensors)."
            + (" This installation lacks the packaged file." if config.name == "nano" else "")
        )
    predictor: Any = build_sam2_video_predictor(config, path, device)
    record = {
        "model": config.name,
        "image_size": config.image_size,
        "weights": str(path),
        "weights_sha256": sha256(path),
        "packaged": weights is None,
        "device": device,
    }
    return OpenedModel(predictor, record)


@dataclass(frozen=True)
class KnownModel:
    """A line of `ocusam models`: name, input size in px, and the weights that are at hand (None: to be
    given)."""

    name: str
    image_size: int
    weights: Path | None


def known_models() -> list[KnownModel]:
    """All models by name, `nano` first."""
    names = sorted(PRESETS, key=lambda name: (name != "nano", name))
    return [KnownModel(name, get_config(name).image_size, packaged_weights(name)) for name in names]
