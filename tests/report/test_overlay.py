import numpy as np

from ocusam.core.geometry import Ellipse
from ocusam.report.overlay import Drawn, color_of, contact_sheet, draw, overlay_size


def test_small_pictures_are_enlarged_and_large_ones_are_not() -> None:
    assert overlay_size((192, 192)) == (576, 576)
    assert overlay_size((480, 640)) == (480, 640)
    assert draw(np.zeros((192, 192), np.uint8), []).shape == (576, 576, 3)


def test_mask_and_ellipse_land_where_they_belong() -> None:
    shape = Ellipse((100, 60), (40, 30), 20)
    picture = draw(
        np.full((192, 192, 3), 100, np.uint8), [Drawn("pupil", shape.mask((192, 192)), shape, "tracked")]
    )
    changed = (picture[:500] != 100).any(axis=2)  # below lies the legend
    ys, xs = np.nonzero(changed)
    x0, y0, x1, y1 = shape.scaled(3, about=(-0.5, -0.5)).bounds
    assert abs(xs.min() - x0) < 6 and abs(xs.max() - x1) < 6
    assert abs(ys.min() - y0) < 6 and abs(ys.max() - y1) < 6
    centre = picture[181, 301].astype(int)
    assert np.abs(centre - np.array(color_of("pupil"))).max() < 90


def test_the_trail_is_drawn_where_the_centre_was() -> None:
    """Pixel centres are at integers, also where the picture is enlarged three times."""
    way = np.array([[40.0, 30.0], [120.0, 30.0]])
    picture = draw(np.zeros((192, 192, 3), np.uint8), [Drawn("pupil", trail=[way])])
    ys, xs = np.nonzero((picture[:500] > 200).all(axis=2))
    assert set(ys) == {91} and abs(xs.min() - 121) <= 1 and abs(xs.max() - 361) <= 1


def test_the_input_is_left_alone() -> None:
    image = np.full((480, 640, 3), 100, np.uint8)
    draw(image, [Drawn("pupil", np.ones((480, 640), bool), Ellipse((100, 60), (40, 30)))], title="frame 1")
    assert (image == 100).all()


def test_outside_and_empty_things_do_no_harm() -> None:
    draw(
        np.zeros((50, 60, 3), np.uint8),
        [Drawn("iris", np.zeros((50, 60), bool), Ellipse((-500, 900), (40, 30)), "lost")],
    )


def test_title_and_state_are_written() -> None:
    plain = draw(np.full((480, 640, 3), 100, np.uint8), [])
    titled = draw(np.full((480, 640, 3), 100, np.uint8), [Drawn("pupil", state="blink")], title="frame 7")
    assert (plain[:30] != titled[:30]).any()
    assert (plain[-30:] != titled[-30:]).any()


def test_colors_are_stable() -> None:
    assert color_of("ball") == color_of("ball")
    assert len({color_of(n) for n in ("pupil", "iris", "sclera", "cr")}) == 4


def test_a_contact_sheet_has_rows_of_columns() -> None:
    tiles = [np.full((50, 100, 3), i * 10, np.uint8) for i in range(5)]
    sheet = contact_sheet(tiles, columns=2, tile_width=100, gap=4)
    assert sheet.shape == (3 * 54, 2 * 104, 3)
    assert (sheet[54:104, 104:204] == 30).all()
