"""Simulated clicks lie where a careful user would put them."""

from __future__ import annotations

import numpy as np
import pytest

from ocusam.training.clicks import NEGATIVE, POSITIVE, box_around, correction_click, first_click
from ocusam.training.rendered import Renderer, Wish


@pytest.mark.parametrize("name", ["pupil", "iris", "sclera", "cr0"])
def test_first_click_hits_its_object_and_no_reflection(name: str, drawn: Renderer) -> None:
    _, coverage = drawn(Wish(3, 1, 1.0, 128))
    layer, shine = coverage[name][0], coverage["cr0"][0]
    for seed in range(50):
        click = first_click(np.random.default_rng(seed), layer, None if name == "cr0" else shine)
        assert click is not None
        column, row = round(click[0]), round(click[1])
        assert layer[row, column] >= 200
        if name != "cr0":
            assert shine[row, column] < 20


def test_first_click_on_something_hidden_is_none() -> None:
    assert first_click(np.random.default_rng(0), np.zeros((8, 8), np.uint8)) is None


def test_first_click_on_a_dot_falls_back_to_its_brightest_pixel() -> None:
    dot = np.zeros((8, 8), np.uint8)
    dot[3, 5] = 150
    click = first_click(np.random.default_rng(0), dot)
    assert click is not None and (round(click[0]), round(click[1])) == (5, 3)


def test_correction_is_positive_where_something_is_missing() -> None:
    truth = np.zeros((32, 32), bool)
    truth[8:24, 8:24] = True
    predicted = truth.copy()
    predicted[8:16, 8:16] = False
    x, y, label = correction_click(np.random.default_rng(0), predicted, truth, scale=4.0) or (0, 0, 9)
    assert label == POSITIVE and 31 <= x <= 64 and 31 <= y <= 64


def test_correction_takes_the_largest_error_and_is_negative_where_too_much_is_held() -> None:
    truth = np.zeros((32, 32), bool)
    truth[2:6, 2:6] = True
    predicted = np.zeros_like(truth)
    predicted[2:6, 2:5] = True
    predicted[16:28, 16:28] = True
    for seed in range(20):
        x, y, label = correction_click(np.random.default_rng(seed), predicted, truth) or (0, 0, 9)
        assert label == NEGATIVE and 15 <= x <= 28 and 15 <= y <= 28


def test_no_error_confirms_and_nothing_at_all_gives_no_click() -> None:
    empty = np.zeros((8, 8), bool)
    full = empty.copy()
    full[2:6, 2:6] = True
    confirmed = correction_click(np.random.default_rng(0), full, full)
    assert confirmed is not None and confirmed[2] == POSITIVE
    assert correction_click(np.random.default_rng(0), empty, empty) is None


def test_box_follows_the_object_and_stays_in_the_picture() -> None:
    coverage = np.zeros((64, 64), np.uint8)
    coverage[0:20, 30:64] = 255
    assert box_around(np.random.default_rng(0), coverage, jitter=0.0) == (30.0, 0.0, 63.0, 19.0)
    for seed in range(20):
        x0, y0, x1, y1 = box_around(np.random.default_rng(seed), coverage) or (0, 0, 0, 0)
        assert 0 <= x0 < x1 <= 63 and 0 <= y0 < y1 <= 63
