"""Grids, crops, boxes and suppression against loops that can be read, and hand-computed cases."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from ocusam.tracking.mask_boxes import crop_boxes, cut_off_by_crop, mask_boxes, point_grid, suppress_boxes


def test_grid_points_are_the_centres_of_cells_row_by_row() -> None:
    assert point_grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    assert point_grid(1).tolist() == [[0.5, 0.5]]


def test_crops_of_one_layer_by_hand() -> None:
    # Overlap int(.25 * 60) = 15: crops are ceil((15 + 100) / 2) = 58 wide and ceil((15 + 60) / 2) = 38 high,
    # and start 43 and 23 px apart.
    assert crop_boxes((60, 100), 1, 0.25) == [
        ((0, 0, 100, 60), 0),
        ((0, 0, 58, 38), 1),
        ((0, 23, 58, 60), 1),
        ((43, 0, 100, 38), 1),
        ((43, 23, 100, 60), 1),
    ]


@given(st.integers(4, 90), st.integers(4, 90), st.integers(0, 2), st.floats(0, 0.9))
@example(5, 9, 2, 0.0)  # in four parts of 2 and 3 px the last would be empty
def test_the_crops_of_each_layer_cover_the_picture(
    height: int, width: int, layers: int, ratio: float
) -> None:
    crops = crop_boxes((height, width), layers, ratio)
    in_all = sum(4**i for i in range(layers + 1))
    assert len(crops) == in_all or (len(crops) < in_all and min(height, width) <= 12)
    for layer in range(layers + 1):
        seen = np.zeros((height, width), dtype=int)
        for (x0, y0, x1, y1), of_layer in crops:
            if of_layer == layer:
                assert 0 <= x0 < x1 <= width
                assert 0 <= y0 < y1 <= height
                seen[y0:y1, x0:x1] += 1
        assert seen.all()


def test_boxes_reach_from_first_to_last_pixel() -> None:
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[0, 2:4, 3:7] = True
    masks[1, 5, 7] = True
    assert mask_boxes(masks).tolist() == [[3, 2, 6, 3], [7, 5, 7, 5], [0, 0, 0, 0]]
    assert mask_boxes(masks[:0]).shape == (0, 4)


def test_a_box_is_cut_off_near_an_edge_of_the_crop_inside_the_picture_only() -> None:
    boxes = torch.tensor(
        [
            [100, 100, 180, 180],  # free
            [60, 100, 180, 180],  # 10 px from the crop's left edge, far from the picture's
            [71, 100, 180, 180],  # 21 px from it
            [70, 100, 180, 180],  # 20 px from it
            [100, 5, 180, 180],  # near the top of crop and picture alike
            [100, 100, 235, 180],  # near the right edge of the crop
        ]
    )
    cut = cut_off_by_crop(boxes, (50, 0, 250, 300), (600, 400))
    assert cut.tolist() == [False, True, False, True, False, True]
    assert not cut_off_by_crop(boxes, (0, 0, 250, 300), (300, 250)).any()


def naive_suppression(boxes: list[list[float]], scores: list[float], threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        overlaps = []
        for j in kept:
            a, b = boxes[i], boxes[j]
            inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
            overlaps.append(inter > threshold * union)
        if not any(overlaps):
            kept.append(i)
    return kept


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Small whole numbers, so that equal boxes, equal scores and boxes of no area all occur."""
    rows = draw(st.lists(st.tuples(*[st.integers(0, 12)] * 4, st.integers(0, 5)), max_size=25))
    boxes = [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d, _ in rows]
    return torch.tensor(boxes).reshape(-1, 4), torch.tensor([row[4] / 8 for row in rows])


@given(scored_boxes(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_suppression_is_that_of_a_naive_loop(drawn: tuple[Tensor, Tensor], threshold: float) -> None:
    boxes, scores = drawn
    rows = suppress_boxes(boxes, scores, threshold)
    assert rows.dtype == torch.int64
    assert rows.tolist() == naive_suppression(boxes.tolist(), scores.tolist(), threshold)


@pytest.mark.parametrize(("threshold", "kept"), [(0.33, [1]), (0.34, [1, 0])])
def test_suppression_by_hand(threshold: float, kept: list[int]) -> None:
    # 10 x 10 boxes, half over each other: IoU 50 / 150.
    boxes = torch.tensor([[0, 0, 10, 10], [5, 0, 15, 10]])
    assert suppress_boxes(boxes, torch.tensor([0.5, 0.9]), threshold).tolist() == kept
