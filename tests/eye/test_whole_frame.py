"""All objects of a frame together: what one says of another."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame, View
from ocusam.eye.whole_frame import measure_frame, measure_object

VIEW = View(0, (30, 20, 222, 212))  # not at the picture's corner
IRIS, PUPIL = Ellipse((96.4, 84.1), (110, 96), 70), Ellipse((98.0, 83.0), (30, 26), 66)


def _object(name: str, shape: Ellipse) -> ObjectFrame:
    """A shape of the view between two lids that leave a third of the iris."""
    y, x = np.mgrid[0:192, 0:192]
    inside = np.minimum(-shape.distance(np.stack([x, y], axis=-1)), np.minimum(y - 66, 102 - y))
    logits = cv2.resize(
        inside.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA
    )  # as networks answer
    return ObjectFrame(0, 0, VIEW, name, logits, None, 0.9, 3.0, None, 900.0)


def test_an_iris_between_the_lids_lies_around_its_pupil() -> None:
    iris, pupil = _object("iris", IRIS), _object("pupil", PUPIL)
    truth = IRIS.translated(30, 20)
    together = measure_frame([iris, pupil], spots=False).objects[0].ellipse
    alone = measure_object(iris).ellipse
    assert together is not None and together.iou(truth) > 0.95
    assert alone is None or alone.iou(truth) < 0.6


def test_a_pupil_hardly_seen_or_elsewhere_says_nothing_of_the_iris() -> None:
    iris = _object("iris", IRIS)
    alone = measure_object(iris)
    beside = _object("pupil", Ellipse((20.0, 84.0), (30, 26)))
    absent = replace(_object("pupil", PUPIL), object_score=-3.0)
    for pupil in (beside, absent):
        assert measure_frame([iris, pupil], spots=False).objects[0] == alone
