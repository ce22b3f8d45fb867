"""How much of what `nano` misses on rendered clips could be seen at all?

    python benchmarks/rendered_test_set.py SCORED --clips 1000
    python benchmarks/rendered_seen.py SCORED

Reads the lines of rendered_test_set.py, renders their frames again (no network, a tenth of a second each
clip) and splits the scores of pupil and iris by the step of grey levels at their border on that very frame
(`rendered_strata.look`: medians within 5 px on both sides, reflections left out; 0 where too little of both
sides shows). "plainly there" are frames on which the step is 6 levels or more, at least half of the object is
in sight, the pupil is 12 px or larger, and the iris is not squeezed to less than half of its width: what a
person could outline. Strata of a clip are told by its first frame, and a clip whose first frame is fine may
fade, close or burn out later.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rendered_strata import Seen, look
from rendered_test_set import PICTURE, make_clip

STEPS = (0, 3, 6, 10, 15, 30, 256)
"""Bands of grey levels, from and below."""


def lines_of(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Settings and lines of all files of a folder."""
    for path in sorted(folder.glob("rows*.jsonl")):
        words = [text for text in path.read_text().splitlines() if text]
        for text in words[1:]:
            yield json.loads(words[0]), json.loads(text)


def rows_of(folder: Path) -> dict[str, NDArray[np.float64]]:
    """By object (N, 4): IoU of the mask, of the ellipse on the picture's edge, the step, plainly there."""
    out: dict[str, list[tuple[float, ...]]] = {"pupil": [], "iris": []}
    for head, line in lines_of(folder):
        cell = head["size"] ** 2 / (PICTURE[0] * PICTURE[1])
        clip = make_clip(line["clip"], head["frames"], cell, head["first_seed"])
        assert clip.seed == line["seed"], "the renderer has changed since these lines were written"
        seen = [look(frame) for frame in clip.frames]
        for row in line["rows"]:
            if row["object"] in out and row["present"]:
                shown = seen[row["frame"]]
                step = 0.0 if shown is None else _step(shown, row["object"])
                on_edge = row.get("ellipse_iou_picture") or 0.0
                out[row["object"]].append((row["iou"], on_edge, step, plainly(shown, step, row)))
    return {name: np.array(rows, dtype=np.float64).reshape(-1, 4) for name, rows in out.items()}


def _step(seen: Seen, name: str) -> float:
    return seen.pupil_step if name == "pupil" else seen.limbus_step


def plainly(seen: Seen | None, step: float, row: dict[str, Any]) -> bool:
    """Whether a person could outline it."""
    return (
        seen is not None
        and step >= 6
        and row["visible_share"] >= 0.5
        and seen.pupil_px >= 12
        and seen.roundness >= 0.5
    )


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of rendered_test_set.py")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    print("| object | step at its border | frames | mask IoU, mean (median) | on the picture's edge |")
    print("|---|---|---|---|---|")
    for name, rows in rows_of(given.folder).items():
        bands = [
            (
                f"{low} to {high} levels" if high < 256 else f"{low} and more",
                (rows[:, 2] >= low) & (rows[:, 2] < high),
            )
            for low, high in pairwise(STEPS)
        ]
        for what, here in [("all", rows[:, 2] >= 0), *bands, ("plainly there", rows[:, 3] > 0)]:
            if here.any():
                mask, edge = rows[here, 0], rows[here, 1]
                print(
                    f"| {name} | {what} | {here.mean():.1%} | {mask.mean():.3f} ({np.median(mask):.3f}) | "
                    f"{edge.mean():.3f} ({np.median(edge):.3f}) |"
                )


if __name__ == "__main__":
    main()
