"""`report.html`: one self-contained page about a recording.

Purpose: what a reader of the results wants to see first, and a reviewer asks for: traces, main sequence,
quality in standard terms, a paragraph for the methods section, provenance; a click on a moment shows its
picture.

Notable choices: one file that needs no network: plotly.js, figures and pictures are inside. Pictures are few
(key moments and the doubtful frames, JPEG, `BUDGET` together), and a click shows the nearest in time; where
`overlay.mp4` lies beside the page, it shows the very frame from there. Everything that comes from outside is
escaped.

What it does not know: files, videos; it gets tables and pictures and returns text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib import resources
from typing import Any

import cv2
import numpy as np
import plotly
import polars as pl

from ocusam.eye.events import SACCADE, main_sequence
from ocusam.report.gaze_section import gaze_section, target_figure
from ocusam.report.methods import methods
from ocusam.report.overlay import Picture
from ocusam.report.plots import Figure, eye_traces, main_sequence_figure
from ocusam.report.tables import ReportTables, cell, event_unit, html_table

__all__ = ["ReportTables", "Thumbnail", "event_unit", "methods", "pieces", "render"]

JPEG_QUALITY = 72
BUDGET = 6_000_000
"""Bytes that all pictures may take in the page; more of them get smaller."""
LISTED = 60
"""Doubtful frames in the page's list; all of them stand in doubtful.csv."""

