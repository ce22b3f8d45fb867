"""Published checkpoints by name: fetched from the Hugging Face hub, found again, verified.

Purpose: `fetch("sam2.1_hiera_tiny")` gives a file whose SHA-256 is the one the hub announces.

Notable choices: no hash is written in this file. The hub names the SHA-256 of every large file; it is asked
first and compared with what arrived. It is remembered for later checks without a network: in the hub's own
cache the file is stored under it, in a folder of one's own it is written beside the file (FILE.sha256, as
`sha256sum -c` reads it). The folder is named by the environment variable OCUSAM_WEIGHTS; without it the hub's
cache is used, so other programs share the download. A broken-off download is taken up again
(`ocusam.weights.resume`). A file that is not what was announced is removed.

What it does not know: networks; the Hugging Face naming of tensors (`ocusam.weights.huggingface`).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ocusam.core.errors import WeightsError
from ocusam.weights.registry import sha256
from ocusam.weights.resume import fetch_file, part_of

FOLDER_VARIABLE = "OCUSAM_WEIGHTS"
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class HubFile:
    """A file on the hub."""

    repo: str
    filename: str

    def __str__(self) -> str:
        return f"{self.repo}/{self.filename}"


PUBLISHED: dict[str, HubFile] = {
    f"sam2{version}_hiera_{size}": HubFile(
        f"facebook/sam2{version}-hiera-{size.replace('_', '-')}", f"sam2{version}_hiera_{size}.pt"
    )
    for version in (".1", "")
    for size in ("tiny", "small", "base_plus", "large")
}
"""Model name -> the published checkpoint."""


@dataclass(frozen=True)
class LocalWeights:
    """A checkpoint on this machine.

    Attributes:
        path: the file.
        announced_sha256: what the hub announced when it was fetched; None where nobody knows.
    """

    path: Path
    announced_sha256: str | None

    def verify(self) -> bool | None:
        """Read the whole file: is it what was announced? None where nothing was.

        Raises:
            WeightsError: it cannot be read.
        """
        return None if self.announced_sha256 is None else sha256(self.path) == self.announced_sha256


class UnreachableError(Exception):
    """The hub does not answer; the text says why."""


class Hub(Protocol):
    """What is needed of the hub."""

    def announced_sha256(self, file: HubFile) -> str | None:
        """Ask for a file's SHA-256; None where it announces none. Raises `UnreachableError`."""

    def download(self, file: HubFile, folder: Path | None) -> Path:
        """Fetch a file into a folder, or into the cache. Raises `UnreachableError`."""

    def cached(self, file: HubFile) -> Path | None:
        """The file in the cache, without asking the network."""


class HuggingFaceHub:
    """The hub through `huggingface_hub`, whose many errors become one.

    Args:
        endpoint: address of the hub or of a mirror; None: as huggingface_hub has it (HF_ENDPOINT).
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = endpoint

    def announced_sha256(self, file: HubFile) -> str | None:
        """See `Hub`."""
        return self._announced(file)[0]

    def download(self, file: HubFile, folder: Path | None) -> Path:
        """See `Hub`."""
        import huggingface_hub as hub

        digest, size = self._announced(file)
        target = None
        try:
            if digest is None:
                return Path(
                    hub.hf_hub_download(file.repo, file.filename, local_dir=folder, endpoint=self.endpoint)
                )
            target = folder / file.filename if folder is not None else _blob(file, digest)
            if not target.is_file() or (folder is not None and sha256(target) != digest):
                url = hub.hf_hub_url(file.repo, file.filename, endpoint=self.endpoint)
                fetch_file(url, target, digest, size)
            # In the cache the library now finds the content, and only names it.
            return (
                target
                if folder is not None
                else Path(hub.hf_hub_download(file.repo, file.filename, endpoint=self.endpoint))
            )
        except Exception as error:  # its errors and those of its HTTP library have no common base
            kept = 0
            if target is not None and digest is not None and part_of(target, digest).is_file():
                kept = part_of(target, digest).stat().st_size
            more = f"; {kept / 1e6:.0f} MB have arrived and are kept for the next try" if kept else ""
            raise UnreachableError(_first_line(error) + more) from None

    def _announced(self, file: HubFile) -> tuple[str | None, int | None]:
        """SHA-256, where it is one that is announced, and size in bytes."""
        import huggingface_hub as hub

        try:
            url = hub.hf_hub_url(file.repo, file.filename, endpoint=self.endpoint)
            found = hub.get_hf_file_metadata(url, endpoint=self.endpoint)
        except Exception as error:
            raise UnreachableError(_first_line(error)) from None
        return (found.etag if found.etag and _SHA256.match(found.etag) else None), found.size

    def cached(self, file: HubFile) -> Path | None:
        """See `Hub`."""
        import huggingface_hub as hub

        found = hub.try_to_load_from_cache(file.repo, file.filename)
        return Path(found) if isinstance(found, str) else None


def _blob(file: HubFile, digest: str) -> Path:
    """Where the cache of huggingface_hub keeps a file's content (its layout is documented)."""
    from huggingface_hub import constants

    repository = f"models--{file.repo.replace('/', '--')}"
    return Path(constants.HF_HUB_CACHE) / repository / "blobs" / digest


