import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.contour import Contour, outer_contour
from ocusam.eye.ellipse import EllipseFit, fit_ellipse, fit_rim

SIZE, LOW = (192, 192), (64, 64)
PUPIL = Ellipse((100.3, 80.7), (60, 45), 30)


def fit(
    shape: Ellipse,
    *,
    top: float = -999.0,
    bottom: float = 999.0,
    both_lids: bool = False,
    inner: Ellipse | None = None,
) -> EllipseFit | None:
    """Fit a shape of which a lid hides all above y = top and below y = bottom."""
    yy, xx = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    values = -shape.distance(np.stack([xx, yy], axis=-1))
    values = np.minimum(values, np.minimum(yy - top, bottom - yy)).astype(np.float32)
    contour = outer_contour(cv2.resize(values, LOW[::-1], interpolation=cv2.INTER_AREA), SIZE)
    return fit_rim(contour, both_lids=both_lids, inner=inner) if contour is not None else None


@given(
    st.tuples(st.floats(-50, 700), st.floats(-50, 700)),
    st.floats(5, 300),
    st.floats(0.3, 0.98),
    st.floats(0, 179),
)
def test_exact_points_give_the_exact_ellipse(
    center: tuple[float, float], major: float, ratio: float, angle: float
) -> None:
    e = Ellipse(center, (major, major * ratio), angle)
    found = fit_ellipse(e.points(40))
    assert found is not None
    assert np.abs(e.distance(found.points(40))).max() < 1e-5 * major


def test_weights_choose_the_points() -> None:
    points = np.concatenate([PUPIL.points(40), [[0, 0], [300, 0]]])
    weights = np.concatenate([np.ones(40), np.zeros(2)])
    found = fit_ellipse(points, weights)
    assert found is not None
    assert found.iou(PUPIL) > 0.999
    spoilt = fit_ellipse(points)
    assert spoilt is None or spoilt.iou(PUPIL) < 0.95


def test_degenerate_points_give_none() -> None:
    assert fit_ellipse(PUPIL.points(5)) is None
    assert fit_ellipse(np.stack([np.arange(10.0), 2 * np.arange(10.0)], axis=1)) is None
    assert fit_ellipse(np.ones((10, 2))) is None
    with pytest.raises(InputError):
        fit_ellipse(np.ones((10, 3)))
    with pytest.raises(InputError):
        fit_ellipse(np.ones((10, 2)), np.ones(9))


def test_a_whole_pupil() -> None:
    found = fit(PUPIL)
    assert found is not None
    assert np.hypot(*np.subtract(found.ellipse.center, PUPIL.center)) < 0.1
    assert found.ellipse.axes == pytest.approx(PUPIL.axes, abs=0.3)
    assert found.rim_share == 1.0


@pytest.mark.parametrize(("top", "bound_px"), [(65, 0.3), (72, 0.4), (78, 1.0)])
def test_a_lid_over_the_pupil_is_completed(top: float, bound_px: float) -> None:
    found = fit(PUPIL, top=top)
    assert found is not None
    # Fitting the cut outline as it is would be off by a fifth of the hidden height and more.
    assert np.hypot(*np.subtract(found.ellipse.center, PUPIL.center)) < bound_px
    assert found.ellipse.major == pytest.approx(PUPIL.major, rel=0.02)
    assert found.rim_share < 0.85


def test_an_iris_cut_above_and_below_is_completed() -> None:
    iris = Ellipse((100, 90), (120, 110), 0)
    found = fit(iris, top=60, bottom=125, both_lids=True)
    assert found is not None
    assert found.ellipse.iou(iris) > 0.97


@pytest.mark.parametrize(("top", "bottom"), [(66.0, 102.0), (70.0, 108.0), (60.0, 96.0)])
def test_an_iris_hardly_in_sight_lies_around_its_pupil(top: float, bottom: float) -> None:
    iris, pupil = Ellipse((96.4, 84.1), (110, 96), 70), Ellipse((98.0, 83.0), (40, 35), 66)
    known = fit(iris, top=top, bottom=bottom, both_lids=True, inner=pupil)
    alone = fit(iris, top=top, bottom=bottom, both_lids=True)
    assert known is not None
    assert known.ellipse.iou(iris) > 0.9
    assert alone is None or alone.ellipse.iou(iris) < 0.5


def test_a_whole_iris_does_not_mind_a_pupil_beside_its_middle() -> None:
    iris = Ellipse((96.4, 84.1), (110, 104), 70)
    found = fit(iris, both_lids=True, inner=Ellipse((108.0, 84.0), (40, 24), 0))
    assert found is not None
    assert found.ellipse.iou(iris) > 0.985


def test_a_pupil_leaving_the_picture_is_completed() -> None:
    shape = Ellipse((8, 80), (60, 50), 0)
    found = fit(shape)
    assert found is not None
    assert np.hypot(*np.subtract(found.ellipse.center, shape.center)) < 0.5
    assert found.ellipse.iou(shape) > 0.97


def test_a_reflection_biting_into_the_rim_is_passed_over() -> None:
    yy, xx = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    at = np.stack([xx, yy], axis=-1)
    bite = Ellipse((128, 88), (14, 14))
    values = np.minimum(-PUPIL.distance(at), bite.distance(at)).astype(np.float32)
    contour = outer_contour(cv2.resize(values, LOW[::-1], interpolation=cv2.INTER_AREA), SIZE)
    assert contour is not None
    found = fit_rim(contour)
    assert found is not None
    assert np.hypot(*np.subtract(found.ellipse.center, PUPIL.center)) < 0.3


def test_points_known_not_to_be_rim_are_left_out() -> None:
    points = PUPIL.points(96)
    cut = points[:, 1] < 70
    moved = points.copy()
    moved[cut, 1] = 70
    contour = Contour(moved, np.zeros(96, bool), PUPIL.area, 1, 1.0)
    found = fit_rim(contour, ignore=cut)
    assert found is not None
    assert found.ellipse.iou(PUPIL) > 0.99
    assert not (found.rim & cut).any()
    assert fit_rim(contour, ignore=np.ones(96, bool)) is None
    with pytest.raises(InputError):
        fit_rim(contour, ignore=np.ones(3, bool))


def test_a_sliver_between_the_lids_is_not_made_a_whole_pupil() -> None:
    found = fit(PUPIL, top=79, bottom=83)
    assert found is None or found.ellipse.area < 2.6 * 60 * 4


def test_a_ragged_mask_is_fitted_as_a_whole() -> None:
    rng = np.random.default_rng(3)
    yy, xx = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    rough = cv2.GaussianBlur(rng.normal(0, 1, SIZE), (0, 0), 5) * 80
    values = (-PUPIL.distance(np.stack([xx, yy], axis=-1)) + rough).astype(np.float32)
    contour = outer_contour(cv2.resize(values, LOW[::-1], interpolation=cv2.INTER_AREA), SIZE)
    assert contour is not None
    found = fit_rim(contour)
    assert found is not None
    assert found.ellipse == fit_ellipse(contour.points)
    assert found.rim.mean() < 0.5
    assert found.ellipse.iou(PUPIL) > 0.75
