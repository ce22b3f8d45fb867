import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.video.prepend import Placement, PrependedSource
from ocusam.video.source import EndOfVideo, SequenceSource


def video(n: int = 3, fps: float = 50.0) -> SequenceSource:
    return SequenceSource(np.stack([np.full((20, 30), 10 * i, np.uint8) for i in range(n)]), fps=fps)


def test_pictures_come_first_and_the_video_keeps_its_times() -> None:
    front = np.full((20, 30, 3), 99, np.uint8)
    source = PrependedSource(video(), [front, front])
    assert (source.size, source.num_frames) == ((20, 30), 5)
    assert [int(f.image[0, 0, 0]) for f in source] == [99, 99, 0, 10, 20]
    assert source.timestamps_ns.tolist() == [f.timestamp_ns for f in source]
    assert source.timestamps_ns.tolist() == [-40_000_000, -20_000_000, 0, 20_000_000, 40_000_000]
    with pytest.raises(EndOfVideo):
        source.read(5)


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="30 x 20 px"):
        PrependedSource(video(), [np.zeros((20, 31, 3), np.uint8)])


@pytest.mark.parametrize(
    ("inner", "outer"), [((40, 60), (20, 30)), ((10, 40), (120, 160)), ((7, 5), (64, 64))]
)
def test_a_fitted_dot_lies_where_points_say(inner: tuple[int, int], outer: tuple[int, int]) -> None:
    # A blurred dot, so that its centroid tells the place to a fraction of a pixel.
    yy, xx = np.mgrid[: inner[0], : inner[1]]
    x, y = inner[1] * 0.4, inner[0] * 0.55
    dot = 250 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * (min(inner) / 8) ** 2))
    place = Placement.fit(inner, outer)
    drawn = place.image(np.repeat(dot[..., None], 3, axis=2).astype(np.uint8))[..., 0].astype(float)
    assert drawn.shape == outer
    yy, xx = np.mgrid[: outer[0], : outer[1]]
    found = ((drawn * xx).sum() / drawn.sum(), (drawn * yy).sum() / drawn.sum())
    assert found == pytest.approx(tuple(place.points([x, y])), abs=0.5)


def test_proportions_are_kept_and_masks_go_along() -> None:
    place = Placement.fit((100, 100), (50, 200))
    assert (place.fitted, place.offset) == ((50, 50), (75, 0))
    mask = np.zeros((100, 100), bool)
    mask[20:40, 60:80] = True
    moved = place.mask(mask)
    assert np.argwhere(moved).min(axis=0).tolist() == [10, 105] and moved.sum() == 100
