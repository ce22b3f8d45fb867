import numpy as np

from ocusam.report.trail import Trails


def test_a_trail_goes_back_a_second_and_breaks_where_the_centre_is_missing() -> None:
    trails = Trails(1.0)
    assert trails.step(0, 0, (1.0, 1.0)) == []
    (piece,) = trails.step(0, 400_000_000, (2.0, 1.0))
    np.testing.assert_array_equal(piece, [[1, 1], [2, 1]])
    assert len(trails.step(0, 600_000_000, None)) == 1
    trails.step(0, 800_000_000, (5.0, 5.0))
    first, second = trails.step(0, 1_000_000_000, (6.0, 5.0))
    np.testing.assert_array_equal(first, [[1, 1], [2, 1]])
    np.testing.assert_array_equal(second, [[5, 5], [6, 5]])
    (only,) = trails.step(0, 1_300_000_000, (7.0, 5.0))  # of the first piece a single point is left
    np.testing.assert_array_equal(only, [[5, 5], [6, 5], [7, 5]])


def test_eyes_have_their_own_trails_and_a_clock_set_back_begins_anew() -> None:
    trails = Trails()
    trails.step(0, 5_000_000_000, (1.0, 1.0))
    assert trails.step(1, 5_100_000_000, (9.0, 9.0)) == []
    assert trails.step(0, 1_000_000_000, (3.0, 1.0)) == []
