"""Fetch one large file of the hub so that a second try goes on where the first one stopped.

Notable choices: huggingface_hub goes on by itself after a broken connection, but begins anew when the program
ended in between. So the unfinished file is kept here, beside the target and named by the SHA-256 that was
announced; the transfer itself (byte ranges, new tries, progress bar) is huggingface_hub's `http_get`. A lock
keeps two programs from writing to one unfinished file.

What it does not know: whether what arrived is right (`ocusam.weights.hub` compares the SHA-256).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def part_of(target: Path, digest: str) -> Path:
    """The unfinished file that belongs to a target and the SHA-256 of its content."""
    return target.with_name(f".{target.name[:40]}.{digest[:16]}.part")


def fetch_file(url: str, target: Path, digest: str, size: int | None) -> None:
    """Fetch a file, or the rest of it.

    Args:
        url: where from.
        target: file to make; one that is there is replaced once all has arrived.
        digest: SHA-256 of the content, as announced.
        size: bytes of the whole file, as announced; None: not known.

    Raises:
        OSError: it cannot be stored, or more or less arrived than was announced.
        Exception: those of huggingface_hub and its HTTP library, where the hub does not answer.
    """
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target, digest)
    lock = part.with_suffix(".lock")
    with WeakFileLock(lock):
        arrived = part.stat().st_size if part.is_file() else 0
        if size is not None and arrived > size:
            part.unlink()
            arrived = 0
        with open(part, "ab") as file:
            http_get(
                url,
                file,
                resume_size=arrived,
                headers=build_hf_headers(),
                expected_size=size,
                displayed_filename=target.name,
            )
        os.replace(part, target)
    with suppress(OSError):
        lock.unlink()
