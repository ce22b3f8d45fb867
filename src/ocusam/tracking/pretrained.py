"""Published networks and predictors by name, fetched where they are not here yet.

Purpose: the published package's `from_pretrained`, `build_sam2_hf` and `build_sam2_video_predictor_hf`.
A name may also be a folder that transformers saved (`config.json` and `model.safetensors`), and "nano".
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ocusam.core.errors import WeightsError
from ocusam.model.config import Sam2Config
from ocusam.model.sam2 import SAM2
from ocusam.tracking.build import build_sam2, build_sam2_video_predictor
from ocusam.tracking.find_config import repository_preset
from ocusam.tracking.huggingface_config import CONFIG_FILE
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.weights.hub import PUBLISHED, Hub, fetch
from ocusam.weights.registry import PACKAGED, require_packaged_weights


def find_pretrained(model_id: str | Path, hub: Hub | None = None) -> tuple[str, Path]:
    """Return what `build_sam2` needs: a config's name and the file or folder of weights.

    Args:
        model_id: a repository ("facebook/sam2.1-hiera-tiny"), one of our names ("sam2.1_hiera_tiny", "nano"),
            or a folder saved by transformers.
        hub: where to fetch from; None: the Hugging Face hub.

    Raises:
        WeightsError: unknown, or not here and not to be fetched.
    """
    folder = Path(model_id)
    if (folder / CONFIG_FILE).is_file():
        return str(folder), folder
    name = repository_preset(str(model_id)) or str(model_id)
    if name in PACKAGED:
        return name, require_packaged_weights(name)
    if name not in PUBLISHED:
        repositories = ", ".join(file.repo for file in PUBLISHED.values())
        raise WeightsError(
            f"{str(model_id)!r} is no folder with a {CONFIG_FILE} and no published model; known: "
            f"{', '.join(PACKAGED)}, {repositories}."
        )
    return name, fetch(name, hub).path


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide options into those of `build_sam2` and the rest, which are a predictor's own."""
    known = {field.name for field in dataclasses.fields(Sam2Config)}
    known |= {"device", "dtype", "mode", "apply_postprocessing", "engine", "hydra_overrides_extra"}
    return (
        {key: value for key, value in options.items() if key in known},
        {key: value for key, value in options.items() if key not in known},
    )


def build_sam2_hf(model_id: str | Path, **options: Any) -> SAM2:
    """Return a network with published weights; `options` as for `build_sam2`.

    Raises:
        WeightsError: see `find_pretrained`.
    """
    config, path = find_pretrained(model_id)
    return build_sam2(config, path, **options)


def build_sam2_video_predictor_hf(model_id: str | Path, **options: Any) -> SAM2VideoPredictor:
    """Return a video predictor with published weights; `options` as for `build_sam2_video_predictor`.

    Raises:
        WeightsError: see `find_pretrained`.
    """
    config, path = find_pretrained(model_id)
    return build_sam2_video_predictor(config, path, **options)
