"""Fixations, saccades, pursuit, oscillations, microsaccades, and the quality of each."""

from ocusam.eye.events.event_quality import BINOCULAR, QUALITY_OF_EVENT, with_both_eyes, with_quality
from ocusam.eye.events.find import (
    FIXATION,
    METHODS,
    MICRO_DEG,
    PSO,
    PURSUIT,
    SACCADE,
    EventRules,
    event_columns,
    find_events,
    fixations,
    main_sequence,
    saccades,
    velocities,
)
from ocusam.eye.events.grid import Grid, regular

__all__ = [
    "BINOCULAR",
    "FIXATION",
    "METHODS",
    "MICRO_DEG",
    "PSO",
    "PURSUIT",
    "QUALITY_OF_EVENT",
    "SACCADE",
    "EventRules",
    "Grid",
    "event_columns",
    "find_events",
    "fixations",
    "main_sequence",
    "regular",
    "saccades",
    "velocities",
    "with_both_eyes",
    "with_quality",
]