def weights_folder() -> Path | None:
    """The folder that OCUSAM_WEIGHTS names, or None."""
    value = os.environ.get(FOLDER_VARIABLE)
    return Path(value).expanduser() if value else None


def published(name: str) -> HubFile:
    """Return the published checkpoint of a model's name.

    Raises:
        WeightsError: none is known.
    """
    if name not in PUBLISHED:
        raise WeightsError(f"No published weights are known for {name!r}; known: {', '.join(PUBLISHED)}.")
    return PUBLISHED[name]


def local_weights(name: str, hub: Hub | None = None) -> LocalWeights | None:
    """Find a model's published weights on this machine: in the folder OCUSAM_WEIGHTS, then in the cache.

    Nothing is fetched and nothing is read; see `LocalWeights.verify`.
    """
    if name not in PUBLISHED:
        return None
    file, folder = PUBLISHED[name], weights_folder()
    if folder is not None and (folder / file.filename).is_file():
        return LocalWeights(folder / file.filename, _read_note(folder / file.filename))
    path = (hub or HuggingFaceHub()).cached(file)
    if path is None or not path.is_file():
        return None
    stored_as = path.resolve().name
    return LocalWeights(path, stored_as if _SHA256.match(stored_as) else None)


def fetch(name: str, hub: Hub | None = None) -> LocalWeights:
    """Fetch a model's published weights, or find them here, and verify them.

    Args:
        name: a key of `PUBLISHED`.
        hub: where from; None: the Hugging Face hub.

    Raises:
        WeightsError: unknown name; the hub cannot be reached and there is no copy here; or the file is not
            what was announced (it is removed then).
    """
    file = published(name)
    hub = hub or HuggingFaceHub()
    folder = weights_folder()
    try:
        announced = hub.announced_sha256(file)
        path = hub.download(file, folder)
    except UnreachableError as error:
        here = local_weights(name, hub)
        if here is None:
            raise WeightsError(
                f"The weights of {name!r} are not here, and {file} cannot be fetched ({error}). Without a "
                f"network: bring the file {file.filename} in another way and give it with --weights, or put "
                f"it into a folder and name that in {FOLDER_VARIABLE}."
            ) from None
        path, announced = here.path, here.announced_sha256
    except OSError as error:
        raise WeightsError(f"{file} cannot be stored ({error}).") from None
    if announced is not None:
        found = sha256(path)
        if found != announced:
            _remove(path)
            raise WeightsError(
                f"{path} is damaged: its SHA-256 is {found}, the hub announced {announced}. It was removed; "
                "fetch it again."
            )
        if folder is not None and path.parent == folder:
            _write_note(path, announced)
    return LocalWeights(path, announced)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _read_note(path: Path) -> str | None:
    try:
        words = _note(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[0].lower() if words and _SHA256.match(words[0].lower()) else None


def _write_note(path: Path, digest: str) -> None:
    # The note is a convenience: a folder that cannot be written to does not spoil the download.
    with suppress(OSError):
        _note(path).write_text(f"{digest}  {path.name}\n", encoding="utf-8")


def _remove(path: Path) -> None:
    """Remove a file, and what a link in the cache points to."""
    for target in (path.resolve(), path, _note(path)):
        with suppress(OSError):
            target.unlink()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
