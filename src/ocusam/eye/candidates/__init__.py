"""Where a pupil could be on one picture, without a network: seeds, rims, the figures they are judged by."""

from ocusam.eye.candidates.features import NAMES, WEIGHTS, Described, View, describe
from ocusam.eye.candidates.rims import rays, sample
from ocusam.eye.candidates.search import WORK_SIDE, Candidate, as_grey, ellipses_of, find_candidates, prepare

__all__ = [
    "NAMES",
    "WEIGHTS",
    "WORK_SIDE",
    "Candidate",
    "Described",
    "View",
    "as_grey",
    "describe",
    "ellipses_of",
    "find_candidates",
    "prepare",
    "rays",
    "sample",
]
