import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fake_predictor import eye_picture
from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.candidates import find_candidates
from ocusam.eye.candidates.features import NAMES, WEIGHTS
from ocusam.eye.candidates.rims import closed_path
from ocusam.eye.direct_fit import fit_each, fit_many
from ocusam.synthetic.eye import lab_style, render_eye_clip

PUPIL = Ellipse((120.0, 70.0), (34.0, 28.0), 30.0)


def eye_with_brow(pupil: Ellipse | None = PUPIL) -> NDArray[np.uint8]:
    """A drawn eye under a dark eyebrow, beside a dark corner, with a lash-like line and noise."""
    picture = np.ascontiguousarray(eye_picture(pupil, (180, 240)))
    cv2.ellipse(picture, (120, 10), (70, 8), 4, 0, 360, 15, -1)
    cv2.circle(picture, (0, 180), 50, 5, -1)
    cv2.line(picture, (60, 100), (200, 112), 30, 3)
    noise = np.random.default_rng(1).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_the_pupil_comes_first_not_the_brow_or_the_corner() -> None:
    best = find_candidates(eye_with_brow())[0]
    assert np.hypot(best.ellipse.center[0] - 120, best.ellipse.center[1] - 70) < 1.5
    assert best.ellipse.iou(PUPIL) > 0.85
    assert best.probability > 0.5 and not best.bright
    assert best.limbus is not None and best.limbus.major == pytest.approx(68, rel=0.25)


def test_a_reflection_on_the_rim_moves_it_little() -> None:
    picture = eye_with_brow()
    cv2.circle(picture, (134, 66), 5, 255, -1)
    best = find_candidates(picture)[0]
    assert best.ellipse.iou(PUPIL) > 0.8


def test_a_bright_pupil_is_found_in_the_negative() -> None:
    picture = eye_with_brow()
    picture[PUPIL.scaled(1.05, about=PUPIL.center).mask(picture.shape)] = 180
    bright = [c for c in find_candidates(picture) if c.bright]
    assert bright and max(c.ellipse.iou(PUPIL) for c in bright) > 0.7
    assert not any(c.bright for c in find_candidates(picture, bright=False))


def test_outlines_of_somebody_else_join_the_race_dark_or_bright() -> None:
    picture = eye_with_brow()
    picture[PUPIL.mask(picture.shape)] = 180
    rough = Ellipse((122.0, 69.0), (30.0, 30.0), 0.0)
    found = find_candidates(picture, 50, bright=False, also=[rough])
    assert max(c.ellipse.iou(PUPIL) for c in found if c.bright) > 0.75
    large = cv2.resize(picture, None, fx=2.0, fy=2.0)
    found = find_candidates(large, 50, bright=False, also=[rough.stretched(2.0, 2.0)])
    assert max(c.ellipse.iou(PUPIL.stretched(2.0, 2.0)) for c in found if c.bright) > 0.75


def test_nothing_is_likely_where_there_is_no_eye() -> None:
    assert find_candidates(np.full((100, 100), 90, np.uint8)) == []
    assert find_candidates(np.zeros((8, 8), np.uint8)) == []
    closed = find_candidates(eye_with_brow(None))
    open_eye = find_candidates(eye_with_brow())
    assert all(c.probability < open_eye[0].probability for c in closed)


def test_a_large_picture_gives_its_own_pixels() -> None:
    small = eye_with_brow()
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    e = find_candidates(np.repeat(large[..., None], 3, axis=2))[0].ellipse
    assert e.iou(PUPIL.scaled(4.0, about=(-0.5, -0.5))) > 0.8


def test_a_rendered_eye() -> None:
    clip = render_eye_clip(5, num_frames=1, size=(192, 256), style=lab_style())
    truth = clip.ellipses["pupil"][0]
    assert truth is not None
    assert find_candidates(clip.frames[0])[0].ellipse.iou(truth) > 0.6


def test_not_a_picture() -> None:
    with pytest.raises(InputError, match="uint8"):
        find_candidates(np.zeros((50, 50), np.float32))  # type: ignore[arg-type]


def test_every_figure_has_a_weight() -> None:
    assert WEIGHTS.shape == (len(NAMES),) and np.isfinite(WEIGHTS).all() and WEIGHTS.any()


def test_the_closed_path_prefers_gain_without_jumps() -> None:
    gain = np.zeros((1, 12, 20), np.float32)
    gain[0, :, 7] = 1.0
    gain[0, 5, 7], gain[0, 5, 15] = 0.0, 1.5  # one ray with a stronger edge far away
    assert closed_path(gain)[0].tolist() == [7] * 12


def test_fitting_many_sets_equals_fitting_each() -> None:
    rng = np.random.default_rng(0)
    sets = np.stack(
        [
            Ellipse((50 + 9 * k, 40), (30 + k, 22), 17.0 * k).points(40) + rng.normal(0, 0.3, (40, 2))
            for k in range(4)
        ]
    )
    weights = rng.uniform(0, 1, (4, 40))
    weights[3, 5:] = 0  # too few
    rows = fit_each(sets, weights)
    for k in range(4):
        np.testing.assert_allclose(rows[k], fit_many(sets[k], weights[k : k + 1])[0], rtol=1e-6, atol=1e-6)
    assert np.isnan(rows[3]).all()
