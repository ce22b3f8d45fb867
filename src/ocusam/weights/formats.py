"""Writing weights: the published form, safetensors, or Hugging Face's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ocusam.core.errors import OutputError
from ocusam.weights.checkpoint import save_state
from ocusam.weights.huggingface import from_huggingface, is_huggingface, to_huggingface

FORMATS = {"official": ".pt", "safetensors": ".safetensors", "huggingface": ".safetensors"}
"""Form -> suffix of its files."""


def save_weights(
    path: str | Path, state: Mapping[str, Tensor], form: str, metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights; values and their types are kept as they are.

    Args:
        path: the file to make; its suffix is the form's.
        state: tensors under the official or under Hugging Face's names.
        form: "official" (`{"model": ...}` in a .pt), "safetensors" (official names), or "huggingface"
            (their names, in safetensors).
        metadata: text values kept in a safetensors file.

    Raises:
        OutputError: unknown form, another suffix, or a folder that cannot be written.
        WeightsError: a tensor that no SAM 2 has.
    """
    path = Path(path)
    if form not in FORMATS:
        raise OutputError(f"Unknown form of weights {form!r}; known: {', '.join(FORMATS)}.")
    if path.suffix != FORMATS[form]:
        raise OutputError(f"Weights of the form {form!r} end in {FORMATS[form]}, not {path.suffix!r}.")
    if form == "huggingface":
        renamed = dict(state) if is_huggingface(state) else to_huggingface(state)
        # Older versions of transformers refuse files that do not say which library wrote them.
        save_state(path, renamed, {"format": "pt", **(metadata or {})})
    else:
        save_state(path, from_huggingface(state) if is_huggingface(state) else state, metadata)
