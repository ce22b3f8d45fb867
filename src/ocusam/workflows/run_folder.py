"""The folder one run writes.

Purpose: `OUT/` with `run.json` (versions, model, weights, input, prompts, settings), `masklets/`, tables and
pictures.

Notable choices: a folder that holds another run is refused before anything is done. Every file is written
under a temporary name and renamed, so no half-written file ever stands under its own name. `run.json` is
written first with the status "running" and last with "finished". When a run fails for something the user can
mend (`OcusamError`), all that it wrote is removed; when it is interrupted, finished chunks stay, and the
status stays "running".

What it does not know: how to go on with an interrupted run.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from ocusam.core.errors import OcusamError, OutputError
from ocusam.core.version import __version__

RUN_FILES = (
    "run.json",
    "masklets",
    "signals.csv",
    "blinks.csv",
    "quality.csv",
    "events.csv",
    "overlay.mp4",
    "report.html",
    "masks.json",
    "masks.png",
)
_HASHED_BYTES = 1 << 20


class RunFolder:
    """Context manager of one run's folder.

    Args:
        path: the folder; made with its parents when absent.
        record: what `run.json` says besides versions, status and times.

    Raises:
        OutputError: the folder holds another run, is a file, or cannot be written.
    """

    def __init__(self, path: str | Path, record: dict[str, Any]) -> None:
        self.path = Path(path)
        self.record: dict[str, Any] = {
            "ocusam": __version__,
            "status": "running",
            "started": _now(),
            **record,
            "versions": versions(),
        }
        self._made: list[Path] = []
        check_free(self.path)

    def __enter__(self) -> RunFolder:
        missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The output folder {self.path} cannot be made ({error.strerror}).") from None
        self._made = missing
        self._write_record()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.record.update(status="finished", finished=_now())
            self._write_record()
        elif issubclass(kind, OcusamError):
            self._remove()

    def file(self, name: str) -> Path:
        """Path of a file or folder of this run."""
        return self.path / name

    def write_table(self, name: str, table: pl.DataFrame) -> None:
        """Write a table as CSV (empty cells where there is no value)."""
        self._atomically(name, lambda part: table.write_csv(part, null_value="", float_precision=6))

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
        self._atomically(name, lambda part: part.write_text(text, encoding="utf-8"))

    def _write_record(self) -> None:
        self.write_json("run.json", self.record)

    def _atomically(self, name: str, write: Callable[[Path], object]) -> None:
        part = self.path / f".{name}.part"
        try:
            write(part)
            os.replace(part, self.path / name)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(f"Cannot write {self.path / name} ({error}).") from None

    def _remove(self) -> None:
        for name in RUN_FILES:
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target, ignore_errors=True)
            else:
                target.unlink(missing_ok=True)
        for folder in self._made:  # innermost first; stops at the first that is not empty
            try:
                folder.rmdir()
            except OSError:
                break


def check_free(path: Path) -> None:
    """Refuse a folder that holds a run.

    Raises:
        OutputError: it does, or the path is a file.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"The output {path} is a file; give a folder.")
    found = [name for name in RUN_FILES if (path / name).exists()]
    if found:
        raise OutputError(
            f"The output folder {path} holds another run ({', '.join(found)}); give another folder or "
            "remove that one."
        )


def versions() -> dict[str, str]:
    """Versions of what a result depends on; a package that is absent is left out."""
    out = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("torch", "numpy", "av", "opencv-python-headless", "polars", "pycocotools"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def describe_input(video: Any) -> dict[str, Any]:
    """What `run.json` says of the input: path, size and a fingerprint of a file; else its type.

    The fingerprint is the SHA-256 of the first MiB (hashing an hour of video would take longer than opening
    it)."""
    if not isinstance(video, str | Path):
        return {"type": type(video).__name__}
    path = Path(video)
    out: dict[str, Any] = {"path": str(path)}
    if path.is_file():
        with open(path, "rb") as file:
            out.update(
                bytes=path.stat().st_size,
                sha256_first_mib=hashlib.sha256(file.read(_HASHED_BYTES)).hexdigest(),
            )
    return out


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
