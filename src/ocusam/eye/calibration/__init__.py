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
from ocusam.eye.calibration.suspects import Suspect, suspect

__all__ = [
    "CHECK_COLUMNS",
    "GAZE_COLUMNS",
    "MIN_PLACES",
    "MODELS",
    "OUTSIDE_SIZES",
    "OUTSIDE_TARGETS",
    "Calibration",
    "Choice",
    "Suspect",
    "calibrate",
    "drift",
    "suspect",
]
