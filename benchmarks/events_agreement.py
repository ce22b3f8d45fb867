"""Agreement of the event detectors with two human experts, sample by sample (Cohen's kappa).

    python benchmarks/events_agreement.py ../shared/data/events

Data of Andersson et al. (2017, DOI 10.3758/s13428-016-0738-9): 500 Hz gaze, labelled by MN and RA while
people looked at pictures (img), videos and moving dots. Gaze in px is turned into degrees with the screen's
geometry. Kappa of one event is that of "this event or not", over all samples both experts labelled; a
detector that does not know pursuit calls it fixation, so `fixation` of video and dots tells more about the
stimulus than about the detector. REMoDNaV is left out where it is not installed. Needs scipy (it comes with
pymovements) to read the files.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.io import loadmat

from ocusam.core.errors import OcusamError
from ocusam.eye.events import FIXATION, METHODS, PSO, PURSUIT, SACCADE, EventRules, find_events

CODES = {1: FIXATION, 2: SACCADE, 3: PSO, 4: PURSUIT, 5: "blink", 6: "undefined"}
SHOWN = (FIXATION, SACCADE, PSO, PURSUIT)
Labels = NDArray[np.str_]


def read(path: Path) -> tuple[pl.DataFrame, Labels]:
    """(samples in degrees, an expert's label of each)."""
    data: Any = loadmat(path, squeeze_me=True, struct_as_record=False)["ETdata"]
    xy = np.asarray(data.pos[:, 3:5], dtype=np.float64)
    xy[(xy == 0).any(axis=1)] = np.nan  # how the files mark lost samples
    resolution, screen = np.asarray(data.screenRes, dtype=float), np.asarray(data.screenDim, dtype=float)
    degrees = np.degrees(np.arctan((xy / resolution - 0.5) * screen / float(data.viewDist)))
    n = np.arange(len(xy))
    time = (n * 1e9 / float(data.sampFreq)).astype(np.int64)
    table = pl.DataFrame({"frame_idx": n, "timestamp_ns": time, "x": degrees[:, 0], "y": degrees[:, 1]})
    labels = np.array([CODES.get(int(code), "undefined") for code in data.pos[:, 5]])
    return table.with_columns(pl.col("x", "y").fill_nan(None)), labels


def detected(samples: pl.DataFrame, method: str) -> Labels:
    """A detector's label of each sample."""
    labels = np.full(len(samples), "none", dtype="<U16")
    for row in find_events(samples, EventRules(method=method), unit="deg").iter_rows(named=True):
        labels[row["onset_frame"] : row["offset_frame"] + 1] = row["event"]
    return labels


def kappa(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Cohen's kappa of two yes-or-no labellings; NaN where neither ever says yes."""
    if not a.any() and not b.any():
        return math.nan
    expected = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return float(((a == b).mean() - expected) / (1 - expected)) if expected < 1 else math.nan


def main() -> None:
    """Print a table for each kind of stimulus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for stimulus in ("img", "video", "dots"):
        raters: dict[str, list[Labels]] = defaultdict(list)
        for path in sorted((folder / stimulus).glob("*_MN.mat")):
            samples, mn = read(path)
            ra = read(path.with_name(path.name.replace("_MN", "_RA")))[1]
            both = min(len(mn), len(ra))  # one pair differs by two samples at the end
            samples = samples.head(both)
            raters["MN"].append(mn[:both])
            raters["RA"].append(ra[:both])
            for method in METHODS:
                try:
                    found = detected(samples, method)
                    raters[method].append(found)
                except OcusamError as error:
                    if len(raters["MN"]) == 1:
                        print(f"{method}: {error}")
        joined = {name: np.concatenate(parts) for name, parts in raters.items()}
        known = (joined["MN"] != "undefined") & (joined["RA"] != "undefined")
        print(f"\n{stimulus}: {len(raters['MN'])} recordings, {np.count_nonzero(known)} samples")
        print(f"{'':22}" + "".join(f"{event:>16}" for event in SHOWN))
        pairs = [("MN", "RA")] + [(m, e) for m in METHODS if m in joined for e in ("MN", "RA")]
        for a, b in pairs:
            values = [kappa(joined[a][known] == event, joined[b][known] == event) for event in SHOWN]
            print(f"{a + ' and ' + b:22}" + "".join(f"{v:16.2f}" for v in values))


if __name__ == "__main__":
    main()
