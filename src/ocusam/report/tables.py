"""What a page about a recording is made of, and HTML tables to show it in.

What it does not know: pages (`html.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import polars as pl

from ocusam.eye.events import EventRules
from ocusam.eye.long_rows import LongRows
from ocusam.eye.scale import PupilScale


@dataclass(frozen=True, eq=False)
class ReportTables:
    """The tables of a run folder.

    Attributes:
        signals: rows of a run, with states; hours of them stay on the disk.
        blinks, events, quality, doubtful: tables of a run.
        rules: how the events were found.
        gaze, gaze_events: tables of `ocusam gaze`, or None.
        calibration: its `calibration.json`, or None.
        scales: of the pupil's diameters in mm, where those were asked for and the signals just made.
    """

    signals: LongRows
    blinks: pl.DataFrame
    events: pl.DataFrame
    quality: pl.DataFrame
    doubtful: pl.DataFrame
    rules: EventRules = field(default_factory=EventRules)
    gaze: pl.DataFrame | None = None
    gaze_events: pl.DataFrame | None = None
    calibration: dict[str, Any] | None = None
    scales: tuple[PupilScale, ...] = ()


def event_unit(events: pl.DataFrame) -> str:
    """The unit of a table of events, from its column names."""
    return "deg" if "amplitude_deg" in events.columns else "px"


def cell(value: Any, share: bool = False) -> str:
    """A value as the text of a cell; `share` shows it in per cent."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if abs(value) < 1e-5:  # what is left of rounding
            value = 0.0
        return f"{value:.1%}" if share else f"{value:.4g}"
    return escape(str(value))


def html_table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table; rows are (attributes of the row, cells as HTML)."""
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    lines = [
        f"<tr{attributes}>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>" for attributes, cells in rows
    ]
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
