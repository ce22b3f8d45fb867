"""Which weights come with the package, and what a file's fingerprint is.

Purpose: find the packaged `nano` weights wherever the package is installed, and name any weights file by its
SHA-256 in a run's record.

What it does not know: the network; fetching published checkpoints from elsewhere.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from ocusam.core.errors import WeightsError

# Model name -> file inside this package.
PACKAGED = {"nano": "nano.safetensors"}
# Their SHA-256, by which a damaged installation shows; another file needs another one (a test says which).
PACKAGED_SHA256 = {"nano": "e85f4b86878bcde9a3387303d9da615e22f046c2beaef8d6b44e00b63fbf727f"}


def packaged_weights(name: str) -> Path | None:
    """Return the path of the weights that ship with the package under a model's name, or None where none
    do."""
    if name not in PACKAGED:
        return None
    path = Path(str(resources.files("ocusam.weights").joinpath(PACKAGED[name])))
    return path if path.is_file() else None


def require_packaged_weights(name: str) -> Path:
    """As `packaged_weights`, but a model without packaged weights is an error.

    Raises:
        WeightsError: says which models have packaged weights.
    """
    path = packaged_weights(name)
    if path is None:
        have = ", ".join(known for known in PACKAGED if packaged_weights(known)) or "none"
        raise WeightsError(
            f"No weights for {name!r} come with this installation (there are: {have}); give a weights file."
        )
    return path


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        WeightsError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from None
    return digest.hexdigest()
