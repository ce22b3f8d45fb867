"""Scores of the lines that rendered_test_set.py writes: means and medians, by stratum, as a table.

No command of its own. A line is a clip, its rows are objects on frames; a lost object has an IoU of 0, and
its centre is infinitely far off.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

Row = dict[str, Any]


def summary(lines: list[Row]) -> dict[str, Any]:
    """All scores of some lines."""
    rows = [row for line in lines for row in line["rows"]]
    out: dict[str, Any] = {"clips": len(lines), "presence": _presence(rows)}
    for name in ("pupil", "iris"):
        own = [row for row in rows if row["object"] == name and row["present"]]
        if own:
            out[name] = _shape_scores(own)
    spots = [r for r in rows if r["object"].startswith("cr") and r["present"] and r["visible_share"] >= 0.5]
    if spots:
        out["cr"] = {"frames": len(spots)} | {
            f"within_1_px_{way}": _within(spots, way) for way in ("mask", "picture", "followed")
        }
        own = [r for r in spots if r.get("alone")]
        out["cr"] |= {"frames_alone": len(own), "within_1_px_followed_alone": _within(own, "followed")}
        absent = [r for r in rows if "followed" in r and not r["present"]]
        out["cr"] |= {
            "frames_absent": len(absent),
            "said_there_mask": _mean([r["score"] > 0 for r in absent]),
            "said_there_followed": _mean([r["followed"] for r in absent]),
        }
    return out


def _within(spots: list[Row], way: str) -> float | None:
    """Share of reflections within 1 px; None where none was scored in this way."""
    if not any(f"off_px_{way}" in r for r in spots):
        return None
    return _mean([_or(r.get(f"off_px_{way}"), math.inf) <= 1 for r in spots])


def _shape_scores(own: list[Row]) -> dict[str, Any]:
    ious = [row["iou"] for row in own]
    scores: dict[str, Any] = {"frames": len(own), "iou_mean": _mean(ious), "iou_median": _median(ious)}
    scores["lost"] = sum(row["score"] <= 0 for row in own)
    scores["iou_median_found"] = _median([row["iou"] for row in own if row["score"] > 0])
    for way in ("mask", "picture"):
        scores[f"ellipse_iou_{way}_mean"] = _mean([_or(r.get(f"ellipse_iou_{way}"), 0.0) for r in own])
        scores[f"ellipse_iou_{way}_median"] = _median([_or(r.get(f"ellipse_iou_{way}"), 0.0) for r in own])
        off = [_or(r.get(f"off_px_{way}"), math.inf) / r["major_px"] for r in own if "major_px" in r]
        scores[f"centre_error_rel_{way}_median"] = _median(off)
    return scores


def _presence(rows: list[Row]) -> dict[str, Any]:
    """F1 of "it is there" and of "it is not there", over all objects."""
    said, real = np.array([r["score"] > 0 for r in rows]), np.array([r["present"] for r in rows])
    out: dict[str, Any] = {"frames": len(rows), "absent": int((~real).sum())}
    for name, a, b in (("f1", said, real), ("f1_absent", ~said, ~real)):
        out[name] = round(float(2 * (a & b).sum() / int(a.sum() + b.sum())), 4) if b.any() else None
    return out


def by_stratum(lines: list[Row]) -> dict[str, dict[str, Any]]:
    """The scores of every stratum; occlusion is a frame's, the others are a clip's."""
    groups: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        for name, value in line["strata"].items():
            groups[name][value].append(line)
        shares = {r["frame"]: r["visible_share"] for r in line["rows"] if r["object"] == "pupil"}
        for low, high, name in ((0.9, 1.1, "under .1"), (0.5, 0.9, ".1 to .5"), (0.0, 0.5, "over .5")):
            part = [r for r in line["rows"] if low <= shares.get(r["frame"], 1.0) < high]
            if part:
                groups["occlusion of the pupil"][name].append(line | {"rows": part})
    return {name: {v: summary(part) for v, part in sorted(parts.items())} for name, parts in groups.items()}


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _mean(values: list[Any]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _median(values: list[float]) -> float | None:
    middle = float(np.median(values)) if values else math.inf
    return round(middle, 4) if math.isfinite(middle) else None


def table(scores: dict[str, Any]) -> str:
    """The scores as a table in Markdown, one row for each value of each stratum."""
    heads = ("stratum", "clips", "pupil, mask IoU: mean, median", "pupil, on the edge: mean, median")
    heads += ("pupil centre / diameter", "iris, mask IoU: mean, median", "iris, on the edge: mean, median")
    heads += ("reflections within 1 px: at the mask, followed", "presence F1, absence F1")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    parts = {"all": scores["all"]}
    for name, values in scores["strata"].items():
        parts |= {f"{name}: {value}": part for value, part in values.items()}
    for name, part in parts.items():
        pupil, iris, spots = part.get("pupil", {}), part.get("iris", {}), part.get("cr", {})
        cells = [
            name,
            part["clips"],
            _cells(pupil, "iou_mean", "iou_median"),
            _cells(pupil, "ellipse_iou_picture_mean", "ellipse_iou_picture_median"),
            _cells(pupil, "centre_error_rel_picture_median"),
            _cells(iris, "iou_mean", "iou_median"),
            _cells(iris, "ellipse_iou_picture_mean", "ellipse_iou_picture_median"),
            _cells(spots, "within_1_px_picture", "within_1_px_followed"),
            _cells(part["presence"], "f1", "f1_absent"),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _cells(part: dict[str, Any], *names: str) -> str:
    values = [part.get(name) for name in names]
    return ", ".join("-" if value is None else f"{value:.3f}".removeprefix("0") for value in values)
