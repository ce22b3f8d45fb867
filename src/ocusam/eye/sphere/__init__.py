"""A model of the eyeball from pupil ellipses, by pye3d: its place, its direction, its pupil in mm."""

from ocusam.eye.calibration.held_gaze import DIRECTION_COLUMNS
from ocusam.eye.sphere.model import (
    EYE3D_COLUMNS,
    FITS,
    EyeCamera,
    SphereSettings,
    request_of,
    summary_of,
    table_of,
)

__all__ = [
    "DIRECTION_COLUMNS",
    "EYE3D_COLUMNS",
    "FITS",
    "EyeCamera",
    "SphereSettings",
    "request_of",
    "summary_of",
    "table_of",
]
