"""Do the network's confidences mean what they say: object score and predicted IoU?

    python benchmarks/rendered_test_set.py SCORED --clips 1000
    python benchmarks/confidence.py SCORED [--plot FILE.png]

    python benchmarks/rendered_test_set.py FITTED --clips 200 --first-seed 3000000000
    python benchmarks/confidence.py SCORED --fit FITTED [--shift] [--weights FILE --to FILE.safetensors]

Reads the lines that rendered_test_set.py wrote. Printed: the expected calibration error (15 bins) of
presence, sigmoid(object score) against "at least 3 px of it are visible", and of the predicted IoU against
the IoU, over frames on which the object is there and was said to be.

With --fit, a scale and a shift of the logits are fitted on the clips of another folder, and both errors are
printed as they would be with them on SCORED. The presence score gets a scale alone, which changes no
decision; with --shift also a shift, which moves the threshold of presence: score the weights anew then. --to
writes the weights with both inside (training/calibrate.py): an ordinary checkpoint, no other file.

A confidence is right for frames like those it was fitted on, and rendered eyes are harder than most recorded
ones. --only conditions=ordinary takes the clips of one stratum (rendered_test_set.py names them) for both,
--objects pupil,iris those objects ("cr": all reflections).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ocusam.training.calibrate import (
    Affine,
    Reliability,
    calibrated,
    fit_affine,
    logit,
    reliability,
    sigmoid,
)
from ocusam.weights.checkpoint import load_state, read_metadata, save_state
from ocusam.weights.registry import require_packaged_weights

F64 = NDArray[np.float64]


def read(folder: Path, only: str = "", objects: str = "") -> tuple[F64, F64, F64, F64]:
    """Logits of presence with truth 0 or 1, logits of predicted IoU with the IoU."""
    stratum, _, value = only.partition("=")
    rows: dict[int, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("rows*.jsonl")):
        for text in path.read_text().splitlines()[1:]:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if not only or line["strata"].get(stratum) == value:
                rows[line["clip"]] = line["rows"]
    wanted = objects.split(",") if objects else []
    every = [
        row
        for part in rows.values()
        for row in part
        if not wanted or ("cr" if row["object"].startswith("cr") else row["object"]) in wanted
    ]
    if not every:
        asked = " of ".join(word for word in (objects, only) if word)
        raise SystemExit(f"{folder} holds no scored rows" + (f" with {asked}." if asked else "."))
    masks = [row for row in every if row["present"] and row["score"] > 0]
    return (
        np.array([row["score"] for row in every], dtype=np.float64),
        np.array([row["present"] for row in every], dtype=np.float64),
        logit([row["predicted_iou"] for row in masks]),
        np.array([row["iou"] for row in masks], dtype=np.float64),
    )


def plot(curves: list[tuple[str, Reliability]], path: Path) -> None:
    """Stated against seen: one panel a curve, a disc a bin, its area the share of the frames."""
    panels = []
    for title, curve in curves:
        panel = np.full((340, 340, 3), 255, np.uint8)
        cv2.rectangle(panel, (30, 30), (310, 310), (160, 160, 160), 1)
        cv2.line(panel, (30, 310), (310, 30), (160, 160, 160), 1, cv2.LINE_AA)
        for stated, seen, count in zip(curve.stated, curve.seen, curve.count, strict=True):
            radius = 2 + round(14 * (count / max(sum(curve.count), 1)) ** 0.5)
            at = (30 + round(280 * stated), 310 - round(280 * seen))
            cv2.circle(panel, at, radius, (180, 90, 30), -1, cv2.LINE_AA)
        cv2.putText(panel, title, (30, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        cv2.putText(panel, "stated ->  seen ^", (30, 330), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1)
        panels.append(panel)
    cv2.imwrite(str(path), np.concatenate(panels, axis=1))


def main() -> None:
    """Measure, and where asked fit and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scored", type=Path, help="folder of rendered_test_set.py")
    parser.add_argument("--plot", type=Path, help="reliability plot, PNG")
    parser.add_argument("--fit", type=Path, help="folder of rendered_test_set.py with other seeds")
    parser.add_argument("--only", default="", metavar="STRATUM=VALUE", help="only such clips")
    parser.add_argument("--objects", default="", metavar="NAMES", help="only these: pupil, iris, cr")
    parser.add_argument("--shift", action="store_true", help="let the threshold of presence move too")
    parser.add_argument("--weights", type=Path, help="weights to be calibrated; the packaged ones by default")
    parser.add_argument("--to", type=Path, help="write calibrated weights here (.safetensors, float16)")
    given = parser.parse_args()
    if given.to and not given.fit:
        parser.error("--to needs --fit")
    score, present, predicted, iou = read(given.scored, given.only, given.objects)
    curves = [
        ("object score", reliability(sigmoid(score), present)),
        ("predicted IoU", reliability(sigmoid(predicted), iou)),
    ]
    if given.fit:
        fit_score, fit_present, fit_predicted, fit_iou = read(given.fit, given.only, given.objects)
        of_score = fit_affine(fit_score, fit_present, shift=given.shift)
        of_iou = fit_affine(fit_predicted, fit_iou)
        curves += [
            ("object score, fitted", reliability(sigmoid(of_score(score)), present)),
            ("predicted IoU, fitted", reliability(sigmoid(of_iou(predicted)), iou)),
        ]
        print(f"object score: {of_score}\npredicted IoU: {of_iou}")
        if given.to:
            _write(given.weights or require_packaged_weights("nano"), given.to, of_score, of_iou)
    for title, curve in curves:
        print(f"{title}: expected calibration error {curve.error:.3f} ({sum(curve.count)} frames)")
    if given.plot:
        plot(curves, given.plot)


def _write(source: Path, target: Path, score: Affine, iou: Affine) -> None:
    record = read_metadata(source) | {"calibration": f"object score {score}, predicted IoU {iou}"}
    state = calibrated(load_state(source), score=score, iou=iou)
    save_state(target, state, record, dtype=torch.float16)


if __name__ == "__main__":
    main()
