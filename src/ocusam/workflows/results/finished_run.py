"""A finished run, read back from its folder.

Purpose: exports and later analyses start from what a run has written, not from the video.

Notable choices: tables get the types that they had (an empty column of a CSV says nothing of its type). What
else a later version writes into a table is read as it is.

What it does not know: the video; it may be elsewhere by now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.eye.blink import BLINK_COLUMNS
from ocusam.eye.blink.states import LID_OPENING
from ocusam.eye.quality import QUALITY_COLUMNS
from ocusam.eye.scale import DIAMETER_MM
from ocusam.eye.signals import COLUMNS
from ocusam.workflows.results.light_masks import LightMasklets
from ocusam.workflows.session.masklets import Masklets

_TEXT: dict[str, type[pl.DataType]] = {"event": pl.String, "reason": pl.String}
# Columns that later steps add to the signals.
_ADDED: dict[str, type[pl.DataType]] = dict.fromkeys(
    (DIAMETER_MM, LID_OPENING, "pupil_cr_x_px", "pupil_cr_y_px"), pl.Float64
)
_KNOWN_TYPES = {**COLUMNS, **BLINK_COLUMNS, **QUALITY_COLUMNS, **_TEXT, **_ADDED}


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What a run has written; tables are read when asked for.

    Attributes:
        folder: the run's folder.
        record: its `run.json`.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px of the whole picture."""
        height, width = self.record["input"]["size_hw"]
        return int(height), int(width)

    @property
    def views(self) -> list[View]:
        """The views of the picture, in order of their numbers."""
        whole = [[0, 0, self.size[1], self.size[0]]]
        regions = self.record.get("views") or whole
        return [View(i, (int(a), int(b), int(c), int(d))) for i, (a, b, c, d) in enumerate(regions)]

    @cached_property
    def signals(self) -> pl.DataFrame:
        """`signals.csv`."""
        return self.table("signals")

    @cached_property
    def blinks(self) -> pl.DataFrame:
        """`blinks.csv`."""
        return self.table("blinks")

    @cached_property
    def quality(self) -> pl.DataFrame:
        """`quality.csv`."""
        return self.table("quality")

    @cached_property
    def events(self) -> pl.DataFrame | None:
        """`events.csv`, or None where none were looked for."""
        return self.table("events") if (self.folder / "events.csv").is_file() else None

    @cached_property
    def masklets(self) -> Masklets:
        """The masks; those of followed reflections are their light (`light_masks`).

        Raises:
            InputError: the run kept none."""
        kept = Masklets.from_folder(self.folder / "masklets", self.size)
        return LightMasklets(kept, self.signals) if (self.folder / "signals.csv").is_file() else kept

    def table(self, name: str) -> pl.DataFrame:
        """A table of the run by its name without `.csv`.

        Raises:
            InputError: absent (another sort of run), or unreadable.
        """
        path = self.folder / f"{name}.csv"
        try:
            header = pl.read_csv(path, n_rows=0, glob=False).columns
            types = {column: _KNOWN_TYPES[column] for column in header if column in _KNOWN_TYPES}
            return pl.read_csv(path, schema_overrides=types, infer_schema_length=None, glob=False)
        except FileNotFoundError:
            raise InputError(f"{self.folder} has no {name}.csv: it is no run of `ocusam eye`.") from None
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from None


def open_run(folder: str | Path) -> FinishedRun:
    """Open the folder of a finished run.

    Raises:
        InputError: no run there, or one that did not finish.
    """
    folder = Path(folder)
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        status, size = record["status"], record["input"]["size_hw"]
    except FileNotFoundError:
        raise InputError(f"{folder} is no folder of a run: it has no run.json.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as the record of a tracking run ({error}).") from None
    if status != "finished":
        raise InputError(
            f"The run in {folder} is not finished (its status is {status!r}): go on with the same command "
            "and --resume."
        )
    assert len(size) == 2
    return FinishedRun(folder, record)
