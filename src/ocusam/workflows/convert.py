"""Convert weights between the published form, safetensors and transformers.

Purpose: `ocusam convert`. What comes out loads back here, and is checked against the network first.

Notable choices: the network is recognised by the shapes of the tensors, since checkpoints do not say what
they are for; SAM 2 and 2.1 differ in their tensors, so the version is recognised too. Floating point numbers
come out as float32. For the transformers form a folder gets `config.json` beside the weights.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from ocusam.core.errors import OutputError, WeightsError
from ocusam.model.build import make_network, recognise
from ocusam.model.config import Sam2Config
from ocusam.tracking.find_config import find_config
from ocusam.tracking.huggingface_config import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_trunk,
    to_huggingface_config,
)
from ocusam.weights.checkpoint import check_fits, load_state
from ocusam.weights.formats import FORMATS, save_weights
from ocusam.weights.huggingface import from_huggingface, is_huggingface


@dataclass(frozen=True)
class Converted:
    """What was written: the network's name, the files, and how many tensors (official names)."""

    name: str
    files: list[Path]
    num_tensors: int


def convert(
    source: str | Path, target: str | Path, form: str, model: str | Path | Sam2Config | None = None
) -> Converted:
    """Write weights in another form.

    Args:
        source: `.pt`, `.safetensors`, or a folder saved by transformers.
        target: a file with the form's suffix; for "huggingface" a folder is allowed.
        form: one of `weights.formats.FORMATS`.
        model: which network it is; None: the folder's own config, else recognised by the tensors.

    Raises:
        WeightsError: not readable, or not the weights of that (or any known) network.
        ModelError: that form cannot hold this network.
        OutputError: unknown form or suffix, the target exists, or it cannot be written.
    """
    source, target = Path(source), Path(target)
    if form not in FORMATS:
        raise OutputError(f"Unknown form of weights {form!r}; known: {', '.join(FORMATS)}.")
    as_folder = form == "huggingface" and target.suffix == ""
    files = [target / WEIGHTS_FILE, target / CONFIG_FILE] if as_folder else [target]
    for path in files:
        if path.exists():
            raise OutputError(f"{path} exists already; remove it or choose another name.")
    if model is None and (source / CONFIG_FILE).is_file():
        model = source
    state = load_state(source / WEIGHTS_FILE if source.is_dir() else source)
    state = from_huggingface(state) if is_huggingface(state) else state
    config = _recognise(state) if model is None else find_config(model).config
    check_fits(make_network(config, device="meta").state_dict(), state, source=str(source))
    if form == "huggingface":
        check_trunk(config)
    settings = to_huggingface_config(config) if as_folder else None
    save_weights(files[0], state, form)
    if settings is not None:
        _write_text(files[1], json.dumps(settings, indent=2) + "\n")
    return Converted(config.name, files, len(state))


def _recognise(state: dict[str, torch.Tensor]) -> Sam2Config:
    """The preset that the tensors belong to.

    Raises:
        WeightsError: none has such tensors.
    """
    config = recognise(state)
    if config is None:
        raise WeightsError(
            f"These {len(state)} tensors are not those of a known network; say which one it is with --model "
            "(a name, or the YAML file it was trained with)."
        )
    return config


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}).") from None
