"""The folder one run writes.

Purpose: `OUT/` with `run.json` (versions, model, weights, input, prompts, settings), `masklets/`, tables and
pictures.

Notable choices: a folder that holds another run is refused before anything is done, unless that run is to
go on. Every file is written under a temporary name and renamed, so no half-written file ever stands under its
own name. `run.json` is written first with the status "running" and last with "finished". A run that ends
before anything was computed leaves nothing; one that ends later keeps what is done, with the status
"interrupted" and the reason.

What it does not know: how an interrupted run goes on (`resume`).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from ocusam.core.errors import OcusamError, OutputError
from ocusam.core.version import __version__
from ocusam.video.pictures import PICTURE_SUFFIXES
from ocusam.video.recordings import recording_videos
from ocusam.video.source import natural_key
from ocusam.workflows.session.atomic import write_bytes

RUN_FILES = (
    "run.json",
    "prompts.json",
    "references",
    "masklets",
    "signals.csv",
    "blinks.csv",
    "quality.csv",
    "doubtful.csv",
    "events.csv",
    "gaze.csv",
    "gaze_events.csv",
    "gaze_both.csv",
    "gaze_both_events.csv",
    "calibration.json",
    "eye3d.csv",
    "eye3d.json",
    "trial_samples.csv",
    "trials.json",
    "overlay.mp4",
    "report.html",
    "masks.json",
    "masks.png",
)
_BESIDE = {"trials.csv": "trials.json"}
"""Names that a user's own tables may have: a run's only where the record of how it was made lies beside."""
_HASHED_BYTES = 1 << 20
_ROWS_AT_ONCE = 4096  # texts of more are larger than all else that a long recording takes at its end


class RunFolder:
    """Context manager of one run's folder.

    Args:
        path: the folder; made with its parents when absent.
        record: what `run.json` says besides versions, status and times.
        going_on: the folder may hold a run, which is not to be removed whatever happens.

    Attributes:
        computed: whether there is something to keep when the run fails.

    Raises:
        OutputError: the folder holds another run, is a file, or cannot be written.
    """

    def __init__(self, path: str | Path, record: dict[str, Any], *, going_on: bool = False) -> None:
        self.path = Path(path)
        self.computed = going_on
        self.record: dict[str, Any] = {
            "ocusam": __version__,
            "status": "running",
            "started": now(),
            **record,
            "versions": versions(),
        }
        self._made: list[Path] = []
        if not going_on:
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
            self.record.update(status="finished", finished=now())
            self._write_record()
        elif self.computed:
            self.record.update(status="interrupted", stopped=now(), reason=_reason(kind, error))
            with suppress(OutputError):  # a full disk, perhaps; the session does not depend on it
                self._write_record()
        elif issubclass(kind, OcusamError | KeyboardInterrupt):
            self._remove()

    def file(self, name: str) -> Path:
        """Path of a file or folder of this run."""
        return self.path / name

    def write_table(self, name: str, table: pl.DataFrame | Iterable[pl.DataFrame]) -> None:
        """Write a table, whole or in parts (at least one), as CSV; empty cells where there is no value."""

        def pieces() -> Iterator[bytes]:
            header = True
            for part in [table] if isinstance(table, pl.DataFrame) else table:
                for first in range(0, max(len(part), 1), _ROWS_AT_ONCE):
                    rows = part.slice(first, _ROWS_AT_ONCE)
                    text = rows.write_csv(None, include_header=header, null_value="", float_precision=6)
                    yield text.encode("utf-8")
                    header = False

        write_bytes(self.path / name, pieces())

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
        write_bytes(self.path / name, text.encode("utf-8"))

    def _write_record(self) -> None:
        self.write_json("run.json", self.record)

    def _remove(self) -> None:
        for name in files_of_run(self.path):
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


def files_of_run(path: Path) -> list[str]:
    """Names of what lies in a folder of all that a run writes, and what was made from it later; `run.json`,
    which says that the rest is a run's, comes last."""
    names = [*RUN_FILES[1:], *(name for name, record in _BESIDE.items() if (path / record).exists())]
    return [name for name in (*names, RUN_FILES[0]) if (path / name).exists()]


