"""PNG masks in both layouts: written, found, read back, refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocusam.core.errors import InputError, OutputError
from ocusam.workflows.scoring.davis_folders import (
    Layout,
    Mask,
    find_videos,
    merged,
    palette,
    read_values,
    write_video,
)

SIZE = (6, 9)


def bar(start: int, stop: int) -> Mask:
    mask = np.zeros(SIZE, dtype=bool)
    mask[2:4, start:stop] = True
    return mask


FRAMES = [("00000", {1: bar(0, 3), 7: bar(2, 5)}), ("00001", {7: bar(4, 8)}), ("00002", {})]


def test_the_palette_is_the_known_one() -> None:
    colors = [tuple(palette()[3 * i : 3 * i + 3]) for i in (0, 1, 2, 3, 4, 8, 9, 255)]
    assert colors == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0),
        (0, 0, 128), (64, 0, 0), (192, 0, 0), (224, 224, 192),
    ]  # fmt: skip


def test_the_lower_number_wins() -> None:
    assert merged({7: bar(2, 5), 1: bar(0, 3)}, SIZE)[2].tolist() == [1, 1, 1, 7, 7, 0, 0, 0, 0]


def test_palette_pictures_come_back(tmp_path: Path) -> None:
    assert write_video(tmp_path / "film", FRAMES, SIZE, [1, 7]) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["film"]
    with Image.open(tmp_path / "film" / "00000.png") as picture:
        assert picture.mode == "P"
        assert picture.convert("RGB").getpixel((0, 2)) == (128, 0, 0)
    (video,) = find_videos(tmp_path)
    assert (video.name, video.layout, video.objects, video.alone) == ("film", "palette", [], False)
    assert video.frames() == ["00000.png", "00001.png", "00002.png"]
    for name, masks in FRAMES:
        assert (video.values(f"{name}.png") == merged(masks, SIZE)).all()


def test_one_picture_per_object_comes_back(tmp_path: Path) -> None:
    write_video(tmp_path / "film", FRAMES, SIZE, [1, 7], "objects")
    (video,) = find_videos(tmp_path)
    assert (video.layout, video.objects) == ("objects", ["001", "007"])
    for name, masks in FRAMES:
        for number in (1, 7):
            expected = masks.get(number, np.zeros(SIZE, dtype=bool))
            assert (video.values(f"{name}.png", f"{number:03d}") == expected).all()


def test_datasets_and_single_videos_are_found(tmp_path: Path) -> None:
    for name in ("bear", "dog10", "dog9"):
        write_video(tmp_path / "Annotations" / "480p" / name, FRAMES, SIZE, [1, 7])
    (tmp_path / "Annotations" / "480p" / "notes.txt").write_text("x")
    (tmp_path / "Annotations" / "480p" / ".hidden").mkdir()
    assert [video.name for video in find_videos(tmp_path)] == ["bear", "dog9", "dog10"]
    (alone,) = find_videos(tmp_path / "Annotations" / "480p" / "bear")
    assert (alone.name, alone.alone) == ("bear", True)


@pytest.mark.parametrize("layout", ["palette", "objects"])
def test_a_video_is_whole_or_absent(tmp_path: Path, layout: Layout) -> None:
    def breaks_off():  # type: ignore[no-untyped-def]
        yield FRAMES[0]
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_video(tmp_path / "new" / "film", breaks_off(), SIZE, [1, 7], layout)
    assert not (tmp_path / "new").exists()
    write_video(tmp_path / "film", FRAMES, SIZE, [1, 7], layout)
    with pytest.raises(OutputError, match="exists already"):
        write_video(tmp_path / "film", FRAMES, SIZE, [1, 7], layout)


@pytest.mark.parametrize("numbers", [[0, 1], [1, 256]])
def test_a_palette_holds_255_objects(tmp_path: Path, numbers: list[int]) -> None:
    with pytest.raises(InputError, match="1 to 255"):
        write_video(tmp_path / "film", FRAMES, SIZE, numbers)
    assert write_video(tmp_path / "film", FRAMES, SIZE, numbers, "objects") == 3


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    colored = np.zeros((4, 4, 3), dtype=np.uint8)
    Image.fromarray(colored).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"colours \(RGB\)"):
        read_values(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read"):
        read_values(tmp_path / "b.png")
    with pytest.raises(InputError, match="No such file"):
        read_values(tmp_path / "c.png")
    Image.fromarray(colored[..., 0] > 0).save(tmp_path / "d.png")
    assert read_values(tmp_path / "d.png").dtype == np.uint8
    with pytest.raises(InputError, match="not a folder"):
        find_videos(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no masks"):
        find_videos(tmp_path / "empty")


def test_several_objects_in_one_objects_mask_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "film" / "001", FRAMES, SIZE, [1, 7])
    (video,) = find_videos(tmp_path)
    assert video.layout == "objects"
    with pytest.raises(InputError, match="several objects"):
        video.values("00000.png", "001")
