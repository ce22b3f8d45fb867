import numpy as np
import pytest

from ocusam.core.errors import InputError
from ocusam.video.crop import CroppedSource
from ocusam.video.source import SequenceSource


def whole() -> SequenceSource:
    return SequenceSource(np.arange(2 * 5 * 8, dtype=np.uint8).reshape(2, 5, 8), timestamps_ns=[3, 9])


def test_a_view_shows_its_part_with_the_times_of_the_whole():
    source = whole()
    view = CroppedSource(source, (2, 1, 6, 4))
    assert view.size == (3, 4) and view.num_frames == 2 and view.timestamps_ns.tolist() == [3, 9]
    frame = view.read(1)
    assert np.array_equal(frame.image, source.read(1).image[1:4, 2:6]) and frame.timestamp_ns == 9


def test_coordinates_and_values_go_there_and_back():
    view = CroppedSource(whole(), (2, 1, 6, 4))
    assert view.to_view([[2, 1], [5.5, 3]]).tolist() == [[0, 0], [3.5, 2]]
    assert view.to_whole(view.to_view([[4.0, 2.0]])).tolist() == [[4, 2]]
    pasted = view.paste(np.ones((2, 3, 4), dtype=np.float32), fill=-1024)
    assert pasted.shape == (2, 5, 8) and pasted.dtype == np.float32
    assert (pasted[:, 1:4, 2:6] == 1).all() and (pasted == 1).sum() == 24 and pasted.min() == -1024


@pytest.mark.parametrize("region", [(0, 0, 9, 5), (-1, 0, 4, 4), (3, 3, 3, 5), (4, 0, 2, 5)])
def test_regions_outside_the_picture_are_refused(region):
    with pytest.raises(InputError, match="8 x 5 px"):
        CroppedSource(whole(), region)
