"""Other programs' pupil detectors on a folder of pictures; other_trackers.py starts this file.

    python benchmarks/other_detectors.py DETECTOR FOLDER

It runs in a Python of its own, where the detector is installed and ocusam need not be:

    pip install "numpy<2" pupil-detectors opencv-python-headless                      # Detector2D
    pip install "numpy<2" tensorflow-cpu scikit-image scikit-video opencv-python-headless
    pip install --no-deps deepvog                       # it asks for tensorflow-gpu, which is no more

DETECTOR is `detector2d` (Pupil Core's, its default settings), `detector2d-sized` (told `diameters`, the range
to expect), `detector2d-N` (told `box`, where to look, too, and an intensity range of N grey levels) or
`deepvog`. FOLDER/pictures.json lists the grey pictures, all in px: [{"name", "diameters": [low, high], "box":
[x0, y0, x1, y1]}].

One line a picture goes to FOLDER/DETECTOR.jsonl at once: centre, full axes (px, pixel centres at integers),
angle of the first axis (degrees from +x towards +y), all None where nothing was found, and the detector's own
confidence. The first line has the versions. Pictures that are there already are not looked at again.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Found = dict[str, Any]
Told = dict[str, Any]
NOTHING: Found = {"center": None, "axes": None, "angle": None, "confidence": 0.0}
PACKAGES = {
    "detector2d": ("pupil-detectors",),
    "deepvog": ("deepvog", "tensorflow-cpu", "keras", "scikit-image"),
}
DEEPVOG_SIZE = (240, 320)
BATCH = 4


def stretched(found: Found, x: float, y: float) -> Found:
    """An ellipse of a picture that was resized, in px of the original, which is x, y times as large."""
    angle = math.radians(found["angle"])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    # The ellipse is this matrix times the unit circle; its singular values are the axes.
    shape = np.diag([x, y]) @ turn @ np.diag(found["axes"])
    directions, axes, _ = np.linalg.svd(shape)
    center = [(v + 0.5) * s - 0.5 for v, s in zip(found["center"], (x, y), strict=True)]
    angle = math.degrees(math.atan2(directions[1, 0], directions[0, 0])) % 180.0
    return {**found, "center": center, "axes": [float(a) for a in axes], "angle": angle}


def by_detector2d(pictures: Iterable[tuple[np.ndarray, Told]], variant: str) -> Iterator[Found]:
    """Pupil Core's detector; its result has diameters, the minor one first, and the angle of that one.

    Args:
        pictures: grey, with their entries of the list.
        variant: "" (default settings), "sized", or an intensity range.
    """
    from pupil_detectors import Detector2D, Roi

    for picture, told in pictures:
        settings, place = {}, None
        if variant:
            low, high = told["diameters"]
            settings = {"pupil_size_min": math.floor(low), "pupil_size_max": math.ceil(high)}
        if variant not in ("", "sized"):
            settings["intensity_range"] = int(variant)
            place = Roi(*told["box"])
        result = Detector2D(settings).detect(np.ascontiguousarray(picture), roi=place)
        ellipse = result["ellipse"]
        if min(ellipse["axes"]) <= 0:
            yield NOTHING
            continue
        yield {
            "center": list(ellipse["center"]),
            "axes": list(ellipse["axes"]),
            "angle": ellipse["angle"],
            "confidence": result["confidence"],
        }


def by_deepvog(pictures: Iterable[tuple[np.ndarray, Told]]) -> Iterator[Found]:
    """DeepVOG's network, its preparation of pictures, its ellipse and its confidence, step by step as its
    own `gaze_inferer` takes them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    import deepvog
    from deepvog.CheckEllipse import computeEllipseConfidence
    from deepvog.draw_ellipse import fit_ellipse_compact

    yy, xx = np.mgrid[: DEEPVOG_SIZE[0], : DEEPVOG_SIZE[1]]
    if fit_ellipse_compact(((xx - 160) ** 2 + (yy - 120) ** 2 < 900).astype(float)) is None:
        # It calls numpy.mat and takes every error for "no ellipse".
        raise SystemExit("DeepVOG fits no ellipse to a disc; it needs numpy<2.")
    network = deepvog.load_DeepVOG()
    waiting = list(pictures)
    for k in range(0, len(waiting), BATCH):
        part = [picture for picture, _ in waiting[k : k + BATCH]]
        ready = [
            deepvog.gaze_inferer._preprocess_image(
                np.repeat(p[..., None], 3, axis=2), p.shape == DEEPVOG_SIZE
            )
            for p in part
        ]
        maps = network.predict_on_batch(np.array(ready))[..., 1]
        for picture, share in zip(part, maps, strict=True):
            fitted = fit_ellipse_compact(share)
            if fitted is None or not np.all(np.isfinite(np.hstack(fitted))):
                yield NOTHING
                continue
            center, half_x, half_y, radians = fitted
            inside = float(computeEllipseConfidence(share, center, half_x, half_y, radians))
            found = {
                "center": [float(v) for v in center],
                "axes": [2 * float(half_x), 2 * float(half_y)],
                "angle": math.degrees(radians),
                "confidence": inside if math.isfinite(inside) else 0.0,
            }
            yield stretched(found, picture.shape[1] / DEEPVOG_SIZE[1], picture.shape[0] / DEEPVOG_SIZE[0])


def main(detector: str, folder: Path) -> None:
    """Look at the pictures that have no line yet."""
    import cv2

    cv2.setNumThreads(1)
    path = folder / f"{detector}.jsonl"
    program, _, variant = detector.partition("-")
    head = {"versions": {name: version(name) for name in (*PACKAGES[program], "numpy")}}
    lines = path.read_text().splitlines() if path.is_file() else []
    if lines and json.loads(lines[0]) != head:
        raise SystemExit(f"{path} is of other versions; remove it first.")
    done = {json.loads(line)["name"] for line in lines[1:]}
    wanted = [p for p in json.loads((folder / "pictures.json").read_text()) if p["name"] not in done]
    if not wanted:
        return
    pictures = ((cv2.imread(str(folder / f"{p['name']}.png"), cv2.IMREAD_GRAYSCALE), p) for p in wanted)
    run = by_deepvog(pictures) if program == "deepvog" else by_detector2d(pictures, variant)
    with path.open("a") as file:
        if not lines:
            file.write(json.dumps(head) + "\n")
        for picture, found in zip(wanted, run, strict=True):
            file.write(json.dumps({"name": picture["name"], **found}) + "\n")
            file.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
