import numpy as np
import pytest
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.workflows.find.part_map import NAMES, PartMap, part_map

SIZE = (96, 128)
PUPIL = Ellipse((60.3, 40.7), (30.0, 20.0), 25.0)
OVERLAP, FILL, IRIS, SHARE = (NAMES.index(name) for name in ("overlap", "fill", "iris", "share"))


def disc(ellipse: Ellipse) -> NDArray[np.float32]:
    yy, xx = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    inside = np.clip(0.5 - ellipse.distance(np.stack([xx, yy], axis=-1)), 0, 1)
    return np.asarray(inside, dtype=np.float32)


def map_of(*pupils: Ellipse, height: float = 1.0) -> PartMap:
    pupil = np.max([disc(e) for e in pupils], axis=0) if pupils else np.zeros(SIZE, np.float32)
    iris = np.max([disc(e.scaled(2.0, about=e.center)) for e in pupils] or [pupil], axis=0)
    return PartMap(height * pupil, np.clip(iris - pupil, 0, 1), np.zeros(SIZE, np.float32))


@pytest.mark.parametrize("height", [1.0, 0.3])
def test_a_place_has_the_regions_centre_and_axes_however_faint(height: float) -> None:
    place = map_of(PUPIL, height=height).places()[0]
    assert place.center == pytest.approx(PUPIL.center, abs=0.1)
    assert (place.major, place.minor) == pytest.approx((30.0, 20.0), rel=0.05)
    assert place.iou(PUPIL) > 0.93


def test_several_places_come_by_size_and_noise_proposes_none() -> None:
    small = Ellipse((100.0, 70.0), (12.0, 12.0), 0.0)
    centres = [place.center for place in map_of(small, PUPIL).places()]
    assert centres[0] == pytest.approx(PUPIL.center, abs=0.1)
    assert centres[-1] == pytest.approx(small.center, abs=0.1)
    assert map_of(PUPIL, height=0.05).places() == [] and map_of().places() == []


def test_the_right_rim_agrees_best() -> None:
    iris, beside = PUPIL.scaled(2.0, about=PUPIL.center), PUPIL.translated(12.0, 0.0)
    right, wide, off, away = map_of(PUPIL).figures([PUPIL, iris, beside, Ellipse((20, 80), (20, 20), 0)])
    assert right[OVERLAP] > 0.9 and right[FILL] > 0.95 and right[IRIS] > 0.9 and right[SHARE] > 0.98
    # The areas of pupil and iris are as 1 to 4.
    assert wide[OVERLAP] == pytest.approx(0.25, abs=0.03) and wide[IRIS] < 0.05
    assert 0.1 < off[OVERLAP] < 0.6
    assert away.tolist() == pytest.approx([0, 0, 0, 0], abs=0.01)


def test_two_regions_share_the_map_and_the_pictures_edge_is_no_evidence() -> None:
    other = Ellipse((115.0, 75.0), (30.0, 20.0), 0.0)
    share = map_of(PUPIL, Ellipse((100.0, 80.0), (30.0, 20.0), 0.0)).figures([PUPIL])[0, SHARE]
    assert share == pytest.approx(0.5, abs=0.06)
    cut = other.translated(10.0, 0.0)  # its right part lies outside
    assert map_of(cut).figures([cut])[0, OVERLAP] > 0.9


def test_a_networks_square_map_becomes_the_pictures() -> None:
    square = np.zeros((4, 32, 32), np.float32)
    square[0, 8:16, 16:24] = 1.0
    place = part_map(square, SIZE).places()[0]
    assert place.center == pytest.approx((20 * 4 - 0.5, 12 * 3 - 0.5), abs=0.2)
