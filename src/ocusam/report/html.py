"""`report.html`: one self-contained page about a recording.

Purpose: what a reader of the results wants to see first, and a reviewer asks for: traces, main sequence,
quality in standard terms, a paragraph for the methods section, provenance; a click on a moment shows its
picture.

Notable choices: one file that needs no network: plotly.js, figures and pictures are inside. Pictures are few
(key moments and the doubtful frames, JPEG), and a click shows the nearest in time. Everything that comes from
outside is escaped.

What it does not know: files, videos; it gets tables and pictures and returns text.
"""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

import cv2
import polars as pl

from ocusam.eye.events import SACCADE, main_sequence
from ocusam.report.overlay import Picture
from ocusam.report.plots import Figure, eye_traces, main_sequence_figure

JPEG_QUALITY = 72
LISTED = 60
"""Doubtful frames in the page's list; all of them stand in doubtful.csv."""

QUALITY_HEADS = {
    "view": "view", "object": "object", "frames": "frames", "tracked": "tracked", "blink": "in blinks",
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
        picture: uint8 (H, W, 3) RGB.
        why: what it shows, or "".
        view: the eye it belongs to, or None for all.
    """

    frame_idx: int
    timestamp_ns: int
    picture: Picture
    why: str = ""
    view: int | None = None


@dataclass(frozen=True, eq=False)
class ReportTables:
    """What a page is made of: the tables of a run folder."""

    signals: pl.DataFrame
    blinks: pl.DataFrame
    events: pl.DataFrame
    quality: pl.DataFrame
    doubtful: pl.DataFrame


def render(tables: ReportTables, record: dict[str, Any], thumbnails: Sequence[Thumbnail] = ()) -> str:
    """The page as text.

    Args:
        tables: of one recording.
        record: `run.json`.
        thumbnails: pictures of moments, any order.
    """
    figures = _figures(tables)
    body = [
        f"<h1>{escape(_title(record))}</h1>",
        _lead(tables, record),
        '<div id="picture"></div>'
        if thumbnails
        else '<p class="note">No pictures: the video was not at hand.</p>',
        "<h2>Traces</h2>",
        '<p class="note">Blue: blinks. Grey: pupil lost. Diamonds: doubtful frames. Click a trace, a diamond '
        "or a row below to see the picture nearest in time.</p>",
        *(f'<div id="{figure["id"]}"></div>' for figure in figures if figure["view"] is not None),
        "<h2>Main sequence</h2>",
        '<div id="main-sequence"></div>'
        if any(f["id"] == "main-sequence" for f in figures)
        else '<p class="note">No saccades were found.</p>',
        "<h2>Data quality</h2>",
        _quality(tables.quality),
        "<h2>Blinks</h2>",
        _blinks(tables.blinks),
        "<h2>Doubtful frames</h2>",
        _doubtful(tables.doubtful),
        "<h2>Methods</h2>",
        f"<p>{escape(methods(tables, record))}</p>",
        "<h2>Provenance</h2>",
        _provenance(record),
    ]
    return _page(_title(record), body, figures, thumbnails)


def _figures(tables: ReportTables) -> list[Figure]:
    out = []
    views = tables.signals.filter(pl.col("object") == "pupil")["view"].unique().sort().to_list()
    for view in views:
        mine = pl.col("view") == view
        pupil = tables.signals.filter(mine & (pl.col("object") == "pupil"))
        title = f"view {view}" if len(views) > 1 else ""
        figure = eye_traces(pupil, tables.blinks.filter(mine), tables.doubtful.filter(mine), title=title)
        out.append({"id": f"traces-{view}", "view": view, **figure})
    unit = event_unit(tables.events)
    sequence = main_sequence_figure(tables.events, unit, main_sequence(tables.events, unit))
    if sequence is not None:
        out.append({"id": "main-sequence", "view": None, **sequence})
    return out


def event_unit(events: pl.DataFrame) -> str:
    """The unit of a table of events, from its column names."""
    return "deg" if "amplitude_deg" in events.columns else "px"


def methods(tables: ReportTables, record: dict[str, Any]) -> str:
    """A paragraph for a methods section, in the order of the reporting guideline (Dunn et al. 2023)."""
    model, source = record.get("model", {}), record.get("input", {})
    versions = record.get("versions", {})
    pupil = tables.quality.filter(pl.col("object") == "pupil")
    height, width = (source.get("size_hw") or ["?", "?"])[:2]
    weights = str(model.get("weights_sha256", "unknown"))[:12]
    hz = pupil["sampling_hz"].drop_nulls().to_list()
    rate = f", {statistics.median(hz):.1f} Hz" if hz else ""
    rules = [
        f"Eye videos ({width} x {height} px{rate}) were analysed with ocusam {record.get('ocusam', '?')} "
        f"(network {model.get('model', '?')}, weights SHA-256 {weights}…, input "
        f"{model.get('image_size', '?')} px; Python {versions.get('python', '?')}, torch "
        f"{versions.get('torch', '?')}, pymovements {versions.get('pymovements', '?')}).",
        "The pupil was segmented in every frame by SAM 2's streaming memory, its outline completed by an "
        "ellipse fitted to the visible rim; pupil size is the major axis of that ellipse.",
        f"Blinks (n = {len(tables.blinks)}) were detected from the lid opening (source: {_sources(tables)}), "
        "onset and offset at 10 % of the amplitude; no pupil values are given where the pupil is covered, "
        "and no sample was interpolated or filtered.",
    ]
    unit = event_unit(tables.events)
    saccades = tables.events.filter(pl.col("event") == SACCADE)
    fixations = tables.events.filter(pl.col("event") == "fixation")
    rules.append(
        f"Saccades (n = {len(saccades)}) and fixations (n = {len(fixations)}) were detected with the method "
        "adaptive (Engbert and Kliegl 2003, lambda = 6) on "
        + (
            "gaze in degrees."
            if unit == "deg"
            else "the pupil centre in px of the picture, without calibration."
        )
    )
    for row in pupil.iter_rows(named=True):
        parts = [f"data loss {row['data_loss']:.1%}"]
        for key, name in (("precision_rms_s2s_px", "RMS-S2S"), ("precision_std_px", "STD")):
            if row.get(key) is not None:
                parts.append(f"{name} {row[key]:.3f} px")
        if row.get("effective_frequency_hz") is not None:
            parts.append(f"effective frequency {row['effective_frequency_hz']:.1f} Hz")
        rules.append(f"View {row['view']}: {', '.join(parts)} (precision: medians over windows of 200 ms).")
    return " ".join(rules)


def _sources(tables: ReportTables) -> str:
    names = {
        "fissure": "area between the lids",
        "iris": "visible share of the iris",
        "pupil": "visible share of the pupil",
    }
    found = sorted(set(tables.blinks["source"].drop_nulls())) if "source" in tables.blinks.columns else []
    return ", ".join(names.get(str(s), str(s)) for s in found) or "none needed"


def _title(record: dict[str, Any]) -> str:
    path = str(record.get("input", {}).get("path", ""))
    return f"Eye movements: {path.replace(chr(92), '/').rsplit('/', 1)[-1] or 'recording'}"


def _lead(tables: ReportTables, record: dict[str, Any]) -> str:
    time = tables.signals["timestamp_ns"]
    seconds = (int(str(time.max())) - int(str(time.min()))) / 1e9 if len(time) else 0.0
    full = len(tables.blinks.filter(pl.col("kind") != "partial")) if "kind" in tables.blinks.columns else 0
    broken = (
        " <b>The video breaks off: it announces more frames than could be read.</b>"
        if record.get("truncated")
        else ""
    )
    saccades = len(tables.events.filter(pl.col("event") == SACCADE))
    return (
        f"<p>{seconds:.1f} s, {tables.signals['frame_idx'].n_unique()} frames; {len(tables.blinks)} blinks "
        f"({full} full), {saccades} saccades, {len(tables.doubtful)} doubtful masks.{broken}</p>"
    )


def _cell(value: Any, share: bool = False) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.1%}" if share else f"{value:.4g}"
    return escape(str(value))


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    lines = [
        f"<tr{attributes}>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>" for attributes, cells in rows
    ]
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _quality(quality: pl.DataFrame) -> str:
    columns = [c for c in QUALITY_HEADS if c in quality.columns]
    rows = [("", [_cell(row[c], c in _SHARES) for c in columns]) for row in quality.iter_rows(named=True)]
    return _table([QUALITY_HEADS[c] for c in columns], rows)


def _blinks(blinks: pl.DataFrame) -> str:
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
        seconds = row["onset_ns"] / 1e9
        middle = (row["onset_ns"] + row["offset_ns"]) / 2e9
        cells = [f"{seconds:.3f}", *(_cell(row.get(c)) for c in list(heads)[1:])]
        rows.append((f' data-seconds="{middle:.4f}" data-view="{row["view"]}"', cells))
    return _table(list(heads.values()), rows)


def _doubtful(doubtful: pl.DataFrame) -> str:
    if doubtful.is_empty():
        return '<p class="note">None.</p>'
    rows = []
    for row in doubtful.head(LISTED).iter_rows(named=True):
        seconds = row["timestamp_ns"] / 1e9
        cells = [str(row["rank"]), str(row["frame_idx"]), f"{seconds:.3f}", str(row["view"])]
        cells += [escape(str(row["object"])), f"{row['score']:.2f}", escape(str(row["reason"]))]
        rows.append((f' data-seconds="{seconds:.4f}" data-view="{row["view"]}"', cells))
    note = f'<p class="note">The first {LISTED} of {len(doubtful)}; all stand in doubtful.csv.</p>'
    table = _table(["rank", "frame", "time, s", "view", "object", "score", "reason"], rows)
    return (note if len(doubtful) > LISTED else "") + table


def _provenance(record: dict[str, Any]) -> str:
    text = json.dumps(record, indent=2, ensure_ascii=False, default=str)
    return f'<details open><summary>run.json</summary><pre class="scroll">{escape(text)}</pre></details>'


def _page(title: str, body: Sequence[str], figures: list[Figure], thumbnails: Sequence[Thumbnail]) -> str:
    from plotly.offline import get_plotlyjs  # takes a moment to import

    files = resources.files("ocusam.report")
    css, script = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    pictures = sorted(
        (
            {"frame": t.frame_idx, "seconds": round(t.timestamp_ns / 1e9, 4), "why": t.why, "view": t.view,
             "jpeg": _jpeg(t.picture)}
            for t in thumbnails
        ),
        key=lambda p: float(str(p["seconds"])),
    )  # fmt: skip
    data = "".join(
        f'<script type="application/json" id="{name}">{_script_json(value)}</script>'
        for name, value in (("figures", figures), ("pictures", pictures))
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{css}</style></head><body>{''.join(body)}{data}"
        f"<script>{get_plotlyjs()}</script><script>{script}</script></body></html>\n"
    )


def _script_json(value: Any) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _jpeg(picture: Picture) -> str:
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return base64.b64encode(data.tobytes()).decode("ascii")
