"""Targets as they were shown: several calibrations in one recording, and validations between them.

Purpose: from one or more tables of targets to what each calibration is fitted to and what is only checked.

Notable choices: a table is one calibration, or, with a column `block`, one for each block. Rows for
validation are never fitted. Those of one table (and block) that fall under the same calibration are one
validation, with figures of its own, or several where no target appears for `PAUSE_S`: drift is a matter of
time. Single targets between trials are no validations of their own and stay together. Calibrations that begin
before another one has been shown to its end are refused: which of them holds when cannot be said.

What it does not know: how they are fitted (`fit.py`), which one holds when (`in_force.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ocusam.core.errors import InputError
from ocusam.eye.targets import BLOCK, CALIBRATION

PAUSE_S = 10.0
NamedTargets = tuple[str, pl.DataFrame]
"""What a table is called, and the table, of `targets.make_targets`."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Targets of one calibration, or of one validation.

    Attributes:
        name: of the table, and of the block where it has several.
        targets: rows of `targets.make_targets`, at least one.
    """

    name: str
    targets: pl.DataFrame

    @property
    def begins_ns(self) -> int:
        """When its first target appeared."""
        return int(str(self.targets["start_ns"].min()))

    @property
    def ends_ns(self) -> int:
        """When its last target went."""
        return int(str(self.targets["end_ns"].max()))


def until_the_next(tables: Sequence[pl.DataFrame], open_ended: Sequence[bool]) -> list[pl.DataFrame]:
    """Targets of several tables, none of which lasts beyond the begin of another table's target.

    Args:
        tables: of `targets.make_targets`.
        open_ended: whether a table said nothing of when its targets went; others stay as they are.
    """
    starts = pl.concat([table["start_ns"] for table in tables]).unique().sort() if tables else pl.Series()
    found = []
    for table, ends_open in zip(tables, open_ended, strict=True):
        at = starts.search_sorted(table["start_ns"], side="right")
        after = starts.extend_constant(None, 1).gather(at)
        clipped = table.with_columns(end_ns=pl.min_horizontal("end_ns", after))
        found.append(clipped if ends_open else table)
    return found


def split(
    tables: Sequence[NamedTargets], validate: Sequence[NamedTargets] = ()
) -> tuple[list[Shown], list[Shown]]:
    """Calibrations and validations of a recording, each in order of time.

    Args:
        tables: targets to calibrate on; rows with `use` = validation are only checked.
        validate: targets to be checked only, whatever their `use` says.

    Raises:
        InputError: nothing to calibrate on, or calibrations that overlap in time.
    """
    parts = [part for table in tables for part in _blocks(*table)]
    calibrating = pl.col("use") == CALIBRATION
    fitted = [Shown(name, rows) for name, t in parts if len(rows := t.filter(calibrating))]
    if tables and not fitted:
        raise InputError(
            "No target is for calibration: use is validation in every row. Give targets to fit, too, or the "
            "calibration of another recording (--calibration)."
        )
    fitted.sort(key=lambda one: one.begins_ns)
    for number, (one, after) in enumerate(itertools.pairwise(fitted), start=1):
        if after.begins_ns <= int(str(one.targets["start_ns"].max())):
            raise InputError(
                f"Calibration {number + 1} ({after.name}) begins at {after.begins_ns / 1e9:.3f} s, before "
                f"the last target of calibration {number} ({one.name}) was shown: calibrations of one "
                "recording follow each other."
            )
    checked = [(name, t.filter(~calibrating)) for name, t in parts]
    checked += [part for table in validate for part in _blocks(*table)]
    return fitted, validations(checked, [one.begins_ns for one in fitted])


def validations(tables: Sequence[NamedTargets], begins_ns: Sequence[int] = ()) -> list[Shown]:
    """Every table, cut where a calibration begins and at long pauses, in order of time."""
    found = []
    for name, table in tables:
        under = pl.sum_horizontal(pl.lit(0), *(pl.col("start_ns") >= begin for begin in begins_ns[1:]))
        cut = table.sort("start_ns").with_columns(under.alias("_under"))
        for _, part in cut.group_by("_under", maintain_order=True):
            found += [Shown(name, one) for one in _at_pauses(part.drop("_under"))]
    return sorted(found, key=lambda one: one.begins_ns)


def _at_pauses(targets: pl.DataFrame) -> list[pl.DataFrame]:
    """Targets cut where none appears for `PAUSE_S`; together where that would leave one alone."""
    pause = pl.col("start_ns").diff() >= round(PAUSE_S * 1e9)
    cut = targets.with_columns(pause.fill_null(False).cum_sum().alias("_part"))
    parts = cut.partition_by("_part", include_key=False, maintain_order=True)
    return parts if all(len(part) > 1 for part in parts) else [targets]


def _blocks(name: str, table: pl.DataFrame) -> list[NamedTargets]:
    """A table in its blocks, the first shown first."""
    if BLOCK not in table.columns or table[BLOCK].n_unique() < 2:
        return [(name, table)]
    groups = table.sort("start_ns").group_by(BLOCK, maintain_order=True)
    return [(f"{name}, block {key[0]}", part) for key, part in groups]
