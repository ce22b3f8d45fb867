"""Corneal reflections that `ocusam eye` finds by itself on the real clips, beside those placed by hand.

    python benchmarks/glints_real.py ../shared/data/annotations.json [--clips d3,d4]

Every clip is tracked from one click on the pupil of each eye, none on a reflection (`--glints auto`). For
each reflection placed by hand: the distance to the nearest that was found on that frame. Printed: how many,
the share within 1 px and 2 px, the median of those within 5 px, and what was found beside the pupil. Which
lamp a name belongs to is not in the annotations, so swapped names do not show here.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import polars as pl

import ocusam
from ocusam.workflows.inputs.settings import RunSettings


def main() -> None:
    """Track and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--clips", default="d1,d2,d3,d4")
    given = parser.parse_args()
    known = json.loads(given.annotations.read_text())["clips"]
    for name in given.clips.split(","):
        clip = known[name]
        clicks = ["pupil:{},{}@{}".format(*c["pupil"], c["frame_idx"]) for c in clip["first_click"]]
        settings = RunSettings(overlay=False, report=False, masklets=False)
        recording = ocusam.track_eye(given.annotations.parent / clip["path"], clicks, settings=settings)
        rows = recording.signals.filter(
            pl.col("object").str.starts_with("cr") & (pl.col("state") == "tracked")
        )
        errors = []
        for frame in clip["frames"]:
            here = rows.filter(pl.col("frame_idx") == frame["frame_idx"])
            found = here.select("center_x_px", "center_y_px").rows()
            for x, y, *_ in frame.get("crs") or []:
                errors.append(min((math.dist((x, y), place) for place in found), default=math.inf))
        off = np.array(errors)
        near = off[off < 5.0]
        print(
            f"{name}: {len(off)} placed by hand; within 1 px {(off <= 1).mean():.0%}, within 2 px "
            f"{(off <= 2).mean():.0%}, median {np.median(near) if len(near) else math.nan:.2f} px; found "
            f"{rows.group_by('view', 'object').len().sort('view', 'object').rows()}",
            flush=True,
        )


if __name__ == "__main__":
    main()
