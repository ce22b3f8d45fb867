"""Calls pye3d; a program of its own, which needs nothing of ocusam.

Purpose: pye3d's wheels are built for numpy 1 (its last, 0.3.2, for Python up to 3.11) and cannot be imported
beside numpy 2, which ocusam needs. So this file can be run by another Python, in whose environment pye3d is
installed: a request as JSON on its input, the answer as JSON on its output. Where pye3d can be imported here,
`answer` is called directly.

Notable choices: it imports only what Python itself has, and pye3d. Whatever pye3d prints goes to the error
stream. Two ways to fit the eyeball: *running*, as Pupil Capture does it, the sphere following the last
observations; *whole*, one sphere for the recording: first all confident ellipses are shown to the detector,
spread over the recording, then its model is frozen and every frame is asked. Frames without a pupil are not
asked, so nothing is predicted inside blinks.

What it does not know: tables, files, units beyond those of pye3d (px, mm, rad).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from typing import Any

CONFIDENT = 0.98
"""pye3d's own threshold: only above it an observation shapes the long-term model."""
SHOWN_AT_MOST = 5000
"""Observations of the first pass; pye3d keeps some tens for each of about eighty parts of the picture."""
LONG_AGO = 1e9


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Follow all views.

    Args:
        request: `views`: for each `focal_px`, `size` [width, height], `rows` [[time s, x, y, minor, major,
            angle (Pupil Core's, deg), confidence], ...]; `refraction`, `whole`: bool.

    Returns:
        `version` of pye3d and `views`: for each `results`, one a row, and `rms_mm`, the mean distance of the
        observations' lines from the sphere's centre.

    Raises:
        ImportError, ValueError: pye3d cannot be imported.
    """
    detectors = importlib.import_module("pye3d.detector_3d")
    camera = importlib.import_module("pye3d.camera").CameraModel
    version = str(getattr(importlib.import_module("pye3d"), "__version__", ""))
    views = [_follow(view, request, detectors.Detector3D, camera) for view in request["views"]]
    return {"version": version or _installed(), "views": views}


def _follow(view: dict[str, Any], request: dict[str, Any], detector_3d: Any, camera: Any) -> dict[str, Any]:
    whole = bool(request["whole"])
    lasting = {
        "long_term_forget_time": LONG_AGO,
        "long_term_forget_observations": 1_000_000,
        "long_term_buffer_size": 100,
        "calculate_rms_residual": True,
    }
    width, height = view["size"]
    detector = detector_3d(camera(view["focal_px"], (width, height)), **(lasting if whole else {}))

    def ask(row: list[float]) -> dict[str, Any]:
        time, x, y, minor, major, angle, confidence = row
        datum = {
            "ellipse": {"center": (x, y), "axes": (minor, major), "angle": angle},
            "diameter": major,
            "location": (x, y),
            "confidence": confidence,
            "timestamp": time,
        }
        found = detector.update_and_detect(datum, None, apply_refraction_correction=request["refraction"])
        return dict(found)

    rms = None
    if whole:
        confident = [row for row in view["rows"] if row[6] > CONFIDENT]
        for row in confident[:: 1 + len(confident) // SHOWN_AT_MOST]:
            ask(row)
        rms = float(detector.long_term_model.estimate_sphere_center(calculate_rms_residual=True)[2])
        detector.is_long_term_model_frozen = True
    return {"results": [_plain(ask(row)) for row in view["rows"]], "rms_mm": rms}


def _plain(found: dict[str, Any]) -> list[float]:
    """The numbers of a result, in the order of `model.ANSWER`."""
    circle, sphere, flat, ellipse = (found[k] for k in ("circle_3d", "sphere", "projected_sphere", "ellipse"))
    values = (
        found["model_confidence"], *sphere["center"], sphere["radius"], *circle["center"], *circle["normal"],
        circle["radius"], found["diameter_3d"], found["theta"], found["phi"],
        *flat["center"], *flat["axes"], flat["angle"], *ellipse["center"], *ellipse["axes"], ellipse["angle"],
    )  # fmt: skip
    return [float(value) for value in values]


def _installed() -> str:
    try:
        return importlib.import_module("importlib.metadata").version("pye3d")  # type: ignore[no-any-return]
    except Exception:  # no metadata: only the name of the version is lost
        return ""


def main() -> None:
    """Answer the request on the standard input."""
    request = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        found = answer(request)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
