import cv2
import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.contour import outer_contour


def logits_of(shape: Ellipse, size: tuple[int, int], low: tuple[int, int]) -> np.ndarray:
    """Signed distance, reduced as a network's coarse output would be."""
    yy, xx = np.mgrid[0 : size[0], 0 : size[1]]
    values = -shape.distance(np.stack([xx, yy], axis=-1)).astype(np.float32)
    return cv2.resize(values, (low[1], low[0]), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("low", [(64, 64), (48, 64), (180, 240)])
def test_the_outline_is_sub_pixel(low: tuple[int, int]) -> None:
    shape = Ellipse((101.3, 80.7), (60, 45), 30)
    contour = outer_contour(logits_of(shape, (180, 240), low), (180, 240))
    assert contour is not None
    # A logit covers up to 3.75 px; the outline is known ten times better.
    assert np.abs(shape.distance(contour.points)).max() < 0.35
    assert contour.area_px == pytest.approx(shape.area, rel=0.01)
    assert not contour.on_border.any()


def test_points_have_equal_steps() -> None:
    contour = outer_contour(logits_of(Ellipse((50, 50), (60, 20), 0), (100, 100), (50, 50)), (100, 100))
    assert contour is not None
    steps = np.hypot(*np.diff(contour.points, axis=0, append=contour.points[:1]).T)
    assert steps.std() / steps.mean() < 0.05


def test_only_the_largest_part_counts() -> None:
    both = np.maximum(logits_of(Ellipse((60, 60), (40, 40)), (120, 200), (60, 100)),
                      logits_of(Ellipse((150, 60), (20, 20)), (120, 200), (60, 100)))  # fmt: skip
    contour = outer_contour(both, (120, 200))
    assert contour is not None
    assert contour.parts == 2
    assert contour.points[:, 0].max() < 85


def test_a_hole_is_not_part_of_the_outline() -> None:
    ring = np.minimum(logits_of(Ellipse((60, 60), (80, 80)), (120, 120), (60, 60)),
                      -logits_of(Ellipse((60, 60), (30, 30)), (120, 120), (60, 60)))  # fmt: skip
    contour = outer_contour(ring, (120, 120))
    assert contour is not None
    assert np.abs(Ellipse((60, 60), (80, 80)).distance(contour.points)).max() < 0.5
    assert contour.area_px < Ellipse((60, 60), (80, 80)).area * 0.9


def test_points_along_the_border_are_marked() -> None:
    shape = Ellipse((5, 60), (60, 50), 0)
    contour = outer_contour(logits_of(shape, (120, 120), (60, 60)), (120, 120))
    assert contour is not None
    assert contour.on_border.any()
    assert np.abs(shape.distance(contour.points[~contour.on_border])).max() < 0.5


def test_nothing_there() -> None:
    assert outer_contour(np.full((8, 8), -1024.0, np.float32), (64, 64)) is None
    speck = np.full((8, 8), -5.0, np.float32)
    speck[3, 3] = 0.01
    small = outer_contour(speck, (8, 8))
    assert small is None or small.area_px <= 1


def test_bad_logits_are_refused() -> None:
    with pytest.raises(InputError):
        outer_contour(np.zeros((1, 8, 8), np.float32), (8, 8))
    with pytest.raises(InputError):
        outer_contour(np.full((8, 8), np.inf, np.float32), (8, 8))
