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

from ocusam.eye.long_rows import STATES, ObjectRows

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


def eye_traces(
    pupil: ObjectRows,
    blinks: pl.DataFrame,
    doubts: pl.DataFrame,
    gaze_rows: pl.DataFrame | None = None,
    *,
    title: str = "",
    zero_ns: int = 0,
) -> Figure:
    """Pupil position, diameter, lid opening and gaze of one eye over time.

    x and y have a panel each: where they lie far apart, one for both would show neither's movement.

    Args:
        pupil: the pupil's rows of one view, with states.
        blinks, doubts: tables of the same view.
        gaze_rows: frame_idx, `gaze_x_*`, `gaze_y_*` of the same view, or None.
        title: stands above the figure.
        zero_ns: what times count from.
    """
    time = (pupil.time_ns - zero_ns).astype(np.float64) / 1e9
    panels: list[tuple[str, list[tuple[str, str, str]]]] = [
        ("x, px", [("x", "center_x_px", COLORS["x"])]),
        ("y, px", [("y", "center_y_px", COLORS["y"])]),
        ("diameter, px", [("diameter", "major_px", COLORS["diameter"])]),
    ]
    if "lid_opening" in pupil.names and np.isfinite(pupil.read("lid_opening")).any():
        panels.append(("lid opening", [("lid opening", "lid_opening", COLORS["lid"])]))
    gaze = [] if gaze_rows is None else [c for c in gaze_rows.columns if c.startswith(("gaze_x_", "gaze_y_"))]
    if gaze_rows is not None and gaze:
        frames = pl.DataFrame({"frame_idx": pupil.frame_idx})
        gaze_rows = frames.join(gaze_rows, on="frame_idx", how="left", maintain_order="left")
        unit = gaze[0].rsplit("_", 1)[1]
        panels.insert(
            0, (f"gaze, {unit}", [(c[:6].replace("_", " "), c, COLORS[c[5]]) for c in sorted(gaze)])
        )
    traces: list[Figure] = []
    layout: Figure = {
        "height": 120 * len(panels) + 90, "margin": {"l": 60, "r": 15, "t": 40, "b": 40},
        "hovermode": "x", "title": {"text": title, "font": {"size": 15}, "x": 0.01},
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
            if gaze_rows is not None and column in gaze:
                values = gaze_rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            else:
                values = pupil.read(column) if column == "lid_opening" else pupil.numbers(column)
            x, y = thin(time, values)
            line = {"color": color, "width": 1}
            traces.append(
                {"type": "scatter", "mode": "lines", "x": x, "y": y, "yaxis": f"y{axis}", "name": name,
                 "line": line, "connectgaps": False}
            )  # fmt: skip
    traces += _doubt_marks(pupil, doubts, "4" if gaze else "3", zero_ns)
    layout["shapes"] = _spans(pupil, blinks, zero_ns)
    return {"data": traces, "layout": layout}


def _doubt_marks(pupil: ObjectRows, doubts: pl.DataFrame, axis: str, zero_ns: int) -> list[Figure]:
    """One marker for each doubtful frame, on the trace of the diameter."""
    mine = doubts.filter(pl.col("object") == "pupil").head(MAX_SPANS)
    if mine.is_empty():
        return []
    at = np.searchsorted(pupil.frame_idx, mine["frame_idx"].to_numpy())
    width = pupil.numbers("major_px")[at]
    return [
        {"type": "scatter", "mode": "markers", "name": "doubtful", "yaxis": f"y{axis}",
         "x": [round((t - zero_ns) / 1e9, 4) for t in mine["timestamp_ns"]],
         "y": [round(float(v), 3) if np.isfinite(v) else None for v in width],
         "text": [f"frame {f}: {r}" for f, r in zip(mine["frame_idx"], mine["reason"], strict=True)],
         "hoverinfo": "text+x", "marker": {"color": COLORS["doubt"], "size": 7, "symbol": "diamond-open"}}
    ]  # fmt: skip


def _spans(pupil: ObjectRows, blinks: pl.DataFrame, zero_ns: int) -> list[Figure]:
    """Shaded stretches: blinks, and frames on which the pupil is lost."""
    spans = [(r["onset_ns"], r["offset_ns"], _BLINK) for r in blinks.iter_rows(named=True)]
    lost, time = pupil.states == STATES.index("lost"), pupil.time_ns
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8)))
    runs = [
        (int(time[a]), int(time[min(b, len(time) - 1)]), _LOST)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    # With very many, the longest: a page with thousands of shapes is slow.
    spans += sorted(runs, key=lambda s: s[0] - s[1])[:MAX_SPANS]
    return [
        {"type": "rect", "xref": "x", "yref": "paper", "x0": (on - zero_ns) / 1e9,
         "x1": (off - zero_ns) / 1e9, "y0": 0, "y1": 1,
         "fillcolor": color, "line": {"width": 0}, "layer": "below"}
        for on, off, color in spans
    ]  # fmt: skip


def main_sequence_figure(
    events: pl.DataFrame, unit: str, law: tuple[float, float] | None, zero_ns: int = 0
) -> Figure | None:
    """Peak velocity over amplitude of all saccades that no gap cuts, on logarithmic axes; None without any.

    Args:
        events: table of `eye.events.find_events`, all views.
        unit: px or deg.
        law: (k, p) of `eye.events.main_sequence`, or None.
        zero_ns: what times count from.
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
             "customdata": [round((t - zero_ns) / 1e9, 4) for t in part["onset_ns"]],
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
