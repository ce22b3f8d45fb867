"""How far the lids are open, and the blinks."""

from ocusam.eye.blink.classify import (
    BLINK_COLUMNS,
    FULL,
    PARTIAL,
    BlinkRules,
    classify,
    classify_rows,
    perclos,
)
from ocusam.eye.blink.states import LID_OPENING

__all__ = [
    "BLINK_COLUMNS",
    "FULL",
    "LID_OPENING",
    "PARTIAL",
    "BlinkRules",
    "classify",
    "classify_rows",
    "perclos",
]
