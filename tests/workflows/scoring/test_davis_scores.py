"""J and F of cases computed by hand."""

import numpy as np
import pytest

from ocusam.workflows.scoring.davis_scores import (
    Mask,
    VideoScorer,
    boundary,
    boundary_f,
    boundary_radius,
    region_similarity,
)


def square(row: int, column: int, side: int = 10, size: tuple[int, int] = (40, 40)) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[row : row + side, column : column + side] = True
    return mask


EMPTY = np.zeros((40, 40), dtype=bool)


@pytest.mark.parametrize(
    ("mask", "truth", "j"),
    [
        (square(10, 10), square(10, 10), 1.0),
        (square(10, 11), square(10, 10), 90 / 110),
        (square(10, 12), square(10, 10), 80 / 120),
        (square(10, 10), square(25, 25), 0.0),
        (square(10, 10, 5), square(10, 10), 25 / 100),
        (EMPTY, square(10, 10), 0.0),
        (square(10, 10), EMPTY, 0.0),
        (EMPTY, EMPTY, 1.0),
    ],
)
def test_region_similarity(mask: Mask, truth: Mask, j: float) -> None:
    assert region_similarity(mask, truth) == pytest.approx(j)


def test_the_boundary_of_a_square_is_a_ring_half_a_pixel_up_and_left() -> None:
    ring = square(9, 9, 11) & ~square(10, 10, 9)
    assert (boundary(square(10, 10)) == ring).all()
    assert ring.sum() == 40


def test_there_is_no_boundary_along_the_edge_of_the_picture() -> None:
    half = np.zeros((10, 10), dtype=bool)
    half[:, :5] = True
    expected = np.zeros((10, 10), dtype=bool)
    expected[:, 4] = True
    assert (boundary(half) == expected).all()
    assert (boundary(half.T) == expected.T).all()
    assert not boundary(np.ones((10, 10), dtype=bool)).any()
    corner = np.zeros((10, 10), dtype=bool)
    corner[9, 9] = True
    assert np.argwhere(boundary(corner)).tolist() == [[8, 8], [8, 9], [9, 8]]


@pytest.mark.parametrize(
    ("size", "radius"), [((480, 854), 8), ((40, 40), 1), ((100, 100), 2), ((1080, 1920), 18)]
)
def test_the_tolerance_is_a_share_of_the_diagonal_rounded_up(size: tuple[int, int], radius: int) -> None:
    assert boundary_radius(size) == radius


@pytest.mark.parametrize(
    ("mask", "truth", "f"),
    [
        (square(10, 10), square(10, 10), 1.0),
        # One pixel aside: every boundary pixel lies within the tolerance of 1 px.
        (square(10, 11), square(10, 10), 1.0),
        # Two pixels aside. Of the ring's 40 pixels these are further than 1 px from the other ring: the far
        # side's 9 without its corners, both its corners, and 7 of the near side (its ends touch top and
        # bottom).
        (square(10, 12), square(10, 10), 22 / 40),
        (square(10, 10), square(10, 12), 22 / 40),
        (square(25, 25), square(10, 10), 0.0),
        # A stray pixel far away: 4 of 44 boundary pixels have no counterpart, none is missed.
        (square(10, 10) | square(30, 30, 1), square(10, 10), 2 * (40 / 44) / (1 + 40 / 44)),
        # The truth has the stray pixel: precision 1, recall 40 / 44.
        (square(10, 10), square(10, 10) | square(30, 30, 1), 2 * (40 / 44) / (1 + 40 / 44)),
        (EMPTY, square(10, 10), 0.0),
        (square(10, 10), EMPTY, 0.0),
        (EMPTY, EMPTY, 1.0),
        # Neither has a boundary inside the picture.
        (~EMPTY, EMPTY, 1.0),
    ],
)
def test_boundary_measure(mask: Mask, truth: Mask, f: float) -> None:
    assert boundary_f(mask, truth) == pytest.approx(f)


def test_the_tolerance_is_a_disc() -> None:
    # In 100 x 100 px the tolerance is 2 px: 2 px diagonally is too far, 2 px straight is not.
    size = (100, 100)
    one = square(50, 50, 1, size)
    straight, diagonal = square(50, 52, 1, size), square(52, 52, 1, size)
    assert boundary_f(straight, one) == 1.0
    # The boundaries are the pixels at rows and columns 49, 50 and 51, 52. Of the latter only (51, 51) comes
    # within 2 px of the former: (51, 52) is sqrt(5) px from (50, 50). A square tolerance would find all four.
    assert boundary_f(diagonal, one) == pytest.approx(1 / 4)


def test_frames_count_from_an_objects_first_sight() -> None:
    scorer, size = VideoScorer("film"), (40, 40)
    one = square(10, 10)
    scorer.add({}, {"2": EMPTY}, size)  # nothing yet
    scorer.add({"1": one, "9": one}, {"1": one}, size)  # 9 is not known to the truth
    scorer.add({"2": one}, {"1": one}, size)  # 1 is missed; 2 appears too early in the result
    scorer.add({"1": EMPTY}, {"1": EMPTY, "2": one}, size)  # 1 rightly gone; 2 is missed
    first, second = scorer.scores()
    assert (first.video, first.object, first.frames) == ("film", "1", 3)
    assert first.j == first.f == first.jf == pytest.approx(2 / 3)
    assert (second.object, second.frames, second.j, second.f) == ("2", 2, 0.0, 0.0)


def test_j_and_f_is_their_mean() -> None:
    scorer = VideoScorer("film")
    scorer.add({"1": square(10, 12)}, {"1": square(10, 10)}, (40, 40))
    assert scorer.scores()[0].jf == pytest.approx((2 / 3 + 0.55) / 2)
