"""Traced and compiled parts on the disk, so that they are made once.

Purpose: a folder for each network, named by all that decides what is in it: weights, configuration, the
code that traces, versions of the programs. `OCUSAM_CACHE` names the folder that holds them all; without it
the user's cache folder. Nothing in it is needed: it may be deleted at any time, and a folder that cannot be
written is simply not used.

Notable choices: a file is written under another name and then renamed, so that processes that start together
do not meet half a file. The networks used last are kept.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

import ocusam.engines
import ocusam.model
from ocusam.model.sam2 import SAM2

FOLDER_VARIABLE = "OCUSAM_CACHE"
_KEPT = 8


def cache_folder() -> Path:
    """Where networks are kept: `OCUSAM_CACHE`, else "ocusam" in the user's cache folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "ocusam"


@cache
def _code() -> str:
    """Digest of the code that decides what a trace holds."""
    digest = hashlib.sha256()
    for package in (ocusam.model, ocusam.engines):
        for path in sorted(Path(package.__path__[0]).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def network_digest(network: SAM2, runtime: str) -> str:
    """Name of a network as traced for a runtime (a distribution's name)."""
    versions = (runtime, importlib.metadata.version(runtime), torch.__version__)
    digest = hashlib.sha256(repr((network.config, versions, _code())).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


class PartCache:
    """Files of one network for one runtime. `folder` is None where nothing can be kept."""

    def __init__(self, network: SAM2, runtime: str) -> None:
        self.folder: Path | None = None
        try:
            base = cache_folder() / runtime
            folder = base / network_digest(network, runtime)
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
            self.folder = folder
            self._prune(base)
        except OSError:
            pass

    def _prune(self, base: Path) -> None:
        """Drop the networks that were used longest ago."""
        by_age = sorted((p for p in base.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
        for old in by_age[:-_KEPT]:
            if old != self.folder:
                shutil.rmtree(old, ignore_errors=True)

    def find(self, name: str) -> Path | None:
        """A stored file, or None."""
        path = None if self.folder is None else self.folder / name
        return path if path is not None and path.is_file() else None

    def store(self, write: Callable[[Path], None]) -> None:
        """Keep the files that `write` puts into the folder it is given; without room, keep nothing."""
        if self.folder is None:
            return
        try:
            with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
                write(Path(temporary))
                # Large files of numbers first: where the small one is, all is there.
                for path in sorted(Path(temporary).iterdir(), key=lambda p: -p.stat().st_size):
                    os.replace(path, self.folder / path.name)
        except (OSError, RuntimeError):
            pass