def check_free(path: Path, *, resumable: bool = True) -> None:
    """Refuse a folder that holds a run; the message speaks of `--resume` where the job has it.

    Raises:
        OutputError: it does, or the path is a file.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"The output {path} is a file; give a folder.")
    if found := files_of_run(path):
        ways = (
            "remove that one, or go on with it: --resume (in Python RunSettings(resume=True))"
            if resumable
            else "or remove that one"
        )
        raise OutputError(
            f"The output folder {path} holds another run ({', '.join(found)}); give another folder, {ways}."
        )


def versions() -> dict[str, str]:
    """Versions of what a result depends on; a package that is absent is left out."""
    out = {"python": platform.python_version(), "platform": platform.platform()}
    for name in (
        "torch",
        "numpy",
        "av",
        "opencv-python-headless",
        "polars",
        "pycocotools",
        "pymovements",
        "plotly",
    ):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def describe_input(video: Any, folder: Path | None = None) -> dict[str, Any]:
    """What `run.json` says of the input: path, size and a fingerprint of a file; else its type.

    `path` is the one that was given; with the run's `folder`, `path_from_run` leads from there to the input,
    whatever the working directory is later, and also where both have moved together.

    The fingerprint is the SHA-256 of the first MiB (hashing an hour of video would take longer than opening
    it); of a folder that of its pictures' names, so that a damaged picture may be replaced, and of an eye
    tracker's recording that of each of its eye videos."""
    if not isinstance(video, str | Path):
        return {"type": type(video).__name__}
    path = Path(video)
    out: dict[str, Any] = {"path": str(path)}
    if folder is not None:
        way = way_from(folder, path)
        out |= {} if way is None else {"path_from_run": way}
    if path.is_file():
        out |= _fingerprint(path)
    elif videos := recording_videos(path):
        out["videos"] = [{"path": str(video.relative_to(path)), **_fingerprint(video)} for video in videos]
    elif path.is_dir():
        names = [p.name for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES]
        listed = "\n".join(sorted(names, key=natural_key)).encode()
        out.update(pictures=len(names), sha256_names=hashlib.sha256(listed).hexdigest())
    return out


def way_from(folder: Path, path: Path) -> str | None:
    """The way from a run's folder to a file; None where none leads there."""
    with suppress(ValueError):  # from one drive to another
        # A link is kept: what it leads to is often a store of files without names.
        place = path.absolute().parent.resolve() / path.name
        return Path(os.path.relpath(place, folder.resolve())).as_posix()
    return None


def input_of_run(record: dict[str, Any], folder: Path) -> tuple[Path | None, list[Path]]:
    """Where the input of a finished run is now, by its record: the first place at which something lies with
    the fingerprint that it had, None without; and the places that were looked at."""
    known = record.get("input", {})
    places = [folder / known["path_from_run"]] if known.get("path_from_run") else []
    places += [Path(known["path"])] if known.get("path") else []
    for place in places:
        try:
            here = describe_input(place)
        except OSError:
            continue
        if place.exists() and all(
            here.get(k, known[k]) == known[k] for k in known if k not in ("path", "path_from_run")
        ):
            return place, places
    return None, places


def _fingerprint(file: Path) -> dict[str, Any]:
    with open(file, "rb") as opened:
        digest = hashlib.sha256(opened.read(_HASHED_BYTES)).hexdigest()
    return {"bytes": file.stat().st_size, "sha256_first_mib": digest}


def _reason(kind: type[BaseException], error: BaseException | None) -> str:
    if issubclass(kind, KeyboardInterrupt):
        return "interrupted by the user"
    return str(error) if issubclass(kind, OcusamError) else f"{kind.__name__}: {error}"


def now() -> str:
    """The time in UTC, as `run.json` tells it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
