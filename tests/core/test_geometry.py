import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse

ellipses = st.builds(
    Ellipse,
    st.tuples(st.floats(-50, 150), st.floats(-50, 150)),
    st.tuples(st.floats(2, 80), st.floats(2, 80)),
    st.floats(-360, 360),
)


def test_axes_are_ordered_and_the_angle_follows() -> None:
    e = Ellipse((0, 0), (8, 12), 10)
    assert e.axes == (12.0, 8.0)
    assert e.angle == pytest.approx(100.0)


def test_the_angle_is_clockwise_on_the_screen() -> None:
    e = Ellipse((0, 0), (20, 4), 45)
    assert e.contains([6, 6])  # right and down
    assert not e.contains([6, -6])


@given(ellipses)
def test_points_lie_on_the_outline(e: Ellipse) -> None:
    points = e.points(24)
    assert np.allclose(e.radial(points), 1.0)
    assert np.abs(e.distance(points)).max() < 1e-6
    assert 0 <= e.angle < 180
    assert e.major >= e.minor


@given(ellipses)
def test_bounds_touch_the_outline(e: Ellipse) -> None:
    points = e.points(2000)
    x0, y0, x1, y1 = e.bounds
    assert np.allclose([*points.min(axis=0), *points.max(axis=0)], [x0, y0, x1, y1], atol=1e-3 * e.major)


def test_mask_has_the_area_and_the_centre() -> None:
    e = Ellipse((40.3, 30.6), (40, 22), 33)
    mask = e.mask((70, 90))
    ys, xs = np.nonzero(mask)
    assert mask.sum() == pytest.approx(e.area, rel=0.02)
    assert (xs.mean(), ys.mean()) == pytest.approx(e.center, abs=0.1)


def test_mask_is_cut_at_the_border_and_empty_outside() -> None:
    assert Ellipse((0, 10), (10, 10)).mask((20, 20)).sum() < 60
    assert not Ellipse((-50, 10), (10, 10)).mask((20, 20)).any()


def test_moments_of_a_mask_give_the_ellipse_back() -> None:
    e = Ellipse((40.3, 30.6), (40, 22), 33)
    back = Ellipse.from_mask_moments(e.mask((70, 90)))
    assert back is not None
    assert back.iou(e) > 0.97
    assert back.angle == pytest.approx(33, abs=1.5)
    assert Ellipse.from_mask_moments(np.zeros((4, 4))) is None


def test_iou_of_known_cases() -> None:
    a = Ellipse((0, 0), (20, 20))
    assert a.iou(a) == 1.0
    assert a.iou(a.translated(100, 0)) == 0.0
    assert a.iou(Ellipse((0, 0), (10, 10))) == pytest.approx(0.25, abs=0.01)


def test_distance_is_in_pixels() -> None:
    e = Ellipse((10, 10), (40, 30), 0)
    assert e.distance([31, 10]) == pytest.approx(1.0, abs=0.05)
    assert e.distance([10, 23]) == pytest.approx(-2.0, abs=0.2)
    assert e.distance([10, 10]) < -10


def test_growing_in_place_and_to_a_larger_picture() -> None:
    e = Ellipse((10, 20), (8, 6), 30)
    assert e.scaled(2, about=e.center).center == e.center
    big = e.scaled(2, about=(-0.5, -0.5))
    assert big.center == (20.5, 40.5)  # the centre of pixel 10 covers 20 and 21 of the doubled picture
    assert e.stretched(2, 2).iou(big) > 0.999


def test_stretching_a_circle() -> None:
    e = Ellipse((0, 0), (10, 10)).stretched(3, 1)
    assert e.axes == pytest.approx((30, 10))
    assert min(e.angle, 180 - e.angle) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("axes", [(0, 1), (-1, 2), (math.nan, 1), (math.inf, 1)])
def test_impossible_ellipses_are_refused(axes: tuple[float, float]) -> None:
    with pytest.raises(InputError):
        Ellipse((0, 0), axes)
