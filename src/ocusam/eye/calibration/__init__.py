"""From pupil and reflection to degrees: gaze held on targets, fitted, checked."""

from ocusam.eye.calibration.fit import (
    CHECK_COLUMNS,
    GAZE_COLUMNS,
    MIN_PLACES,
    MODELS,
    OUTSIDE_SIZES,
    OUTSIDE_TARGETS,
    Calibration,
    Choice,
    calibrate,
    drift,
)

__all__ = [
    "CHECK_COLUMNS",
    "GAZE_COLUMNS",
    "MIN_PLACES",
    "MODELS",
    "OUTSIDE_SIZES",
    "OUTSIDE_TARGETS",
    "Calibration",
    "Choice",
    "calibrate",
    "drift",
]
