"""Corneal reflections: the exact centre of a spot (`spot`), spots followed without masks (`follow`)."""

from ocusam.eye.reflection.spot import VECTOR_COLUMNS, Spot, locate_reflection, with_pupil_cr_vectors

__all__ = [
    "VECTOR_COLUMNS",
    "Spot",
    "locate_reflection",
    "with_pupil_cr_vectors",
]
