"""The file by which a training goes on: whole or absent, also after a kill, a power cut or a full disk.

What it does not know: what is in it.
"""

from __future__ import annotations

import errno
import os
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ocusam.core.errors import OutputError, WeightsError

# What `torch.load` raises on bytes that are no pickle of its own.
_UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training's state under a temporary name, bring it to the disk, rename it.

    Raises:
        OutputError: it cannot be written; what was there before is untouched.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # PyTorch's own writer turns some of the former into the latter
        with suppress(OSError):
            part.unlink()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else str(error).splitlines()[0]
        raise OutputError(
            f"The checkpoint {path} cannot be written: {reason}. Make room; the same command then goes on "
            "from the one before."
        ) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, onto the CPU.

    Raises:
        WeightsError: damaged, or another file.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE:
        state = None
    if not isinstance(state, dict) or not {"model", "optimiser", "step"} <= state.keys():
        raise WeightsError(
            f"{path} is damaged and cannot be gone on from. Remove it, and the stage begins anew; the "
            f"weights reached before may still be in {path.with_name('latest.safetensors')}."
        )
    return state
