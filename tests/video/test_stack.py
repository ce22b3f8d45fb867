from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from ocusam.core.errors import InputError
from ocusam.video.reader import open_video
from ocusam.video.stack import TiffStack, is_stack


def write_stack(path: Path, pages: list[np.ndarray], description: str | None = None) -> Path:
    pictures = [Image.fromarray(page) for page in pages]
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if description is not None:
        tags[270] = description
    pictures[0].save(path, save_all=True, append_images=pictures[1:], tiffinfo=tags)
    return path


def test_pages_are_frames_in_any_order(tmp_path: Path) -> None:
    path = write_stack(tmp_path / "s.tif", [np.full((6, 8), 20 * i, np.uint8) for i in range(7)])
    with open_video(path, fps=100.0) as source:
        assert isinstance(source, TiffStack)
        assert (source.size, source.num_frames, source.fps) == ((6, 8), 7, 100.0)
        assert [int(source.read(i).image[0, 0, 1]) for i in (5, 0, 6, 2)] == [100, 0, 120, 40]
        assert source.read(3).timestamp_ns == 30_000_000


@pytest.mark.parametrize(("bits", "kept"), [(10, 2), (12, 4), (14, 6), (16, 8)])
def test_a_camera_of_few_bits_is_not_dark(bits: int, kept: int, tmp_path: Path) -> None:
    """Twelve bits in files of sixteen: taken as sixteen the brightest pixel would be 15 of 255."""
    dark, bright = 3 << kept, (1 << bits) - 1
    pages = [np.full((6, 8), dark, np.uint16), np.full((6, 8), bright, np.uint16)]
    with open_video(write_stack(tmp_path / "s.tif", pages)) as source:
        assert [int(f.image.max()) for f in source] == [3, 255]
    for i, page in enumerate(pages):
        Image.fromarray(page).save(tmp_path / f"{i}.png")
    (tmp_path / "s.tif").unlink()
    with open_video(tmp_path) as source:
        assert [int(f.image.max()) for f in source] == [3, 255]


def test_one_page_is_a_picture_and_hidden_pages_are_refused(tmp_path: Path) -> None:
    page = np.zeros((6, 8), np.uint8)
    one = write_stack(tmp_path / "one.tif", [page])
    assert not is_stack(one) and not is_stack(tmp_path / "gone.tif")
    with open_video(one) as source:
        assert source.num_frames == 1
    large = write_stack(tmp_path / "large.tif", [page], "ImageJ=1.53\nimages=90000\nslices=90000\n")
    with pytest.raises(InputError, match="says that it holds 90000 pictures, but lists 1"):
        open_video(large)
    (tmp_path / "bad.tif").write_bytes(b"no TIFF")
    with pytest.raises(InputError, match="cannot be read"):
        open_video(tmp_path / "bad.tif")
