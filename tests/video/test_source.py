from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocusam.core.errors import InputError
from ocusam.video.pictures import as_rgb, read_picture
from ocusam.video.reader import open_video
from ocusam.video.source import EndOfVideo, Frame, IterableSource, SequenceSource, natural_key


def flat(value: int, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.full((*size, 3), value, dtype=np.uint8)


def test_natural_order():
    names = ["10.png", "9.png", "a2.png", "a10.png", "1.png"]
    assert sorted(names, key=natural_key) == ["1.png", "9.png", "10.png", "a2.png", "a10.png"]


def test_a_folder_is_read_in_natural_order_and_other_files_are_passed_over(tmp_path: Path):
    for number in (10, 9, 1):
        Image.fromarray(flat(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("nothing")
    source = open_video(tmp_path)
    assert [int(f.image[0, 0, 0]) for f in source] == [1, 9, 10]
    assert source.fps is None and source.num_frames == 3 and source.size == (4, 6)


def test_a_folder_of_nothing_and_pictures_that_disagree(tmp_path: Path):
    with pytest.raises(InputError, match="no pictures"):
        open_video(tmp_path)
    Image.fromarray(flat(1)).save(tmp_path / "0.png")
    Image.fromarray(flat(2, (5, 6))).save(tmp_path / "1.png")
    source = open_video(tmp_path)
    with pytest.raises(InputError, match=r"1\.png is 6 x 5 px.*6 x 4 px"):
        source.read(1)
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read"):
        open_video(tmp_path)


def test_one_picture_file_is_a_video_of_one_frame(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.fromarray(flat(7)[:, :, 0]).save(path)
    source = open_video(path)
    assert source.num_frames == 1 and np.array_equal(source.read(0).image, flat(7))
    with pytest.raises(EndOfVideo):
        source.read(1)


@pytest.mark.parametrize(
    "pictures",
    [
        np.stack([flat(1), flat(2)]),
        np.stack([flat(1), flat(2)])[..., 0],
        [flat(1), flat(2)[..., 0]],
        [Image.fromarray(flat(1)), Image.fromarray(flat(2))],
    ],
)
def test_pictures_in_memory(pictures):
    source = open_video(pictures, fps=10)
    frames = list(source)
    assert np.array_equal(frames[1].image, flat(2)) and frames[1].timestamp_ns == 100_000_000
    assert source.num_frames == 2 and source.fps == 10


def test_times_of_ones_own():
    source = SequenceSource([flat(1), flat(2)], timestamps_ns=[5, 12])
    assert source.read(1).timestamp_ns == 12
    with pytest.raises(InputError, match="one per frame"):
        SequenceSource([flat(1)], timestamps_ns=[5, 12])
    with pytest.raises(InputError, match="positive"):
        SequenceSource([flat(1)], fps=0)


def test_pictures_that_are_refused():
    for bad in (np.zeros((2, 4, 6, 3), dtype=np.float32), np.zeros((2, 4, 6, 2), dtype=np.uint8), []):
        with pytest.raises(InputError):
            open_video(bad)
    with pytest.raises(InputError, match="float64"):
        as_rgb(np.zeros((4, 6)))


def test_an_iterable_is_read_once_and_remembers_a_few():
    drawn = []

    def camera():
        for number in range(10):
            drawn.append(number)
            yield Frame(99, number * 7, flat(number))

    source = IterableSource(camera(), keep=3)
    assert source.num_frames is None and drawn == [0]
    assert int(source.read(5).image[0, 0, 0]) == 5 and source.read(5).timestamp_ns == 35
    assert int(source.read(3).image[0, 0, 0]) == 3
    with pytest.raises(InputError, match="has passed"):
        source.read(2)
    assert [f.frame_idx for f in source.iterate(6)] == [6, 7, 8, 9]
    assert source.num_frames == 10
    with pytest.raises(EndOfVideo):
        source.read(10)
    with pytest.raises(InputError, match="no frame"):
        open_video(iter(()))


def test_grey_of_sixteen_bits_keeps_its_shades(tmp_path: Path):
    grey = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
    Image.fromarray(grey).save(tmp_path / "0.png")
    assert np.array_equal(open_video(tmp_path).read(0).image, np.repeat((grey >> 8)[..., None], 3, axis=2))
    with pytest.raises(InputError, match="upper eight bits"):
        open_video(grey[None])


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_what_a_camera_stores_in_sixteen_bits_is_not_black(tmp_path: Path, bits: int):
    bright = np.linspace(0, 2**bits - 1, 24).astype(np.uint16).reshape(4, 6)
    for i, values in enumerate([bright // 8, bright, bright // 2]):  # a dark picture comes first
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    source = open_video(tmp_path)
    for i, values in enumerate([bright // 8, bright, bright // 2]):
        assert np.array_equal(source.read(i).image[..., 0], values >> (bits - 8)), i
    alone = as_rgb(Image.open(tmp_path / "1.png"))
    assert np.array_equal(alone[..., 0], bright >> (bits - 8))


def test_floating_point_grey(tmp_path: Path):
    shades = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    Image.fromarray(shades).save(tmp_path / "a.tif")
    assert np.array_equal(read_picture(tmp_path / "a.tif"), as_rgb(np.round(shades * 255).astype(np.uint8)))
    Image.fromarray(shades * 200).save(tmp_path / "a.tif")
    assert int(np.asarray(read_picture(tmp_path / "a.tif")).max()) == 200
    for wrong in (shades - 0.5, shades * 4000, shades * np.nan):
        Image.fromarray(wrong).save(tmp_path / "a.tif")
        with pytest.raises(InputError, match=r"a\.tif: it holds numbers from"):
            read_picture(tmp_path / "a.tif")


def test_a_picture_asked_for_twice_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for i in range(2):
        Image.fromarray(flat(i)).save(tmp_path / f"{i}.png")
    source = open_video(tmp_path)
    loads = []
    monkeypatch.setattr("ocusam.video.source.read_picture", lambda path, bits: loads.append(path) or flat(1))
    assert [source.read(i).frame_idx for i in (1, 1, 0, 0, 1)] == [1, 1, 0, 0, 1]
    assert len(loads) == 3
