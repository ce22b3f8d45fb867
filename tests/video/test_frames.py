import numpy as np
from PIL import Image

from ocusam.video.frames import IMAGE_MEAN, IMAGE_STD, normalise, picture_to_input


def test_normalise_on_a_hand_worked_pixel():
    image = np.array([[[0, 255, 51]]], dtype=np.uint8)
    expected = [(v - m) / s for v, m, s in zip((0.0, 1.0, 0.2), IMAGE_MEAN, IMAGE_STD, strict=True)]
    assert np.allclose(normalise(image)[:, 0, 0], expected, atol=1e-6)


def test_the_picture_is_squashed_by_pillows_bicubic_filter():
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3)).astype(np.uint8)
    out = picture_to_input(image, 16)
    assert out.shape == (3, 16, 16) and out.dtype == np.float32
    square = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(out, normalise(square))


def test_a_picture_of_the_right_size_is_not_resampled():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    assert np.array_equal(picture_to_input(image, 16), normalise(image))