QUALITY_HEADS = {
    "view": "view", "object": "object", "frames": "frames", "tracked": "tracked", "blink": "hidden by blinks",
    "lost": "lost", "data_loss": "data loss", "sampling_hz": "sampling, Hz",
    "effective_frequency_hz": "effective frequency, Hz", "sampling_jitter_ms": "jitter SD, ms",
    "precision_rms_s2s_px": "RMS-S2S, px", "precision_std_px": "STD, px", "bcea_px2": "BCEA (P = .68), px²",
    "doubtful_share": "doubtful frames", "perclos": "PERCLOS",
}  # fmt: skip
_SHARES = ("data_loss", "doubtful_share", "perclos")


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A stored picture.

    Attributes:
        frame_idx, timestamp_ns: its moment.
        picture: uint8 (H, W, 3) RGB, or what gives it: hundreds of them are large.
        why: what it shows, or "".
        view: the eye it belongs to, or None for all.
    """

    frame_idx: int
    timestamp_ns: int
    picture: Picture | Callable[[], Picture]
    why: str = ""
    view: int | None = None

    def pixels(self) -> Picture:
        """The picture."""
        return self.picture() if callable(self.picture) else self.picture


def render(
    tables: ReportTables,
    record: dict[str, Any],
    thumbnails: Sequence[Thumbnail] = (),
    *,
    overlay: bool = False,
) -> str:
    """The page as text.

    Args:
        tables: of one recording.
        record: `run.json`.
        thumbnails: pictures of moments, any order.
        overlay: `overlay.mp4` lies beside the page.
    """
    return "".join(pieces(tables, record, thumbnails, overlay=overlay))


def pieces(
    tables: ReportTables,
    record: dict[str, Any],
    thumbnails: Sequence[Thumbnail] = (),
    *,
    overlay: bool = False,
) -> Iterator[str]:
    """As `render`, piece by piece: a page of ten megabytes need not be in memory."""
    views, known, texts = [], set(), []
    span = tables.signals.span_ns()
    zero_ns = span[0] if span is not None else 0
    # One at a time: lists of numbers take several times the room of their text.
    for figure in _figures(tables, zero_ns):
        known.add(figure["id"])
        views += [figure["id"]] if figure["view"] is not None else []
        texts.append(_script_json(figure))
        del figure
    body = [
        f"<h1>{escape(_title(record))}</h1>",
        _lead(tables, record),
        '<div id="picture"></div>'
        if thumbnails
        else '<p class="note">No pictures: the video was not at hand.</p>',
        "<h2>Traces</h2>",
        '<p class="note">Blue: blinks. Grey: pupil lost. Diamonds: doubtful frames. Click a trace, a diamond '
        f"or a row below to see the picture nearest in time. {_clock(record, zero_ns)}</p>",
        *(f'<div id="{name}"></div>' for name in views),
        "<h2>Main sequence</h2>",
        '<div id="main-sequence"></div>'
        if "main-sequence" in known
        else '<p class="note">No saccades were found.</p>',
        *(gaze_section(tables.calibration, zero_ns) if tables.calibration is not None else []),
        "<h2>Data quality</h2>",
        _quality(tables.quality),
        "<h2>Blinks</h2>",
        _blinks(tables.blinks, zero_ns),
        "<h2>Doubtful frames</h2>",
        _doubtful(tables.doubtful, zero_ns),
        "<h2>Methods</h2>",
        f"<p>{escape(methods(tables, record))}</p>",
        "<h2>Provenance</h2>",
        _provenance(record),
    ]
    yield from _page(_title(record), body, texts, _moments(thumbnails, zero_ns), overlay)


def _clock(record: dict[str, Any], zero_ns: int) -> str:
    """What times on the page count from: on the clocks of eye trackers the first frame is far from zero."""
    clock = escape(str(record.get("input", {}).get("clock", "the video's clock")))
    return f"Times count from the first frame, which is at {zero_ns / 1e9:.3f} s ({clock})."


def _moments(thumbnails: Sequence[Thumbnail], zero_ns: int) -> list[Thumbnail]:
    """Pictures with times from the first frame."""
    return [replace(thumbnail, timestamp_ns=thumbnail.timestamp_ns - zero_ns) for thumbnail in thumbnails]


def _figures(tables: ReportTables, zero_ns: int) -> Iterator[Figure]:
    views = [view for view, name in tables.signals.objects if name == "pupil"]
    for view in views:
        mine = pl.col("view") == view
        gaze = None
        if tables.gaze is not None:
            names = [c for c in tables.gaze.columns if c.startswith("gaze_")]
            found = tables.gaze.filter(mine).select("frame_idx", *names)
            gaze = found if len(found) else None
        title = f"view {view}" if len(views) > 1 else ""
        pupil, blinks, doubts = tables.signals.rows(view, "pupil"), tables.blinks, tables.doubtful
        figure = eye_traces(
            pupil, blinks.filter(mine), doubts.filter(mine), gaze, title=title, zero_ns=zero_ns
        )
        del pupil
        yield {"id": f"traces-{view}", "view": view, **figure}
        del figure
    events = tables.events if tables.gaze_events is None else tables.gaze_events
    unit = event_unit(events)
    sequence = main_sequence_figure(events, unit, main_sequence(events, unit), zero_ns)
    if sequence is not None:
        yield {"id": "main-sequence", "view": None, **sequence}
        del sequence
    if tables.calibration is not None:
        places = target_figure(tables.calibration.get("targets", []), zero_ns)
        if places is not None:
            yield {"id": "targets", "view": None, **places}


def _title(record: dict[str, Any]) -> str:
    path = str(record.get("input", {}).get("path", ""))
    return f"Eye movements: {path.replace(chr(92), '/').rsplit('/', 1)[-1] or 'recording'}"


def _lead(tables: ReportTables, record: dict[str, Any]) -> str:
    (first, last), frames = tables.signals.span_ns() or (0, 0), tables.signals.count_frames()
    full = len(tables.blinks.filter(pl.col("kind") != "partial")) if "kind" in tables.blinks.columns else 0
    broken = (
        " <b>The video breaks off: it announces more frames than could be read.</b>"
        if record.get("truncated")
        else ""
    )
    saccades = len(tables.events.filter(pl.col("event") == SACCADE))
    return (
        f"<p>{(last - first) / 1e9:.1f} s, {frames} frames; {len(tables.blinks)} blinks "
        f"({full} full), {saccades} saccades, {len(tables.doubtful)} doubtful masks.{broken}</p>"
    )


def _quality(quality: pl.DataFrame) -> str:
    columns = [c for c in QUALITY_HEADS if c in quality.columns]
    rows = [("", [cell(row[c], c in _SHARES) for c in columns]) for row in quality.iter_rows(named=True)]
    return html_table([QUALITY_HEADS[c] for c in columns], rows)


def _blinks(blinks: pl.DataFrame, zero_ns: int) -> str:
    if blinks.is_empty():
        return '<p class="note">None were found.</p>'
    heads = {
        "onset_ns": "onset, s", "view": "view", "kind": "kind", "duration_ms": "duration, ms",
        "amplitude": "amplitude",
        "closing_velocity_per_s": "closing, 1/s", "opening_velocity_per_s": "opening, 1/s",
        "source": "source",
    }  # fmt: skip
    rows = []
    for row in blinks.iter_rows(named=True):
        seconds = (row["onset_ns"] - zero_ns) / 1e9
        middle = (row["onset_ns"] + row["offset_ns"] - 2 * zero_ns) / 2e9
        cells = [f"{seconds:.3f}", *(cell(row.get(c)) for c in list(heads)[1:])]
        rows.append((f' data-seconds="{middle:.4f}" data-view="{row["view"]}"', cells))
    return html_table(list(heads.values()), rows)


def _doubtful(doubtful: pl.DataFrame, zero_ns: int) -> str:
    if doubtful.is_empty():
        return '<p class="note">None.</p>'
    rows = []
    for row in doubtful.head(LISTED).iter_rows(named=True):
        seconds = (row["timestamp_ns"] - zero_ns) / 1e9
        cells = [str(row["rank"]), str(row["frame_idx"]), f"{seconds:.3f}", str(row["view"])]
        cells += [escape(str(row["object"])), f"{row['score']:.2f}", escape(str(row["reason"]))]
        rows.append((f' data-seconds="{seconds:.4f}" data-view="{row["view"]}"', cells))
    note = f'<p class="note">The first {LISTED} of {len(doubtful)}; all stand in doubtful.csv.</p>'
    table = html_table(["rank", "frame", "time, s", "view", "object", "score", "reason"], rows)
    return (note if len(doubtful) > LISTED else "") + table


def _provenance(record: dict[str, Any]) -> str:
    text = json.dumps(record, indent=2, ensure_ascii=False, default=str)
    return f'<details open><summary>run.json</summary><pre class="scroll">{escape(text)}</pre></details>'


def _page(
    title: str,
    body: Sequence[str],
    figures: Sequence[str],
    thumbnails: Sequence[Thumbnail],
    overlay: bool,
) -> Iterator[str]:
    files = resources.files("ocusam.report")
    css, script = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{css}</style></head><body>"
    )
    yield from body
    yield f'<script type="application/json" id="figures">[{",".join(figures)}]</script>'
    yield '<script type="application/json" id="pictures">['
    moments = zip(thumbnails, _jpegs(thumbnails), strict=True)
    comma = ""
    for t, jpeg in sorted(moments, key=lambda moment: round(moment[0].timestamp_ns / 1e9, 4)):
        seconds = round(t.timestamp_ns / 1e9, 4)
        about = {"frame": t.frame_idx, "seconds": seconds, "why": t.why, "view": t.view, "jpeg": jpeg}
        yield comma + _script_json(about)
        comma = ","
    film = _script_json({"there": overlay})
    yield f']</script><script type="application/json" id="film">{film}</script><script>'
    # By pieces, and from the file: plotly's own way takes fifteen megabytes for a text of five.
    with resources.files(plotly).joinpath("package_data", "plotly.min.js").open(encoding="utf-8") as file:
        yield from iter(lambda: file.read(1 << 16), "")
    yield f"</script><script>{script}</script></body></html>\n"


def _script_json(value: Any) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _jpegs(thumbnails: Sequence[Thumbnail]) -> list[str]:
    """Pictures as base64 of JPEG, made smaller until they keep to the budget."""
    factor = 1.0
    while True:
        made = [_jpeg(thumbnail.pixels(), factor) for thumbnail in thumbnails]
        total = sum(len(text) for text in made)
        if total <= BUDGET or factor < 0.3:
            return made
        factor *= max(0.5, 0.95 * (BUDGET / total) ** 0.5)


def _jpeg(picture: Picture, factor: float = 1.0) -> str:
    if factor < 1.0:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(
            np.uint8
        )
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return base64.b64encode(data.tobytes()).decode("ascii")
