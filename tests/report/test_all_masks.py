import itertools

import numpy as np

from ocusam.report.all_masks import distinct_color, draw_all_masks


def test_colours_of_neighbours_differ_and_never_change() -> None:
    colors = [distinct_color(i) for i in range(60)]
    assert len(set(colors)) == 60
    assert colors == [distinct_color(i) for i in range(60)]
    for one, other in itertools.pairwise(colors):
        assert np.abs(np.subtract(one, other)).max() > 60


def test_later_masks_lie_on_top_and_the_rest_stays() -> None:
    image = np.full((500, 600, 3), 100, dtype=np.uint8)
    large, small = np.zeros((2, 500, 600), dtype=bool)
    large[100:400, 100:400] = True
    small[200:300, 200:300] = True
    drawn = draw_all_masks(image, iter([large, small]))
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn[50, 50] == 100).all()
    for point, number in (((150, 150), 0), ((250, 250), 1)):
        expected = (100 + np.array(distinct_color(number))) / 2
        assert np.abs(drawn[point] - expected).max() <= 1
    # The outlines of both, in a darker tone.
    assert np.abs(drawn[100, 250] - 0.6 * np.array(distinct_color(0))).max() <= 1
    assert np.abs(drawn[200, 250] - 0.6 * np.array(distinct_color(1))).max() <= 1
    assert (image == 100).all()


def test_a_covered_mask_keeps_its_outline() -> None:
    image = np.full((500, 600, 3), 100, dtype=np.uint8)
    first, second = np.zeros((2, 500, 600), dtype=bool)
    first[200:300, 200:300] = True
    second[100:400, 100:400] = True
    drawn = draw_all_masks(image, [first, second])
    assert np.abs(drawn[200, 250] - 0.6 * np.array(distinct_color(0))).max() <= 1


def test_small_pictures_are_enlarged_and_no_masks_leave_the_picture() -> None:
    image = np.full((30, 100, 3), 100, dtype=np.uint8)
    assert (draw_all_masks(image, []) == 100).all()
    mask = np.zeros((30, 100), dtype=bool)
    mask[10:20, 40:60] = True
    drawn = draw_all_masks(image, [mask])
    assert drawn.shape == (150, 500, 3)
    changed = (drawn != 100).any(axis=2)
    assert changed[50:100, 200:300].all()
    assert changed.sum() == 50 * 100
