"""Read, write and check files of weights.

Purpose: one dictionary of named tensors, whatever file it came from: a published or fine-tuned `.pt` (the
bare dictionary, or under the key "model"), or `.safetensors`.

Notable choices: pickled files are opened with `weights_only=True`, so a file from elsewhere cannot run code.
Half precision numbers are cast to float32 on loading, so that the packaged weights may be stored in half the
bytes. `check_fits` compares names and shapes before anything is copied and names the first three that differ,
since "size mismatch for ..." a thousand times over helps nobody. A file is written beside its final name and
then renamed.

What it does not know: other projects' naming of the same tensors, and which network a file was made for
(compare with `check_fits`).
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ocusam.core.errors import OutputError, WeightsError

# What `torch.save` begins a file with: an archive, or in early versions a bare pickle.
_BEGINNINGS = (b"PK\x03\x04", b"\x80")
_NESTED = ("model", "state_dict", "model_state_dict")


def load_state(path: str | Path) -> dict[str, Tensor]:
    """Return {state-dict name: tensor} on the CPU; floating point numbers as float32.

    Args:
        path: `.safetensors`, or anything that `torch.save` wrote: a dictionary of tensors, or one that has
            such a dictionary under "model" (published checkpoints and training snapshots), "state_dict" or
            "model_state_dict".

    Raises:
        WeightsError: no such file, damaged, or no dictionary of tensors inside.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"No such weights file: {path}.")
    if path.suffix != ".safetensors" and not _looks_pickled(path):
        raise WeightsError(f"{path} is no file of weights; give a .pt or .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(str(path))
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than weights ({_foreign_class(error)}), which could run code, and was not "
            "opened; save its state dict alone."
        ) from None
    except (
        safetensors.SafetensorError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
    ) as error:
        raise WeightsError(f"{path} cannot be read as weights: {_first_line(error)}") from None
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        keys = ", ".join(map(repr, list(content)[:5])) if isinstance(content, Mapping) and content else ""
        raise WeightsError(
            f"{path} holds no dictionary of named tensors, bare or under {', '.join(map(repr, _NESTED))}"
            f"{f' (it has {keys})' if keys else ''}; give a SAM 2 checkpoint."
        )
    return {str(name): _as_float32(tensor) for name, tensor in content.items()}


def save_state(
    path: str | Path,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write weights: `.safetensors` (with `metadata`), or `.pt` in the published form {"model": ...}.

    Args:
        path: the file to make; the suffix decides the format.
        state: {state-dict name: tensor}.
        metadata: text values kept in a `.safetensors` file, for example how the weights were made.
        dtype: store floating point tensors in this type, for example `torch.float16`.

    Raises:
        OutputError: another suffix, or a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".safetensors", ".pt"):
        raise OutputError(f"Weights are written as .safetensors or .pt, not {path.suffix or path.name!r}.")
    tensors = {
        name: (t.to(dtype) if dtype is not None and t.is_floating_point() else t)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for name, t in state.items()
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            temporary.touch()
            usual = temporary.stat().st_mode
            safetensors.torch.save_file(tensors, str(temporary), metadata=dict(metadata or {}))
            temporary.chmod(usual)  # safetensors makes a file that only its owner may read
        else:
            torch.save({"model": tensors}, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"The weights cannot be written to {path} ({error}).") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the text values stored in a `.safetensors` file (empty for other files)."""
    if Path(path).suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}") from None


def check_fits(
    model_state: Mapping[str, Tensor], state: Mapping[str, Tensor], *, source: str = "The weights file"
) -> None:
    """Refuse weights that are not exactly a network's: same names, same shapes.

    Args:
        model_state: the network's own state dict.
        state: the weights to be loaded.
        source: how the error calls them.

    Raises:
        WeightsError: names the first three differences, in the network's order, then the file's surplus
            names.
    """
    differences = []
    for name, tensor in model_state.items():
        if name not in state:
            differences.append(f"{name} is missing")
        elif state[name].shape != tensor.shape:
            differences.append(
                f"{name} has shape {list(state[name].shape)}, the network wants {list(tensor.shape)}"
            )
    differences += [f"{name} is unknown to the network" for name in state if name not in model_state]
    if differences:
        shown = "; ".join(differences[:3])
        more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
        raise WeightsError(
            f"{source} does not fit this network: {shown}{more}. Choose the model it was made for."
        )


def _looks_pickled(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_BEGINNINGS)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from None


def _foreign_class(error: Exception) -> str:
    """What a file holds besides tensors; PyTorch's own text ends in the advice to run the file's code."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return named[1] if named else "objects of Python"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
