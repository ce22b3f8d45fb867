import numpy as np
import torch

from ocusam.model.values import suppress_overlaps
from ocusam.tracking.postprocess import fill_holes, replace_small_regions, resize_logits, small_regions


def picture(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def test_small_regions_are_eight_connected():
    mask = picture("#....", ".#...", "....#", "##...", "##...")
    assert np.array_equal(small_regions(mask, 2), picture("#....", ".#...", "....#", ".....", "....."))
    assert np.array_equal(small_regions(mask, 1), picture(".....", ".....", "....#", ".....", "....."))
    assert np.array_equal(small_regions(mask, 4), mask)
    assert not small_regions(np.zeros((3, 3), dtype=bool), 9).any()


def test_holes_get_a_logit_just_above_zero_and_the_input_stays():
    logits = torch.full((2, 1, 5, 5), 3.0)
    logits[0, 0, 2, 2] = -4.0
    logits[1, 0, :2] = 0.0  # 10 pixels, not above 0: background
    before = logits.clone()
    filled = fill_holes(logits, 8)
    assert torch.equal(logits, before)
    assert filled[0, 0, 2, 2] == torch.tensor(0.1) and (filled[0] == 3.0).sum() == 24
    assert torch.equal(filled[1], logits[1])
    assert (fill_holes(logits, 10)[1, 0, :2] == 0.1).all()
    assert fill_holes(logits, 0) is logits


def test_specks():
    logits = torch.full((1, 1, 4, 4), -5.0)
    logits[0, 0, 0, 0] = 7.0
    logits[0, 0, 2:, 2:] = 7.0
    out = replace_small_regions(logits, 1, -10.0, background=False)
    assert out[0, 0, 0, 0] == -10 and (out > 0).sum() == 4


def test_resizing_is_bilinear_between_pixel_centres():
    logits = torch.tensor([[[[0.0, 4.0]]]], dtype=torch.bfloat16)
    out = resize_logits(logits, (1, 4))
    assert out.dtype == torch.float32 and out.flatten().tolist() == [0.0, 1.0, 3.0, 4.0]


def test_ties_go_to_the_first_object():
    logits = torch.tensor([5.0, 5.0, 7.0]).view(3, 1, 1, 1)
    assert suppress_overlaps(logits).flatten().tolist() == [-10.0, -10.0, 7.0]
    assert suppress_overlaps(logits[:2]).flatten().tolist() == [5.0, -10.0]
    assert suppress_overlaps(logits[:1]).flatten().tolist() == [5.0]
