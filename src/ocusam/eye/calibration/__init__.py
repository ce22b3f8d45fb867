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
from ocusam.eye.calibration.in_force import IN_FORCE, Fitted
from ocusam.eye.calibration.shown import Shown, split
from ocusam.eye.calibration.suspects import Suspect, suspect

__all__ = [
    "CHECK_COLUMNS",
    "GAZE_COLUMNS",
    "IN_FORCE",
    "MIN_PLACES",
    "MODELS",
    "OUTSIDE_SIZES",
    "OUTSIDE_TARGETS",
    "Calibration",
    "Choice",
    "Fitted",
    "Shown",
    "Suspect",
    "calibrate",
    "drift",
    "split",
    "suspect",
]
