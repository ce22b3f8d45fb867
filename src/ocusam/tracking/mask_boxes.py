"""Point grids, crops and boxes for the masks of everything in a picture.

Purpose: where to click, which parts of the picture to look at again enlarged, which boxes to keep.

Notable choices: boxes are x0, y0, x1, y1 with x1, y1 the last pixel of the mask (not the one behind it), as
published; a mask of one pixel has a box of no area. Suppression is greedy in torch alone, ties in the order
given: what torchvision's `nms` computes. Sources: arXiv 2304.02643 appendix B (grids, crops, suppression).

What it does not know: networks, masks' quality.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EDGE_TOLERANCE_PX = 20.0
"""How near to the edge of a crop a box counts as cut off by it."""

Box = tuple[int, int, int, int]


def point_grid(points_per_side: int) -> NDArray[np.float64]:
    """Return (n * n, 2) x, y as shares of the picture: centres of n x n equal cells, row by row."""
    line = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(line, line)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def crop_boxes(size: tuple[int, int], layers: int, overlap_ratio: float) -> list[tuple[Box, int]]:
    """Return the whole picture (layer 0) and, for layer i >= 1, its 2^i x 2^i overlapping crops.

    Args:
        size: (height, width) px.
        layers: number of layers behind the whole picture.
        overlap_ratio: overlap of neighbours in layer 1, as a share of the shorter side; it halves with every
            further layer.

    Returns:
        pairs of (x0, y0, x1, y1), x1 and y1 exclusive, and the layer; fewer crops where a picture of a few
        pixels is covered before the last of them.
    """
    height, width = size
    found: list[tuple[Box, int]] = [((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / count))
        across, down = (math.ceil((overlap * (count - 1) + side) / count) for side in (width, height))
        for column in range(count):
            for row in range(count):
                x0, y0 = (across - overlap) * column, (down - overlap) * row
                if x0 < width and y0 < height:
                    found.append(((x0, y0, min(x0 + across, width), min(y0 + down, height)), layer))
    return found


def mask_boxes(masks_nhw: Tensor) -> Tensor:
    """Return (N, 4) int64 boxes of boolean masks: first and last column and row; 0 0 0 0 for an empty one."""
    count, height, width = masks_nhw.shape
    if not count:
        return torch.zeros(0, 4, dtype=torch.int64, device=masks_nhw.device)
    sides = []
    for any_on_line, length in ((masks_nhw.any(dim=1), width), (masks_nhw.any(dim=2), height)):
        line = any_on_line.to(torch.uint8)
        # argmax of 0 and 1 is the first 1; from behind it is the last.
        sides.append((line.argmax(dim=1), length - 1 - line.flip(1).argmax(dim=1)))
    (x0, x1), (y0, y1) = sides
    boxes = torch.stack([x0, y0, x1, y1], dim=1)
    return torch.where(masks_nhw.flatten(1).any(dim=1)[:, None], boxes, torch.zeros_like(boxes))


def cut_off_by_crop(boxes_n4: Tensor, crop: Box, size: tuple[int, int]) -> Tensor:
    """Tell which boxes (px of the picture) come within 20 px of an edge of the crop inside the picture.

    An edge of the box near an edge of the picture itself is no sign of a cut.
    """
    boxes = boxes_n4.float()
    crop_edges = torch.tensor(crop, dtype=torch.float32, device=boxes.device)
    picture = torch.tensor([0, 0, size[1], size[0]], dtype=torch.float32, device=boxes.device)
    near_crop = (boxes - crop_edges).abs() <= EDGE_TOLERANCE_PX
    near_picture = (boxes - picture).abs() <= EDGE_TOLERANCE_PX
    return (near_crop & ~near_picture).any(dim=1)


def box_iou(box_4: Tensor, boxes_n4: Tensor) -> Tensor:
    """Return the IoU of one box with N others, (N,); NaN where both have no area."""
    low = torch.maximum(box_4[:2], boxes_n4[:, :2])
    high = torch.minimum(box_4[2:], boxes_n4[:, 2:])
    inter = (high - low).clamp(min=0).prod(dim=1)
    areas = (boxes_n4[:, 2:] - boxes_n4[:, :2]).prod(dim=1)
    return inter / ((box_4[2:] - box_4[:2]).prod() + areas - inter)


def suppress_boxes(boxes_n4: Tensor, scores_n: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression: keep the best box, drop all that overlap it too much, and so on.

    Args:
        boxes_n4: x0, y0, x1, y1.
        scores_n: higher is better; of equal ones the first wins.
        iou_threshold: boxes with a larger IoU than this with a kept one are dropped.

    Returns:
        rows of the kept boxes, best first, int64.
    """
    boxes = boxes_n4.float()
    order = scores_n.argsort(descending=True, stable=True)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        # NaN (two boxes of no area) compares false, so such boxes stay.
        order = order[~(box_iou(boxes[best], boxes[order]) > iou_threshold)]
    return torch.stack(kept) if kept else order
