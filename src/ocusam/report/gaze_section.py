"""The part of a page about gaze: how it was calibrated, how good it is, target by target.

What it does not know: how it was computed (`eye.calibration`); it shows a `calibration.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ocusam.report.plots import COLORS, Figure
from ocusam.report.tables import cell, html_table

_SUMMARY = {
    "feature": "feature", "reflection": "reflection", "model": "polynomial",
    "with_size": "size correction", "targets": "targets", "accuracy_deg": "accuracy (leave-one-out), °",
    "accuracy_max_deg": "worst target, °", "validation_targets": "validation targets",
    "validation_accuracy_deg": "accuracy on them, °", "precision_rms_s2s_deg": "RMS-S2S, °",
    "precision_std_deg": "STD, °", "bcea_deg2": "BCEA (P = .68), °²", "data_loss": "data loss",
    "outside_targets": "outside the targets", "outside_sizes": "outside the pupil sizes",
}  # fmt: skip
_TARGETS = {
    "view": "view", "use": "use", "target": "target", "x_deg": "x, °", "y_deg": "y, °",
    "offset_x_deg": "offset x, °", "offset_y_deg": "offset y, °", "accuracy_deg": "error, °",
    "precision_rms_s2s_deg": "RMS-S2S, °", "precision_std_deg": "STD, °", "diameter_px": "diameter, px",
    "samples": "samples used", "samples_seen": "of", "note": "note",
}  # fmt: skip
_SHARES = ("data_loss", "outside_targets", "outside_sizes")


def gaze_section(calibration: dict[str, Any], zero_ns: int) -> list[str]:
    """Pieces of HTML; the figure with the id "targets" goes into its place. Times count from `zero_ns`."""
    summary, targets = list(calibration.get("summary", [])), calibration.get("targets", [])
    if calibration.get("both"):
        summary.append({**calibration["both"], "view": "both eyes"})
    known = [k for k in _SUMMARY if any(row.get(k) not in (None, "") for row in summary)]
    shown = [k for k in _TARGETS if any(row.get(k) not in (None, "") for row in targets)]
    rows = []
    for row in targets:
        moment = _moment(row.get("start_ns"), zero_ns)
        where = "" if moment is None else f' data-seconds="{moment:.4f}" data-view="{row["view"]}"'
        rows.append((where, [cell(row.get(k)) for k in shown]))
    skipped = calibration.get("skipped") or {}
    return [
        "<h2>Gaze</h2>",
        html_table(
            ["", *(_head(r.get("view")) for r in summary)],
            [("", [_SUMMARY[k], *(cell(r.get(k), k in _SHARES) for r in summary)]) for k in known],
        ),
        *(
            f'<p class="note">View {escape(v)} has no gaze: {escape(str(why))}</p>'
            for v, why in skipped.items()
        ),
        '<p class="note">Crosses: targets. Dots: gaze at them, predicted by a calibration that had not seen '
        "the "
        "target. Squares: targets kept for validation.</p>",
        '<div id="targets"></div>',
        html_table([_TARGETS[k] for k in shown], rows),
    ]


def _head(view: object) -> str:
    return str(view) if isinstance(view, str) else f"view {view}"


def target_figure(targets: Sequence[dict[str, Any]], zero_ns: int) -> Figure | None:
    """Targets and gaze at them, degrees; None without any. Times count from `zero_ns`."""
    seen = [row for row in targets if row.get("accuracy_deg") is not None]
    if not seen:
        return None
    traces: list[Figure] = [
        {"type": "scatter", "mode": "markers", "name": "target", "x": [r["x_deg"] for r in seen],
         "y": [r["y_deg"] for r in seen], "hoverinfo": "x+y",
         "marker": {"symbol": "cross-thin-open", "size": 12, "color": "#222"}}
    ]  # fmt: skip
    colors = (COLORS["x"], COLORS["y"], COLORS["diameter"], COLORS["doubt"])
    for view, use in sorted({(int(r["view"]), str(r["use"])) for r in seen}):
        mine = [r for r in seen if (int(r["view"]), str(r["use"])) == (view, use)]
        symbol = "circle" if use == "calibration" else "square"
        traces.append({
            "type": "scatter", "mode": "markers", "name": f"view {view}, {use}",
            "x": [round(r["x_deg"] + r["offset_x_deg"], 3) for r in mine],
            "y": [round(r["y_deg"] + r["offset_y_deg"], 3) for r in mine],
            "text": [f"target {r['target']}: {r['accuracy_deg']:.2f}°" for r in mine], "hoverinfo": "text",
            "customdata": [_moment(r.get("start_ns"), zero_ns) for r in mine],
            "marker": {"symbol": symbol, "size": 8, "color": colors[view % len(colors)]},
        })  # fmt: skip
    axis = {"zeroline": False, "title": {"text": "degrees"}}
    layout = {
        "height": 420, "margin": {"l": 60, "r": 15, "t": 20, "b": 45}, "hovermode": "closest", "xaxis": axis,
        "yaxis": {**axis, "autorange": "reversed", "scaleanchor": "x", "scaleratio": 1},
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def _moment(start_ns: int | None, zero_ns: int) -> float | None:
    """Seconds at which a target was surely looked at; None where it belongs to another recording."""
    return None if start_ns is None else round((start_ns - zero_ns) / 1e9 + 0.5, 4)
