"""Files that are whole or absent: written under a temporary name, brought to the disk, renamed.

Purpose: `write_bytes` for everything a run must not lose when the power goes, the process is killed or the
disk fills up.

Notable choices: the content is made in memory (a chunk is small), so that the only thing that can fail
half-way is plain writing, and every such failure is one `OutputError`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from ocusam.core.errors import OutputError


def write_bytes(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Put a file in place of whatever has its name; its folder is made where it is absent.

    Args:
        path: the file.
        data: its content, in one piece or in several (a long table need not be in memory twice).

    Raises:
        OutputError: it cannot be written; what was there before is untouched.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            for piece in (data,) if isinstance(data, bytes) else data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        _forget(part)
        raise write_error(path, error) from None


def write_error(path: Path, error: OSError) -> OutputError:
    """What is said when a file cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"Cannot write {path}: the disk is full. Free some space.")
    return OutputError(f"Cannot write {path} ({error.strerror or error}).")


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where the system lets folders be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)
