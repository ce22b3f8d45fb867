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
    "with_size": "size correction", "from_s": "in force from, s", "targets": "targets",
    "left_out": "targets left out", "accuracy_deg": "accuracy (leave-one-out), °",
    "accuracy_max_deg": "worst target, °", "validation_targets": "validation targets",
    "validation_accuracy_deg": "accuracy on them, °", "precision_rms_s2s_deg": "RMS-S2S, °",
    "precision_std_deg": "STD, °", "bcea_deg2": "BCEA (P = .68), °²", "data_loss": "data loss",
    "outside_targets": "outside the targets", "outside_sizes": "outside the pupil sizes",
}  # fmt: skip
_TARGETS = {
    "view": "view", "calibration": "calibration", "use": "use", "validation": "validation",
    "target": "target", "x_deg": "x, °", "y_deg": "y, °",
    "offset_x_deg": "offset x, °", "offset_y_deg": "offset y, °", "accuracy_deg": "error, °",
    "precision_rms_s2s_deg": "RMS-S2S, °", "precision_std_deg": "STD, °", "diameter_px": "diameter, px",
    "samples": "samples used", "samples_seen": "of", "note": "note",
}  # fmt: skip
_VALIDATIONS = {
    "view": "view", "validation": "validation", "calibration": "of calibration", "start_s": "begins, s",
    "since_calibration_s": "after its end, s", "targets": "targets", "left_out": "left out",
    "accuracy_deg": "mean error, °", "accuracy_max_deg": "worst target, °", "drift_x_deg": "drift x, °",
    "drift_y_deg": "drift y, °", "name": "table",
}  # fmt: skip
_SHARES = ("data_loss", "outside_targets", "outside_sizes")


def gaze_section(calibration: dict[str, Any], zero_ns: int) -> list[str]:
    """Pieces of HTML; the figure with the id "targets" goes into its place. Times count from `zero_ns`."""
    summary = [
        {**row, "from_s": _seconds(row.get("from_ns"), zero_ns)} for row in calibration.get("summary", [])
    ]
    targets = calibration.get("targets", [])
    several = number_of_calibrations(calibration) > 1
    if calibration.get("both"):
        summary.append({**calibration["both"], "view": "both eyes", "calibration": None})
    known = [k for k in _SUMMARY if any(row.get(k) not in (None, "") for row in summary)]
    shown = [k for k in _TARGETS if any(row.get(k) not in (None, "") for row in targets)]
    shown = [k for k in shown if k != "calibration" or several]
    rows = []
    for row in targets:
        moment = _moment(row.get("start_ns"), zero_ns)
        where = "" if moment is None else f' data-seconds="{moment:.4f}" data-view="{row["view"]}"'
        rows.append((where, [cell(row.get(k)) for k in shown]))
    skipped = calibration.get("skipped") or {}
    return [
        "<h2>Gaze</h2>",
        html_table(
            ["", *(_head(r, several) for r in summary)],
            [("", [_SUMMARY[k], *(cell(r.get(k), k in _SHARES) for r in summary)]) for k in known],
        ),
        *(
            f'<p class="note">View {escape(v)} has no gaze: {escape(str(why))}</p>'
            for v, why in skipped.items()
        ),
        *_validations(calibration, zero_ns, several),
        '<p class="note">Crosses: targets. Dots: gaze at them, predicted by a calibration that had not seen '
        "the target. Squares: targets kept for validation.</p>",
        '<div id="targets"></div>',
        html_table([_TARGETS[k] for k in shown], rows),
    ]


def number_of_calibrations(calibration: dict[str, Any]) -> int:
    """How many a recording has; files of earlier versions say nothing, and have one."""
    return max(len(calibration.get("calibrations") or []), 1)


def _head(row: dict[str, Any], several: bool) -> str:
    view = row.get("view")
    name = view if isinstance(view, str) else f"view {view}"
    return f"{name}, calibration {row['calibration']}" if several and row.get("calibration") else name


def _validations(calibration: dict[str, Any], zero_ns: int, several: bool) -> list[str]:
    """What validations tell; nothing without any."""
    both = calibration.get("both") or {}
    rows = [*(calibration.get("validations") or [])]
    rows += [{**row, "view": "both eyes"} for row in both.get("validations") or []]
    if not rows:
        return []
    rows = [{**row, "start_s": _seconds(row["start_ns"], zero_ns)} for row in rows]
    shown = [k for k in _VALIDATIONS if any(row.get(k) is not None for row in rows)]
    shown = [k for k in shown if k != "calibration" or several]
    return [
        "<h3>Validation</h3>",
        '<p class="note">Targets that were only checked. Drift: mean over them of gaze minus target.</p>',
        html_table([_VALIDATIONS[k] for k in shown], [("", [cell(r.get(k)) for k in shown]) for r in rows]),
    ]


def _seconds(time_ns: int | None, zero_ns: int) -> float | None:
    return None if time_ns is None else round((time_ns - zero_ns) / 1e9, 3)


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
    several = len({r.get("calibration") for r in seen if r["use"] == "calibration"}) > 1
    groups: dict[tuple[int, str, int], list[dict[str, Any]]] = {}
    for r in seen:
        number = r.get("calibration" if r["use"] == "calibration" else "validation") or 0
        groups.setdefault((int(r["view"]), str(r["use"]), int(number)), []).append(r)
    for (view, use, number), mine in sorted(groups.items()):
        symbol = "circle" if use == "calibration" else "square"
        name = f"{use} {number}" if number and (several or use != "calibration") else use
        traces.append({
            "type": "scatter", "mode": "markers", "name": f"view {view}, {name}",
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
