"""How exact are pupil centre and diameter when a lid covers part of the pupil?

    python benchmarks/rim_under_lids.py [--eyes 400] [--out FILE.json] [--plot FILE.png]

Eyes are rendered with the lid at many heights. The mask given to the measurement is the true visible pupil,
sampled as coarsely as the network's answer (64 x 64 over 480 x 360 px) with a little noise, so that the
question is about measuring, not about the network. Compared: (b) cv2.fitEllipse on the outline of the binary
mask, (m) our fit to the mask's true rim, (p) ours refined on the picture's edge, as `ocusam eye` does it.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.signals import measure
from ocusam.synthetic.eye import EyeFrame, iter_eye_frames, lab_style

SIZE = (360, 480)
GRID = 64
BINS = (0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEED = 20_000_000


def eye(seed: int) -> EyeFrame:
    """A laboratory eye whose lid is at a random height."""
    rng = np.random.default_rng(seed)
    style = lab_style(int(rng.integers(0, 4)))
    motion = replace(
        style.motion,
        openness=float(rng.uniform(0.15, 0.7)),
        pupil_ratio=float(rng.uniform(0.3, 0.7)),
        gaze_range=(6.0, 6.0),
    )
    return next(iter_eye_frames(seed, 1, SIZE, 60.0, replace(style, motion=motion)))


def coarse_logits(frame: EyeFrame, seed: int) -> NDArray[np.float32]:
    """The visible pupil as the network would answer it."""
    share = cv2.resize(frame.coverage["pupil"], (GRID, GRID), interpolation=cv2.INTER_AREA) / 255.0
    noise = np.random.default_rng(seed).normal(0.0, 0.3, share.shape)
    return np.asarray(8.0 * (share - 0.5) + noise, dtype=np.float32)


def plain_fit(logits: NDArray[np.float32]) -> Ellipse | None:
    """cv2.fitEllipse on the largest outline of the binary mask at the picture's size."""
    mask = (cv2.resize(logits, SIZE[::-1], interpolation=cv2.INTER_LINEAR) > 0).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea, default=None)
    if outline is None or len(outline) < 5:
        return None
    (x, y), (minor, major), angle = cv2.fitEllipse(outline)
    return Ellipse((x, y), (max(major, minor), min(major, minor)), (angle + 90.0) % 180.0)


def errors(found: Ellipse | None, truth: Ellipse) -> tuple[float, float]:
    """Centre and major axis, as shares of the true major axis; NaN when nothing was found."""
    if found is None:
        return math.nan, math.nan
    return math.dist(found.center, truth.center) / truth.major, abs(found.major / truth.major - 1.0)


def main() -> None:
    """Render, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--eyes", type=int, default=400)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    rows = []
    for i in range(given.eyes):
        frame = eye(SEED + i)
        truth, covered = frame.ellipses["pupil"], 1.0 - frame.pupil_visible_fraction
        if truth is None or covered >= BINS[-1]:
            continue
        logits = coarse_logits(frame, SEED + i)
        by_mask = measure(logits, SIZE, "pupil", predicted_iou=0.9, object_score=5.0)
        by_edge = measure(logits, SIZE, "pupil", predicted_iou=0.9, object_score=5.0, picture=frame.image)
        found = (plain_fit(logits), by_mask.ellipse, by_edge.ellipse)
        rows.append((covered, by_edge.edge == "picture", *(v for e in found for v in errors(e, truth))))
    table = np.array(rows, dtype=np.float64)
    out = []
    print("errors of the centre, then of the diameter, as shares of the diameter: median (90th percentile)")
    print("covered     eyes  cv2.fitEllipse       mask's rim           picture's edge     on the picture")
    for low, high in pairwise(BINS):
        part = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if not len(part):
            continue
        row: dict[str, object] = {"from": low, "to": high, "eyes": len(part)}
        for what, columns in (("centre", [2, 4, 6]), ("diameter", [3, 5, 7])):
            mid, high_end = (np.nanpercentile(part[:, columns], q, axis=0) for q in (50, 90))
            cells = "  ".join(
                f"{100 * a:5.2f} % ({100 * b:5.2f} %)" for a, b in zip(mid, high_end, strict=True)
            )
            print(f"{low:.2f}-{high:.2f}  {len(part):5d}  {cells}   {part[:, 1].mean():.0%}  {what}")
            row |= {what: mid.tolist(), f"{what}_p90": high_end.tolist()}
        out.append(row | {"on_picture": float(part[:, 1].mean())})
    if given.out:
        given.out.write_text(json.dumps(out, indent=1) + "\n")
    if given.plot:
        _plot(table, given.plot)


def _plot(table: NDArray[np.float64], path: Path) -> None:
    """Errors of centre (left) and diameter (right) against coverage, a dot an eye: red cv2.fitEllipse, green
    ours. The lowest line is at 3 %; what is larger than 20 % lies at the top."""
    panels = []
    for first, title in ((2, "centre"), (3, "diameter")):
        canvas = np.full((420, 640, 3), 255, np.uint8)
        for column, color in ((first, (60, 60, 220)), (first + 4, (40, 150, 40))):
            for covered, error in table[:, [0, column]]:
                if np.isfinite(error):
                    x, y = 40 + round(covered / 0.6 * 580), 400 - round(min(error, 0.2) / 0.2 * 380)
                    cv2.circle(canvas, (x, y), 3, color, -1, cv2.LINE_AA)
        for share in (0.03, 0.1, 0.2):
            y = 400 - round(share / 0.2 * 380)
            cv2.line(canvas, (40, y), (620, y), (180, 180, 180), 1)
            _write(canvas, f"{share:.0%}", (2, y + 4))
        for covered in (0.0, 0.2, 0.4, 0.6):
            _write(canvas, f"{covered:.0%}", (28 + round(covered / 0.6 * 570), 416))
        note = f"error of the {title} over the diameter, against the covered share"
        _write(canvas, note, (60, 14))
        for row, (name, color) in enumerate(
            (("cv2.fitEllipse on the mask", (60, 60, 220)), ("ours", (40, 150, 40)))
        ):
            cv2.circle(canvas, (70, 40 + 18 * row), 4, color, -1, cv2.LINE_AA)
            _write(canvas, name, (82, 44 + 18 * row))
        panels.append(canvas)
    cv2.imwrite(str(path), np.hstack(panels))


def _write(canvas: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()
