"""Drawn eyes, and answers that are parts of what is meant."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.meant import Answer, Meant, Sight, meant_iris, meant_pupil

SIZE = (180, 240)
PUPIL = Ellipse((118.0, 92.0), (52.0, 46.0), 20.0)
IRIS = Ellipse((120.0, 92.0), (124.0, 120.0), 20.0)


def drawn_eye(*, lid: int = 0) -> NDArray[np.uint8]:
    """Skin, white, iris, pupil, a reflection; the upper lid down to row `lid`."""
    rng = np.random.default_rng(5)
    picture = np.full(SIZE, 150.0)
    for ellipse, level in ((Ellipse((120.0, 90.0), (220.0, 150.0), 0.0), 190), (IRIS, 110), (PUPIL, 35)):
        picture[ellipse.mask(SIZE)] = level
    picture[Ellipse((128.0, 84.0), (9.0, 9.0), 0.0).mask(SIZE)] = 250
    picture[:lid] = 150
    picture = cv2.GaussianBlur(picture, (0, 0), 1.2) + rng.normal(0, 2.5, SIZE)
    return np.clip(picture, 0, 255).astype(np.uint8)


def answer(mask: NDArray[np.bool_], sure: float) -> Answer:
    small = cv2.resize(mask.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    return Answer(20.0 * small - 10.0, sure)


def half_pupil() -> NDArray[np.bool_]:
    mask = PUPIL.mask(SIZE)
    mask[:, 118:] = False
    return mask


def pupil_of(picture: NDArray[np.uint8], *answers: Answer) -> Meant:
    found = meant_pupil(Sight(picture), answers, (112.0, 95.0))
    assert found is not None
    return found


@pytest.mark.parametrize("sure", [0.3, 0.9])
def test_a_part_of_the_pupil_is_not_what_is_meant(sure: float) -> None:
    found = pupil_of(drawn_eye(), answer(half_pupil(), sure), answer(IRIS.mask(SIZE), sure))
    assert found.ellipse.iou(PUPIL) > 0.97
    assert found.probability > 0.5 and found.refined
    truth = PUPIL.mask(SIZE)
    assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.95


def test_the_picture_alone_is_enough() -> None:
    assert pupil_of(drawn_eye()).ellipse.iou(PUPIL) > 0.97


def test_of_two_discs_the_one_that_was_clicked() -> None:
    found = meant_pupil(Sight(drawn_eye()), [answer(IRIS.mask(SIZE), 0.5)], (75.0, 95.0))
    assert found is None or found.ellipse.iou(PUPIL) < 0.5


def test_nothing_in_an_even_picture_is_likely() -> None:
    noise = np.random.default_rng(1).normal(120, 2, SIZE).astype(np.uint8)
    found = meant_pupil(Sight(noise), [answer(half_pupil(), 0.4)], (112.0, 95.0))
    assert found is None or found.probability < 0.5


def test_the_iris_leaves_out_pupil_and_lid() -> None:
    picture = drawn_eye(lid=62)
    pupil = pupil_of(picture, answer(PUPIL.mask(SIZE), 0.8))
    ring = IRIS.mask(SIZE) & ~PUPIL.mask(SIZE)
    ring[:62] = False
    torn = ring.copy()
    torn[:, 140:] = False
    found = meant_iris(Sight(picture), [answer(torn, 0.5)], (75.0, 95.0), pupil)
    assert found is not None and found.probability > 0.5
    assert found.ellipse.iou(IRIS) > 0.93
    # What was torn off comes back as far as the rim was seen.
    right = (found.mask & ring).sum() / (found.mask | ring).sum()
    assert right > torn.sum() / ring.sum() + 0.1
    assert not (found.mask & PUPIL.scaled(0.9, about=PUPIL.center).mask(SIZE)).any()
