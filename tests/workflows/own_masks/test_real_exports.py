"""Exports as they come from other machines: other paths, marks, suffixes, kinds of PNG, several cells."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocusam.core.errors import InputError
from ocusam.workflows.own_masks.coco import coco
from ocusam.workflows.own_masks.folders import davis
from ocusam.workflows.own_masks.look import look_through
from ocusam.workflows.own_masks.mask_files import mask_values
from ocusam.workflows.own_masks.opening import open_masks
from ocusam.workflows.own_masks.pictures import find_picture
from ocusam.workflows.own_masks.tools import cvat, labelme
from ocusam.workflows.train_config import MasksConfig

SIZE = (40, 60)


def _mask() -> np.ndarray[Any, Any]:
    """Two cells of one kind."""
    mask = np.zeros(SIZE, np.uint8)
    mask[5:20, 5:20] = 1
    mask[22:38, 30:50] = 1
    return mask


CELLS = [[[5, 5], [20, 5], [20, 20], [5, 20]], [[30, 22], [50, 22], [50, 38], [30, 38]]]


def _labelme(folder: Path, name: str, mark: bytes = b"", **more: Any) -> None:
    shapes = [{"label": "cell", "shape_type": "polygon", "points": c, "group_id": None} for c in CELLS]
    data = {"imagePath": f"C:\\Users\\Ann\\my cells\\{name}.jpg", "imageData": None, "shapes": shapes, **more}
    (folder / f"{name}.json").write_bytes(mark + json.dumps(data).encode())


def _picture(path: Path, mask: np.ndarray[Any, Any] | None = None, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = _mask() if mask is None else mask
    Image.fromarray((values > 0).astype(np.uint8) * 255).convert("RGB").save(path, **how)
    return path


def test_windows_paths_marks_and_capitals(tmp_path: Path) -> None:
    _labelme(tmp_path, "zelle ü 1", mark=b"\xef\xbb\xbf")
    _picture(tmp_path / "zelle ü 1.JPG", format="JPEG")
    (video,) = labelme(tmp_path, None, {})
    picture, masks = video.read(0)
    assert np.array_equal(masks["cell"], picture[..., 0] > 128)


def test_every_shape_is_an_object_where_instances_are_wanted(tmp_path: Path) -> None:
    _picture(tmp_path / "images/a.png")
    _labelme(tmp_path, "a")
    polygons = "".join(
        f'<polygon label="cell" points="{";".join(f"{x},{y}" for x, y in c)}"/>' for c in CELLS
    )
    (tmp_path / "annotations.xml").write_text(
        f'<annotations><image name="old/folder/a.png">{polygons}</image></annotations>'
    )
    (tmp_path / "masks").mkdir()
    Image.fromarray(_mask() * 3).save(tmp_path / "masks/a_cp_masks.png")
    readers = {
        "labelme": labelme(tmp_path, tmp_path / "images", {"cell": "pupil"}, instances=True),
        "cvat": cvat(tmp_path, None, {"cell": "pupil"}, instances=True),
        "davis": davis(tmp_path / "masks", tmp_path / "images", {"3": "pupil"}, instances=True),
    }
    for name, (video,) in readers.items():
        picture, masks = video.read(0)
        assert sorted(masks) == ["1:pupil", "2:pupil"], name
        assert [int(mask.sum()) for _, mask in sorted(masks.items())] == [225, 320], name
        assert np.array_equal(masks["1:pupil"] | masks["2:pupil"], picture[..., 0] > 128), name
    (whole,) = labelme(tmp_path, tmp_path / "images", {})
    assert set(whole.read(0)[1]) == {"cell"}


def test_the_picture_inside_a_labelme_file_does_where_there_is_no_other(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(_mask() * 255).save(file, "PNG")
    _labelme(tmp_path, "a", imageData=base64.b64encode(file.getvalue()).decode())
    (video,) = labelme(tmp_path, None, {})
    picture, masks = video.read(0)
    assert video.pictures.missing() == [] and np.array_equal(masks["cell"], picture[..., 0] > 128)


def test_photographs_are_turned_as_annotation_tools_turn_them(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x112] = 6  # to be turned by 90 degrees
    _picture(tmp_path / "a.jpg", np.rot90(_mask()), exif=tag)
    _labelme(tmp_path, "a")
    (video,) = labelme(tmp_path, None, {})
    picture, masks = video.read(0)
    assert picture.shape[:2] == SIZE and np.array_equal(masks["cell"], picture[..., 0] > 128)
    # A mask of the size that the camera stored was drawn without turning.
    Image.fromarray(np.ascontiguousarray(np.rot90(_mask()))).save(tmp_path / "a.png")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "a.jpg").rename(tmp_path / "pictures/a.jpg")
    (video,) = davis(tmp_path, tmp_path / "pictures", {})
    picture, masks = video.read(0)
    assert picture.shape[:2] == SIZE[::-1] and np.array_equal(masks["1"], picture[..., 0] > 128)


def test_kinds_of_pictures_that_hold_numbers(tmp_path: Path) -> None:
    path, mask = tmp_path / "m.png", _mask()
    for made, value in (
        (Image.fromarray(mask.astype(np.uint16) * 700), 700),
        (Image.fromarray(np.repeat(mask[..., None] * 255, 3, 2)), 255),
        (Image.fromarray(np.dstack([np.full((*SIZE, 3), 255, np.uint8), mask * 255])), 255),
    ):
        made.save(path)
        mask_values.cache_clear()
        assert np.array_equal(mask_values(path), mask.astype(np.int32) * value), made.mode
    Image.fromarray(np.dstack([mask * 255, mask, mask])).save(path)
    mask_values.cache_clear()
    with pytest.raises(InputError, match="has colours"):
        mask_values(path)
    soft = Image.fromarray(mask * 255).resize((600, 400), Image.Resampling.BICUBIC)
    soft.save(path)
    with pytest.raises(InputError, match="soft edges"):
        mask_values(path)


def test_pictures_of_several_sizes_are_no_video(tmp_path: Path) -> None:
    for k in range(3):
        mask = np.pad(_mask(), ((0, k), (0, 0)))
        _picture(tmp_path / f"pictures/c{k}.png", mask)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / f"masks/c{k}.png")
    videos = davis(tmp_path / "masks", tmp_path / "pictures", {})
    assert [(video.name, video.count) for video in videos] == [("c0", 1), ("c1", 1), ("c2", 1)]


def test_a_categorys_new_name_holds_for_all_its_objects(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png")
    annotations = [
        {"id": k, "image_id": 1, "category_id": 1, "segmentation": [np.ravel(c).tolist()]}
        for k, c in enumerate(CELLS)
    ]
    data = {
        "images": [{"id": 1, "file_name": "D:\\x\\a.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    (tmp_path / "c.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(data).encode())
    (video,) = coco(tmp_path / "c.json", None, {"a": "b", "b": "a"})
    assert set(video.read(0)[1]) == {"b", "1:b"}
    with pytest.raises(InputError, match="give the JSON file"):
        coco(tmp_path, None, {})


def test_what_is_wrong_is_said_all_together(tmp_path: Path) -> None:
    for k in range(4):
        _picture(tmp_path / f"c{k}.jpg")
        _labelme(tmp_path, f"c{k}")
    entry = MasksConfig("labelme", ".")
    looked = look_through(open_masks(entry, tmp_path), 64)
    assert looked.lines() == ["4 annotated frames read: cell on 4"]
    small = look_through(open_masks(MasksConfig("labelme", ".", instances=True), tmp_path), 8, most=2)
    assert small.frames == 2 and small.small == 4
    for k in (1, 2):
        path = tmp_path / f"c{k}.jpg"
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"2 of 4 annotated frames cannot be used: .*c1\.jpg.*c2\.jpg"):
        look_through(open_masks(entry, tmp_path), 64).check()
    (tmp_path / "c1.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of the pictures of .* are not there: .*c1\.jpg"):
        open_masks(entry, tmp_path)


def test_names_of_objects_that_are_nowhere(tmp_path: Path) -> None:
    _picture(tmp_path / "a.jpg")
    _labelme(tmp_path, "a")
    with pytest.raises(InputError, match="names has cel, but the objects are cell"):
        open_masks(MasksConfig("labelme", ".", names={"cel": "pupil"}), tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({"imagePath": "a.jpg", "shapes": [{
        "label": "x", "shape_type": "rectangle", "points": [[0, 0], [5, 5]]}]}))  # fmt: skip
    with pytest.raises(InputError, match="boxes, lines and points are none"):
        labelme(tmp_path, None, {})


@pytest.mark.parametrize(
    "name", ["sub/a.png", "E:\\old\\sub\\a.png", "/volumes/ann/sub/a.png", "./sub/a.PNG"]
)
def test_a_picture_is_found_by_the_end_of_its_name(name: str, tmp_path: Path) -> None:
    path = _picture(tmp_path / "sub/a.png")
    if name.endswith("PNG"):  # another suffix is looked for beside the given name
        name = "a.PNG"
        assert find_picture(tmp_path / "sub", name) == path
        return
    assert find_picture(tmp_path, name) == path
    assert find_picture(tmp_path, "b.png") == tmp_path / "b.png"
