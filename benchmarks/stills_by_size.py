"""What do the network's input size and the refinement on the picture's edge give on single pictures?

    python benchmarks/stills_by_size.py ../shared/data/annotations.json [--sizes 256,384] [--weights FILE]

Every annotated frame is clicked where its truth says and scored by itself (as `ocusam evaluate --stills`
does), once with ellipses fitted to the mask alone, once refined on the picture's own edge. Printed: the
median IoU of the filled ellipses. The weights do not depend on the input size; `nano` was trained at 256 px
at most.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from ocusam.core.masklet import ObjectFrame
from ocusam.eye.whole_frame import Measured, measure_frame
from ocusam.model.config import get_config
from ocusam.workflows import evaluate
from ocusam.workflows.scoring.annotations import read_annotations


@contextmanager
def by_the_mask_alone() -> Iterator[None]:
    """Measure without the picture."""

    def measure(objects: list[ObjectFrame], *, spots: bool) -> Measured:
        return measure_frame([replace(item, picture=None) for item in objects], spots=spots)

    with mock.patch.object(evaluate, "measure_frame", measure):
        yield


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--sizes", default="256,384")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--bare-clicks", action="store_true", help="as `ocusam eye --bare-clicks`")
    given = parser.parse_args()
    for size in map(int, given.sizes.split(",")):
        config = get_config("nano", image_size=size)
        for clip in read_annotations(given.annotations):
            clear = not given.bare_clicks
            refined = evaluate.evaluate_stills(clip, model=config, weights=given.weights, clear_clicks=clear)
            with by_the_mask_alone():
                plain = evaluate.evaluate_stills(
                    clip, model=config, weights=given.weights, clear_clicks=clear
                )
            for name, score in refined.scores.items():
                by_mask, by_edge = plain.scores[name].iou_median, score.iou_median
                if by_mask is not None and by_edge is not None:
                    sys.stdout.write(
                        f"{size} px  {clip.name} {name:5s}  mask {by_mask:.3f}  picture {by_edge:.3f}\n"
                    )
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
