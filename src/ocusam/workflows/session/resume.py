"""How a run resumes: what a session leaves on the disk, which of it counts, and how a later call goes on.

Purpose: `SessionLog` is the one file (`masklets/session.json`) that says what is done. A run may be killed at
any moment; with `--resume` it goes on, and its files become those of a run that was never interrupted, bit
for bit.

What lies in `masklets/`:

    chunk_00000.parquet         masks of the first frames tracked (readable by itself, see `masklets`)
    rows_00000.parquet          what was measured on the same frames; logits are gone, so rows are kept
    memory_00000.safetensors    snapshots of the tracker's memory within the chunk, for corrections
    prompted_00000.safetensors  memories of prompted frames, each once
    state_00000.safetensors     the tracker's whole memory after the chunk; only the newest is kept
    session.json                passes, chunks, and where the session stands

The rule: first the files of a chunk are written, each whole or absent (`atomic`), then `session.json` is
replaced. Replacing it is what makes the chunk count. Files that the log does not name are leftovers of a kill
and are removed when the session is opened again. So is a chunk that was cut short (Ctrl-C, a full disk): its
rows are taken back and the chunk is written again, longer.

Going on: the log says which pass was under way and after which frame; `state_*` gives every view's session
the memories it had then, in their exact types and layouts; the frame is tracked once more (its answer is
known and not used) and the pass goes on with the next. Measuring has no state between frames and needs
nothing; what looks at a whole recording (blinks, quality) is computed at the end, from the stored rows.

`check_same` refuses to go on with another input, model, prompts or settings, because the result would be
neither the one nor the other.

What it does not know: how a correction chooses its passes (`correct`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocusam.core.errors import InputError, OutputError
from ocusam.workflows.session.atomic import write_bytes
from ocusam.workflows.session.clock_record import FREE as CLOCK_FREE
from ocusam.workflows.session.passes import Pass

LOG = "session.json"
FORMAT = 1
HOW_TO_GO_ON = "What is done is kept; go on with the same command and --resume."
HOW_TO_FINISH = "What is done is kept; go on with `ocusam correct {}`, without points."
# Parts of `run.json` that must agree, and what they are called.
_SAME = {
    "ocusam": "version of ocusam",
    "input": "input",
    "model": "model",
    "prompts": "prompts",
    "references": "reference pictures",
    "views": "views",
    "settings": "settings",
}
# What may change: the file may lie elsewhere, pictures for people can be had or not, and the scale of
# diameters in mm is applied at the end to what is stored in px.
_FREE = {
    "input": {"path", "path_from_run", *CLOCK_FREE},
    "model": {"weights", "packaged"},
    "settings": {"overlay", "report", "mm_per_px", "iris_mm"},
}


@dataclass
class Chunk:
    """One chunk: frames (the tracker's numbers) in the order of a pass.

    Attributes:
        way: index of its pass.
        first, last: frames tracked first and last.
        snapshots: frames after which a snapshot was taken; None: before the pass began.
        whole: False when it was cut short and is to be written again.
    """

    way: int
    first: int
    last: int
    snapshots: list[int | None] = field(default_factory=list)
    whole: bool = True


@dataclass
class SessionLog:
    """What is done, and where the session stands.

    Attributes:
        ahead: reference pictures before the video's first frame.
        passes: all ways through the video, done or to be done.
        chunks: by number.
        prompted: how many `prompted_*` files there are.
        way: index of the pass under way; the number of passes when all are done.
        after: last frame of that pass that was tracked; None: it has not begun.
        agreed: frames in a row on which a correction agreed with what was there before.
        state: name of the file with the tracker's memory then; "" where nothing is stored.
        frames: frames of the video that have rows.
        steps: pictures tracked, each view counted, for the progress bar.
        truncated: the video announced more frames than could be read.
        corrections: what was corrected, in order (`correct`).
        recoveries: clicks that the tracker entered by itself, in order (`session.lookout`); `frame` and `way`
            in the tracker's numbers.
        watched: by view, what the watch for a lost pupil knew after the last frame (`find.recovery`).
    """

    ahead: int = 0
    passes: list[Pass] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    prompted: int = 0
    way: int = 0
    after: int | None = None
    agreed: int = 0
    state: str = ""
    frames: int = 0
    steps: int = 0
    truncated: bool = False
    corrections: list[dict[str, Any]] = field(default_factory=list)
    recoveries: list[dict[str, Any]] = field(default_factory=list)
    watched: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether every pass is done."""
        return self.way >= len(self.passes)

    def write(self, folder: Path) -> None:
        """Make it count.

        Raises:
            OutputError: it cannot be written.
        """
        values = {
            "format": FORMAT,
            **self.__dict__,
            "passes": [way.to_dict() for way in self.passes],
            "chunks": [chunk.__dict__ for chunk in self.chunks],
        }
        write_bytes(folder / LOG, (json.dumps(values, indent=1) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> SessionLog | None:
        """The log of a `masklets` folder; None where there is none.

        Raises:
            InputError: a damaged one, or one of a later version.
        """
        path = folder / LOG
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != FORMAT:
                raise InputError(f"{path} was written by another version of ocusam.")
            values["passes"] = [Pass.from_dict(way) for way in values["passes"]]
            values["chunks"] = [Chunk(**chunk) for chunk in values["chunks"]]
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} cannot be read ({error}); run again into another folder.") from None

    def files(self) -> set[str]:
        """Names of all files that count."""
        names = {LOG, self.state} - {""}
        names |= {f"prompted_{i:05d}.safetensors" for i in range(self.prompted)}
        for i in range(len(self.chunks)):
            names |= {f"chunk_{i:05d}.parquet", f"rows_{i:05d}.parquet", f"memory_{i:05d}.safetensors"}
        return names


def tidy(folder: Path, log: SessionLog | None) -> None:
    """Remove what does not count: files of a chunk that was being written when the process was killed."""
    keep = log.files() if log is not None else set()
    for path in folder.glob("*") if folder.is_dir() else ():
        ours = path.name.lstrip(".").startswith(("chunk_", "rows_", "memory_", "prompted_", "state_", LOG))
        if ours and path.name not in keep:
            path.unlink(missing_ok=True)


def holds_run(folder: str | Path | None) -> bool:
    """Whether a folder holds a run that may go on."""
    return folder is not None and (Path(folder) / "run.json").is_file()


def read_record(folder: Path) -> dict[str, Any] | None:
    """`run.json` of a folder; None where there is none.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / "run.json"
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict):
            return record
    except (OSError, ValueError):
        pass
    raise InputError(f"{path} cannot be read as the record of a run.")


def check_same(folder: Path, old: dict[str, Any], new: dict[str, Any], prompts_given: bool) -> None:
    """Refuse to go on with another job.

    Args:
        folder: named in errors.
        old: record of the run to go on with.
        new: what is asked for now.
        prompts_given: else those of the run hold.

    Raises:
        OutputError: names the first thing that differs, as it was and as it is.
    """
    for key, what in _SAME.items():
        if key in ("prompts", "references") and not prompts_given:
            continue
        was, wanted = (_comparable(record.get(key), key) for record in (old, new))
        if was != wanted:
            raise OutputError(
                f"The run in {folder} cannot go on: the {what} differs ({_difference(was, wanted)}). Give "
                "what it began with, or another folder."
            )


def _comparable(value: Any, key: str) -> Any:
    plain = json.loads(json.dumps(value, default=str))
    if isinstance(plain, dict):
        return {k: v for k, v in plain.items() if k not in _FREE.get(key, ())}
    return plain


def _difference(was: Any, wanted: Any) -> str:
    if isinstance(was, dict) and isinstance(wanted, dict):
        for key in [*was, *wanted]:
            if was.get(key) != wanted.get(key):
                return f"{key}: was {_short(was.get(key))}, now {_short(wanted.get(key))}"
    return f"was {_short(was)}, now {_short(wanted)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "..."
