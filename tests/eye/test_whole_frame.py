"""All objects of a frame together: what one says of another."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame, View
from ocusam.eye.reflection.packed import unpack
from ocusam.eye.whole_frame import measure_frame, measure_object

VIEW = View(0, (30, 20, 222, 212))  # not at the picture's corner
IRIS, PUPIL = Ellipse((96.4, 84.1), (110, 96), 70), Ellipse((98.0, 83.0), (30, 26), 66)
WIDE = PUPIL.scaled(1.6, about=PUPIL.center)


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


def _lit(*places: tuple[int, int]) -> list[ObjectFrame]:
    """A pupil and an iris of which most is in sight, and small lamps at some places of the view."""
    y, x = np.mgrid[0:192, 0:192]
    grey = np.full((192, 192), 120.0)
    objects = []
    for name, shape, level in (("iris", IRIS, 80.0), ("pupil", WIDE, 20.0)):
        inside = -shape.distance(np.stack([x, y], axis=-1))
        grey = np.where(inside > 0, level, grey)
        logits = cv2.resize(inside.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
        objects.append(ObjectFrame(0, 0, VIEW, name, logits, None, 0.9, 3.0))
    for place in places:
        cv2.circle(grey, place, 3, 255.0, -1)
    picture = np.repeat(cv2.GaussianBlur(grey, (0, 0), 1.0).astype(np.uint8)[..., None], 3, axis=2)
    return [replace(item, picture=picture) for item in objects]


def _named(place: tuple[int, int], like: ObjectFrame) -> ObjectFrame:
    """A reflection's mask there."""
    y, x = np.mgrid[0:192, 0:192].astype(np.float32)
    logits = cv2.resize(6.0 - np.hypot(x - place[0], y - place[1]), (64, 64), interpolation=cv2.INTER_AREA)
    return replace(like, name="cr0", logits=logits)


def _spots(objects: list[ObjectFrame]) -> list[tuple[float, float]]:
    packed = measure_frame(objects, spots=True).spots
    assert packed is not None
    return [(round(s.ellipse.center[0] - 30), round(s.ellipse.center[1] - 20)) for s in unpack(packed)]


def test_spots_lie_on_the_cornea_where_the_iris_is_known() -> None:
    near, far = (104, 90), (44, 34)  # far: within reach of the pupil, beyond the limbus
    objects = _lit(near, far)
    assert _spots(objects) == [near]
    assert sorted(_spots(objects[1:])) == [far, near]  # nobody tracks an iris


def test_a_reflection_named_beyond_the_iris_is_found() -> None:
    near, far = (104, 90), (44, 34)
    objects = _lit(near, far)
    both = [*objects, _named(far, objects[0])]
    assert sorted(_spots(both)) == [far, near]
    light = measure_frame(both, spots=True).objects[2]
    assert light.edge == "picture"
    assert light.ellipse is not None
    assert np.hypot(light.ellipse.center[0] - 74, light.ellipse.center[1] - 54) < 0.3
