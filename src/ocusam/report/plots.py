"""Interactive figures of a recording, as plotly figures in plain JSON.

Purpose: traces of one eye over time with blinks shaded and doubtful frames marked, and the main sequence.

Notable choices: a trace of any length is thinned to `MAX_POINTS` by keeping the lowest and the highest value
of equal spans of time (Steinarsson 2013 calls it min-max), so that a blink or a spike of one frame stays in
sight; numbers are rounded to a thousandth. Gaps stay gaps: nothing is drawn over frames without a value.
Figures are made as dictionaries: the page inlines plotly.js once, for all of them.

What it does not know: pages (`html.py`), pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Figure = dict[str, Any]

MAX_POINTS = 12_000
MAX_SPANS = 400
COLORS = {"x": "#0072B2", "y": "#D55E00", "diameter": "#009E73", "lid": "#666666", "doubt": "#E69F00"}
_BLINK, _LOST = "rgba(86,180,233,0.25)", "rgba(120,120,120,0.18)"


def thin(time: FloatArray, values: FloatArray, most: int = MAX_POINTS) -> tuple[list[Any], list[Any]]:
    """At most about `most` points of a trace: extremes of equal spans, gaps kept.

    Args:
        time: (N,) increasing.
        values: (N,), NaN where there is no value.
        most: points to keep.

    Returns:
        (times, values) for plotly, None in gaps.
    """
    n = len(values)
    if n > most:
        spans = np.array_split(np.arange(n), most // 2)
        keep: set[int] = set()
        for span in spans:
            part = values[span]
            seen = np.isfinite(part)
            if seen.any():
                keep.add(int(span[0] + np.nanargmin(part)))
                keep.add(int(span[0] + np.nanargmax(part)))
            if not seen.all():  # one sample of the gap, so that no line crosses it
                keep.add(int(span[0] + np.flatnonzero(~seen)[0]))
        index = np.array(sorted(keep))
        time, values = time[index], values[index]
    rounded = np.round(values, 3)
    shown = [float(v) if ok else None for v, ok in zip(rounded, np.isfinite(rounded), strict=True)]
    return [round(float(t), 4) for t in time], shown


def eye_traces(pupil: pl.DataFrame, blinks: pl.DataFrame, doubts: pl.DataFrame, *, title: str = "") -> Figure:
    """Pupil position, diameter, lid opening and gaze of one eye over time.

    Args:
        pupil: the pupil's rows of one view, with states; optionally `lid_opening`, `gaze_x_*`, `gaze_y_*`.
        blinks, doubts: tables of the same view.
        title: stands above the figure.
    """
    pupil = pupil.sort("frame_idx")
    time = pupil["timestamp_ns"].to_numpy().astype(np.float64) / 1e9
    panels: list[tuple[str, list[tuple[str, str, str]]]] = [
        ("centre, px", [("x", "center_x_px", COLORS["x"]), ("y", "center_y_px", COLORS["y"])]),
        ("diameter, px", [("diameter", "major_px", COLORS["diameter"])]),
    ]
    if "lid_opening" in pupil.columns and pupil["lid_opening"].is_not_null().any():
        panels.append(("lid opening", [("lid opening", "lid_opening", COLORS["lid"])]))
    gaze = [c for c in pupil.columns if c.startswith(("gaze_x_", "gaze_y_"))]
    if gaze:
        unit = gaze[0].rsplit("_", 1)[1]
        panels.insert(
            0, (f"gaze, {unit}", [(c[:6].replace("_", " "), c, COLORS[c[5]]) for c in sorted(gaze)])
        )
    traces: list[Figure] = []
    layout: Figure = {
        "height": 150 * len(panels) + 90, "margin": {"l": 60, "r": 15, "t": 40, "b": 40},
        "hovermode": "closest", "title": {"text": title, "font": {"size": 15}, "x": 0.01},
        "legend": {"orientation": "h", "y": 1.08, "x": 0.3},
        "xaxis": {"title": {"text": "time, s"}, "anchor": f"y{len(panels)}" if len(panels) > 1 else "y"},
    }  # fmt: skip
    gap = 0.04
    height = (1.0 - gap * (len(panels) - 1)) / len(panels)
    for i, (label, lines) in enumerate(panels):
        axis = "" if i == 0 else str(i + 1)
        top = 1.0 - i * (height + gap)
        domain = [max(0.0, top - height), top]
        layout[f"yaxis{axis}"] = {"title": {"text": label}, "domain": domain, "zeroline": False}
        for name, column, color in lines:
            values = pupil[column].cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
            x, y = thin(time, values)
            line = {"color": color, "width": 1}
            traces.append(
                {"type": "scatter", "mode": "lines", "x": x, "y": y, "yaxis": f"y{axis}", "name": name,
                 "line": line, "connectgaps": False}
            )  # fmt: skip
    traces += _doubt_marks(pupil, doubts, "3" if gaze else "2")
    layout["shapes"] = _spans(pupil, blinks)
    return {"data": traces, "layout": layout}


def _doubt_marks(pupil: pl.DataFrame, doubts: pl.DataFrame, axis: str) -> list[Figure]:
    """One marker for each doubtful frame, on the trace of the diameter."""
    mine = doubts.filter(pl.col("object") == "pupil").head(MAX_SPANS)
    if mine.is_empty():
        return []
    joined = mine.join(pupil.select("frame_idx", "major_px"), on="frame_idx", how="left")
    return [
        {"type": "scatter", "mode": "markers", "name": "doubtful", "yaxis": f"y{axis}",
         "x": [round(t / 1e9, 4) for t in joined["timestamp_ns"]],
         "y": [None if v is None else round(v, 3) for v in joined["major_px"]],
         "text": [f"frame {f}: {r}" for f, r in zip(joined["frame_idx"], joined["reason"], strict=True)],
         "hoverinfo": "text+x", "marker": {"color": COLORS["doubt"], "size": 7, "symbol": "diamond-open"}}
    ]  # fmt: skip


def _spans(pupil: pl.DataFrame, blinks: pl.DataFrame) -> list[Figure]:
    """Shaded stretches: blinks, and frames on which the pupil is lost."""
    spans = [(r["onset_ns"], r["offset_ns"], _BLINK) for r in blinks.iter_rows(named=True)]
    lost = (pupil["state"] == "lost").to_numpy()
    time = pupil["timestamp_ns"].to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8)))
    runs = [
        (int(time[a]), int(time[min(b, len(time) - 1)]), _LOST)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    # With very many, the longest: a page with thousands of shapes is slow.
    spans += sorted(runs, key=lambda s: s[0] - s[1])[:MAX_SPANS]
    return [
        {"type": "rect", "xref": "x", "yref": "paper", "x0": on / 1e9, "x1": off / 1e9, "y0": 0, "y1": 1,
         "fillcolor": color, "line": {"width": 0}, "layer": "below"}
        for on, off, color in spans
    ]  # fmt: skip


def main_sequence_figure(events: pl.DataFrame, unit: str, law: tuple[float, float] | None) -> Figure | None:
    """Peak velocity over amplitude of all saccades that no gap cuts, on logarithmic axes; None without any.

    Args:
        events: table of `eye.events.find_events`, all views.
        unit: px or deg.
        law: (k, p) of `eye.events.main_sequence`, or None.
    """
    amplitude, velocity = f"amplitude_{unit}", f"peak_velocity_{unit}_s"
    whole = (pl.col("event") == "saccade") & ~pl.col("cut").fill_null(False)
    rows = events.filter(whole & (pl.col(amplitude) > 0) & (pl.col(velocity) > 0))
    if rows.is_empty():
        return None
    traces: list[Figure] = []
    for (view,), part in sorted(rows.group_by("view"), key=lambda item: int(str(item[0][0]))):
        marker = {"size": 5, "opacity": 0.6}
        traces.append(
            {"type": "scatter", "mode": "markers", "name": f"view {view}", "marker": marker,
             "x": part[amplitude].round(3).to_list(), "y": part[velocity].round(2).to_list(),
             "customdata": [round(t / 1e9, 4) for t in part["onset_ns"]],
             "hovertemplate": f"%{{x}} {unit}, %{{y}} {unit}/s at %{{customdata}} s<extra></extra>"}
        )  # fmt: skip
    if law is not None:
        low, high = float(str(rows[amplitude].min())), float(str(rows[amplitude].max()))
        xs = np.geomspace(low, max(high, low * 1.01), 30)
        name = f"{law[0]:.3g} a^{law[1]:.2f}"
        ys = (law[0] * xs ** law[1]).round(3).tolist()
        traces.append({"type": "scatter", "mode": "lines", "name": name, "x": xs.round(4).tolist(), "y": ys})
    axes = {
        "xaxis": {"title": {"text": f"amplitude, {unit}"}, "type": "log"},
        "yaxis": {"title": {"text": f"peak velocity, {unit}/s"}, "type": "log"},
    }
    layout = {"height": 420, "margin": {"l": 70, "r": 15, "t": 20, "b": 50}, "hovermode": "closest", **axes}
    return {"data": traces, "layout": layout}
