"""Run lengths by hand, both ways, and against pycocotools; small regions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from ocusam.core.errors import InputError
from ocusam.tracking.mask_rle import (
    Mask,
    mask_to_rle,
    place_mask,
    remove_small_regions,
    rle_area,
    rle_to_coco,
    rle_to_mask,
)


def test_runs_go_down_the_columns_and_begin_with_background() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
    assert mask_to_rle(mask) == {"size": [2, 3], "counts": [2, 3, 1]}
    assert mask_to_rle(~mask) == {"size": [2, 3], "counts": [0, 2, 3, 1]}
    assert mask_to_rle(np.zeros((2, 2), dtype=bool))["counts"] == [4]
    assert mask_to_rle(np.ones((2, 2), dtype=bool))["counts"] == [0, 4]


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(bits).reshape(height, width)


@given(masks())
def test_masks_come_back_and_pycocotools_agrees(mask: Mask) -> None:
    rle = mask_to_rle(mask)
    assert (rle_to_mask(rle) == mask).all()
    assert rle_area(rle) == mask.sum()
    packed = rle_to_coco(rle)
    assert packed["counts"].encode() == coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]


def test_runs_that_do_not_fit_the_size_are_refused() -> None:
    with pytest.raises(InputError, match="add up to 5"):
        rle_to_mask({"size": [2, 3], "counts": [2, 3]})


def test_a_mask_of_a_crop_lands_at_its_corner() -> None:
    mask = np.ones((2, 3), dtype=bool)
    whole = place_mask(mask, (4, 1), (5, 8))
    assert whole.sum() == 6
    assert whole[1:3, 4:7].all()


def test_holes_are_filled_and_islands_removed() -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[1:8, 1:8] = True
    mask[3, 3:5] = False  # a hole of 2
    mask[10, 10] = mask[11, 11] = True  # an island of 2: corners connect
    filled, changed = remove_small_regions(mask, 3, "holes")
    assert changed
    assert (filled[1:8, 1:8]).all()
    assert filled[10, 10]
    cleaned, changed = remove_small_regions(mask, 3, "islands")
    assert changed
    assert not cleaned[8:].any()
    assert not cleaned[3, 3]
    # Regions of just that area stay.
    assert remove_small_regions(mask, 2, "holes")[1] is False
    assert remove_small_regions(mask, 2, "islands")[1] is False


def test_the_largest_island_stays_when_all_are_small() -> None:
    mask = np.zeros((4, 9), dtype=bool)
    mask[1, 1:3] = mask[1, 5:8] = True
    cleaned, changed = remove_small_regions(mask, 100, "islands")
    assert changed
    assert cleaned.sum() == 3
    assert cleaned[1, 5:8].all()
    assert remove_small_regions(cleaned, 100, "islands")[1] is False
    with pytest.raises(InputError, match="mode"):
        remove_small_regions(mask, 1, "both")  # type: ignore[arg-type]
