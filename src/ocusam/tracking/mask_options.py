"""The mask generator's options, checked.

Purpose: refuse what cannot work with what is allowed, before a network runs for minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import InputError

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")
# Option -> smallest and largest value, None for no limit.
_RANGES: dict[str, tuple[float, float | None]] = {
    "points_per_batch": (1, None),
    "pred_iou_thresh": (0, 1),
    "stability_score_thresh": (0, 1),
    "stability_score_offset": (0, None),
    "box_nms_thresh": (0, 1),
    "crop_n_layers": (0, None),
    "crop_nms_thresh": (0, 1),
    "crop_overlap_ratio": (0, 1),
    "crop_n_points_downscale_factor": (1, None),
    "min_mask_region_area": (0, None),
}
_WHOLE = ("points_per_batch", "crop_n_layers", "crop_n_points_downscale_factor")


def check_options(options: Mapping[str, Any]) -> None:
    """Check the options that `SAM2AutomaticMaskGenerator` has under these names.

    Raises:
        InputError: names the option, its value and what is allowed.
    """
    for name, (low, high) in _RANGES.items():
        value = options[name]
        whole = name in _WHOLE
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            raise InputError(f"{name}={value!r}: give a {'whole number' if whole else 'number'}.")
        if not (float(value) >= low and (high is None or float(value) <= high)):
            allowed = f"at least {low}" if high is None else f"{low} to {high}"
            raise InputError(f"{name}={value}: allowed is {allowed}.")
    if options["output_mode"] not in OUTPUT_MODES:
        raise InputError(f"output_mode={options['output_mode']!r}: use one of {', '.join(OUTPUT_MODES)}.")


def check_grids(grids: Sequence[Any], layers: int) -> list[NDArray[np.float64]]:
    """Return a user's point grids as (N, 2) arrays, one for the picture and one for each layer of crops.

    Raises:
        InputError: too few grids, another shape, or points outside 0..1.
    """
    if len(grids) < layers + 1:
        raise InputError(
            f"{len(grids)} point grids for {layers} layers of crops; give {layers + 1}: one for the whole "
            "picture and one for each layer."
        )
    checked = [np.asarray(grid, dtype=np.float64) for grid in grids]
    for i, grid in enumerate(checked):
        if grid.ndim != 2 or grid.shape[1] != 2 or not len(grid):
            raise InputError(f"Point grid {i} has shape {grid.shape}; give (N, 2), N at least 1.")
        if not ((grid >= 0) & (grid <= 1)).all():
            raise InputError(f"Point grid {i} has points outside the picture; give shares of it, 0 to 1.")
    return checked
