"""What users give the predictors, checked and in the network's units.

Purpose: points, boxes and masks in pixels of the picture become points and masks of the square network input;
what cannot be used is refused with its reason.

Notable choices: where a picture ends is said once, in `core.prompts.check_point_inside`. With
`normalize_coords=False` coordinates are shares of the picture (0 to 1), as in the published predictors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ocusam.core.errors import PromptError
from ocusam.core.prompts import check_point_inside
from ocusam.model.values import PointPrompt

FloatArray = NDArray[np.floating[Any]]
BOX_LABELS = (2, 3)


def make_points(
    points: Any,
    labels: Any,
    box: Any,
    size: tuple[int, int],
    image_size: int,
    *,
    normalize_coords: bool = True,
) -> PointPrompt:
    """Return the prompt of one object: box corners in front, then points.

    Args:
        points: (N, 2) x, y, or None.
        labels: (N,) -1 padding, 0 off the object, 1 on it, 2 and 3 corners of a box; or None.
        box: (4,) x0, y0, x1, y1, or None.
        size: (height, width) of the picture.
        image_size: side of the network's input.
        normalize_coords: coordinates are pixels of the picture; else shares of it.

    Raises:
        PromptError: neither points nor a box, shapes that disagree, unknown labels, points outside, a box
            whose middle is.
    """
    given = [_as_array(values, np.float32) for values in (points, labels) if values is not None]
    if box is not None and len(given) == 2 and not any(values.size for values in given):
        points = labels = None  # empty lists beside a box mean none
    clicks = make_point_batch(points, labels, size, image_size, normalize_coords=normalize_coords)
    corners = make_boxes(box, size, image_size, normalize_coords=normalize_coords)
    for prompt in (clicks, corners):
        if prompt is not None and len(prompt.labels_bn) != 1:
            raise PromptError(f"Prompts for {len(prompt.labels_bn)} objects in one call; give one object's.")
    if corners is None:
        if clicks is None:
            raise PromptError("Give at least one point with its label, or a box.")
        return clicks
    return corners if clicks is None else join_points(corners, clicks)


def make_point_batch(
    points: Any, labels: Any, size: tuple[int, int], image_size: int, *, normalize_coords: bool = True
) -> PointPrompt | None:
    """Return the points of B objects: (N, 2) with (N,) labels for one, (B, N, 2) with (B, N) for several.

    Raises:
        PromptError: points without labels or the reverse, shapes that disagree, unknown labels, coordinates
            outside.
    """
    if (points is None) != (labels is None):
        raise PromptError("Points and labels belong together: give both or neither.")
    if points is None:
        return None
    coords, marks = _as_array(points, np.float32), _as_array(labels, np.float64)
    if coords.shape == (2,):
        coords = coords[None]
    if coords.ndim == 2:
        coords, marks = coords[None], marks.reshape(1, -1)
    elif coords.ndim == 3 and len(coords) == 1:
        marks = marks.reshape(1, -1)
    if coords.ndim != 3 or coords.shape[2] != 2 or coords.shape[:2] != marks.shape or not coords.size:
        raise PromptError(
            f"Points have shape {coords.shape} and labels {marks.shape}: give points (N, 2) and labels "
            "(N,), N at least 1."
        )
    if not np.isin(marks, (-1, 0, 1, 2, 3)).all():
        raise PromptError(
            f"Labels {marks.ravel().tolist()}: allowed are 1 (on the object), 0 (off it), 2 and 3 "
            "(corners of a box) and -1 (padding)."
        )
    _check_inside(coords[marks != -1], size, "point", normalize_coords)
    return _prompt(coords, marks, size, image_size, normalize_coords)


def make_boxes(
    boxes: Any, size: tuple[int, int], image_size: int, *, normalize_coords: bool = True
) -> PointPrompt | None:
    """Return the corners of B boxes, (4,) or (B, 4) x0, y0, x1, y1, as points with labels 2 and 3.

    Detectors' boxes often reach over the picture's edge. They go to the network as they are, as published.

    Raises:
        PromptError: another shape, an empty box, or one whose middle lies outside.
    """
    if boxes is None:
        return None
    corners = _as_array(boxes, np.float32)
    if not corners.size or corners.size % 4 or (corners.ndim > 1 and corners.shape[-1] not in (2, 4)):
        raise PromptError(f"A box is x0, y0, x1, y1, got shape {corners.shape}.")
    corners = corners.reshape(-1, 2, 2)
    for low, high in corners:
        if not (high > low).all():
            raise PromptError(f"The box {[*low.tolist(), *high.tolist()]} is empty: x0 < x1 and y0 < y1.")
    end = np.array([size[1], size[0]] if normalize_coords else [1.0, 1.0])
    middle = corners.mean(axis=1)
    astray = ~((middle >= 0) & (middle <= end)).all(axis=1)
    _check_inside(corners[astray].reshape(-1, 2), size, "box corner", normalize_coords)
    labels = np.tile(np.array(BOX_LABELS), (len(corners), 1))
    return _prompt(corners, labels, size, image_size, normalize_coords)


def join_points(first: PointPrompt | None, second: PointPrompt) -> PointPrompt:
    """Points of `first`, then those of `second`."""
    if first is None:
        return second
    return PointPrompt(
        torch.cat([first.coords_bn2, second.coords_bn2], dim=1),
        torch.cat([first.labels_bn, second.labels_bn], dim=1),
    )


def make_mask(mask: Any, size: tuple[int, int], image_size: int) -> Tensor:
    """Return a user's mask at the network's input size, float 0 or 1, (1, 1, S, S).

    Args:
        mask: (H, W) of the picture's size; true or above zero on the object.

    Raises:
        PromptError: another size, or negative values (logits, of which every pixel would count).
    """
    if isinstance(mask, Tensor):  # float, since numpy has no bfloat16
        mask = (mask.detach().float() if mask.is_floating_point() else mask.detach()).cpu().numpy()
    array = np.asarray(mask)
    if array.dtype.kind not in "biuf":
        raise PromptError(f"A mask is an array of booleans or numbers, got {array.dtype} values.")
    if array.ndim != 2:
        raise PromptError(f"A mask has two dimensions (height, width), got shape {array.shape}.")
    if array.shape != size:
        raise PromptError(
            f"The mask has size {array.shape} (height, width), but the picture has {size}; "
            "give it at the picture's size."
        )
    if array.dtype.kind in "if" and array.size and array.min() < 0:
        raise PromptError("The mask holds negative values, as logits do; give logits > 0.")
    values = torch.from_numpy(array != 0).float()[None, None]
    if size == (image_size, image_size):
        return values
    square = (image_size, image_size)
    resized = F.interpolate(values, size=square, mode="bilinear", align_corners=False, antialias=True)
    return (resized >= 0.5).float()


def _as_array(values: Any, dtype: type[np.floating[Any]]) -> FloatArray:
    try:
        # Through double, since numpy has no bfloat16.
        return np.asarray(
            values.detach().cpu().double() if isinstance(values, Tensor) else values, dtype=dtype
        )
    except (TypeError, ValueError):
        raise PromptError(f"Points, labels and boxes are arrays of numbers, got {values!r}.") from None


def _prompt(
    coords: FloatArray, labels: NDArray[Any], size: tuple[int, int], image_size: int, normalize_coords: bool
) -> PointPrompt:
    limits = np.array([size[1], size[0]] if normalize_coords else [1.0, 1.0], dtype=np.float32)
    pixels = (coords / limits * np.float32(image_size)).astype(np.float32)
    return PointPrompt(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int32)))


def _check_inside(coords: FloatArray, size: tuple[int, int], what: str, normalize_coords: bool) -> None:
    for x, y in coords.tolist():
        named = f"{what} ({x:g}, {y:g})"
        if normalize_coords:
            check_point_inside(x, y, size, named, corner=what != "point")
        elif not (0 <= x <= 1 and 0 <= y <= 1):
            raise PromptError(
                f"The {named} lies outside the picture: with normalize_coords=False coordinates are shares "
                "of it, 0 to 1."
            )
